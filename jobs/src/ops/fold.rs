//! Aggregates by key that the plan sees: counts, sums, least and greatest, distinct.
//!
//! All are exact, so that they may be combined in any order, except sums of floats, which are folded in the order of
//! the records (see [`ordered`](super::reduce)).

use super::reduce::fold_by_key_in_order;
use crate::dataset::Dataset;
use crate::exec::OperatorError;
use crate::shuffle::fold::{FoldRead, FoldShuffle, Folding};
use arrow::datatypes::i256;
use bytes::Bytes;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::PushError;
use windrow_datasets::record::{Date, Decimal, LocalTimestamp, Timestamp};
use windrow_datasets::{Key, Record};

impl<T: Record> Dataset<T> {
    /// The results of a folding that may be done in any order.
    pub(crate) fn fold_any_order<F: Folding<Row = T>>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        fold: F,
    ) -> Dataset<(F::Key, F::Out)> {
        let fold = Arc::new(fold);
        let code = FoldShuffle { fold: fold.clone() };
        let shuffle = self.shuffle(operator, place, code, None, None);
        self.read_shuffles(operator, place, vec![shuffle], FoldRead { fold })
    }
}

/// The accumulator's part of a folding over rows (key, value).
macro_rules! take_pair {
    ($key:ident, $value:ident) => {
        type Row = ($key, $value);
        type Key = $key;
        type Value = $value;

        #[inline(always)]
        unsafe fn take(
            batch: &<($key, $value) as Record>::Batch,
            index: usize,
        ) -> ($key::Slot, $value::View<'_>) {
            // SAFETY: the caller's promise.
            unsafe {
                let value = windrow_datasets::Batch::<$value>::get_unchecked(&batch.1, index);
                ($key::probe_batch(&batch.0, index), value)
            }
        }

        #[inline(always)]
        fn take_view<'a>(
            view: ($key::View<'a>, $value::View<'a>),
        ) -> ($key::Slot, $value::View<'a>) {
            // The slot borrows from the view; the caller keeps it alive.
            ($key::probe(view.0), view.1)
        }
    };
}
pub(super) use take_pair;

/// Counts rows by a key that is all of the row.
struct CountRows<K>(PhantomData<fn() -> K>);

impl<K: Key> Folding for CountRows<K> {
    type Row = K;
    type Key = K;
    type Value = ();
    type Acc = u64;
    type Wire = u64;
    type Out = u64;

    #[inline(always)]
    unsafe fn take(batch: &K::Batch, index: usize) -> (K::Slot, ()) {
        // SAFETY: the caller's promise.
        (unsafe { K::probe_batch(batch, index) }, ())
    }
    #[inline(always)]
    fn take_view<'a>(view: K::View<'a>) -> (K::Slot, <() as Record>::View<'a>) {
        (K::probe(view), ())
    }
    #[inline(always)]
    fn start(&self, (): ()) -> u64 {
        1
    }
    #[inline(always)]
    fn push(&self, acc: &mut u64, (): ()) {
        *acc += 1;
    }
    #[inline(always)]
    fn merge(&self, acc: &mut u64, other: u64) {
        *acc += other;
    }
    fn to_wire(&self, acc: &u64) -> u64 {
        *acc
    }
    fn from_wire(&self, wire: u64) -> u64 {
        wire
    }
    fn finish(&self, acc: &u64) -> Result<u64, PushError> {
        Ok(*acc)
    }
}

/// Counts rows (key, value) by key.
struct CountPairs<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: Key, V: Record> Folding for CountPairs<K, V> {
    take_pair!(K, V);
    type Acc = u64;
    type Wire = u64;
    type Out = u64;

    #[inline(always)]
    fn start(&self, _: V::View<'_>) -> u64 {
        1
    }
    #[inline(always)]
    fn push(&self, acc: &mut u64, _: V::View<'_>) {
        *acc += 1;
    }
    #[inline(always)]
    fn merge(&self, acc: &mut u64, other: u64) {
        *acc += other;
    }
    fn to_wire(&self, acc: &u64) -> u64 {
        *acc
    }
    fn from_wire(&self, wire: u64) -> u64 {
        wire
    }
    fn finish(&self, acc: &u64) -> Result<u64, PushError> {
        Ok(*acc)
    }
}

/// The keys alone.
struct Distinct<K>(PhantomData<fn() -> K>);

impl<K: Key> Folding for Distinct<K> {
    type Row = K;
    type Key = K;
    type Value = ();
    type Acc = ();
    type Wire = ();
    type Out = ();

    #[inline(always)]
    unsafe fn take(batch: &K::Batch, index: usize) -> (K::Slot, ()) {
        // SAFETY: the caller's promise.
        (unsafe { K::probe_batch(batch, index) }, ())
    }
    #[inline(always)]
    fn take_view<'a>(view: K::View<'a>) -> (K::Slot, <() as Record>::View<'a>) {
        (K::probe(view), ())
    }
    fn start(&self, (): ()) {}
    fn push(&self, (): &mut (), (): ()) {}
    fn merge(&self, (): &mut (), (): ()) {}
    fn to_wire(&self, (): &()) {}
    fn from_wire(&self, (): ()) {}
    fn finish(&self, (): &()) -> Result<(), PushError> {
        Ok(())
    }
}

