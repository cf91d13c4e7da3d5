//! Columns that are not in the record, but computed of it: what `|c| c.computed("cost", |t| t.fare + t.tip)` gives.

use super::aggregate::{Count, Greatest, Least, Mean, Sum};
use super::values::{Averaged, Extreme, Summable};
use super::{Col, Cols, Columns};
use crate::place::AtRow;
use crate::push::Selection;
use crate::record::{Batch, Builder, Record};
use std::fmt::{self, Debug, Display, Formatter};
use std::sync::Arc;

/// Makes a column of the selected records of a batch; where none is selected it holds blanks.
type Compute<T, V> =
    dyn Fn(&<T as Record>::Batch, Selection<'_>) -> <V as Record>::Batch + Send + Sync;

/// A column that a closure computes: see [`Cols::computed`].
pub struct Computed<T: Record, V: Record> {
    name: String,
    compute: Arc<Compute<T, V>>,
}

impl<T: Record, V: Record> Clone for Computed<T, V> {
    fn clone(&self) -> Self {
        Computed { name: self.name.clone(), compute: self.compute.clone() }
    }
}

impl<T: Record, V: Record> Debug for Computed<T, V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Computed({})", self.name)
    }
}

impl<T: Columns> Cols<T> {
    /// A column that `f` computes of each record that is aggregated; the plan calls it `name`.
    ///
    /// ```
    /// use windrow_datasets::Record;
    /// use windrow_datasets::columns::{Aggregate, Columns};
    ///
    /// #[derive(Record)]
    /// # #[record(crate = "windrow_datasets")]
    /// struct Line { price: u64, pieces: u32 }
    ///
    /// let sum = Line::COLS.computed("cost", |line| line.price * u64::from(line.pieces)).sum();
    /// assert_eq!(sum.describe(), "sum(cost)");
    /// ```
    pub fn computed<V: Record>(
        self,
        name: impl Into<String>,
        f: impl for<'a> Fn(T::View<'a>) -> V + Send + Sync + 'static,
    ) -> Computed<T, V> {
        let compute = move |batch: &T::Batch, selection: Selection<'_>| {
            let mut builder = V::Builder::default();
            builder.reserve(batch.len());
            let (count, mut at) = (selection.count(batch.len()), AtRow::new());
            let mut next = 0;
            for place in 0..count {
                // One call of `f` for both kinds of selections: then it is inlined, and of the view is made what it uses.
                let index = match selection {
                    Selection::All => place,
                    Selection::Rows(rows) => rows[place] as usize,
                };
                while next < index {
                    builder.push_blank();
                    next += 1;
                }
                next = index + 1;
                at.set(index);
                // SAFETY: the indexes of a selection are below the batch's length.
                builder.push(f(unsafe { batch.get_unchecked(index) }).view());
            }
            at.done();
            while next < batch.len() {
                builder.push_blank();
                next += 1;
            }
            builder.finish()
        };
        Computed { name: name.into(), compute: Arc::new(compute) }
    }
}

impl<T: Record, V: Record> Computed<T, V> {
    /// As [`Col::sum`].
    pub fn sum(self) -> Sum<T, V>
    where
        V: Summable,
    {
        Sum(Operand::Computed(self))
    }

    /// As [`Col::mean`].
    pub fn mean(self) -> Mean<T, V>
    where
        V: Averaged,
    {
        Mean(Operand::Computed(self))
    }

    /// As [`Col::min`].
    pub fn min(self) -> Least<T, V>
    where
        V: Extreme,
    {
        Least(Operand::Computed(self))
    }

    /// As [`Col::max`].
    pub fn max(self) -> Greatest<T, V>
    where
        V: Extreme,
    {
        Greatest(Operand::Computed(self))
    }

    /// As [`Col::count`].
    pub fn count(self) -> Count<T, V> {
        Count(Operand::Computed(self))
    }
}

/// What an aggregate is of: a column of the record, or a computed one.
pub(super) enum Operand<T: Record, V: Record> {
    Column(Col<T, V>),
    Computed(Computed<T, V>),
}

impl<T: Record, V: Record> Operand<T, V> {
    /// The values of a batch, where it is selected.
    pub(super) fn values(&self, batch: &T::Batch, selection: Selection<'_>) -> V::Batch {
        match self {
            Operand::Column(column) => column.of(batch).clone(),
            Operand::Computed(computed) => (computed.compute)(batch, selection),
        }
    }
}

impl<T: Record, V: Record> From<Col<T, V>> for Operand<T, V> {
    fn from(column: Col<T, V>) -> Self {
        Operand::Column(column)
    }
}

impl<T: Record, V: Record> Display for Operand<T, V> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Column(column) => Display::fmt(column, f),
            Operand::Computed(computed) => f.write_str(&computed.name),
        }
    }
}
