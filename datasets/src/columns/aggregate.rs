//! Aggregates over columns: what `|c| (c.fare.sum(), c.count())` gives.

use super::computed::Operand;
use super::values::{Averaged, Extreme, Summable};
use super::{Col, for_tuples};
use crate::push::Selection;
use crate::record::{self, Batch, Record, UnitColumn};
use std::cmp::Ordering;
use std::marker::PhantomData;

/// One aggregate of the records of a group, or a tuple of two to eight: [`Sum`], [`Mean`], [`Least`], [`Greatest`],
/// [`Count`], [`CountRows`].
///
/// What it does a record, it does by its type alone. It may be done in any grouping, and where it is
/// [exact](Aggregate::EXACT) in any order as well.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no aggregate",
    label = "not an aggregate, nor a tuple of aggregates",
    note = "return aggregates of columns, as in `|c| (c.fare.sum(), c.count())`: there are `sum`, `mean`, `min`, `max` and `count`, and of these two to eight make a tuple"
)]
pub trait Aggregate<T: Record>: Send + Sync + 'static {
    /// What it takes of a record.
    type Value: Record;
    /// A result in the making.
    type Acc: Send + Sync + 'static;
    /// The accumulator of one batch's records in the making: it may be smaller, and quicker to add to.
    type Tally: Send + 'static;
    /// A result in the making, on its way between processes.
    type Wire: Record;
    /// The result.
    type Out: Record;
    /// Whether the order of records makes no difference.
    const EXACT: bool;

    /// The values of a batch, which share its buffers, or are computed where a record is selected; elsewhere they mean
    /// nothing.
    fn values(&self, batch: &T::Batch, selection: Selection<'_>) -> <Self::Value as Record>::Batch;
    /// The accumulator of a group's first record.
    fn start(value: <Self::Value as Record>::View<'_>) -> Self::Acc;
    /// Adds a record.
    fn push(acc: &mut Self::Acc, value: <Self::Value as Record>::View<'_>);
    /// Adds what another accumulator has.
    fn merge(acc: &mut Self::Acc, other: Self::Acc);
    /// A tally of no record yet.
    fn empty() -> Self::Tally;
    /// Adds a record.
    fn tally(tally: &mut Self::Tally, value: <Self::Value as Record>::View<'_>);
    /// The accumulator of the `records` that were added; `None` if there were none.
    fn tallied(tally: Self::Tally, records: u64) -> Option<Self::Acc>;
    /// The accumulator for the way.
    fn to_wire(acc: &Self::Acc) -> Self::Wire;
    /// What [`Aggregate::to_wire`] was given.
    fn from_wire(wire: <Self::Wire as Record>::View<'_>) -> Self::Acc;
    /// The result.
    ///
    /// # Errors
    /// If it cannot be represented.
    fn finish(&self, acc: &Self::Acc) -> Result<Self::Out, SumOverflow>;
    /// As a reader of the plan sees it: `sum(fare), count()`.
    fn describe(&self) -> String;
}

/// A sum that cannot be represented.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{aggregate} does not fit {of}; make the values `f64` or a decimal with more digits first")]
pub struct SumOverflow {
    /// As in [`Aggregate::describe`].
    pub aggregate: String,
    /// The type.
    pub of: String,
}

impl SumOverflow {
    /// That `aggregate`, in a plan's words, is no `S`.
    pub fn new<S: Record>(aggregate: impl Into<String>) -> SumOverflow {
        SumOverflow { aggregate: aggregate.into(), of: type_name::<S>().to_string() }
    }
}

/// The name of a type, without the `Option` around it.
fn type_name<S>() -> &'static str {
    let name = std::any::type_name::<S>();
    name.strip_prefix("core::option::Option<").map_or(name, |name| name.trim_end_matches('>'))
}

impl<T: Record, V: Record> Col<T, V> {
    /// The sum of the column. Integers and decimals are added exactly, as `i64`, `u64` or `Decimal<38, S>`, and a sum
    /// that does not fit is an error; floats are added in the order of the records. Null is left out: the sum of nothing
    /// but nulls is `None`.
    ///
    /// ```
    /// use windrow_datasets::Columns;
    /// use windrow_datasets::columns::Aggregate;
    ///
    /// let c = <(u32, Option<f64>)>::COLS;
    /// assert_eq!((c.0.sum(), c.1.sum()).describe(), "sum(_0), sum(_1)");
    /// ```
    pub fn sum(self) -> Sum<T, V>
    where
        V: Summable,
    {
        Sum(self.into())
    }

    /// The mean of the column, as `f64`; for a column with nulls, which are left out, an `Option` of that. Integers and
    /// decimals are added exactly before they are divided; floats are added in the order of the records, as `f64`.
    ///
    /// ```
    /// use windrow_datasets::Columns;
    /// use windrow_datasets::columns::Aggregate;
    ///
    /// assert_eq!(<(u32, f64)>::COLS.1.mean().describe(), "mean(_1)");
    /// ```
    #[doc(alias = "avg")]
    #[doc(alias = "average")]
    pub fn mean(self) -> Mean<T, V>
    where
        V: Averaged,
    {
        Mean(self.into())
    }

    /// The least value of the column; floats in the total order of IEEE 754, where NaN is beyond the infinities. Null is
    /// left out: the least of nothing but nulls is `None`.
    ///
    /// ```
    /// use windrow_datasets::Columns;
    /// use windrow_datasets::columns::Aggregate;
    ///
    /// assert_eq!(<(u32, String)>::COLS.1.min().describe(), "min(_1)");
    /// ```
    pub fn min(self) -> Least<T, V>
    where
        V: Extreme,
    {
        Least(self.into())
    }

    /// The greatest value of the column, in the order of [`Col::min`].
    ///
    /// ```
    /// use windrow_datasets::Columns;
    /// use windrow_datasets::columns::Aggregate;
    ///
    /// assert_eq!(<(u32, String)>::COLS.1.max().describe(), "max(_1)");
    /// ```
    pub fn max(self) -> Greatest<T, V>
    where
        V: Extreme,
    {
        Greatest(self.into())
    }

    /// How many values of the column are not null.
    ///
    /// ```
    /// use windrow_datasets::Columns;
    /// use windrow_datasets::columns::Aggregate;
    ///
    /// assert_eq!(<(u32, Option<f64>)>::COLS.1.count().describe(), "count(_1)");
    /// ```
    pub fn count(self) -> Count<T, V> {
        Count(self.into())
    }
}

/// The sum of a column: see [`Col::sum`].
pub struct Sum<T: Record, V: Record>(pub(super) Operand<T, V>);

/// The mean of a column: see [`Col::mean`].
pub struct Mean<T: Record, V: Record>(pub(super) Operand<T, V>);

/// The least value of a column: see [`Col::min`].
pub struct Least<T: Record, V: Record>(pub(super) Operand<T, V>);

/// The greatest value of a column: see [`Col::max`].
pub struct Greatest<T: Record, V: Record>(pub(super) Operand<T, V>);

/// How many values of a column are not null: see [`Col::count`].
pub struct Count<T: Record, V: Record>(pub(super) Operand<T, V>);

/// How many records there are: see [`Cols::count`](super::Cols::count).
pub struct CountRows<T>(PhantomData<fn() -> T>);

impl<T> CountRows<T> {
    pub(super) fn new() -> CountRows<T> {
        CountRows(PhantomData)
    }
}

/// What aggregates of one column have in common.
macro_rules! of_column {
    ($name:literal) => {
        type Value = V;

        fn values(&self, batch: &T::Batch, selection: Selection<'_>) -> V::Batch {
            self.0.values(batch, selection)
        }
        fn describe(&self) -> String {
            format!(concat!($name, "({})"), self.0)
        }
    };
}

impl<T: Record, V: Summable> Aggregate<T> for Sum<T, V> {
    of_column!("sum");
    type Acc = V::Acc;
    type Tally = V::Tally;
    type Wire = V::Wire;
    type Out = V::Sum;
    const EXACT: bool = V::EXACT;

    #[inline(always)]
    fn start(value: V::View<'_>) -> V::Acc {
        V::start(value)
    }
    #[inline(always)]
    fn push(acc: &mut V::Acc, value: V::View<'_>) {
        *acc = V::add(*acc, V::start(value));
    }
    #[inline(always)]
    fn merge(acc: &mut V::Acc, other: V::Acc) {
        *acc = V::add(*acc, other);
    }
    fn empty() -> V::Tally {
        V::EMPTY
    }
    #[inline(always)]
    fn tally(tally: &mut V::Tally, value: V::View<'_>) {
        V::tally(tally, value);
    }
    fn tallied(tally: V::Tally, records: u64) -> Option<V::Acc> {
        (records > 0).then(|| V::tallied(tally))
    }
    fn to_wire(acc: &V::Acc) -> V::Wire {
        V::to_wire(*acc)
    }
    fn from_wire(wire: <V::Wire as Record>::View<'_>) -> V::Acc {
        V::from_wire(wire)
    }
    fn finish(&self, acc: &V::Acc) -> Result<V::Sum, SumOverflow> {
        let overflow = || SumOverflow::new::<V::Sum>(Aggregate::<T>::describe(self));
        V::finish(*acc).ok_or_else(overflow)
    }
}

type WideAcc<V> = <<V as Averaged>::Wide as Summable>::Acc;
type WideTally<V> = <<V as Averaged>::Wide as Summable>::Tally;
type WideWire<V> = <<V as Averaged>::Wide as Summable>::Wire;

impl<T: Record, V: Averaged> Aggregate<T> for Mean<T, V> {
    of_column!("mean");
    /// The sum and the count of values; `None` before the first.
    type Acc = Option<(WideAcc<V>, u64)>;
    /// The sum, and how many values are null.
    type Tally = (WideTally<V>, u64);
    type Wire = Option<(WideWire<V>, u64)>;
    type Out = V::Mean;
    const EXACT: bool = V::Wide::EXACT;

    #[inline(always)]
    fn start(value: V::View<'_>) -> Self::Acc {
        V::widen(value).map(|value| (V::Wide::start(value), 1))
    }
    #[inline(always)]
    fn push(acc: &mut Self::Acc, value: V::View<'_>) {
        <Self as Aggregate<T>>::merge(acc, <Self as Aggregate<T>>::start(value));
    }
    #[inline(always)]
    fn merge(acc: &mut Self::Acc, other: Self::Acc) {
        // In place: this is done for each record.
        match (acc, other) {
            (Some((sum, count)), Some((more, others))) => {
                *sum = V::Wide::add(*sum, more);
                *count += others;
            }
            (acc @ None, other) => *acc = other,
            (Some(_), None) => {}
        }
    }
    fn empty() -> Self::Tally {
        (V::Wide::EMPTY, 0)
    }
    #[inline(always)]
    fn tally((sum, nulls): &mut Self::Tally, value: V::View<'_>) {
        match V::widen(value) {
            Some(value) => V::Wide::tally(sum, value),
            None => *nulls += 1,
        }
    }
    fn tallied((sum, nulls): Self::Tally, records: u64) -> Option<Self::Acc> {
        let values = records - nulls;
        (records > 0).then(|| (values > 0).then(|| (V::Wide::tallied(sum), values)))
    }
    fn to_wire(acc: &Self::Acc) -> Self::Wire {
        acc.map(|(sum, count)| (V::Wide::to_wire(sum), count))
    }
    fn from_wire(wire: <Self::Wire as Record>::View<'_>) -> Self::Acc {
        wire.map(|(sum, count)| (V::Wide::from_wire(sum), count))
    }
    fn finish(&self, acc: &Self::Acc) -> Result<V::Mean, SumOverflow> {
        Ok(V::finish(acc.map(|(sum, count)| V::divide(sum, count))))
    }
}

macro_rules! extreme {
    ($type:ident $name:literal $wanted:ident) => {
        impl<T: Record, V: Extreme> Aggregate<T> for $type<T, V> {
            of_column!($name);
            type Acc = V;
            type Tally = Option<V>;
            type Wire = V;
            type Out = V;
            const EXACT: bool = true;

            #[inline(always)]
            fn start(value: V::View<'_>) -> V {
                V::own(value)
            }
            #[inline(always)]
            fn push(acc: &mut V, value: V::View<'_>) {
                if V::replaces(value, acc.view(), Ordering::$wanted) {
                    *acc = V::own(value);
                }
            }
            #[inline(always)]
            fn merge(acc: &mut V, other: V) {
                if V::replaces(other.view(), acc.view(), Ordering::$wanted) {
                    *acc = other;
                }
            }
            fn empty() -> Option<V> {
                None
            }
            #[inline(always)]
            fn tally(tally: &mut Option<V>, value: V::View<'_>) {
                match tally {
                    Some(acc) => <Self as Aggregate<T>>::push(acc, value),
                    none => *none = Some(V::own(value)),
                }
            }
            fn tallied(tally: Option<V>, _: u64) -> Option<V> {
                tally
            }
            fn to_wire(acc: &V) -> V {
                acc.clone()
            }
            fn from_wire(wire: V::View<'_>) -> V {
                V::own(wire)
            }
            fn finish(&self, acc: &V) -> Result<V, SumOverflow> {
                Ok(acc.clone())
            }
        }
    };
}

extreme!(Least "min" Less);
extreme!(Greatest "max" Greater);

/// What both counts have in common.
macro_rules! counted {
    () => {
        type Acc = u64;
        type Wire = u64;
        type Out = u64;
        const EXACT: bool = true;

        #[inline(always)]
        fn merge(acc: &mut u64, other: u64) {
            *acc += other;
        }
        fn to_wire(acc: &u64) -> u64 {
            *acc
        }
        fn from_wire(wire: u64) -> u64 {
            wire
        }
        fn finish(&self, acc: &u64) -> Result<u64, SumOverflow> {
            Ok(*acc)
        }
    };
}

impl<T: Record, V: Record> Aggregate<T> for Count<T, V> {
    of_column!("count");
    counted!();
    /// How many values are null.
    type Tally = u64;

    fn empty() -> u64 {
        0
    }

    #[inline(always)]
    fn start(value: V::View<'_>) -> u64 {
        u64::from(!V::is_null(value))
    }
    #[inline(always)]
    fn push(acc: &mut u64, value: V::View<'_>) {
        *acc += u64::from(!V::is_null(value));
    }
    #[inline(always)]
    fn tally(nulls: &mut u64, value: V::View<'_>) {
        *nulls += u64::from(V::is_null(value));
    }
    fn tallied(nulls: u64, records: u64) -> Option<u64> {
        (records > 0).then(|| records - nulls)
    }
}

impl<T: Record> Aggregate<T> for CountRows<T> {
    type Value = ();
    counted!();
    type Tally = ();

    fn values(&self, batch: &T::Batch, _: Selection<'_>) -> UnitColumn {
        UnitColumn(batch.len())
    }
    #[inline(always)]
    fn start((): ()) -> u64 {
        1
    }
    #[inline(always)]
    fn push(acc: &mut u64, (): ()) {
        *acc += 1;
    }
    fn empty() {}
    #[inline(always)]
    fn tally((): &mut (), (): ()) {}
    fn tallied((): (), records: u64) -> Option<u64> {
        (records > 0).then_some(records)
    }
    fn describe(&self) -> String {
        "count()".to_string()
    }
}

macro_rules! tuple_aggregate {
    ($batch:ident: $($letter:ident $index:tt),+) => {
        impl<Z: Record, $($letter: Aggregate<Z>),+> Aggregate<Z> for ($($letter,)+) {
            type Value = ($($letter::Value,)+);
            type Acc = ($($letter::Acc,)+);
            type Tally = ($($letter::Tally,)+);
            type Wire = ($($letter::Wire,)+);
            type Out = ($($letter::Out,)+);
            const EXACT: bool = true $(&& $letter::EXACT)+;

            fn values(
                &self,
                batch: &Z::Batch,
                selection: Selection<'_>,
            ) -> <Self::Value as Record>::Batch {
                record::$batch($(self.$index.values(batch, selection)),+)
            }
            #[inline(always)]
            fn start(value: <Self::Value as Record>::View<'_>) -> Self::Acc {
                ($($letter::start(value.$index),)+)
            }
            #[inline(always)]
            fn push(acc: &mut Self::Acc, value: <Self::Value as Record>::View<'_>) {
                $($letter::push(&mut acc.$index, value.$index);)+
            }
            #[inline(always)]
            fn merge(acc: &mut Self::Acc, other: Self::Acc) {
                $($letter::merge(&mut acc.$index, other.$index);)+
            }
            fn empty() -> Self::Tally {
                ($($letter::empty(),)+)
            }
            #[inline(always)]
            fn tally(tally: &mut Self::Tally, value: <Self::Value as Record>::View<'_>) {
                $($letter::tally(&mut tally.$index, value.$index);)+
            }
            fn tallied(tally: Self::Tally, records: u64) -> Option<Self::Acc> {
                Some(($($letter::tallied(tally.$index, records)?,)+))
            }
            fn to_wire(acc: &Self::Acc) -> Self::Wire {
                ($($letter::to_wire(&acc.$index),)+)
            }
            fn from_wire(wire: <Self::Wire as Record>::View<'_>) -> Self::Acc {
                ($($letter::from_wire(wire.$index),)+)
            }
            fn finish(&self, acc: &Self::Acc) -> Result<Self::Out, SumOverflow> {
                Ok(($(self.$index.finish(&acc.$index)?,)+))
            }
            fn describe(&self) -> String {
                [$(self.$index.describe()),+].join(", ")
            }
        }
    };
}

for_tuples!(tuple_aggregate);
