//! Runs in scratch: all that were in memory at one moment, by bucket.
//!
//! A block of a bucket has rows of several runs, in order, and says in its head which: rank, number and count for each.

use super::Placed;
use super::lane::Run;
use super::order::RowOrder;
use crate::shuffle::spill::{self, BLOCK_BYTES, BlockWriter};
use std::marker::PhantomData;
use std::ops::Range;
use windrow_datasets::push::PushError;
use windrow_datasets::spill::{SpillBlock, SpillFile, Spills};
use windrow_datasets::{Batch, Builder, Record};

/// The most rows of a block.
const BLOCK_ROWS: usize = if cfg!(test) { 5 } else { 1 << 16 };

/// See the module.
pub(super) struct Generation<O> {
    file: SpillFile,
    blocks: Vec<Written>,
    /// Where the blocks of each bucket begin, and the end.
    starts: Vec<u32>,
    order: PhantomData<fn() -> O>,
}

/// A block that was written.
struct Written {
    block: SpillBlock,
    rows: u32,
    /// About how many bytes the rows have.
    bytes: u32,
}

/// Rows of one lane that follow one another: in a run, where the next run of the lane may be another piece.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// The rank of the lane, and the number of the run in it: pieces are in order by these.
    pub(super) place: (u64, u64),
    /// Which of the runs at hand it is in.
    pub(super) run: u32,
    pub(super) from: u32,
    pub(super) to: u32,
}

impl<O: RowOrder> Generation<O> {
    /// Writes runs, which are in order.
    pub(super) fn write(
        spills: &Spills,
        runs: &[Placed<O::Row>],
        buckets: u32,
    ) -> Result<Generation<O>, PushError> {
        let file = spills.file()?;
        let (mut blocks, mut starts) = (Vec::new(), vec![0]);
        let mut writer = BlockWriter::new(&file);
        let mut block = Block::<O::Row>::default();
        for bucket in 0..buckets {
            for placed in runs {
                for row in placed.run.rows_of(bucket) {
                    // SAFETY: a run has the rows that its offsets name.
                    block.push(placed.place(), unsafe { placed.run.batch.get_unchecked(row) });
                    if block.is_full() {
                        blocks.push(block.write(&mut writer)?);
                    }
                }
            }
            if !block.is_empty() {
                blocks.push(block.write(&mut writer)?);
            }
            let end = u32::try_from(blocks.len()).map_err(|_| "over 2^32 blocks were spilled")?;
            starts.push(end);
        }
        drop(writer);
        Ok(Generation { file, blocks, starts, order: PhantomData })
    }

    /// Which blocks have rows of a bucket, in order.
    pub(super) fn blocks_of(&self, bucket: u32) -> Range<usize> {
        let at = bucket as usize;
        self.starts[at] as usize..self.starts[at + 1] as usize
    }

    /// About how many bytes the rows of a block have.
    pub(super) fn bytes_of(&self, block: usize) -> u64 {
        u64::from(self.blocks[block].bytes)
    }

    /// The number of a bucket's rows, and about how many bytes they have.
    pub(super) fn size_of(&self, bucket: u32) -> (u64, u64) {
        let blocks = &self.blocks[self.blocks_of(bucket)];
        let add = |sum: (u64, u64), block: &Written| {
            (sum.0 + u64::from(block.rows), sum.1 + u64::from(block.bytes))
        };
        blocks.iter().fold((0, 0), add)
    }

    /// Reads a block: its rows, and the pieces that they are.
    pub(super) fn read(&self, block: usize) -> Result<(Run<O::Row>, Vec<Piece>), PushError> {
        let (head, batch) = spill::read::<O::Row>(&self.file, self.blocks[block].block)?;
        let rows = Batch::<O::Row>::len(&batch);
        let (mut pieces, mut from) = (Vec::new(), 0);
        for part in head.chunks_exact(3) {
            let to = from + part[2] as u32;
            pieces.push(Piece { place: (part[0], part[1]), run: 0, from, to });
            from = to;
        }
        if from as usize != rows {
            return Err(format!("a block of {rows} rows names {from} of them").into());
        }
        Ok((Run::decoded(batch)?, pieces))
    }

    /// Tells the system that a bucket will be read soon.
    pub(super) fn expect(&self, bucket: u32) {
        let blocks = &self.blocks[self.blocks_of(bucket)];
        blocks.iter().for_each(|written| self.file.expect(written.block));
    }
}

/// A block in the making.
struct Block<T: Record> {
    builder: T::Builder,
    bytes: usize,
    /// Rank, number and count for each piece.
    head: Vec<u64>,
}

impl<T: Record> Default for Block<T> {
    fn default() -> Self {
        Block { builder: T::Builder::default(), bytes: 0, head: Vec::new() }
    }
}

impl<T: Record> Block<T> {
    #[inline(always)]
    fn push(&mut self, (rank, number): (u64, u64), view: T::View<'_>) {
        self.bytes += T::approximate_bytes(view);
        self.builder.push(view);
        match &mut self.head[..] {
            [.., last_rank, last_number, count] if (*last_rank, *last_number) == (rank, number) => {
                *count += 1;
            }
            _ => self.head.extend([rank, number, 1]),
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= BLOCK_BYTES || self.builder.len() >= BLOCK_ROWS
    }

    fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    fn write(&mut self, writer: &mut BlockWriter<'_>) -> Result<Written, PushError> {
        let rows = self.builder.len() as u32;
        let bytes = u32::try_from(std::mem::take(&mut self.bytes)).unwrap_or(u32::MAX);
        let block = writer.write::<T>(&self.head, &self.builder.finish())?;
        self.head.clear();
        Ok(Written { block, rows, bytes })
    }
}
