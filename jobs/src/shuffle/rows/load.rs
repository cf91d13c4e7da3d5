//! The rows of a bucket, brought together from memory and scratch, or from the blocks of other processes, in the order of
//! the lanes: all at once, or as much at a time as there is room for.

use super::lane::Run;
use super::order::RowOrder;
use super::spilled::{Generation, Piece};
use super::{RowsStore, Sealed};
use crate::shuffle::merge::{Cursor, LoserTree};
use arrow::buffer::Buffer;
use std::cmp::Ordering;
use std::ops::Range;
use std::sync::Arc;
use windrow_datasets::Record;
use windrow_datasets::codec;
use windrow_datasets::push::PushError;

/// What a row that is at hand takes besides its own bytes: its entry and its place.
const BYTES_A_ROW: u64 = 16 + 8;

/// Runs that have rows of a bucket: those that a store has in memory, and behind them those that were read for it.
pub(super) struct Runs<O: RowOrder> {
    sealed: Option<Arc<Sealed<O>>>,
    /// How many of the store's there are.
    stored: u32,
    read: Vec<Arc<Run<O::Row>>>,
}

impl<O: RowOrder> Runs<O> {
    #[inline(always)]
    pub(super) fn get(&self, number: u32) -> &Run<O::Row> {
        match &self.sealed {
            Some(sealed) if number < self.stored => &sealed.runs[number as usize].run,
            _ => &self.read[(number - self.stored) as usize],
        }
    }
}

/// Rows at hand.
pub(super) struct Loaded<O: RowOrder> {
    pub(super) runs: Runs<O>,
    /// In the order of the lanes.
    pub(super) pieces: Vec<Piece>,
}

impl<O: RowOrder> Loaded<O> {
    /// All rows of runs that have nothing else, in order.
    pub(super) fn of_runs(runs: Vec<Run<O::Row>>) -> Self {
        let piece = |(number, run): (u32, &Run<O::Row>)| {
            let to = run.rows_of(0).end as u32;
            Piece { place: (0, u64::from(number)), run: number, from: 0, to }
        };
        let pieces = (0..).zip(&runs).map(piece).collect();
        let read = runs.into_iter().map(Arc::new).collect();
        Loaded { runs: Runs { sealed: None, stored: 0, read }, pieces }
    }

    /// The number of rows.
    pub(super) fn count(&self) -> usize {
        self.pieces.iter().map(|piece| (piece.to - piece.from) as usize).sum()
    }

    /// The rows in the order of the lanes: batch, and index.
    pub(super) fn rows(&self) -> impl Iterator<Item = (&<O::Row as Record>::Batch, usize)> {
        self.pieces.iter().flat_map(|piece| {
            let batch = &self.runs.get(piece.run).batch;
            (piece.from..piece.to).map(move |row| (batch, row as usize))
        })
    }
}

/// Gives the rows of a bucket.
pub(super) trait Load<O: RowOrder> {
    /// The rows that come next, about as many as fit so many bytes, and some at least; none once all have come.
    fn load(&mut self, most_bytes: u64) -> Result<Loaded<O>, PushError>;
}

/// Loads the rows of a bucket of a store.
pub(super) struct Loader<'s, O: RowOrder> {
    sealed: &'s Arc<Sealed<O>>,
    pieces: LoserTree<PieceCursor<'s, O>>,
}

impl<'s, O: RowOrder> Loader<'s, O> {
    /// A loader for a bucket of a store.
    pub(super) fn new(
        store: &'s RowsStore<O>,
        sealed: &'s Arc<Sealed<O>>,
        bucket: u32,
    ) -> Result<Self, PushError> {
        // Threads take one bucket after the other, so that this one comes next to this thread, or nearly.
        let next = bucket + rayon::current_num_threads() as u32;
        if next < store.buckets {
            sealed.generations.iter().for_each(|generation| generation.expect(next));
        }
        let stored = Source::Stored { sealed, bucket, next: 0 };
        let spilled = sealed.generations.iter().map(|generation| Source::Spilled {
            generation,
            blocks: generation.blocks_of(bucket),
            run: None,
            pieces: Vec::new().into_iter(),
        });
        let cursors = std::iter::once(stored).chain(spilled).map(|source| {
            let mut cursor = PieceCursor { source, piece: None };
            cursor.advance()?;
            Ok::<_, PushError>(cursor)
        });
        Ok(Loader { sealed, pieces: LoserTree::new(cursors.collect::<Result<_, _>>()?) })
    }

    /// The memory that all rows of a bucket need that are not in memory yet.
    pub(super) fn needs(sealed: &Sealed<O>, bucket: u32) -> u64 {
        let stored: u64 =
            sealed.runs.iter().map(|placed| placed.run.rows_of(bucket).len() as u64).sum();
        let spilled = sealed.generations.iter().map(|generation| {
            let (rows, bytes) = generation.size_of(bucket);
            rows * BYTES_A_ROW + bytes
        });
        stored * BYTES_A_ROW + spilled.sum::<u64>()
    }
}

