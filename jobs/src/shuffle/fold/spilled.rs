//! What tables have written to scratch, or other processes have sent, and how it is put together again.

use super::Folding;
use super::kept::Kept;
use super::table::{order_hash, range_of};
use crate::shuffle::merge::{Cursor, LoserTree};
use crate::shuffle::spill::{self, BLOCK_BYTES, BlockWriter};
use arrow::buffer::Buffer;
use std::cmp::Ordering;
use std::sync::Arc;
use windrow_datasets::codec;
use windrow_datasets::memory::Budget;
use windrow_datasets::push::{Demand, PushError};
use windrow_datasets::spill::{SpillBlock, SpillFile};
use windrow_datasets::{Batch, Builder, Heap, Key, Record};

/// The most rows of a block.
const BLOCK_ROWS: usize = if cfg!(test) { 5 } else { 1 << 16 };

type Pair<F> = (<F as Folding>::Key, <F as Folding>::Wire);

/// What one table had at one moment, in the order of (hash, key).
pub(super) struct Part {
    file: Arc<SpillFile>,
    /// With the bucket of each; ascending.
    blocks: Vec<(u32, SpillBlock)>,
}

impl Part {
    /// Writes the rows of one range of the hash, of which none is kept afterwards, also if that fails.
    pub(super) fn write<F: Folding>(
        file: Arc<SpillFile>,
        fold: &F,
        budget: &Budget,
        kept: &mut Kept<F>,
        buckets: u32,
    ) -> Result<Part, PushError> {
        let mut blocks = Vec::new();
        let mut writer = BlockWriter::new(&file);
        let mut builder = <Pair<F> as Record>::Builder::default();
        let (mut bucket, mut bytes) = (0, 0);
        let mut write = |bucket, builder: &mut <Pair<F> as Record>::Builder| {
            blocks.push((bucket, writer.write::<Pair<F>>(&[], &builder.finish())?));
            Ok::<(), PushError>(())
        };
        let mut result = Ok(());
        kept.drain(fold, budget, |hash, slot, acc| {
            if result.is_err() {
                return;
            }
            let of = range_of(hash, buckets);
            let is_full = bytes >= BLOCK_BYTES || builder.len() >= BLOCK_ROWS;
            if !builder.is_empty() && (of != bucket || is_full) {
                result = write(bucket, &mut builder);
                bytes = 0;
            }
            bucket = of;
            let wire = fold.to_wire(&acc);
            // SAFETY: the slot points into a heap of what is kept.
            let row = (unsafe { F::Key::slot_view(slot) }, wire.view());
            bytes += Pair::<F>::approximate_bytes(row);
            builder.push(row);
        });
        result?;
        if !builder.is_empty() {
            write(bucket, &mut builder)?;
        }
        drop(writer);
        Ok(Part { file, blocks })
    }

    /// Which blocks have rows of a bucket.
    fn blocks_of(&self, bucket: u32) -> std::ops::Range<usize> {
        let from = self.blocks.partition_point(|block| block.0 < bucket);
        from..from + self.blocks[from..].partition_point(|block| block.0 == bucket)
    }
}

/// A bucket of which there are several parts, each in the order of (hash, key).
pub(super) struct Merged<F: Folding> {
    fold: Arc<F>,
    parts: Vec<Frames>,
}

/// The rows that one part has of a bucket, or those that are left of them.
enum Frames {
    /// Blocks in scratch.
    Spilled(Arc<Part>, std::ops::Range<usize>),
    /// Frames that another process has made, for this bucket of so many.
    Sent { frames: std::vec::IntoIter<Buffer>, bucket: u32, buckets: u32 },
}

impl Frames {
    fn next<F: Folding>(&mut self) -> Result<Option<<Pair<F> as Record>::Batch>, PushError> {
        match self {
            Frames::Spilled(part, blocks) => {
                let Some(number) = blocks.next() else { return Ok(None) };
                let block = part.blocks[number].1;
                Ok(Some(spill::read::<Pair<F>>(&part.file, block)?.1))
            }
            Frames::Sent { frames, bucket, buckets } => {
                let Some(frame) = frames.next() else { return Ok(None) };
                let batch = codec::decode::<Pair<F>>(&frame)?;
                if let Some(last) = Batch::<Pair<F>>::len(&batch).checked_sub(1) {
                    // Those between are between them.
                    for at in [0, last] {
                        check_bucket(hash_at::<F>(&batch, at), *bucket, *buckets)?;
                    }
                }
                Ok(Some(batch))
            }
        }
    }
}

/// Whether a hash is of the bucket that its block is said to be of.
pub(super) fn check_bucket(hash: u64, bucket: u32, buckets: u32) -> Result<(), PushError> {
    if range_of(hash, buckets) == bucket {
        Ok(())
    } else {
        Err("a block has rows of another bucket".into())
    }
}

