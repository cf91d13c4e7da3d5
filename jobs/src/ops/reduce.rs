//! `reduce_by_key` and `fold_by_key`: aggregates by closures.
//!
//! A closure is taken as ordered: what arrives at a key is folded from the left, in (task, lane, row) order. A lane
//! either combines, in a table of its own with a fixed capacity, or passes its rows on; which of the two is a function
//! of the lane's first rows, with the constants below: never of memory, time or cores. So each lane cuts the values of
//! a key into the same partial folds, wherever it runs.

use super::fold::take_pair;
use super::wide::ReadFn;
use crate::dataset::Dataset;
use crate::exec::{Emitter, LaneContext};
use crate::shuffle::fold::{Combiner, Folding, tally_by_accumulator};
use crate::shuffle::rows::{HashOrder, RowsBucket, RowsShuffle};
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, Demand, PushError};
use windrow_datasets::{Key, Record};

/// After so many rows a lane decides whether it combines.
const DECIDE_ROWS: u64 = 4096;

/// It combines if at most one in so many of those rows brought a new key.
const COMBINE_ONE_IN: u64 = 2;

/// The keys of a combining lane; when there are more, what was combined is passed on, and it begins anew.
const COMBINE_KEYS_MAX: usize = 16_384;

/// The results of a folding in the order of the records.
pub(super) fn fold_by_key_in_order<F: Folding>(
    dataset: &Dataset<F::Row>,
    operator: &'static str,
    place: &'static CodePlace<'static>,
    fold: F,
) -> Dataset<(F::Key, F::Out)> {
    let fold = Arc::new(fold);
    let code = fold.clone();
    let partial: Dataset<(F::Key, F::Wire)> =
        dataset.narrow("combine", place, Vec::new(), move |context, out| {
            combine(code.clone(), context, out)
        });
    let order = HashOrder::<F::Key, F::Wire>::new();
    let shuffle = partial.shuffle(operator, place, RowsShuffle { order }, None, None);
    let read = ReadFn(move |mut buckets: Vec<crate::shuffle::Bucket>, out| {
        let bucket: RowsBucket<HashOrder<F::Key, F::Wire>> = buckets.remove(0).into();
        let rows = bucket.sort()?;
        let mut out = Emitter::<(F::Key, F::Out)>::new(out);
        let mut from = 0;
        while from < rows.len() && out.demand() == Demand::More {
            let to = rows.group_end(from);
            let (key, first) = rows.get(from);
            let mut acc = fold.from_wire(first);
            for at in from + 1..to {
                fold.merge(&mut acc, fold.from_wire(rows.get(at).1));
            }
            out.push((key, fold.finish(&acc)?.view()))?;
            from = to;
        }
        out.finish()
    });
    partial.read_shuffles(operator, place, vec![shuffle], read)
}

/// How a lane goes about its rows.
enum Mode {
    /// It has not seen enough of them.
    Undecided(u64),
    Combine,
    PassOn,
}

/// The receiver that combines, or passes on.
fn combine<F: Folding>(fold: Arc<F>, context: &LaneContext, out: AnyPush) -> AnyPush {
    let out = Emitter::<(F::Key, F::Wire)>::with_batches(out, context.batch_records);
    let combiner = Combiner::new(fold.clone());
    AnyPush::new::<F::Row>(Box::new(CombinePush { fold, combiner, mode: Mode::Undecided(0), out }))
}

struct CombinePush<F: Folding> {
    fold: Arc<F>,
    combiner: Combiner<F>,
    mode: Mode,
    out: Emitter<(F::Key, F::Wire)>,
}

