//! Sorts: the order of the whole output, cut into partitions by a sample.

use super::wide::ReadFn;
use crate::dataset::Dataset;
use crate::exec::Emitter;
use crate::graph::CollectNode;
use crate::shuffle::Bucket;
use crate::shuffle::collect::Sample;
use crate::shuffle::rows::{ByAll, ByFirst, ByPrefix, RowsBucket, RowsShuffle, SortBy, SortOrder};
use std::marker::PhantomData;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::push::Demand;
use windrow_datasets::{Key, Record};

/// How far ahead of the row at hand rows are asked for.
const PREFETCH_ROWS: usize = 12;

impl<T: Record> Dataset<T> {
    fn sort_with<S: SortBy<Row = T>>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        partitions: Option<u32>,
    ) -> Dataset<T> {
        let sample = Arc::new(Sample::<S>::new());
        let sample = CollectNode { code: sample, name: String::new(), sample: true };
        let sample = self.collected("sample", place, sample);
        let code = RowsShuffle { order: SortOrder::<S> { sample, by: PhantomData } };
        let shuffle = self.shuffle(operator, place, code, partitions, Some(sample));
        let read = ReadFn(|mut buckets: Vec<Bucket>, out| {
            let bucket: RowsBucket<SortOrder<S>> = buckets.remove(0).into();
            let rows = bucket.sort()?;
            let mut out = Emitter::<T>::new(out);
            for at in 0..rows.len() {
                rows.prefetch(at + PREFETCH_ROWS);
                if out.push(rows.get(at))? == Demand::Enough {
                    break;
                }
            }
            out.finish()
        });
        self.read_shuffles(operator, place, vec![shuffle], read)
    }
}

impl<T: Key> Dataset<T> {
    /// All records in their order.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let sorted = flow.read_lines("/tmp/a.txt").sort();
    /// ```
    #[track_caller]
    pub fn sort(&self) -> Dataset<T> {
        self.sort_with::<ByAll<T>>("sort", CodePlace::caller(), None)
    }
}

impl<K: Record, V: Record> Dataset<(K, V)> {
    /// All records in the order of their keys; those with equal keys as they came.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let by_length = flow.read_lines("/tmp/a.txt").key_by(|line| line.len() as u32).sort_by_key();
    /// ```
    #[track_caller]
    pub fn sort_by_key(&self) -> Dataset<(K, V)>
    where
        K: Key,
    {
        self.sort_with::<ByFirst<K, V>>("sort_by_key", CodePlace::caller(), None)
    }

    /// The same in so many partitions, if that is said.
    #[track_caller]
    pub(crate) fn sort_by_key_into(&self, partitions: Option<u32>) -> Dataset<(K, V)>
    where
        K: Key,
    {
        self.sort_with::<ByFirst<K, V>>("sort_by_key", CodePlace::caller(), partitions)
    }
}

impl<const N: usize> Dataset<[u8; N]> {
    /// All records in the order of their first `P` bytes; those that begin alike as they came.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let sorted = flow.read_fixed::<100>("/tmp/tera").sort_by_prefix::<10>();
    /// ```
    #[track_caller]
    pub fn sort_by_prefix<const P: usize>(&self) -> Dataset<[u8; N]> {
        const { assert!(P <= N, "a prefix is no longer than its record") };
        self.sort_with::<ByPrefix<N, P>>("sort_by_prefix", CodePlace::caller(), None)
    }
}
