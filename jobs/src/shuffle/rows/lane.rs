//! The rows of one lane, in runs: some thousand rows each, copied so that those of a bucket lie together.
//!
//! Rows that are read bucket by bucket from where the input left them cost a miss of cache and TLB each. A run is small
//! enough to be put in order within the cache; what is read of it later for a bucket lies in one place.

use super::order::RowOrder;
use super::{Placed, RowsStore};
use std::ops::Range;
use std::sync::Arc;
use windrow_datasets::push::{BATCH_RECORDS, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Builder, Record, for_selected};

/// Bits of a place that say which row of its batch it is.
const ROW_BITS: u32 = 16;

/// The most records of a batch that waits as it is.
const WAITING_RECORDS_MAX: usize = 1 << ROW_BITS;

/// The most batches that wait.
const WAITING_BATCHES_MAX: usize = 1 << (32 - ROW_BITS);

/// A batch waits as it is if at least one in so many of its records is selected; else those are copied.
const KEEP_ONE_IN: usize = 4;

/// A run has about so many bytes, or more if so few were left for a bucket.
const RUN_BYTES: usize = 2 << 20;

/// A run has at least so many bytes for each bucket.
const RUN_BUCKET_BYTES: usize = 2 << 10;

/// A run has no more bytes than one part in so many of the budget: each thread has one in the making.
const RUN_OF_BUDGET: u64 = 128;

/// A run has about so many rows at most; few in tests, so that there are many runs.
const RUN_ROWS: usize = if cfg!(test) { 7 } else { 1 << 16 };

/// A row is asked for so many rows ahead.
const AHEAD: usize = 8;

/// Rows, by bucket, those of one bucket as they came.
pub(crate) struct Run<T: Record> {
    pub(super) batch: T::Batch,
    /// Where the rows of each bucket begin, and the end.
    offsets: Vec<u32>,
}

impl<T: Record> Run<T> {
    /// The rows of one bucket.
    #[inline]
    pub(super) fn rows_of(&self, bucket: u32) -> Range<usize> {
        let at = bucket as usize;
        self.offsets[at] as usize..self.offsets[at + 1] as usize
    }

    /// Rows that are all of bucket 0 of one.
    pub(super) fn decoded(batch: T::Batch) -> Result<Run<T>, PushError> {
        let count = u32::try_from(batch.len()).map_err(|_| "a batch of over 2^32 rows")?;
        Ok(Run { batch, offsets: vec![0, count] })
    }
}

/// Rows that wait to become a run.
struct Waiting<T: Record> {
    batches: Vec<T::Batch>,
    /// Where each row is: the batch, and the row of it.
    places: Vec<u32>,
    /// The bucket of each row.
    buckets: Vec<u32>,
    bytes: usize,
    /// Used while a run is made.
    sorted: Vec<u32>,
}

impl<T: Record> Default for Waiting<T> {
    fn default() -> Self {
        Waiting {
            batches: Vec::new(),
            places: Vec::new(),
            buckets: Vec::new(),
            bytes: 0,
            sorted: Vec::new(),
        }
    }
}

impl<T: Record> Waiting<T> {
    /// The batch and the index that a place means.
    #[inline(always)]
    fn find(&self, place: u32) -> (&T::Batch, usize) {
        let place = place as usize;
        (&self.batches[place >> ROW_BITS], place % WAITING_RECORDS_MAX)
    }

    /// All rows as one run, and about how many bytes it has; none wait afterwards.
    fn run(&mut self, buckets: u32, builder: &mut T::Builder) -> (Run<T>, u64) {
        let mut offsets = vec![0u32; buckets as usize + 1];
        self.buckets.iter().for_each(|&bucket| offsets[bucket as usize + 1] += 1);
        for bucket in 0..buckets as usize {
            offsets[bucket + 1] += offsets[bucket];
        }
        let run = match &self.batches[..] {
            [batch] if buckets == 1 && batch.len() == self.places.len() => {
                Run { batch: batch.clone(), offsets }
            }
            _ => self.gather(offsets, builder),
        };
        let bytes = (self.bytes + size_of_val(&run.offsets[..])) as u64;
        self.batches.clear();
        self.places.clear();
        self.buckets.clear();
        self.bytes = 0;
        (run, bytes)
    }

