//! Parquet files: footers, and the bytes that a decoder asks for.

use super::encrypted::is_encrypted;
use crate::formats::files::cut_short;
use crate::source::SourceError;
use crate::storage::{Object, ReadAt, Storage};
use bytes::Bytes;
use parquet::DecodeResult;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataPushDecoder};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

/// The footers that are remembered.
const REMEMBERED: usize = 16;

/// An open Parquet file.
pub(crate) struct ParquetFile {
    pub(crate) object: Object,
    file: Box<dyn ReadAt>,
}

impl ParquetFile {
    pub(crate) fn open(storage: &Storage, object: &Object) -> Result<ParquetFile, SourceError> {
        Ok(ParquetFile { object: object.clone(), file: storage.open_listed(object)? })
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
        let read = self.file.read_ranges(ranges)?;
        for (range, bytes) in ranges.iter().zip(&read) {
            let end = range.start + bytes.len() as u64;
            if end < range.end {
                return Err(cut_short(&self.object.location, self.object.size, end).into());
            }
        }
        Ok(read)
    }

    /// Reads the footer and the offsets of pages.
    pub(crate) fn footer(&self) -> Result<ParquetMetaData, SourceError> {
        let decoder = ParquetMetaDataPushDecoder::try_new(self.object.size);
        let mut decoder = decoder
            .map_err(|e| self.damaged(e))?
            .with_column_index_policy(PageIndexPolicy::Skip)
            .with_offset_index_policy(PageIndexPolicy::Optional);
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