impl<F: Folding> CombinePush<F> {
    /// # Safety
    /// What the slot points to is alive.
    #[inline(always)]
    unsafe fn one(
        &mut self,
        slot: &<F::Key as Record>::Slot,
        value: <F::Value as Record>::View<'_>,
    ) -> Result<(), PushError> {
        if let Mode::PassOn = self.mode {
            let wire = self.fold.to_wire(&self.fold.start(value));
            // SAFETY: the caller's promise.
            self.out.push((unsafe { F::Key::slot_view(slot) }, wire.view()))?;
            return Ok(());
        }
        // SAFETY: the caller's promise.
        unsafe { self.combiner.add(slot, value) };
        if let Mode::Undecided(seen) = &mut self.mode {
            *seen += 1;
            if *seen == DECIDE_ROWS {
                if self.combiner.keys() as u64 * COMBINE_ONE_IN > DECIDE_ROWS {
                    self.mode = Mode::PassOn;
                    self.combiner.drain(&mut self.out)?;
                } else {
                    self.mode = Mode::Combine;
                }
            }
        } else if self.combiner.keys() == COMBINE_KEYS_MAX {
            self.combiner.drain(&mut self.out)?;
        }
        Ok(())
    }
}

impl<F: Folding> windrow_datasets::push::Push<F::Row> for CombinePush<F> {
    fn batch(
        &mut self,
        batch: &<F::Row as Record>::Batch,
        selection: windrow_datasets::push::Selection<'_>,
    ) -> Result<Demand, PushError> {
        use windrow_datasets::Batch;
        let mut at = windrow_datasets::place::AtRow::new();
        windrow_datasets::for_selected!(selection, batch.len(), |index| {
            at.set(index);
            // SAFETY: the indexes of a selection are below the batch's length; the slot borrows from the batch.
            unsafe {
                let (slot, value) = F::take(batch, index);
                self.one(&slot, value)?;
            }
        });
        at.done();
        Ok(self.out.demand())
    }

    fn row(&mut self, view: <F::Row as Record>::View<'_>) -> Result<Demand, PushError> {
        let (slot, value) = F::take_view(view);
        // SAFETY: the slot borrows from the view, which is alive.
        unsafe { self.one(&slot, value)? };
        Ok(self.out.demand())
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.combiner.drain(&mut self.out)?;
        self.out.finish().map(|_| ())
    }
}

/// Reduces the values of a key by a closure.
struct Reduce<K, V, F> {
    f: Arc<F>,
    types: PhantomData<fn() -> (K, V)>,
}

impl<K, V, F> Folding for Reduce<K, V, F>
where
    K: Key,
    V: Record,
    F: Fn(V, V) -> V + Send + Sync + 'static,
{
    take_pair!(K, V);
    tally_by_accumulator!();
    /// Only `None` while the closure runs.
    type Acc = Option<V>;
    type Wire = V;
    type Out = V;

    #[inline(always)]
    fn start(&self, value: V::View<'_>) -> Option<V> {
        Some(V::own(value))
    }
    #[inline(always)]
    fn push(&self, acc: &mut Option<V>, value: V::View<'_>) {
        let value = V::own(value);
        *acc = Some(match acc.take() {
            Some(old) => (self.f)(old, value),
            None => value,
        });
    }
    #[inline(always)]
    fn merge(&self, acc: &mut Option<V>, other: Option<V>) {
        *acc = match (acc.take(), other) {
            (Some(old), Some(other)) => Some((self.f)(old, other)),
            (old, other) => old.or(other),
        };
    }
    fn to_wire(&self, acc: &Option<V>) -> V {
        V::own(acc.as_ref().expect("an accumulator has a value between calls").view())
    }
    fn from_wire(&self, wire: V::View<'_>) -> Option<V> {
        Some(V::own(wire))
    }
    fn finish(&self, acc: &Option<V>) -> Result<V, PushError> {
        Ok(self.to_wire(acc))
    }
}

/// The dataset that [`reduce_by_key`](Dataset::reduce_by_key) gives; used as any other, or told that its closure is
/// [commutative](Reduced::commutative).
pub struct Reduced<K: Key, V: Record, F> {
    input: Dataset<(K, V)>,
    f: Arc<F>,
    ordered: Dataset<(K, V)>,
    place: &'static CodePlace<'static>,
}

impl<K: Key, V: Record, F> Deref for Reduced<K, V, F> {
    type Target = Dataset<(K, V)>;

    fn deref(&self) -> &Dataset<(K, V)> {
        &self.ordered
    }
}

