//! `repartition` and `partition_by`: the same records in other partitions.

use super::wide::ReadFn;
use crate::dataset::Dataset;
use crate::exec::Emitter;
use crate::shuffle::Bucket;
use crate::shuffle::fold::{order_hash, range_of};
use crate::shuffle::rows::{ArrivalOrder, RowsBucket, RowsShuffle, Sorted};
use std::panic::Location as CodePlace;
use windrow_datasets::push::{AnyPush, Demand, PushError};
use windrow_datasets::{Key, Record};

impl<T: Record> Dataset<T> {
    /// What `read` makes of each partition's rows, as they came; each row goes to the partition that `choose` says of
    /// it, its number in its lane, and the number of partitions.
    pub(super) fn scatter<U, C>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        partitions: Option<u32>,
        choose: C,
        read: impl Fn(Sorted<ArrivalOrder<T, C>>, AnyPush) -> Result<u64, PushError>
        + Send
        + Sync
        + 'static,
    ) -> Dataset<U>
    where
        U: Record,
        C: for<'a> Fn(T::View<'a>, u64, u32) -> u32 + Send + Sync + 'static,
    {
        let code = RowsShuffle { order: ArrivalOrder::<T, C>::new(choose) };
        let shuffle =
            self.shuffle(operator, place, code, partitions.map(|count| count.max(1)), None);
        let read = ReadFn(move |mut buckets: Vec<Bucket>, out| {
            let bucket: RowsBucket<ArrivalOrder<T, C>> = buckets.remove(0).into();
            read(bucket.sort()?, out)
        });
        self.read_shuffles(operator, place, vec![shuffle], read)
    }

    /// These records, evenly in so many partitions: as many tasks go on with them, and as many files are written.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let ten_files = flow.read_lines("/tmp/a.txt").repartition(10);
    /// ```
    #[track_caller]
    pub fn repartition(&self, partitions: u32) -> Dataset<T> {
        self.evenly("repartition", CodePlace::caller(), Some(partitions))
    }

    /// These records, kept once they were made: what uses them several times reads them from memory, or from scratch where
    /// memory is short, rather than making them again. They are no more in the order in which they were made.
    ///
    /// A dataset that is used several times is made several times if one of the uses has to wait for another: for a sort, a
    /// broadcast, or a round of a loop.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let lengths = flow.read_lines("/tmp/a.txt").map(|line| line.len() as u64).persist();
    /// let most = lengths.map(|length| (0u8, length)).max_by_key().broadcast();
    /// let shares = lengths.map_with(&most, |length, most| {
    ///     length as f64 / most.get(0).unwrap_or(1) as f64
    /// });
    /// ```
    #[track_caller]
    pub fn persist(&self) -> Dataset<T> {
        self.evenly("persist", CodePlace::caller(), None)
    }

    /// These records, evenly in so many partitions, or in as many as the input asks for.
    pub(super) fn evenly(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        partitions: Option<u32>,
    ) -> Dataset<T> {
        let choose = |_: T::View<'_>, arrival: u64, partitions: u32| {
            (arrival % u64::from(partitions)) as u32
        };
        self.scatter(operator, place, partitions, choose, pass_on)
    }

    /// These records in so many partitions, all with one key in the same.
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let by_length = flow.read_lines("/tmp/a.txt").partition_by(10, |line| line.len() as u32);
    /// ```
    #[track_caller]
    pub fn partition_by<K: Key>(
        &self,
        partitions: u32,
        key: impl for<'a> Fn(T::View<'a>) -> K + Send + Sync + 'static,
    ) -> Dataset<T> {
        let choose = move |view: T::View<'_>, _: u64, partitions: u32| {
            range_of(order_hash(K::hash(key(view).view())), partitions)
        };
        self.scatter("partition_by", CodePlace::caller(), Some(partitions), choose, pass_on)
    }
}

fn pass_on<T, C>(rows: Sorted<ArrivalOrder<T, C>>, out: AnyPush) -> Result<u64, PushError>
where
    T: Record,
    C: for<'a> Fn(T::View<'a>, u64, u32) -> u32 + Send + Sync + 'static,
{
    let mut out = Emitter::<T>::new(out);
    for at in 0..rows.len() {
        if out.push(rows.get(at))? == Demand::Enough {
            break;
        }
    }
    out.finish()
}