fn hash_at<F: Folding>(batch: &<Pair<F> as Record>::Batch, at: usize) -> u64 {
    // SAFETY: the callers' rows are rows of the batch, from which the slot borrows.
    order_hash(unsafe { F::Key::slot_hash(&F::Key::probe_batch(&batch.0, at)) })
}

impl<F: Folding> Merged<F> {
    /// What parts in scratch have of a bucket.
    pub(super) fn new(fold: Arc<F>, parts: Vec<Arc<Part>>, bucket: u32) -> Merged<F> {
        let of_bucket = |part: Arc<Part>| {
            let blocks = part.blocks_of(bucket);
            Frames::Spilled(part, blocks)
        };
        Merged { fold, parts: parts.into_iter().map(of_bucket).collect() }
    }

    /// What other processes have of a bucket: the frames of each.
    pub(super) fn of_frames(
        fold: Arc<F>,
        parts: Vec<Vec<Buffer>>,
        bucket: u32,
        buckets: u32,
    ) -> Merged<F> {
        let sent =
            |frames: Vec<Buffer>| Frames::Sent { frames: frames.into_iter(), bucket, buckets };
        Merged { fold, parts: parts.into_iter().map(sent).collect() }
    }

    /// Gives each key with its accumulator, in the order of (hash, key), until no more are wanted.
    pub(super) fn read(
        self,
        mut each: impl FnMut(<F::Key as Record>::View<'_>, F::Acc) -> Result<Demand, PushError>,
    ) -> Result<(), PushError> {
        let cursors = self.parts.into_iter().map(|part| PartCursor::<F>::new(part));
        let mut tree = LoserTree::new(cursors.collect::<Result<_, _>>()?);
        // Of the key at hand: its batch may be gone when the next one is looked at.
        let mut heap = Heap::new();
        loop {
            heap.clear();
            let Some(first) = tree.least() else { return Ok(()) };
            let (hash, mut acc) = (first.hash, first.acc(&self.fold));
            // SAFETY: the slot is copied to the heap before its batch may go.
            let key = unsafe { F::Key::keep_slot(&first.slot(), &mut heap) };
            tree.step(PartCursor::advance)?;
            while let Some(next) = tree.least() {
                // SAFETY: `key` points into the heap, the other slot into its cursor's batch.
                if next.hash != hash || !unsafe { F::Key::slot_eq(&key, &next.slot()) } {
                    break;
                }
                self.fold.merge(&mut acc, next.acc(&self.fold));
                tree.step(PartCursor::advance)?;
            }
            // SAFETY: as above.
            if each(unsafe { F::Key::slot_view(&key) }, acc)? == Demand::Enough {
                return Ok(());
            }
        }
    }
}

/// Where one part stands.
struct PartCursor<F: Folding> {
    rest: Frames,
    batch: Option<<Pair<F> as Record>::Batch>,
    at: usize,
    /// Of the key that it stands at.
    hash: u64,
}

impl<F: Folding> PartCursor<F> {
    fn new(part: Frames) -> Result<Self, PushError> {
        let mut cursor = PartCursor { rest: part, batch: None, at: 0, hash: 0 };
        cursor.next_block()?;
        Ok(cursor)
    }

    fn next_block(&mut self) -> Result<(), PushError> {
        self.at = 0;
        loop {
            self.batch = self.rest.next::<F>()?;
            let is_empty = |batch| Batch::<Pair<F>>::len(batch) == 0;
            if !self.batch.as_ref().is_some_and(is_empty) {
                break;
            }
        }
        self.take_hash();
        Ok(())
    }

    #[inline(always)]
    fn advance(&mut self) -> Result<(), PushError> {
        self.at += 1;
        if self.batch.as_ref().is_some_and(|batch| self.at < Batch::<Pair<F>>::len(batch)) {
            self.take_hash();
            return Ok(());
        }
        self.next_block()
    }

    #[inline(always)]
    fn take_hash(&mut self) {
        if let Some(batch) = &self.batch {
            self.hash = hash_at::<F>(batch, self.at);
        }
    }

    fn batch(&self) -> &<Pair<F> as Record>::Batch {
        self.batch.as_ref().expect("a cursor that is not at its end has a batch")
    }

    /// The key that it stands at, borrowed from the batch.
    #[inline(always)]
    fn slot(&self) -> <F::Key as Record>::Slot {
        // SAFETY: a cursor that is not at its end stands at a row of its batch.
        unsafe { F::Key::probe_batch(&self.batch().0, self.at) }
    }

    fn acc(&self, fold: &F) -> F::Acc {
        // SAFETY: as above.
        fold.from_wire(unsafe { self.batch().1.get_unchecked(self.at) })
    }
}

impl<F: Folding> Cursor for PartCursor<F> {
    fn is_done(&self) -> bool {
        self.batch.is_none()
    }

    #[inline(always)]
    fn compare(&self, other: &Self) -> Ordering {
        // SAFETY: slots borrow from the batches of their cursors.
        self.hash
            .cmp(&other.hash)
            .then_with(|| unsafe { F::Key::slot_cmp(&self.slot(), &other.slot()) })
    }
}
