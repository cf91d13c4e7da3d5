//! `group_by_key` and `co_group`: all values of a key at once.

use super::wide::ReadFn;
use crate::dataset::Dataset;
use crate::exec::Emitter;
use crate::shuffle::Bucket;
use crate::shuffle::rows::{HashOrder, RowsBucket, RowsShuffle, Sorted};
use std::cmp::Ordering;
use std::ops::Range;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::Demand;
use windrow_datasets::{Key, Record};

/// The values of one key, in (task, lane, record) order unless the group was sorted. An iterator, which owns what it
/// gives; [`next_view`](Values::next_view) and [`fold_views`](Values::fold_views) do not.
pub struct Values<'g, V: Record> {
    get: &'g dyn ValueAt<V>,
    range: Range<usize>,
}

/// The value of the row at a position.
trait ValueAt<V: Record> {
    fn value(&self, at: usize) -> V::View<'_>;
}

impl<K: Key, V: Record> ValueAt<V> for Sorted<HashOrder<K, V>> {
    fn value(&self, at: usize) -> V::View<'_> {
        self.get(at).1
    }
}

impl<'g, V: Record> Values<'g, V> {
    /// The values left, to be gone through once more.
    pub(super) fn again(&self) -> Values<'g, V> {
        Values { get: self.get, range: self.range.clone() }
    }

    /// The number of values left.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Whether none are left.
    pub fn is_empty(&self) -> bool {
        self.range.is_empty()
    }

    /// The view of the next value.
    #[inline]
    pub fn next_view(&mut self) -> Option<V::View<'g>> {
        self.range.next().map(|at| self.get.value(at))
    }

    /// Folds the views of all values that are left.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let lines = flow.read_lines("/tmp/a.txt").key_by(|line| line.len() as u32);
    /// let sizes = lines.group_by_key().map(|length, mut lines| {
    ///     (length, lines.fold_views(0u64, |sum, line| *sum += line.len() as u64))
    /// });
    /// ```
    pub fn fold_views<A>(&mut self, init: A, mut f: impl FnMut(&mut A, V::View<'g>)) -> A {
        let mut acc = init;
        while let Some(view) = self.next_view() {
            f(&mut acc, view);
        }
        acc
    }
}

impl<V: Record> Iterator for Values<'_, V> {
    type Item = V;

    #[inline]
    fn next(&mut self) -> Option<V> {
        self.next_view().map(V::own)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl<V: Record> ExactSizeIterator for Values<'_, V> {}

/// Compares two values, for [`Grouped::sorted_by`].
type Compare<V> =
    dyn for<'a, 'b> Fn(<V as Record>::View<'a>, <V as Record>::View<'b>) -> Ordering + Send + Sync;

/// Records grouped by key: see [`Dataset::group_by_key`].
pub struct Grouped<K: Key, V: Record> {
    input: Dataset<(K, V)>,
    place: &'static CodePlace<'static>,
    sort: Option<Arc<Compare<V>>>,
}

impl<K: Record, V: Record> Dataset<(K, V)> {
    /// All values of a key at once, keys in the order of their hashes. If an aggregate is all that is wanted,
    /// [`reduce_by_key`](Dataset::reduce_by_key) and its like shuffle less.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let lines = flow.read_lines("/tmp/a.txt").key_by(|line| line.len() as u32);
    /// let first = lines
    ///     .group_by_key()
    ///     .sorted_by(|a, b| a.cmp(b))
    ///     .map(|length, mut lines| (length, lines.next().unwrap_or_default()));
    /// ```
    #[track_caller]
    pub fn group_by_key(&self) -> Grouped<K, V>
    where
        K: Key,
    {
        Grouped { input: self.clone(), place: CodePlace::caller(), sort: None }
    }
}

impl<K: Key, V: Record> Grouped<K, V> {
    /// Gives each group's values in this order; those that are equal as they came.
    #[must_use]
    pub fn sorted_by(
        self,
        compare: impl for<'a, 'b> Fn(V::View<'a>, V::View<'b>) -> Ordering + Send + Sync + 'static,
    ) -> Grouped<K, V> {
        Grouped { sort: Some(Arc::new(compare)), ..self }
    }

    /// One record for each group.
    pub fn map<U: Record>(
        &self,
        f: impl for<'g> Fn(K::View<'g>, Values<'g, V>) -> U + Send + Sync + 'static,
    ) -> Dataset<U> {
        self.read(move |key, values, out| out.push(f(key, values).view()).map(|_| ()))
    }

    /// Any number of records for each group.
    pub fn flat_map<U: Record, I: IntoIterator<Item = U>>(
        &self,
        f: impl for<'g> Fn(K::View<'g>, Values<'g, V>) -> I + Send + Sync + 'static,
    ) -> Dataset<U> {
        self.read(move |key, values, out| {
            f(key, values).into_iter().try_for_each(|record| out.push(record.view()).map(|_| ()))
        })
    }

    fn read<U: Record>(
        &self,
        f: impl for<'g> Fn(
            K::View<'g>,
            Values<'g, V>,
            &mut Emitter<U>,
        ) -> Result<(), windrow_datasets::push::PushError>
        + Send
        + Sync
        + 'static,
    ) -> Dataset<U> {
        let order = HashOrder::<K, V>::new();
        let code = RowsShuffle { order };
        let shuffle = self.input.shared_shuffle("group_by_key", self.place, code).number;
        let sort = self.sort.clone();
        let read = ReadFn(move |mut buckets: Vec<Bucket>, out| {
            let bucket: RowsBucket<HashOrder<K, V>> = buckets.remove(0).into();
            let mut rows = bucket.sort()?;
            let mut out = Emitter::<U>::new(out);
            let mut from = 0;
            while from < rows.len() && out.demand() == Demand::More {
                let to = rows.group_end(from);
                if let Some(compare) = &sort {
                    rows.sort_range(from..to, |a, b| compare(a.1, b.1));
                }
                f(rows.get(from).0, Values { get: &rows, range: from..to }, &mut out)?;
                from = to;
            }
            out.finish()
        });
        self.input.read_shuffles("group_by_key", self.place, vec![shuffle], read)
    }
}

