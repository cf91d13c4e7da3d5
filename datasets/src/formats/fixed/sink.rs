//! Writes records of one length.

use crate::push::{PushError, Selection};
use crate::record::FixedColumn;
use crate::sink::{EncodeLane, EncodePart, Sink};
use arrow::buffer::Buffer;
use std::io::Write;

/// A batch of fewer bytes is copied rather than kept.
const KEEP_BYTES: usize = 16 << 10;

/// Writes records of `N` bytes, one right after the other.
#[derive(Clone, Debug)]
pub struct FixedSink<const N: usize> {
    extension: String,
}

impl<const N: usize> FixedSink<N> {
    /// A sink for files `part-….bin`.
    pub fn new() -> FixedSink<N> {
        FixedSink { extension: "bin".to_string() }
    }

    /// The same with another extension.
    #[must_use]
    pub fn with_extension(self, extension: impl Into<String>) -> FixedSink<N> {
        FixedSink { extension: extension.into() }
    }
}

impl<const N: usize> Default for FixedSink<N> {
    fn default() -> FixedSink<N> {
        FixedSink::new()
    }
}

/// The records of a lane: the buffers of whole batches as they came, and copies of the rest.
#[derive(Debug, Default)]
pub struct FixedChunk {
    pieces: Vec<Buffer>,
}

impl<const N: usize> Sink for FixedSink<N> {
    type Item = [u8; N];
    type Chunk = FixedChunk;

    fn format(&self) -> String {
        format!("records of {N} bytes")
    }

    fn extension(&self) -> String {
        self.extension.clone()
    }

    fn lane(&self) -> Box<dyn EncodeLane<[u8; N], FixedChunk>> {
        Box::new(FixedLane::default())
    }

    fn part(&self) -> Box<dyn EncodePart<FixedChunk>> {
        Box::new(FixedPart)
    }

    fn pieces<'a>(&self, chunk: &'a FixedChunk) -> Option<Vec<&'a [u8]>> {
        Some(chunk.pieces.iter().map(Buffer::as_slice).collect())
    }
}

#[derive(Default)]
struct FixedLane {
    pieces: Vec<Buffer>,
    /// What comes behind the pieces.
    copied: Vec<u8>,
}

impl FixedLane {
    fn close_copied(&mut self) {
        if !self.copied.is_empty() {
            self.pieces.push(Buffer::from_vec(std::mem::take(&mut self.copied)));
        }
    }
}

impl<const N: usize> EncodeLane<[u8; N], FixedChunk> for FixedLane {
    fn batch(&mut self, batch: &FixedColumn<N>, selection: Selection<'_>) -> Result<(), PushError> {
        match selection {
            // As many ascending indexes as there are records are all of them.
            Selection::Rows(rows) if rows.len() < batch.values().len() => {
                let values = batch.values();
                self.copied.reserve(rows.len() * N);
                for &row in rows {
                    self.copied.extend_from_slice(&values[row as usize]);
                }
            }
            _ if batch.buffer().len() < KEEP_BYTES => {
                self.copied.extend_from_slice(batch.buffer());
            }
            _ => {
                self.close_copied();
                self.pieces.push(batch.buffer().clone());
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<FixedChunk, PushError> {
        self.close_copied();
        Ok(FixedChunk { pieces: self.pieces })
    }
}

struct FixedPart;

impl EncodePart<FixedChunk> for FixedPart {
    fn write(&mut self, chunk: FixedChunk, file: &mut dyn Write) -> Result<(), PushError> {
        for piece in &chunk.pieces {
            file.write_all(piece)?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, _file: &mut dyn Write) -> Result<(), PushError> {
        Ok(())
    }
}
