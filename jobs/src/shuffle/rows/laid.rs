//! A bucket that does not fit the memory: its rows lie in order in a file, which is mapped.
//!
//! As many rows at a time as fit are put in order and written; these parts are then merged into the file. What of it is
//! in memory is the system's business, which takes it back when it needs it.

use super::bucket::Ordered;
use super::load::Load;
use super::order::RowOrder;
use crate::shuffle::Memory;
use crate::shuffle::merge::{Cursor, LoserTree};
use crate::shuffle::spill::{self, BLOCK_BYTES, BlockWriter};
use std::cmp::Ordering;
use windrow_datasets::codec::{self, Compression};
use windrow_datasets::push::PushError;
use windrow_datasets::spill::{SpillBlock, SpillFile};
use windrow_datasets::{Batch, Builder, Record};

/// The rows of a frame; the last one may have fewer.
const FRAME_ROWS: usize = if cfg!(test) { 3 } else { 4096 };

/// See the module.
pub(crate) struct Laid<O: RowOrder> {
    frames: Vec<<O::Row as Record>::Batch>,
    rows: usize,
}

impl<O: RowOrder> Laid<O> {
    /// Lays the rows that a loader gives, with so many bytes of memory.
    pub(super) fn of(
        mut loader: impl Load<O>,
        memory: &Memory,
        bytes: u64,
    ) -> Result<Laid<O>, PushError> {
        let file = memory.spills.file()?;
        let mut parts = Vec::new();
        loop {
            let loaded = loader.load(bytes)?;
            if loaded.count() == 0 {
                break;
            }
            parts.push(write_part(&Ordered::<O>::of(loaded)?, &file)?.into_iter());
        }
        let parts = parts.into_iter().map(|blocks| {
            let mut cursor = PartCursor::<O> { file: &file, blocks, at: None };
            cursor.next_block()?;
            Ok::<_, PushError>(cursor)
        });
        let mut tree = LoserTree::new(parts.collect::<Result<Vec<_>, _>>()?);
        let laid = memory.spills.file()?;
        let (mut frames, mut rows, mut bytes) = (Vec::new(), 0, Vec::new());
        let mut builder = <O::Row as Record>::Builder::default();
        loop {
            let row = tree.least().and_then(PartCursor::get);
            if builder.len() == FRAME_ROWS || (row.is_none() && !builder.is_empty()) {
                bytes.clear();
                codec::encode::<O::Row>(&builder.finish(), Compression::None, &mut bytes)?;
                frames.push(laid.write(&bytes)?);
            }
            let Some(row) = row else { break };
            builder.push(row);
            rows += 1;
            tree.step(PartCursor::advance)?;
        }
        let map = laid.map()?;
        let decode = |block: &SpillBlock| {
            // SAFETY: a frame of ours, which lies in the file since.
            unsafe { codec::decode_trusted::<O::Row>(&block.of(&map)) }
        };
        let frames = frames.iter().map(decode).collect::<Result<_, _>>()?;
        Ok(Laid { frames, rows })
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The row at `at`: batch, and index.
    #[inline(always)]
    pub(super) fn find(&self, at: usize) -> (&<O::Row as Record>::Batch, usize) {
        (&self.frames[at / FRAME_ROWS], at % FRAME_ROWS)
    }

    /// The bits by which the row at `at` is ordered.
    #[inline]
    pub(super) fn order(&self, at: usize) -> u128 {
        let (batch, index) = self.find(at);
        // SAFETY: the index is within the batch.
        unsafe { O::order(batch, index) }
    }
}

/// Writes rows in their order.
fn write_part<O: RowOrder>(
    rows: &Ordered<O>,
    file: &SpillFile,
) -> Result<Vec<SpillBlock>, PushError> {
    let mut writer = BlockWriter::new(file);
    let mut builder = <O::Row as Record>::Builder::default();
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    for at in 0..rows.len() {
        rows.prefetch(at + 8);
        let row = rows.get(at);
        bytes += O::Row::approximate_bytes(row);
        builder.push(row);
        // Small blocks: there is one of each part in memory when they are merged.
        if bytes >= BLOCK_BYTES / 4 || builder.len() == FRAME_ROWS * 16 {
            blocks.push(writer.write::<O::Row>(&[], &builder.finish())?);
            bytes = 0;
        }
    }
    if !builder.is_empty() {
        blocks.push(writer.write::<O::Row>(&[], &builder.finish())?);
    }
    Ok(blocks)
}

/// Where a part stands.
struct PartCursor<'f, O: RowOrder> {
    file: &'f SpillFile,
    blocks: std::vec::IntoIter<SpillBlock>,
    /// The batch, the row of it, and by what that is ordered; `None` at the end.
    at: Option<(<O::Row as Record>::Batch, usize, u128)>,
}

impl<O: RowOrder> PartCursor<'_, O> {
    fn get(&self) -> Option<<O::Row as Record>::View<'_>> {
        // SAFETY: it stands at a row of the batch.
        self.at.as_ref().map(|(batch, index, _)| unsafe { batch.get_unchecked(*index) })
    }

    fn next_block(&mut self) -> Result<(), PushError> {
        self.at = match self.blocks.next() {
            Some(block) => {
                let batch = spill::read::<O::Row>(self.file, block)?.1;
                // SAFETY: a block has rows.
                let order = unsafe { O::order(&batch, 0) };
                Some((batch, 0, order))
            }
            None => None,
        };
        Ok(())
    }

    fn advance(&mut self) -> Result<(), PushError> {
        if let Some((batch, index, _)) = &self.at
            && index + 1 < batch.len()
        {
            let next = index + 1;
            // SAFETY: checked just above.
            let order = unsafe { O::order(batch, next) };
            if let Some((_, index, of)) = &mut self.at {
                (*index, *of) = (next, order);
            }
            return Ok(());
        }
        self.next_block()
    }
}

impl<O: RowOrder> Cursor for PartCursor<'_, O> {
    fn is_done(&self) -> bool {
        self.at.is_none()
    }

    fn compare(&self, other: &Self) -> Ordering {
        let (Some((a, a_at, a_order)), Some((b, b_at, b_order))) = (&self.at, &other.at) else {
            return Ordering::Equal;
        };
        if !O::SORTED {
            return Ordering::Equal;
        }
        // SAFETY: both stand at rows of their batches.
        a_order.cmp(b_order).then_with(|| unsafe { O::compare((a, *a_at), (b, *b_at)) })
    }
}