    fn gather(&mut self, offsets: Vec<u32>, builder: &mut T::Builder) -> Run<T> {
        let mut next = offsets.clone();
        let mut sorted = std::mem::take(&mut self.sorted);
        sorted.clear();
        sorted.resize(self.places.len(), 0);
        for (&place, &bucket) in self.places.iter().zip(&self.buckets) {
            let at = &mut next[bucket as usize];
            sorted[*at as usize] = place;
            *at += 1;
        }
        builder.reserve(sorted.len());
        for (at, &place) in sorted.iter().enumerate() {
            if let Some(&ahead) = sorted.get(at + AHEAD) {
                let (batch, index) = self.find(ahead);
                batch.prefetch(index);
            }
            let (batch, index) = self.find(place);
            // SAFETY: a place is within its batch.
            builder.push(unsafe { batch.get_unchecked(index) });
        }
        self.sorted = sorted;
        Run { batch: builder.finish(), offsets }
    }
}

/// The receiver of a lane.
pub(super) struct LanePush<O: RowOrder> {
    store: Arc<RowsStore<O>>,
    rank: u64,
    /// How many runs there were.
    runs: u64,
    waiting: Waiting<O::Row>,
    /// Rows that are copied before they wait.
    copies: <O::Row as Record>::Builder,
    /// Makes the batches of runs.
    builder: <O::Row as Record>::Builder,
    /// Rows so far.
    arrived: u64,
    run_bytes: usize,
}

impl<O: RowOrder> LanePush<O> {
    pub(super) fn new(store: Arc<RowsStore<O>>, rank: u64) -> LanePush<O> {
        let run_bytes = RUN_BYTES.max(store.buckets as usize * RUN_BUCKET_BYTES);
        let most = store.memory.budget.limit() / RUN_OF_BUDGET;
        LanePush {
            run_bytes: run_bytes.min(usize::try_from(most).unwrap_or(usize::MAX)),
            store,
            rank,
            runs: 0,
            waiting: Waiting::default(),
            copies: <O::Row as Record>::Builder::default(),
            builder: <O::Row as Record>::Builder::default(),
            arrived: 0,
        }
    }

    /// Lets a batch wait of which these rows count; it has no more than [`WAITING_RECORDS_MAX`].
    fn wait(
        &mut self,
        batch: <O::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<(), PushError> {
        let Waiting { batches, places, buckets, bytes, .. } = &mut self.waiting;
        let number = (batches.len() as u32) << ROW_BITS;
        for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length.
            buckets.push(unsafe { O::bucket(&self.store.cutter, &batch, index, self.arrived) });
            places.push(number | index as u32);
            // SAFETY: as above.
            *bytes += O::Row::approximate_bytes(unsafe { batch.get_unchecked(index) });
            self.arrived += 1;
        });
        batches.push(batch);
        if *bytes >= self.run_bytes
            || places.len() >= RUN_ROWS
            || batches.len() == WAITING_BATCHES_MAX
            || self.store.buckets == 1
        {
            self.end_run()?;
        }
        Ok(())
    }

    fn end_run(&mut self) -> Result<(), PushError> {
        if self.waiting.batches.is_empty() {
            return Ok(());
        }
        let (run, bytes) = self.waiting.run(self.store.buckets, &mut self.builder);
        let (rank, number) = (self.rank, self.runs);
        self.runs += 1;
        self.store.add(Placed { rank, number, run, bytes })
    }

    fn end_copies(&mut self) -> Result<(), PushError> {
        if self.copies.is_empty() {
            return Ok(());
        }
        let batch = self.copies.finish();
        self.wait(batch, Selection::All)
    }
}

impl<O: RowOrder> Push<O::Row> for LanePush<O> {
    fn batch(
        &mut self,
        batch: &<O::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        let selected = selection.count(batch.len());
        if selected == 0 {
            return Ok(Demand::More);
        }
        if batch.len() <= WAITING_RECORDS_MAX && selected * KEEP_ONE_IN >= batch.len() {
            self.end_copies()?;
            self.wait(batch.clone(), selection)?;
            return Ok(Demand::More);
        }
        for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length.
            self.copies.push(unsafe { batch.get_unchecked(index) });
            if self.copies.len() == BATCH_RECORDS {
                self.end_copies()?;
            }
        });
        Ok(Demand::More)
    }

    #[inline]
    fn row(&mut self, view: <O::Row as Record>::View<'_>) -> Result<Demand, PushError> {
        self.copies.push(view);
        if self.copies.len() == BATCH_RECORDS {
            self.end_copies()?;
        }
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.end_copies()?;
        self.end_run()
    }
}
