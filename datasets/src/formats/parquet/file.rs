//! Parquet files: footers, and the bytes that a decoder asks for.

use super::chunks::{Chunk, Chunks};
use super::encrypted::is_encrypted;
use crate::formats::files::cut_short;
use crate::scan::Scan;
use crate::source::SourceError;
use crate::storage::{Begun, Object, ReadAt, Storage};
use bytes::Bytes;
use parquet::DecodeResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::page_index::PageIndexProvider;
use parquet::file::metadata::{
    ColumnChunkMask, PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder,
};
use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// The footers that are remembered.
const REMEMBERED: usize = 16;

/// The end of an object that is read at once, since most often all that it says of itself is in there: asking for the
/// length of the footer, for the footer, and for the offsets of pages, one after the other, takes three requests.
const TAIL_BYTES: u64 = 64 << 10;

/// An open Parquet file.
pub(crate) struct ParquetFile {
    pub(crate) object: Object,
    file: Box<dyn ReadAt>,
    storage: Storage,
}

impl ParquetFile {
    pub(crate) fn open(storage: &Storage, object: &Object) -> Result<ParquetFile, SourceError> {
        let file = storage.open_listed(object)?;
        Ok(ParquetFile { object: object.clone(), file, storage: storage.clone() })
    }

    /// The error of a file that is not what it should be.
    pub(crate) fn damaged(&self, error: impl std::fmt::Display) -> SourceError {
        let location = self.object.location.to_string();
        if is_encrypted(self) {
            let reason = "is encrypted, which Windrow does not read; write it without encryption"
                .to_string();
            return SourceError::Input { location, reason };
        }
        SourceError::Input {
            location,
            reason: format!(
                "is no Parquet file, or is cut short or damaged: {error}; copy it again, or leave it out by a pattern (*.parquet)"
            ),
        }
    }

