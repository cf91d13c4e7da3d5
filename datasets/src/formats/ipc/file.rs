//! Arrow IPC files and streams: footers, messages, and what of them is believed.
//!
//! Messages of a file are checked before they are decoded: what a length says is memory that the decoder asks for.

use crate::formats::files::cut_short;
use crate::source::SourceError;
use crate::storage::{Object, ReadAt, Storage};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::convert::try_fb_to_schema;
use arrow::ipc::reader::{FileDecoder, read_footer_length};
use arrow::ipc::{Block, MessageHeader, MetadataVersion, root_as_footer, root_as_message};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What a file in the file format begins and ends with.
pub(crate) const MAGIC: &[u8] = b"ARROW1";

/// The bytes behind a footer: its length and the magic.
const TRAILER: u64 = 10;

/// The most that one record batch may take in memory, in bytes: a compressed buffer says itself how long it becomes.
const BATCH_BYTES_MAX: u64 = 1 << 30;

/// An open file.
pub(crate) struct IpcFile {
    pub(crate) object: Object,
    file: Box<dyn ReadAt>,
}

/// What the footer of a file says.
pub(crate) struct Footer {
    pub(crate) schema: SchemaRef,
    version: MetadataVersion,
    dictionaries: Vec<Block>,
    pub(crate) batches: Vec<Block>,
}

impl IpcFile {
    pub(crate) fn open(storage: &Storage, object: &Object) -> Result<IpcFile, SourceError> {
        Ok(IpcFile { object: object.clone(), file: storage.open_listed(object)? })
    }

    /// The error of a file that is not what it should be.
    pub(crate) fn damaged(&self, error: impl std::fmt::Display) -> SourceError {
        let reason = format!(
            "is no Arrow IPC file, or is cut short or damaged: {error}; copy it again, or leave it out by a pattern (*.arrow)"
        );
        SourceError::Input { location: self.object.location.to_string(), reason }
    }