/// A value that can be summed by key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no sum",
    note = "integers, floats and decimals have; for others use `reduce_by_key` or `fold_by_key`"
)]
pub trait Summable: Record {
    /// What a sum is: `i64` for signed integers, `u64` for others, and the type itself for floats and decimals.
    type Sum: Record;
    /// A sum in the making.
    type Acc: Copy + Send + Sync + 'static;
    /// A sum on its way between processes.
    type Wire: Record;
    /// Whether the order of adding makes no difference.
    const EXACT: bool;

    /// The sum of one value.
    fn start(view: Self::View<'_>) -> Self::Acc;
    /// Adds another sum.
    fn add(acc: Self::Acc, other: Self::Acc) -> Self::Acc;
    /// The sum for the way.
    fn to_wire(acc: Self::Acc) -> Self::Wire;
    /// What [`Summable::to_wire`] was given.
    fn from_wire(wire: <Self::Wire as Record>::View<'_>) -> Self::Acc;
    /// The sum; `None` if it cannot be represented.
    fn finish(acc: Self::Acc) -> Option<Self::Sum>;
}

macro_rules! summable_integer {
    ($sum:ty: $($native:ty)+) => {
        $(impl Summable for $native {
            type Sum = $sum;
            /// Wide enough for 2^64 values.
            type Acc = i128;
            type Wire = [u8; 16];
            const EXACT: bool = true;

            #[inline(always)]
            fn start(view: $native) -> i128 {
                i128::from(view)
            }
            #[inline(always)]
            fn add(acc: i128, other: i128) -> i128 {
                acc + other
            }
            fn to_wire(acc: i128) -> [u8; 16] {
                acc.to_le_bytes()
            }
            fn from_wire(wire: &[u8; 16]) -> i128 {
                i128::from_le_bytes(*wire)
            }
            fn finish(acc: i128) -> Option<$sum> {
                <$sum>::try_from(acc).ok()
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
            type Wire = $native;
            const EXACT: bool = false;

            #[inline(always)]
            fn start(view: $native) -> $native {
                view
            }
            #[inline(always)]
            fn add(acc: $native, other: $native) -> $native {
                acc + other
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
        })+
    };
}

summable_float!(f32 f64);

impl<const P: u8, const S: i8> Summable for Decimal<P, S> {
    type Sum = Decimal<P, S>;
    /// Wide enough for 2^64 values.
    type Acc = i256;
    type Wire = [u8; 32];
    const EXACT: bool = true;

    #[inline(always)]
    fn start(view: Self) -> i256 {
        i256::from_i128(view.raw())
    }
    #[inline(always)]
    fn add(acc: i256, other: i256) -> i256 {
        acc.wrapping_add(other)
    }
    fn to_wire(acc: i256) -> [u8; 32] {
        acc.to_le_bytes()
    }
    fn from_wire(wire: &[u8; 32]) -> i256 {
        i256::from_le_bytes(*wire)
    }
    fn finish(acc: i256) -> Option<Self> {
        acc.to_i128().and_then(Decimal::from_raw)
    }
}

/// Sums values by key.
pub(super) struct Sum<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: Key, V: Summable> Folding for Sum<K, V> {
    take_pair!(K, V);
    type Acc = V::Acc;
    type Wire = V::Wire;
    type Out = V::Sum;

    #[inline(always)]
    fn start(&self, value: V::View<'_>) -> V::Acc {
        V::start(value)
    }
    #[inline(always)]
    fn push(&self, acc: &mut V::Acc, value: V::View<'_>) {
        *acc = V::add(*acc, V::start(value));
    }
    #[inline(always)]
    fn merge(&self, acc: &mut V::Acc, other: V::Acc) {
        *acc = V::add(*acc, other);
    }
    fn to_wire(&self, acc: &V::Acc) -> V::Wire {
        V::to_wire(*acc)
    }
    fn from_wire(&self, wire: <V::Wire as Record>::View<'_>) -> V::Acc {
        V::from_wire(wire)
    }
    fn finish(&self, acc: &V::Acc) -> Result<V::Sum, PushError> {
        V::finish(*acc).ok_or_else(|| {
            OperatorError::Overflow(format!(
                "sum_by_key: a sum does not fit {}; convert the values to `f64` or a decimal first",
                std::any::type_name::<V::Sum>()
            ))
            .into()
        })
    }
}

/// A value of which there is a least and a greatest.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no order",
    note = "numbers, `String`, `Bytes`, dates, timestamps and decimals have; for others use `reduce_by_key`"
)]
pub trait Extreme: Record + Clone {
    /// The order; floats in the total order of IEEE 754.
    fn order(a: Self::View<'_>, b: Self::View<'_>) -> Ordering;
}

macro_rules! extreme {
    ($($record:ty)+) => {
        $(impl Extreme for $record {
            #[inline(always)]
            fn order(a: Self::View<'_>, b: Self::View<'_>) -> Ordering {
                a.cmp(&b)
            }
        })+
    };
}

extreme!(bool u8 u16 u32 u64 i8 i16 i32 i64 String Bytes Date Timestamp LocalTimestamp);

impl Extreme for f32 {
    #[inline(always)]
    fn order(a: f32, b: f32) -> Ordering {
        a.total_cmp(&b)
    }
}

impl Extreme for f64 {
    #[inline(always)]
    fn order(a: f64, b: f64) -> Ordering {
        a.total_cmp(&b)
    }
}

impl<const P: u8, const S: i8> Extreme for Decimal<P, S> {
    #[inline(always)]
    fn order(a: Self::View<'_>, b: Self::View<'_>) -> Ordering {
        a.cmp(&b)
    }
}

/// The least or the greatest value by key.
struct Extremes<K, V> {
    /// What the order of a better value to the one at hand is.
    better: Ordering,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K: Key, V: Extreme> Folding for Extremes<K, V> {
    take_pair!(K, V);
    type Acc = V;
    type Wire = V;
    type Out = V;

    #[inline(always)]
    fn start(&self, value: V::View<'_>) -> V {
        V::own(value)
    }
    #[inline(always)]
    fn push(&self, acc: &mut V, value: V::View<'_>) {
        if V::order(value, acc.view()) == self.better {
            *acc = V::own(value);
        }
    }
    #[inline(always)]
    fn merge(&self, acc: &mut V, other: V) {
        if V::order(other.view(), acc.view()) == self.better {
            *acc = other;
        }
    }
    fn to_wire(&self, acc: &V) -> V {
        acc.clone()
    }
    fn from_wire(&self, wire: V::View<'_>) -> V {
        V::own(wire)
    }
    fn finish(&self, acc: &V) -> Result<V, PushError> {
        Ok(acc.clone())
    }
}

impl<K: Key> Dataset<K> {
    /// How often each record is there, by the hash of the record.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let words = flow.read_words("/tmp/a.txt").count_by_value();
    /// ```
    #[track_caller]
    pub fn count_by_value(&self) -> Dataset<(K, u64)> {
        self.fold_any_order("count_by_value", CodePlace::caller(), CountRows(PhantomData))
    }

    /// Each record once, by the hash of the record.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let words = flow.read_words("/tmp/a.txt").distinct();
    /// ```
    #[track_caller]
    pub fn distinct(&self) -> Dataset<K> {
        let place = CodePlace::caller();
        let once = self.fold_any_order("distinct", place, Distinct::<K>(PhantomData));
        once.narrow("distinct", place, Vec::new(), |context, out| {
            super::map::each::<(K, ()), K, _>(context, out, |view, out| out.push(view.0))
        })
    }
}

impl<K: Record, V: Record> Dataset<(K, V)> {
    /// How many records each key has.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let lengths = flow.read_lines("/tmp/a.txt").key_by(|line| line.len() as u32).count_by_key();
    /// ```
    #[track_caller]
    pub fn count_by_key(&self) -> Dataset<(K, u64)>
    where
        K: Key,
    {
        self.fold_any_order("count_by_key", CodePlace::caller(), CountPairs(PhantomData))
    }

    /// The sum of each key's values. Integers are added exactly, and a sum that does not fit is an error; floats are
    /// added in the order of the records.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let bytes = flow
    ///     .read_lines("/tmp/a.txt")
    ///     .map(|line| (line.chars().next().map(u32::from), line.len() as u64))
    ///     .sum_by_key();
    /// ```
    #[track_caller]
    pub fn sum_by_key<S: Record>(&self) -> Dataset<(K, S)>
    where
        K: Key,
        // `S` has a name so that a value without a sum is told so, rather than that the method has other bounds.
        V: Summable<Sum = S>,
    {
        let (operator, place, fold) = ("sum_by_key", CodePlace::caller(), Sum(PhantomData));
        if V::EXACT {
            self.fold_any_order(operator, place, fold)
        } else {
            fold_by_key_in_order(self, operator, place, fold)
        }
    }

    /// The least of each key's values.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let rows = flow.from_iter([("a".to_string(), 3.5), ("b".to_string(), 1.0), ("a".to_string(), 2.0)]);
    /// let least = rows.min_by_key();
    /// ```
    #[track_caller]
    pub fn min_by_key(&self) -> Dataset<(K, V)>
    where
        K: Key,
        V: Extreme,
    {
        let fold = Extremes { better: Ordering::Less, types: PhantomData };
        self.fold_any_order("min_by_key", CodePlace::caller(), fold)
    }

    /// The greatest of each key's values.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let rows = flow.from_iter([("a".to_string(), 3.5), ("b".to_string(), 1.0), ("a".to_string(), 2.0)]);
    /// let greatest = rows.max_by_key();
    /// ```
    #[track_caller]
    pub fn max_by_key(&self) -> Dataset<(K, V)>
    where
        K: Key,
        V: Extreme,
    {
        let fold = Extremes { better: Ordering::Greater, types: PhantomData };
        self.fold_any_order("max_by_key", CodePlace::caller(), fold)
    }
}