    /// Runs a step of a decoder, which may fail or panic when the file is damaged.
    pub(crate) fn decode<T: std::fmt::Debug>(
        &self,
        step: impl FnOnce() -> Result<DecodeResult<T>, ParquetError>,
    ) -> Result<DecodeResult<T>, SourceError> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(done) => done.map_err(|e| self.damaged(e)),
            Err(_) => Err(self.damaged("the decoder gave up on what it found")),
        }
    }

    /// The bytes at these ranges.
    pub(crate) fn fetch(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, SourceError> {
        if let Some(range) = ranges.iter().find(|r| r.start > r.end || r.end > self.object.size) {
            let reason = format!("it names bytes {range:?} of {}", self.object.size);
            return Err(self.damaged(reason));
        }
        self.complete(ranges, self.file.read_ranges(ranges)?)
    }

    /// Asks for the bytes at these ranges; `None` where there is nothing to wait for.
    pub(crate) fn begin(&self, ranges: &[Range<u64>]) -> Result<Option<Begun>, SourceError> {
        Ok(self.file.begin_ranges(ranges)?)
    }

    /// The bytes at these ranges that were asked for.
    pub(crate) fn wait(
        &self,
        ranges: &[Range<u64>],
        begun: Begun,
    ) -> Result<Vec<Bytes>, SourceError> {
        self.complete(ranges, begun.wait(&self.object.location)?)
    }

    /// Asks for these chunks, if nobody has; `None` where there is nothing to wait for.
    pub(super) fn begin_chunks(
        &self,
        chunks: &Chunks,
        ranges: &[Range<u64>],
    ) -> Result<Option<Vec<Chunk>>, SourceError> {
        Ok(chunks.of(&self.object, ranges, |missing| self.file.begin_ranges(missing))?)
    }

    /// The bytes at these ranges, each of which is within one of the chunks.
    pub(super) fn within_chunks(
        &self,
        ranges: &[Range<u64>],
        chunks: &[Chunk],
    ) -> Result<Vec<Bytes>, SourceError> {
        let mut read = Vec::with_capacity(ranges.len());
        for range in ranges {
            let holds =
                |chunk: &&Chunk| chunk.range.start <= range.start && range.end <= chunk.range.end;
            let Some(chunk) = chunks.iter().find(holds) else {
                return self.fetch(ranges);
            };
            let count = |read: &[Bytes]| {
                let bytes_read = read.iter().map(|bytes| bytes.len() as u64).sum();
                self.storage.scanned(Scan { bytes_read, ..Scan::default() });
            };
            match chunk.fetch.wait(&self.object.location, count)? {
                Some(all) => {
                    let bytes = &all[chunk.at];
                    let from = ((range.start - chunk.range.start) as usize).min(bytes.len());
                    let to = ((range.end - chunk.range.start) as usize).min(bytes.len());
                    read.push(bytes.slice(from..to));
                }
                // The lane that asked for it has failed.
                None => read.extend(self.fetch(std::slice::from_ref(range))?),
            }
        }
        self.all_there(ranges, &read)?;
        Ok(read)
    }

    /// Counts what was read, and sees whether it is all there.
    fn complete(&self, ranges: &[Range<u64>], read: Vec<Bytes>) -> Result<Vec<Bytes>, SourceError> {
        let bytes_read = read.iter().map(|bytes| bytes.len() as u64).sum();
        self.storage.scanned(Scan { bytes_read, ..Scan::default() });
        self.all_there(ranges, &read)?;
        Ok(read)
    }

    /// Sees whether so much was read.
    fn all_there(&self, ranges: &[Range<u64>], read: &[Bytes]) -> Result<(), SourceError> {
        for (range, bytes) in ranges.iter().zip(read) {
            let end = range.start + bytes.len() as u64;
            if end < range.end {
                return Err(cut_short(&self.object.location, self.object.size, end).into());
            }
        }
        Ok(())
    }

    /// Reads the footer and the offsets of pages.
    pub(crate) fn footer(&self) -> Result<ParquetMetaData, SourceError> {
        let decoder = ParquetMetaDataPushDecoder::try_new(self.object.size);
        let mut decoder = decoder
            .map_err(|e| self.damaged(e))?
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Optional);
        if !self.object.location.is_local() {
            let size = self.object.size;
            let tail = size.saturating_sub(TAIL_BYTES)..size;
            let bytes = self.fetch(std::slice::from_ref(&tail))?;
            decoder.push_ranges(vec![tail], bytes).map_err(|e| self.damaged(e))?;
        }
        loop {
            match self.decode(|| decoder.try_decode())? {
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.fetch(&ranges)?;
                    decoder.push_ranges(ranges, bytes).map_err(|e| self.damaged(e))?;
                }
                DecodeResult::Data(metadata) => {
                    self.check(&metadata)?;
                    return Ok(metadata);
                }
                DecodeResult::Finished => return Err(self.damaged("there is no footer")),
            }
        }
    }

    /// The statistics of the pages of these columns (leaves) in these row groups, where there are any: one read.
    pub(crate) fn column_index(
        &self,
        metadata: &ParquetMetaData,
        groups: &[usize],
        leaves: &BTreeSet<usize>,
    ) -> Result<Option<Arc<dyn PageIndexProvider>>, SourceError> {
        let has = |group: &usize, leaf: &usize| {
            metadata.row_group(*group).column(*leaf).column_index_offset().is_some()
        };
        if !groups.iter().any(|group| leaves.iter().any(|leaf| has(group, leaf))) {
            return Ok(None);
        }
        let (groups, leaves) = (groups.iter().copied(), leaves.iter().copied());
        let decoder =
            ParquetMetaDataPushDecoder::try_new_with_metadata(self.object.size, metadata.clone());
        let mut decoder = decoder
            .map_err(|e| self.damaged(e))?
            .with_column_index_policy(PageIndexPolicy::Optional)
            .with_offset_index_policy(PageIndexPolicy::Skip)
            .with_column_index_mask(ColumnChunkMask::row_groups_and_columns(groups, leaves));
        loop {
            match self.decode(|| decoder.try_decode_page_index())? {
                DecodeResult::NeedsData(ranges) => {
                    let bytes = self.fetch(&ranges)?;
                    decoder.push_ranges(ranges, bytes).map_err(|e| self.damaged(e))?;
                }
                DecodeResult::Data((_, index)) => {
                    return Ok(index.map(|index| Arc::new(index) as _));
                }
                DecodeResult::Finished => return Ok(None),
            }
        }
    }

    /// Whether all that the footer names is in the file.
    fn check(&self, metadata: &ParquetMetaData) -> Result<(), SourceError> {
        for (number, group) in metadata.row_groups().iter().enumerate() {
            // Of a row group without rows, some writers say nothing that is true.
            if group.num_rows() == 0 {
                continue;
            }
            let inside = group.columns().iter().all(|chunk| {
                let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
                let end = start.checked_add(chunk.compressed_size());
                start >= 0
                    && chunk.data_page_offset() >= start
                    && chunk.compressed_size() >= 0
                    && end.is_some_and(|end| end as u64 <= self.object.size)
            });
            if !inside || group.num_rows() < 0 {
                let reason =
                    format!("row group {number} is not within its {} bytes", self.object.size);
                return Err(self.damaged(reason));
            }
        }
        Ok(())
    }
}

/// The footers of the files that were read last, since the lanes of a file need the same one.
#[derive(Debug, Default)]
pub(crate) struct Footers {
    recent: Mutex<Vec<(Object, Arc<ParquetMetaData>)>>,
}

impl Footers {
    /// The footer of a file.
    pub(crate) fn of(&self, file: &ParquetFile) -> Result<Arc<ParquetMetaData>, SourceError> {
        let lock = || self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, metadata)) = lock().iter().find(|(object, _)| *object == file.object) {
            return Ok(metadata.clone());
        }
        let metadata = Arc::new(file.footer()?);
        let mut recent = lock();
        recent.truncate(REMEMBERED - 1);
        recent.insert(0, (file.object.clone(), metadata.clone()));
        Ok(metadata)
    }
}
