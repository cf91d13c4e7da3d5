//! What values of columns can do: be summed, averaged, ordered, compared. An `Option` of them can as well: what is
//! null is left out, as in SQL.

use super::tally::Tally;
use super::wide_sum::WideSum;
use crate::record::{Batch, Date, Decimal, LocalTimestamp, Record, Timestamp};
use arrow::buffer::NullBuffer;
use bytes::Bytes;
use std::cmp::Ordering;
use std::fmt::Debug;

/// A value that can be summed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no sum",
    label = "has no sum",
    note = "integers, floats and decimals have, and `Option`s of them: for others use `reduce_by_key` or `fold_by_key`, or count them"
)]
pub trait Summable: Record {
    /// What a sum is: `i64` for signed integers, `u64` for others, `Decimal<38, S>` for decimals, and the type itself for
    /// floats; for an `Option` an `Option` of that, which is `None` where all values are.
    type Sum: Record;
    /// A sum in the making.
    type Acc: Copy + Send + Sync + 'static;
    /// The sum of one batch's values in the making: it may be smaller, and quicker to add to.
    type Tally: Copy + Send + 'static;
    /// A sum on its way between processes.
    type Wire: Record;
    /// Whether the order of adding makes no difference.
    const EXACT: bool;
    /// The sum of no value yet.
    const EMPTY: Self::Tally;

    /// The sum of one value.
    fn start(view: Self::View<'_>) -> Self::Acc;
    /// Adds another sum.
    fn add(acc: Self::Acc, other: Self::Acc) -> Self::Acc;
    /// Adds one value.
    fn tally(tally: &mut Self::Tally, view: Self::View<'_>);
    /// The sum of what was added, which is one value at least.
    fn tallied(tally: Self::Tally) -> Self::Acc;
    /// The sum for the way.
    fn to_wire(acc: Self::Acc) -> Self::Wire;
    /// What [`Summable::to_wire`] was given.
    fn from_wire(wire: <Self::Wire as Record>::View<'_>) -> Self::Acc;
    /// The sum; `None` if it cannot be represented.
    fn finish(acc: Self::Acc) -> Option<Self::Sum>;
}

/// A value that has a mean.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no mean",
    label = "has no mean",
    note = "integers, floats and decimals have, and `Option`s of them"
)]
pub trait Averaged: Record {
    /// What is summed for it.
    type Wide: Summable;
    /// What the mean is: `f64`, or for an `Option` an `Option` of that, which is `None` where all values are.
    type Mean: Record;