/// Which keys of two datasets something comes of.
#[derive(Clone, Copy, Debug)]
pub(super) enum KeysThatCount {
    /// Those that either has.
    All,
    /// Those that the left one has.
    Left,
    /// Those that the right one has.
    Right,
    /// Those that both have.
    Both,
}

/// Two datasets grouped by the same key: see [`Dataset::co_group`].
pub struct CoGrouped<K: Key, A: Record, B: Record> {
    left: Dataset<(K, A)>,
    right: Dataset<(K, B)>,
    place: &'static CodePlace<'static>,
}

impl<K: Record, A: Record> Dataset<(K, A)> {
    /// For each key that either dataset has, the values of both.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let a = flow.read_lines("/tmp/a.txt").key_by(|line| line.len() as u32);
    /// let b = flow.read_lines("/tmp/b.txt").key_by(|line| line.len() as u32);
    /// let counts = a.co_group(&b).map(|length, a, b| (length, a.len() as u64, b.len() as u64));
    /// ```
    #[track_caller]
    pub fn co_group<B: Record>(&self, right: &Dataset<(K, B)>) -> CoGrouped<K, A, B>
    where
        K: Key,
    {
        CoGrouped { left: self.clone(), right: right.clone(), place: CodePlace::caller() }
    }
}

impl<K: Key, A: Record, B: Record> CoGrouped<K, A, B> {
    /// One record for each key.
    pub fn map<U: Record>(
        &self,
        f: impl for<'g> Fn(K::View<'g>, Values<'g, A>, Values<'g, B>) -> U + Send + Sync + 'static,
    ) -> Dataset<U> {
        self.read("co_group", KeysThatCount::All, move |key, left, right, out| {
            out.push(f(key, left, right).view()).map(|_| ())
        })
    }

    /// Any number of records for each key.
    pub fn flat_map<U: Record, I: IntoIterator<Item = U>>(
        &self,
        f: impl for<'g> Fn(K::View<'g>, Values<'g, A>, Values<'g, B>) -> I + Send + Sync + 'static,
    ) -> Dataset<U> {
        self.read("co_group", KeysThatCount::All, move |key, left, right, out| {
            f(key, left, right).into_iter().try_for_each(|u| out.push(u.view()).map(|_| ()))
        })
    }

    pub(super) fn new(
        left: &Dataset<(K, A)>,
        right: &Dataset<(K, B)>,
        place: &'static CodePlace<'static>,
    ) -> Self {
        CoGrouped { left: left.clone(), right: right.clone(), place }
    }

    /// Calls `f` for each key that either side has, except some or all of those that do not count.
    pub(super) fn read<U: Record>(
        &self,
        operator: &'static str,
        keys: KeysThatCount,
        f: impl for<'g> Fn(
            K::View<'g>,
            Values<'g, A>,
            Values<'g, B>,
            &mut Emitter<U>,
        ) -> Result<(), windrow_datasets::push::PushError>
        + Send
        + Sync
        + 'static,
    ) -> Dataset<U> {
        let place = self.place;
        let code = RowsShuffle { order: HashOrder::<K, A>::new() };
        let left = self.left.shared_shuffle(operator, place, code);
        let code = RowsShuffle { order: HashOrder::<K, B>::new() };
        let mut right = self.right.shared_shuffle(operator, place, code);
        if right.number == left.number {
            // A dataset with itself: its rows are taken out of two shuffles.
            let code = RowsShuffle { order: HashOrder::<K, B>::new() };
            right.number = self.right.shuffle(operator, place, code, None, None);
        }
        let mut graph = self.left.flow.graph();
        // What is for all rounds of a loop has all rows.
        if matches!(keys, KeysThatCount::Left | KeysThatCount::Both) && !right.invariant {
            graph.shuffles[right.number as usize].filtered_by = Some(left.number);
        }
        if matches!(keys, KeysThatCount::Right | KeysThatCount::Both) && !left.invariant {
            graph.shuffles[left.number as usize].filtered_by = Some(right.number);
        }
        drop(graph);
        let shuffles = vec![left.number, right.number];
        let read = ReadFn(move |mut buckets: Vec<Bucket>, out| {
            let b: RowsBucket<HashOrder<K, B>> = buckets.remove(1).into();
            let a: RowsBucket<HashOrder<K, A>> = buckets.remove(0).into();
            let (a, b) = (a.sort()?, b.sort()?);
            let mut out = Emitter::<U>::new(out);
            let (mut i, mut j) = (0, 0);
            while (i < a.len() || j < b.len()) && out.demand() == Demand::More {
                let order = if j == b.len() {
                    Ordering::Less
                } else if i == a.len() {
                    Ordering::Greater
                } else {
                    a.compare_keys(i, &b, j)
                };
                let i_to = if order.is_le() { a.group_end(i) } else { i };
                let j_to = if order.is_ge() { b.group_end(j) } else { j };
                let left = Values { get: &a, range: i..i_to };
                let right = Values { get: &b, range: j..j_to };
                if order.is_le() {
                    f(a.get(i).0, left, right, &mut out)?;
                } else {
                    f(b.get(j).0, left, right, &mut out)?;
                }
                (i, j) = (i_to, j_to);
            }
            out.finish()
        });
        self.left.read_shuffles(operator, place, shuffles, read)
    }
}
