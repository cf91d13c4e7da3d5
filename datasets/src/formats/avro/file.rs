//! Avro files: the header, and the blocks of a range of bytes.

use crate::formats::files::cut_short;
use crate::source::SourceError;
use crate::storage::{Object, ReadAt, Storage};
use arrow::error::ArrowError;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::reader::read_header_info;
use arrow_avro::schema::AvroSchema;
use std::io::{self, BufReader, Cursor, Read};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What is read at a time, in bytes.
const BLOCK: usize = 1 << 20;

/// The bytes of the mark that ends a header and each block.
pub(super) const MARK: usize = 16;

/// An open file.
pub(crate) struct AvroFile {
    pub(crate) object: Object,
    file: Box<dyn ReadAt>,
    mark: [u8; MARK],
    header: Vec<u8>,
    schema: AvroSchema,
    codec: Option<CompressionCodec>,
}

impl AvroFile {
    /// Opens a file and reads its header.
    pub(crate) fn open(storage: &Storage, object: &Object) -> Result<AvroFile, SourceError> {
        let file = storage.open_listed(object)?;
        let (object, header, mark) = (object.clone(), Vec::new(), [0; MARK]);
        let (schema, codec) = (AvroSchema::new(String::new()), None);
        let mut avro = AvroFile { object, file, mark, header, schema, codec };
        let bytes = BufReader::new(avro.bytes(0..avro.object.size));
        let info = avro.run(|| read_header_info(bytes).map_err(ArrowError::from))?;
        let (schema, codec) = avro.run(|| Ok((info.writer_schema()?, info.compression()?)))?;
        (avro.schema, avro.codec) = (schema, codec);
        let mut header = vec![0; info.header_len() as usize];
        let mut bytes = avro.bytes(0..info.header_len());
        bytes.read_exact(&mut header).map_err(|e| avro.failed(e))?;
        avro.header = header;
        avro.mark = info.sync();
        Ok(avro)
    }

    /// What ends each block.
    pub(super) fn mark(&self) -> [u8; MARK] {
        self.mark
    }

    /// What records were written by.
    pub(super) fn schema(&self) -> &AvroSchema {
        &self.schema
    }

    /// How blocks are compressed.
    pub(super) fn codec(&self) -> Option<CompressionCodec> {
        self.codec
    }

    /// The error of a file that is not what it should be.
    pub(crate) fn damaged(&self, error: impl std::fmt::Display) -> SourceError {
        let reason = format!(
            "is no Avro file, or is cut short or damaged: {error}; copy it again, or leave it out by a pattern (*.avro)"
        );
        SourceError::Input { location: self.object.location.to_string(), reason }
    }

    /// Runs a step of the decoder, which may fail or panic when the file is damaged.
    pub(crate) fn run<R>(
        &self,
        step: impl FnOnce() -> Result<R, ArrowError>,
    ) -> Result<R, SourceError> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(ArrowError::IoError(_, error))) => Err(self.failed(error)),
            Ok(Err(error)) => Err(self.damaged(error)),
            Err(_) => Err(self.damaged("the decoder gave up on what it found")),
        }
    }

    fn failed(&self, error: io::Error) -> SourceError {
        match error.downcast::<crate::storage::StorageError>() {
            Ok(storage) => storage.into(),
            Err(error) => self.damaged(error),
        }
    }

    fn bytes(&self, range: Range<u64>) -> Bytes<'_> {
        Bytes { file: self, at: range.start, end: range.end }
    }

    /// The header alone: a file without blocks.
    pub(crate) fn empty(&self) -> Cursor<&[u8]> {
        Cursor::new(&self.header)
    }

    /// The blocks whose mark in front begins in this range, and how many bytes they have.
    pub(super) fn blocks(
        &self,
        range: &Range<u64>,
    ) -> Result<(impl io::BufRead + '_, u64), SourceError> {
        let size = self.object.size;
        let start = self.behind_mark(range.start)?;
        let end = if range.end >= size { size } else { self.behind_mark(range.end)? };
        let end = end.max(start);
        Ok((BufReader::with_capacity(BLOCK, self.bytes(start..end)), end - start))
    }

    /// Where the first mark that begins at `from` or later ends; the end of the file if there is none.
    fn behind_mark(&self, from: u64) -> Result<u64, SourceError> {
        let header = self.header.len() as u64;
        if from + MARK as u64 <= header {
            return Ok(header);
        }
        let finder = memchr::memmem::Finder::new(&self.mark);
        let (mut bytes, mut text, mut at) =
            (self.bytes(from..self.object.size), Vec::<u8>::new(), from);
        loop {
            let kept = text.len().min(MARK - 1);
            text.drain(..text.len() - kept);
            let before = text.len();
            let first = at - before as u64;
            text.resize(before + BLOCK, 0);
            let count = bytes.read(&mut text[before..]).map_err(|e| self.failed(e))?;
            text.truncate(before + count);
            if let Some(found) = finder.find(&text) {
                return Ok(first + (found + MARK) as u64);
            }
            if count == 0 {
                return Ok(self.object.size);
            }
            at += count as u64;
        }
    }
}

/// The bytes of a range, in order.
struct Bytes<'a> {
    file: &'a AvroFile,
    at: u64,
    end: u64,
}

impl Read for Bytes<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let count =
            self.file.file.read_at(self.at, &mut buffer[..want]).map_err(io::Error::other)?;
        self.at += count as u64;
        if count < want {
            let object = &self.file.object;
            return Err(io::Error::other(cut_short(&object.location, object.size, self.at)));
        }
        Ok(count)
    }
}