    /// The value to be summed; `None` for null.
    fn widen(view: Self::View<'_>) -> Option<<Self::Wide as Record>::View<'_>>;
    /// A sum divided by a count.
    fn divide(sum: <Self::Wide as Summable>::Acc, count: u64) -> f64;
    /// The mean, `None` if there was no value.
    fn finish(mean: Option<f64>) -> Self::Mean;
}

macro_rules! summable_integer {
    ($sum:ty: $($native:ty)+) => {
        $(impl Summable for $native {
            type Sum = $sum;
            /// Wide enough for 2^64 values.
            type Acc = WideSum<2>;
            type Tally = Tally;
            type Wire = [u8; 16];
            const EXACT: bool = true;
            const EMPTY: Tally = Tally::EMPTY;

            #[inline(always)]
            fn start(view: $native) -> WideSum<2> {
                WideSum::of(i128::from(view))
            }
            #[inline(always)]
            fn add(acc: WideSum<2>, other: WideSum<2>) -> WideSum<2> {
                acc.plus(other)
            }
            #[inline(always)]
            fn tally(tally: &mut Tally, view: $native) {
                tally.add(i128::from(view));
            }
            fn tallied(tally: Tally) -> WideSum<2> {
                tally.into()
            }
            fn to_wire(acc: WideSum<2>) -> [u8; 16] {
                acc.to_bytes()
            }
            fn from_wire(wire: &[u8; 16]) -> WideSum<2> {
                WideSum::from_bytes(wire)
            }
            fn finish(acc: WideSum<2>) -> Option<$sum> {
                acc.to_i128().and_then(|sum| <$sum>::try_from(sum).ok())
            }
        }

        impl Averaged for $native {
            type Wide = $native;
            type Mean = f64;

            #[inline(always)]
            fn widen(view: Self::View<'_>) -> Option<<Self::Wide as Record>::View<'_>> {
                Some(view)
            }
            fn divide(sum: WideSum<2>, count: u64) -> f64 {
                sum.to_f64() / count as f64
            }
            fn finish(mean: Option<f64>) -> f64 {
                mean.unwrap_or(f64::NAN)
            }
        })+
    };
}

summable_integer!(i64: i8 i16 i32 i64);
summable_integer!(u64: u8 u16 u32 u64);

macro_rules! summable_float {
    ($($native:ty)+) => {
        $(impl Summable for $native {
            type Sum = $native;
            type Acc = $native;
            type Tally = $native;
            type Wire = $native;
            const EXACT: bool = false;
            /// What changes no number that it is added to, zeros included.
            const EMPTY: $native = -0.0;

            #[inline(always)]
            fn start(view: $native) -> $native {
                view
            }
            #[inline(always)]
            fn add(acc: $native, other: $native) -> $native {
                acc + other
            }
            #[inline(always)]
            fn tally(tally: &mut $native, view: $native) {
                *tally += view;
            }
            fn tallied(tally: $native) -> $native {
                tally
            }
            fn to_wire(acc: $native) -> $native {
                acc
            }
            fn from_wire(wire: $native) -> $native {
                wire
            }
            fn finish(acc: $native) -> Option<$native> {
                Some(acc)
            }
        }

        impl Averaged for $native {
            type Wide = f64;
            type Mean = f64;

            #[inline(always)]
            fn widen(view: Self::View<'_>) -> Option<<Self::Wide as Record>::View<'_>> {
                Some(f64::from(view))
            }
            fn divide(sum: f64, count: u64) -> f64 {
                sum / count as f64
            }
            fn finish(mean: Option<f64>) -> f64 {
                mean.unwrap_or(f64::NAN)
            }
        })+
    };
}

summable_float!(f32 f64);

/// Sums of decimals in so many words: enough for 2^64 values of so many digits. The result is as wide as decimals can
/// be, as in SQL.
macro_rules! summable_decimal {
    ($words:literal, $tally:ty: $($precision:literal)+) => {
        $(impl<const S: i8> Summable for Decimal<$precision, S> {
            type Sum = Decimal<38, S>;
            type Acc = WideSum<$words>;
            type Tally = $tally;
            type Wire = [u8; 8 * $words];
            const EXACT: bool = true;
            const EMPTY: $tally = <$tally>::EMPTY;

            #[inline(always)]
            fn start(view: Self) -> Self::Acc {
                WideSum::of(view.raw())
            }
            #[inline(always)]
            fn add(acc: Self::Acc, other: Self::Acc) -> Self::Acc {
                acc.plus(other)
            }
            #[inline(always)]
            fn tally(tally: &mut $tally, view: Self) {
                tally.add(view.raw());
            }
            fn tallied(tally: $tally) -> Self::Acc {
                tally.into()
            }
            fn to_wire(acc: Self::Acc) -> Self::Wire {
                acc.to_bytes()
            }
            fn from_wire(wire: &Self::Wire) -> Self::Acc {
                WideSum::from_bytes(wire)
            }
            fn finish(acc: Self::Acc) -> Option<Decimal<38, S>> {
                acc.to_i128().and_then(Decimal::from_raw)
            }
        }

        impl<const S: i8> Averaged for Decimal<$precision, S> {
            type Wide = Self;
            type Mean = f64;

            #[inline(always)]
            fn widen(view: Self::View<'_>) -> Option<<Self::Wide as Record>::View<'_>> {
                Some(view)
            }
            fn divide(sum: WideSum<$words>, count: u64) -> f64 {
                let one = 10i128.pow(u32::from(S.unsigned_abs())) as f64;
                sum.to_f64() / count as f64 / one
            }
            fn finish(mean: Option<f64>) -> f64 {
                mean.unwrap_or(f64::NAN)
            }
        })+
    };
}

summable_decimal!(2, Tally: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18);
summable_decimal!(3, WideSum<3>: 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38);

/// Null is left out: the sum of nothing but nulls is `None`.
impl<V: Summable> Summable for Option<V> {
    type Sum = Option<V::Sum>;
    type Acc = Option<V::Acc>;
    /// With whether there was a value.
    type Tally = (V::Tally, bool);
    type Wire = Option<V::Wire>;
    const EXACT: bool = V::EXACT;
    const EMPTY: (V::Tally, bool) = (V::EMPTY, false);

    #[inline(always)]
    fn start(view: Option<V::View<'_>>) -> Option<V::Acc> {
        view.map(V::start)
    }
    #[inline(always)]
    fn add(acc: Option<V::Acc>, other: Option<V::Acc>) -> Option<V::Acc> {
        match (acc, other) {
            (Some(acc), Some(other)) => Some(V::add(acc, other)),
            _ => acc.or(other),
        }
    }
    #[inline(always)]
    fn tally(tally: &mut (V::Tally, bool), view: Option<V::View<'_>>) {
        if let Some(view) = view {
            V::tally(&mut tally.0, view);
            tally.1 = true;
        }
    }
    fn tallied((tally, any): (V::Tally, bool)) -> Option<V::Acc> {
        any.then(|| V::tallied(tally))
    }
    fn to_wire(acc: Option<V::Acc>) -> Option<V::Wire> {
        acc.map(V::to_wire)
    }
    fn from_wire(wire: Option<<V::Wire as Record>::View<'_>>) -> Option<V::Acc> {
        wire.map(V::from_wire)
    }
    fn finish(acc: Option<V::Acc>) -> Option<Option<V::Sum>> {
        match acc {
            Some(acc) => V::finish(acc).map(Some),
            None => Some(None),
        }
    }
}

impl<V: Averaged<Mean = f64>> Averaged for Option<V> {
    type Wide = V::Wide;
    type Mean = Option<f64>;

    #[inline(always)]
    fn widen(view: Option<V::View<'_>>) -> Option<<V::Wide as Record>::View<'_>> {
        view.and_then(V::widen)
    }
    fn divide(sum: <V::Wide as Summable>::Acc, count: u64) -> f64 {
        V::divide(sum, count)
    }
    fn finish(mean: Option<f64>) -> Option<f64> {
        mean
    }
}

/// A value of which there is a least and a greatest.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no order",
    label = "has no least and no greatest value",
    note = "numbers, `bool`, `String`, `Bytes`, dates, timestamps and decimals have, and `Option`s of them; for others use `reduce_by_key`"
)]
pub trait Extreme: Record + Clone {
    /// Whether `new` is on the `wanted` side of `old`: floats in the total order of IEEE 754, and null on neither, so that
    /// anything replaces it.
    fn replaces(new: Self::View<'_>, old: Self::View<'_>, wanted: Ordering) -> bool;
}

/// A value that predicates compare with constants.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared in a predicate",
    label = "cannot be compared by column",
    note = "numbers, `bool`, `String`, `Bytes`, dates, timestamps and decimals can, and `Option`s of them; for others use `filter` with a closure"
)]
pub trait Comparable: Record + Debug {
    /// The order, as `partial_cmp` gives it: none where a float is no number.
    fn compare(a: Self::View<'_>, b: Self::View<'_>) -> Option<Ordering>;
}

macro_rules! ordered {
    ($cmp:ident: $($record:ty)+) => {
        $(impl Extreme for $record {
            #[inline(always)]
            fn replaces(new: Self::View<'_>, old: Self::View<'_>, wanted: Ordering) -> bool {
                new.$cmp(&old) == wanted
            }
        }

        impl Comparable for $record {
            #[inline(always)]
            fn compare(a: Self::View<'_>, b: Self::View<'_>) -> Option<Ordering> {
                PartialOrd::partial_cmp(&a, &b)
            }
        })+
    };
}

ordered!(cmp: bool u8 u16 u32 u64 i8 i16 i32 i64 String Bytes Date Timestamp LocalTimestamp);
ordered!(total_cmp: f32 f64);

impl<const P: u8, const S: i8> Extreme for Decimal<P, S> {
    #[inline(always)]
    fn replaces(new: Self, old: Self, wanted: Ordering) -> bool {
        new.cmp(&old) == wanted
    }
}

impl<const P: u8, const S: i8> Comparable for Decimal<P, S> {
    #[inline(always)]
    fn compare(a: Self, b: Self) -> Option<Ordering> {
        a.partial_cmp(&b)
    }
}

impl<V: Extreme> Extreme for Option<V> {
    #[inline(always)]
    fn replaces(new: Option<V::View<'_>>, old: Option<V::View<'_>>, wanted: Ordering) -> bool {
        match (new, old) {
            (Some(new), Some(old)) => V::replaces(new, old, wanted),
            (new, old) => new.is_some() && old.is_none(),
        }
    }
}

/// A value that predicates know, or an `Option` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be compared in a predicate",
    label = "cannot be compared by column",
    note = "numbers, `bool`, `String`, `Bytes`, dates, timestamps and decimals can, and `Option`s of them; for others use `filter` with a closure"
)]
pub trait MaybeNull: Record {
    /// The value without the `Option`.
    type Value: Comparable;