    /// Runs a step of a decoder, which may fail or panic when the file is damaged.
    pub(crate) fn decode<R>(
        &self,
        step: impl FnOnce() -> Result<R, ArrowError>,
    ) -> Result<R, SourceError> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(done) => done.map_err(|e| self.damaged(e)),
            Err(_) => Err(self.damaged("the decoder gave up on what it found")),
        }
    }

    /// The bytes of a range.
    pub(crate) fn bytes(&self, range: Range<u64>) -> Result<Vec<u8>, SourceError> {
        if range.start > range.end || range.end > self.object.size {
            let reason = format!("it names bytes {range:?} of {}", self.object.size);
            return Err(self.damaged(reason));
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let count = self.file.read_at(range.start, &mut bytes)?;
        if count < bytes.len() {
            let end = range.start + count as u64;
            return Err(cut_short(&self.object.location, self.object.size, end).into());
        }
        Ok(bytes)
    }

    /// Whether it is in the file format; otherwise it can only be a stream.
    pub(crate) fn is_file(&self) -> Result<bool, SourceError> {
        let head = self.bytes(0..self.object.size.min(MAGIC.len() as u64))?;
        Ok(head == MAGIC)
    }

    /// Reads the footer of a file in the file format.
    pub(crate) fn footer(&self) -> Result<Footer, SourceError> {
        let size = self.object.size;
        let Some(end) = size.checked_sub(TRAILER) else {
            return Err(self.damaged("there is no footer"));
        };
        let trailer = self.bytes(end..size)?;
        let trailer = trailer.first_chunk().copied().unwrap_or_default();
        let len = self.decode(|| read_footer_length(trailer))? as u64;
        let Some(start) = end.checked_sub(len) else {
            return Err(self.damaged(format!("its footer has {len} bytes, and the file {size}")));
        };
        let bytes = self.bytes(start..end)?;
        let footer = root_as_footer(&bytes).map_err(|e| self.damaged(e))?;
        let Some(schema) = footer.schema() else {
            return Err(self.damaged("its footer has no schema"));
        };
        let schema = Arc::new(self.decode(|| try_fb_to_schema(schema))?);
        let dictionaries = footer.dictionaries().iter().flatten().copied().collect();
        let batches = footer.recordBatches().iter().flatten().copied().collect();
        Ok(Footer { schema, version: footer.version(), dictionaries, batches })
    }

    /// A decoder of record batches that knows all dictionaries.
    pub(crate) fn decoder(
        &self,
        footer: &Footer,
        columns: Vec<usize>,
    ) -> Result<FileDecoder, SourceError> {
        let decoder = FileDecoder::new(footer.schema.clone(), footer.version);
        let mut decoder = decoder.with_projection(columns);
        for block in &footer.dictionaries {
            let bytes = self.block(block)?;
            self.decode(|| decoder.read_dictionary(block, &bytes))?;
        }
        Ok(decoder)
    }

    /// The record batch of a block.
    pub(crate) fn batch(
        &self,
        decoder: &FileDecoder,
        block: &Block,
    ) -> Result<Option<RecordBatch>, SourceError> {
        let bytes = self.block(block)?;
        self.decode(|| decoder.read_record_batch(block, &bytes))
    }

    /// The bytes of a block, which are believed as far as it matters.
    fn block(&self, block: &Block) -> Result<Buffer, SourceError> {
        let part = |len: i64| u64::try_from(len).ok();
        let parts = (
            part(block.offset()),
            part(i64::from(block.metaDataLength())),
            part(block.bodyLength()),
        );
        let (Some(offset), Some(metadata), Some(body)) = parts else {
            return Err(self.damaged("a block of its footer has a negative length"));
        };
        let end = offset.checked_add(metadata).and_then(|end| end.checked_add(body));
        let Some(end) = end.filter(|end| *end <= self.object.size && metadata >= 8) else {
            let reason = format!("a record batch is not within its {} bytes", self.object.size);
            return Err(self.damaged(reason));
        };
        let bytes = self.bytes(offset..end)?;
        let (message, body) = bytes.split_at(metadata as usize);
        // The length stands in front, since format 0.15 behind a marker.
        let skip = if message.starts_with(&[0xff; 4]) { 8 } else { 4 };
        self.check_message(&message[skip..], Some(body))?;
        Ok(Buffer::from_vec(bytes))
    }

    /// Whether a message can be decoded within bounds; its body, if it is there already.
    pub(crate) fn check_message(
        &self,
        message: &[u8],
        body: Option<&[u8]>,
    ) -> Result<(), SourceError> {
        let message = root_as_message(message).map_err(|e| self.damaged(e))?;
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => {
                message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data())
            }
            _ => None,
        };
        let (Some(batch), Some(body)) = (batch, body) else { return Ok(()) };
        for buffer in batch.buffers().iter().flatten() {
            let (start, len) = (buffer.offset(), buffer.length());
            let inside = start >= 0 && len >= 0;
            if !inside || start.checked_add(len).is_none_or(|end| end as u64 > body.len() as u64) {
                return Err(self.damaged("a buffer is not within its record batch"));
            }
        }
        if batch.compression().is_none() {
            return Ok(());
        }
        let mut total = 0u64;
        for buffer in batch.buffers().iter().flatten().filter(|buffer| buffer.length() > 0) {
            let start = usize::try_from(buffer.offset()).ok();
            let prefix = start.and_then(|start| body.get(start..)?.first_chunk::<8>());
            let Some(prefix) = prefix else {
                return Err(self.damaged("a buffer is not within its record batch"));
            };
            // -1 says that this buffer is not compressed.
            total = total.saturating_add(i64::from_le_bytes(*prefix).max(0) as u64);
        }
        if total > BATCH_BYTES_MAX {
            return Err(self.damaged(format!(
                "a record batch says that it takes {total} bytes, and {BATCH_BYTES_MAX} is the most; write it with smaller ones"
            )));
        }
        Ok(())
    }
}
