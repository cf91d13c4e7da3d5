//! Statistics of columns, and what they say of a predicate without a look at the values.

use super::values::Comparable;
use crate::record::{Batch, Record};
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;
use std::cmp::Ordering;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// What is known of one column in parts of a file (its row groups, or pages of one): an entry a part.
#[derive(Clone, Debug)]
pub struct ColumnStatistics {
    /// No value of the part is less than this; null where that is not known.
    pub least: ArrayRef,
    /// No value of the part is greater than this; null where that is not known.
    pub greatest: ArrayRef,
    /// How many values of the part are null, where that is known.
    pub nulls: Vec<Option<u64>>,
    /// How many rows the part has.
    pub rows: Vec<u64>,
    /// Which values the part is sure not to have, where there are means to tell, such as Bloom filters.
    pub absent: Option<Absent>,
}

/// Tells which values parts of a file are sure not to have.
#[derive(Clone)]
pub struct Absent(Arc<Lacks>);

/// Of a part, an array, and an index in it.
type Lacks = dyn Fn(usize, &ArrayRef, usize) -> bool + Send + Sync;

impl Absent {
    /// `lacks` is given a part, an array of the column's type in the record, and the index of a value in it that is not
    /// null; it is true only if no row of the part has that value.
    pub fn new(lacks: impl Fn(usize, &ArrayRef, usize) -> bool + Send + Sync + 'static) -> Absent {
        Absent(Arc::new(lacks))
    }

    /// The same of other parts, of which each is in one of these.
    #[must_use]
    pub fn of_parts(&self, parts: &[usize]) -> Absent {
        let (lacks, parts) = (self.0.clone(), parts.to_vec());
        Absent::new(move |part, values, at| lacks(parts[part], values, at))
    }
}

impl Debug for Absent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Absent(..)")
    }
}

/// Whether a comparison may come out as `wanted` in each part.
pub(super) type May = Box<dyn Fn(&ColumnStatistics, bool) -> Vec<bool> + Send + Sync>;

impl ColumnStatistics {
    /// For each part, whether it may have a value of which something holds that holds between two bounds if `between`
    /// says so. `unordered` is whether it holds of NaN, which statistics do not tell of.
    pub(super) fn values<V: Comparable>(
        &self,
        unordered: bool,
        between: impl for<'a> Fn(V::View<'a>, V::View<'a>) -> bool,
    ) -> Vec<bool> {
        let bind = |array| <Option<V> as Record>::Batch::from_array(array).ok();
        let bounds = bind(&self.least).zip(bind(&self.greatest));
        let may_be_nan = unordered
            && matches!(V::data_type(), DataType::Float16 | DataType::Float32 | DataType::Float64);
        let may = |part: usize| {
            if self.nulls[part] == Some(self.rows[part]) {
                return false;
            }
            let Some((least, greatest)) = bounds.as_ref().filter(|_| !may_be_nan) else {
                return true;
            };
            let (Some(least), Some(greatest)) = (least.get(part), greatest.get(part)) else {
                return true;
            };
            between(least, greatest)
        };
        (0..self.rows.len()).map(may).collect()
    }

    /// Of parts that may have one of these values, those that may have it after a look at what is absent.
    pub(super) fn without_absent(&self, mut may: Vec<bool>, values: &ArrayRef) -> Vec<bool> {
        if let Some(Absent(lacks)) = &self.absent {
            for (part, may) in may.iter_mut().enumerate().filter(|(_, may)| **may) {
                *may = (0..values.len()).any(|at| !lacks(part, values, at));
            }
        }
        may
    }

    /// For each part, whether it may have a null, or one that is none.
    pub(super) fn nulls(&self, wanted: bool) -> Vec<bool> {
        let may = |(nulls, rows): (&Option<u64>, &u64)| {
            nulls.is_none_or(|nulls| if wanted { nulls > 0 } else { nulls < *rows })
        };
        self.nulls.iter().zip(&self.rows).map(may).collect()
    }
}

/// Whether a value from `least` to `greatest` may have an order to `constant` that is `accepted`.
pub(super) fn orders<V: Comparable>(
    least: V::View<'_>,
    greatest: V::View<'_>,
    constant: &V,
    accepted: impl Fn(Ordering) -> bool,
) -> bool {
    let least = V::compare(V::shorten(least), V::shorten(constant.view()));
    let greatest = V::compare(V::shorten(greatest), V::shorten(constant.view()));
    let (Some(least), Some(greatest)) = (least, greatest) else { return true };
    (least.is_lt() && accepted(Ordering::Less))
        || (least.is_le() && greatest.is_ge() && accepted(Ordering::Equal))
        || (greatest.is_gt() && accepted(Ordering::Greater))
}