impl<O: RowOrder> Load<O> for Loader<'_, O> {
    fn load(&mut self, most_bytes: u64) -> Result<Loaded<O>, PushError> {
        let stored = self.sealed.runs.len() as u32;
        let mut read: Vec<Arc<Run<O::Row>>> = Vec::new();
        let (mut pieces, mut bytes) = (Vec::new(), 0);
        while (pieces.is_empty() || bytes < most_bytes)
            && let Some((mut piece, run)) = self.pieces.least().and_then(PieceCursor::get)
        {
            bytes += u64::from(piece.to - piece.from) * BYTES_A_ROW;
            if let Some((run, run_bytes)) = run {
                // The last blocks of all generations are the only ones that may be at hand already.
                let recent = read.len().saturating_sub(self.sealed.generations.len());
                let at_hand = read[recent..].iter().position(|other| Arc::ptr_eq(other, run));
                let at = at_hand.map_or(read.len(), |at| recent + at);
                if at == read.len() {
                    read.push(run.clone());
                    bytes += run_bytes;
                }
                piece.run = stored + at as u32;
            }
            pieces.push(piece);
            self.pieces.step(PieceCursor::advance)?;
        }
        Ok(Loaded { runs: Runs { sealed: Some(self.sealed.clone()), stored, read }, pieces })
    }
}

/// Loads the rows of a bucket out of frames, which are in the order of the lanes.
pub(super) struct FrameLoader<'b> {
    rest: &'b [Buffer],
}

impl<'b> FrameLoader<'b> {
    /// A loader for frames that were verified.
    pub(super) fn new(frames: &'b [Buffer]) -> FrameLoader<'b> {
        FrameLoader { rest: frames }
    }

    /// The memory that all rows of some frames need.
    ///
    /// # Errors
    /// If one has no valid header.
    pub(super) fn needs(frames: &[Buffer]) -> Result<u64, PushError> {
        frames.iter().map(|frame| needs(frame)).sum()
    }
}

/// The memory that the rows of a frame need.
fn needs(frame: &[u8]) -> Result<u64, PushError> {
    let (rows, bytes) = codec::frame_size(frame)?;
    Ok(rows as u64 * BYTES_A_ROW + bytes as u64)
}

impl<O: RowOrder> Load<O> for FrameLoader<'_> {
    fn load(&mut self, most_bytes: u64) -> Result<Loaded<O>, PushError> {
        let (mut runs, mut bytes) = (Vec::new(), 0);
        while (runs.is_empty() || bytes < most_bytes)
            && let Some((frame, rest)) = self.rest.split_first()
        {
            self.rest = rest;
            bytes += needs(frame)?;
            let run = Run::decoded(codec::decode::<O::Row>(frame)?)?;
            // An empty one would be taken for the end.
            if !run.rows_of(0).is_empty() {
                runs.push(run);
            }
        }
        Ok(Loaded::of_runs(runs))
    }
}

/// Goes through the pieces of a bucket that one source has.
struct PieceCursor<'s, O: RowOrder> {
    source: Source<'s, O>,
    /// The piece that it stands at.
    piece: Option<Piece>,
}

enum Source<'s, O: RowOrder> {
    /// Runs in memory.
    Stored { sealed: &'s Sealed<O>, bucket: u32, next: u32 },
    /// Blocks, the pieces of one of which are at hand.
    Spilled {
        generation: &'s Generation<O>,
        blocks: Range<usize>,
        run: Option<(Arc<Run<O::Row>>, u64)>,
        pieces: std::vec::IntoIter<Piece>,
    },
}

/// A piece, and where it was read from scratch its run and the bytes of that.
type At<'c, O> = (Piece, Option<(&'c Arc<Run<<O as RowOrder>::Row>>, u64)>);

impl<O: RowOrder> PieceCursor<'_, O> {
    fn get(&self) -> Option<At<'_, O>> {
        let run = match &self.source {
            Source::Stored { .. } => None,
            Source::Spilled { run, .. } => run.as_ref().map(|(run, bytes)| (run, *bytes)),
        };
        self.piece.map(|piece| (piece, run))
    }

    fn advance(&mut self) -> Result<(), PushError> {
        self.piece = match &mut self.source {
            Source::Stored { sealed, bucket, next } => loop {
                let Some(placed) = sealed.runs.get(*next as usize) else { break None };
                let (run, Range { start, end }) = (*next, placed.run.rows_of(*bucket));
                *next += 1;
                if start < end {
                    let (from, to) = (start as u32, end as u32);
                    break Some(Piece { place: placed.place(), run, from, to });
                }
            },
            Source::Spilled { generation, blocks, run, pieces } => loop {
                if let Some(piece) = pieces.next() {
                    break Some(piece);
                }
                let Some(number) = blocks.next() else { break None };
                let (read, parts) = generation.read(number)?;
                *run = Some((Arc::new(read), generation.bytes_of(number)));
                *pieces = parts.into_iter();
            },
        };
        Ok(())
    }
}

impl<O: RowOrder> Cursor for PieceCursor<'_, O> {
    fn is_done(&self) -> bool {
        self.piece.is_none()
    }

    fn compare(&self, other: &Self) -> Ordering {
        self.piece.map(|piece| piece.place).cmp(&other.piece.map(|piece| piece.place))
    }
}