    /// The value; `None` for null.
    fn value(view: Self::View<'_>) -> Option<<Self::Value as Record>::View<'_>>;

    /// The column as codes of a dictionary, if that is what it is.
    fn coded(batch: &Self::Batch) -> Option<Coded<'_, Self::Value>>;
}

/// A column of codes.
pub struct Coded<'b, V: Record> {
    /// For each row an index into the values; any where there is a null.
    pub codes: &'b [i32],
    /// Which rows are not null; `None` where all are not.
    pub nulls: Option<&'b NullBuffer>,
    /// The dictionary.
    pub values: V::Batch,
}

impl<V: Comparable> MaybeNull for V {
    type Value = V;

    #[inline(always)]
    fn value(view: V::View<'_>) -> Option<V::View<'_>> {
        Some(view)
    }
    fn coded(batch: &V::Batch) -> Option<Coded<'_, V>> {
        let (codes, values) = batch.dictionary()?;
        Some(Coded { codes, nulls: None, values })
    }
}

impl<V: Comparable> MaybeNull for Option<V> {
    type Value = V;

    #[inline(always)]
    fn value(view: Option<V::View<'_>>) -> Option<V::View<'_>> {
        view
    }
    fn coded(batch: &Self::Batch) -> Option<Coded<'_, V>> {
        let (codes, values) = batch.values().dictionary()?;
        Some(Coded { codes, nulls: batch.nulls(), values })
    }
}
