//! Aggregates by key that the plan sees: counts, sums, least and greatest, distinct.
//!
//! All are exact, so that they may be combined in any order, except sums of floats, which are folded in the order of
//! the records (see [`ordered`](super::reduce)).

use super::reduce::fold_by_key_in_order;
use crate::dataset::Dataset;
use crate::exec::OperatorError;
use crate::shuffle::fold::{FoldRead, FoldShuffle, Folding, tally_by_accumulator};
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::columns::{Extreme, SumOverflow, Summable};
use windrow_datasets::push::{PushError, Selection};
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
        let made = self.read_shuffles(operator, place, vec![shuffle], FoldRead { fold });
        made.flow.graph().nodes[made.node].by_key = true;
        made.in_any_order()
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

        fn key_codes(
            batch: &<($key, $value) as Record>::Batch,
            selection: windrow_datasets::push::Selection<'_>,
            most: u32,
            codes: &mut [u32],
        ) -> Option<u32> {
            $key::add_codes(&batch.0, selection, most, codes)
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
    type Tally = ();
    type Wire = u64;
    type Out = u64;

    #[inline(always)]
    unsafe fn take(batch: &K::Batch, index: usize) -> (K::Slot, ()) {
        // SAFETY: the caller's promise.
        (unsafe { K::probe_batch(batch, index) }, ())
    }
    fn key_codes(
        batch: &K::Batch,
        selection: Selection<'_>,
        most: u32,
        codes: &mut [u32],
    ) -> Option<u32> {
        K::add_codes(batch, selection, most, codes)
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
    fn empty(&self) {}
    #[inline(always)]
    fn tally(&self, (): &mut (), (): ()) {}
    fn tallied(&self, (): (), values: u64) -> Option<u64> {
        (values > 0).then_some(values)
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
    type Tally = ();
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
    fn empty(&self) {}
    #[inline(always)]
    fn tally(&self, (): &mut (), _: V::View<'_>) {}
    fn tallied(&self, (): (), values: u64) -> Option<u64> {
        (values > 0).then_some(values)
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
    type Tally = ();
    type Wire = ();
    type Out = ();

    #[inline(always)]
    unsafe fn take(batch: &K::Batch, index: usize) -> (K::Slot, ()) {
        // SAFETY: the caller's promise.
        (unsafe { K::probe_batch(batch, index) }, ())
    }
    fn key_codes(
        batch: &K::Batch,
        selection: Selection<'_>,
        most: u32,
        codes: &mut [u32],
    ) -> Option<u32> {
        K::add_codes(batch, selection, most, codes)
    }
    #[inline(always)]
    fn take_view<'a>(view: K::View<'a>) -> (K::Slot, <() as Record>::View<'a>) {
        (K::probe(view), ())
    }
    fn start(&self, (): ()) {}
    fn push(&self, (): &mut (), (): ()) {}
    fn merge(&self, (): &mut (), (): ()) {}
    fn empty(&self) {}
    fn tally(&self, (): &mut (), (): ()) {}
    fn tallied(&self, (): (), values: u64) -> Option<()> {
        (values > 0).then_some(())
    }
    fn to_wire(&self, (): &()) {}
    fn from_wire(&self, (): ()) {}
    fn finish(&self, (): &()) -> Result<(), PushError> {
        Ok(())
    }
}

/// Sums values by key.
pub(super) struct Sum<K, V>(PhantomData<fn() -> (K, V)>);

impl<K: Key, V: Summable> Folding for Sum<K, V> {
    take_pair!(K, V);
    type Acc = V::Acc;
    type Tally = V::Tally;
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
    fn empty(&self) -> V::Tally {
        V::EMPTY
    }
    #[inline(always)]
    fn tally(&self, tally: &mut V::Tally, value: V::View<'_>) {
        V::tally(tally, value);
    }
    fn tallied(&self, tally: V::Tally, values: u64) -> Option<V::Acc> {
        (values > 0).then(|| V::tallied(tally))
    }
    fn to_wire(&self, acc: &V::Acc) -> V::Wire {
        V::to_wire(*acc)
    }
    fn from_wire(&self, wire: <V::Wire as Record>::View<'_>) -> V::Acc {
        V::from_wire(wire)
    }
    fn finish(&self, acc: &V::Acc) -> Result<V::Sum, PushError> {
        V::finish(*acc).ok_or_else(|| {
            let error = SumOverflow::new::<V::Sum>("a sum");
            OperatorError::Overflow(format!("sum_by_key: {error}")).into()
        })
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
    tally_by_accumulator!();
    type Acc = V;
    type Wire = V;
    type Out = V;

    #[inline(always)]
    fn start(&self, value: V::View<'_>) -> V {
        V::own(value)
    }
    #[inline(always)]
    fn push(&self, acc: &mut V, value: V::View<'_>) {
        if V::replaces(value, acc.view(), self.better) {
            *acc = V::own(value);
        }
    }
    #[inline(always)]
    fn merge(&self, acc: &mut V, other: V) {
        if V::replaces(other.view(), acc.view(), self.better) {
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
