//! The rows of one lane: its batches, and an entry a row, sorted by bucket.

use super::order::RowOrder;
use super::{RowsStore, lock};
use std::sync::Arc;
use windrow_datasets::push::{BATCH_RECORDS, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Builder, Record, for_selected};

/// Bits of a row's place that say which row of its batch it is.
const ROW_BITS: u32 = 12;

/// The most records of a batch that is kept as it is.
const KEPT_RECORDS_MAX: usize = 1 << ROW_BITS;

/// The most batches of a lane.
const BATCHES_MAX: usize = 1 << (32 - ROW_BITS);

/// A batch is kept as it is if at least one in so many of its records is selected; else those are copied.
const KEEP_ONE_IN: usize = 4;

/// The upper 96 bits of an entry: what rows are ordered by.
pub(super) const ORDER: u128 = !0xffff_ffff;

/// The rows of one lane.
pub(crate) struct RowsLane<T: Record> {
    rank: u64,
    batches: Vec<T::Batch>,
    /// The order in the upper 96 bits, the place in the lower 32; by bucket, and within one as they came.
    entries: Vec<u128>,
    /// Where the entries of each bucket begin, and the end.
    offsets: Vec<u32>,
}

impl<T: Record> RowsLane<T> {
    pub(super) fn rank(&self) -> u64 {
        self.rank
    }

    /// A lane of rows that are all of one bucket.
    pub(super) fn decoded<O: RowOrder<Row = T>>(
        batches: Vec<T::Batch>,
        cutter: &O::Cutter,
    ) -> Result<RowsLane<T>, PushError> {
        let mut lane =
            RowsLane { rank: 0, batches: Vec::new(), entries: Vec::new(), offsets: Vec::new() };
        for batch in batches {
            let number = place_of_batch(lane.batches.len(), batch.len())?;
            for index in 0..batch.len() {
                // SAFETY: the index is in bounds.
                let (_, order) = unsafe { O::place(cutter, &batch, index, 0) };
                lane.entries.push((order & ORDER) | u128::from(number | index as u32));
            }
            lane.batches.push(batch);
        }
        let end = u32::try_from(lane.entries.len()).map_err(|_| too_many())?;
        lane.offsets = vec![0, end];
        Ok(lane)
    }

    /// The entries of a bucket; of `None`, all.
    pub(super) fn entries(&self, bucket: Option<u32>) -> &[u128] {
        match bucket {
            None => &self.entries,
            Some(bucket) => {
                let at = bucket as usize;
                &self.entries[self.offsets[at] as usize..self.offsets[at + 1] as usize]
            }
        }
    }

    /// The rows of a bucket, as they came.
    pub(super) fn rows_of(&self, bucket: u32) -> impl Iterator<Item = T::View<'_>> {
        self.entries(Some(bucket)).iter().map(|&entry| {
            let (batch, index) = self.find(entry as u32);
            // SAFETY: an entry's place is within its batch.
            unsafe { batch.get_unchecked(index) }
        })
    }

    /// The batch and the index that the lower 32 bits of one of this lane's entries mean.
    #[inline(always)]
    pub(super) fn find(&self, place: u32) -> (&T::Batch, usize) {
        let index = place as usize % KEPT_RECORDS_MAX;
        (&self.batches[(place >> ROW_BITS) as usize], index)
    }
}

/// The place of the first row of the batch of this number.
fn place_of_batch(number: usize, records: usize) -> Result<u32, PushError> {
    if number >= BATCHES_MAX || records > KEPT_RECORDS_MAX {
        return Err(too_many());
    }
    Ok((number as u32) << ROW_BITS)
}

#[cold]
fn too_many() -> PushError {
    "a lane has more rows than can be shuffled; let the operators before it make fewer rows of one"
        .into()
}

/// Memory that lanes use while they are filled.
#[derive(Default)]
pub(super) struct Scratch {
    entries: Vec<u128>,
    buckets: Vec<u32>,
}

/// The receiver of a lane.
pub(super) struct LanePush<O: RowOrder> {
    store: Arc<RowsStore<O>>,
    rank: u64,
    batches: Vec<<O::Row as Record>::Batch>,
    /// Rows that are copied.
    builder: <O::Row as Record>::Builder,
    scratch: Scratch,
}

impl<O: RowOrder> LanePush<O> {
    pub(super) fn new(store: Arc<RowsStore<O>>, rank: u64) -> LanePush<O> {
        let scratch = lock(&store.scratch).pop().unwrap_or_default();
        LanePush {
            store,
            rank,
            batches: Vec::new(),
            builder: <O::Row as Record>::Builder::default(),
            scratch,
        }
    }

    /// Keeps a batch of which these rows count.
    fn keep(
        &mut self,
        batch: <O::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<(), PushError> {
        let number = place_of_batch(self.batches.len(), batch.len())?;
        let Scratch { entries, buckets } = &mut self.scratch;
        for_selected!(selection, batch.len(), |index| {
            let arrival = entries.len() as u64;
            // SAFETY: the indexes of a selection are below the batch's length.
            let (bucket, order) = unsafe { O::place(&self.store.cutter, &batch, index, arrival) };
            entries.push((order & ORDER) | u128::from(number | index as u32));
            buckets.push(bucket);
        });
        self.batches.push(batch);
        Ok(())
    }

    fn keep_copies(&mut self) -> Result<(), PushError> {
        if self.builder.is_empty() {
            return Ok(());
        }
        let batch = self.builder.finish();
        self.keep(batch, Selection::All)
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
        if batch.len() <= KEPT_RECORDS_MAX && selected * KEEP_ONE_IN >= batch.len() {
            self.keep_copies()?;
            self.keep(batch.clone(), selection)?;
            return Ok(Demand::More);
        }
        for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length.
            self.builder.push(unsafe { batch.get_unchecked(index) });
            if self.builder.len() == BATCH_RECORDS {
                self.keep_copies()?;
            }
        });
        Ok(Demand::More)
    }

    #[inline]
    fn row(&mut self, view: <O::Row as Record>::View<'_>) -> Result<Demand, PushError> {
        self.builder.push(view);
        if self.builder.len() == BATCH_RECORDS {
            self.keep_copies()?;
        }
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.keep_copies()?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let lane = RowsLane {
            rank: self.rank,
            batches: std::mem::take(&mut self.batches),
            ..by_bucket(&scratch, self.store.buckets)?
        };
        lock(&self.store.lanes).push(Arc::new(lane));
        scratch.entries.clear();
        scratch.buckets.clear();
        lock(&self.store.scratch).push(scratch);
        Ok(())
    }
}

/// Sorts entries by bucket, those of one bucket as they came.
fn by_bucket<T: Record>(scratch: &Scratch, buckets: u32) -> Result<RowsLane<T>, PushError> {
    let Scratch { entries, buckets: of } = scratch;
    let count = u32::try_from(entries.len()).map_err(|_| too_many())?;
    let mut offsets = vec![0u32; buckets as usize + 1];
    of.iter().for_each(|&bucket| offsets[bucket as usize + 1] += 1);
    for bucket in 0..buckets as usize {
        offsets[bucket + 1] += offsets[bucket];
    }
    debug_assert_eq!(offsets[buckets as usize], count);
    let mut next = offsets.clone();
    let mut sorted = vec![0u128; entries.len()];
    for (&entry, &bucket) in entries.iter().zip(of) {
        let at = &mut next[bucket as usize];
        sorted[*at as usize] = entry;
        *at += 1;
    }
    Ok(RowsLane { rank: 0, batches: Vec::new(), entries: sorted, offsets })
}