impl<K: Key, V: Record, F: Fn(V, V) -> V + Send + Sync + 'static> Reduced<K, V, F> {
    /// Says that the closure gives the same in any order and any grouping, as adding integers does and adding floats
    /// does not. It is then faster.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let flags = flow
    ///     .read_lines("/tmp/a.txt")
    ///     .map(|line| (line.len() as u32, 1u32 << (line.len() % 32)))
    ///     .reduce_by_key(|a, b| a | b)
    ///     .commutative();
    /// ```
    #[must_use]
    pub fn commutative(&self) -> Dataset<(K, V)> {
        let fold = Reduce { f: self.f.clone(), types: PhantomData };
        self.input.fold_any_order("reduce_by_key", self.place, fold)
    }
}

/// Names types, and has none of their values.
type Types<K, V, A> = PhantomData<fn() -> (K, V, A)>;

/// Folds the values of a key into an accumulator by closures.
struct FoldInto<K, V, A, I, P, M> {
    init: I,
    push: P,
    merge: M,
    types: Types<K, V, A>,
}

impl<K, V, A, I, P, M> Folding for FoldInto<K, V, A, I, P, M>
where
    K: Key,
    V: Record,
    A: Record,
    I: Fn() -> A + Send + Sync + 'static,
    P: for<'a> Fn(&mut A, V::View<'a>) + Send + Sync + 'static,
    M: Fn(&mut A, A) + Send + Sync + 'static,
{
    take_pair!(K, V);
    tally_by_accumulator!();
    type Acc = A;
    type Wire = A;
    type Out = A;

    #[inline(always)]
    fn start(&self, value: V::View<'_>) -> A {
        let mut acc = (self.init)();
        (self.push)(&mut acc, value);
        acc
    }
    #[inline(always)]
    fn push(&self, acc: &mut A, value: V::View<'_>) {
        (self.push)(acc, value);
    }
    #[inline(always)]
    fn merge(&self, acc: &mut A, other: A) {
        (self.merge)(acc, other);
    }
    fn to_wire(&self, acc: &A) -> A {
        A::own(acc.view())
    }
    fn from_wire(&self, wire: A::View<'_>) -> A {
        A::own(wire)
    }
    fn finish(&self, acc: &A) -> Result<A, PushError> {
        Ok(A::own(acc.view()))
    }
}

impl<K: Record, V: Record> Dataset<(K, V)> {
    /// One record for each key: its values put together by `f`, from the left, in the order of the records. `f` must be
    /// associative; see also [`Reduced::commutative`].
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let longest = flow
    ///     .read_lines("/tmp/a.txt")
    ///     .map(|line| (line.chars().next().map(u32::from), line.len() as u64))
    ///     .reduce_by_key(|a, b| a.max(b));
    /// ```
    #[track_caller]
    pub fn reduce_by_key<F: Fn(V, V) -> V + Send + Sync + 'static>(&self, f: F) -> Reduced<K, V, F>
    where
        K: Key,
    {
        let (place, f) = (CodePlace::caller(), Arc::new(f));
        let fold = Reduce { f: f.clone(), types: PhantomData };
        let ordered = fold_by_key_in_order(self, "reduce_by_key", place, fold);
        Reduced { input: self.clone(), f, ordered, place }
    }

    /// One accumulator for each key, which begins as `init` says, takes each value by `push`, and parts of which are put
    /// together by `merge`, in the order of the records.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let mean = flow
    ///     .read_lines("/tmp/a.txt")
    ///     .map(|line| (line.chars().next().map(u32::from), line.len() as f64))
    ///     .fold_by_key(
    ///         || (0u64, 0.0),
    ///         |a, length| { a.0 += 1; a.1 += length },
    ///         |a, b| { a.0 += b.0; a.1 += b.1 },
    ///     )
    ///     .map(|(first, (count, sum))| (first, sum / count as f64));
    /// ```
    #[track_caller]
    pub fn fold_by_key<A: Record>(
        &self,
        init: impl Fn() -> A + Send + Sync + 'static,
        push: impl for<'a> Fn(&mut A, V::View<'a>) + Send + Sync + 'static,
        merge: impl Fn(&mut A, A) + Send + Sync + 'static,
    ) -> Dataset<(K, A)>
    where
        K: Key,
    {
        let fold = FoldInto { init, push, merge, types: PhantomData };
        fold_by_key_in_order(self, "fold_by_key", CodePlace::caller(), fold)
    }
}
