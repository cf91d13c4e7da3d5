//! Writes records as JSON lines.

use crate::formats::columns::{columns_of, for_text};
use crate::formats::compression::TextCompression;
use crate::push::{PushError, Selection};
use crate::record::Record;
use crate::sink::{EncodeLane, EncodePart, Sink};
use arrow::json::WriterBuilder;
use arrow::json::writer::LineDelimited;
use std::io::Write;
use std::marker::PhantomData;

/// Writes an object on a line for each record. Bytes are hexadecimal digits; floats that JSON does not have (not a
/// number, infinity) are null.
#[derive(Clone, Debug)]
pub struct JsonSink<T> {
    compression: TextCompression,
    record: PhantomData<fn(T)>,
}

impl<T: Record> JsonSink<T> {
    /// A sink for files `part-….json`.
    pub fn new() -> JsonSink<T> {
        JsonSink { compression: TextCompression::None, record: PhantomData }
    }

    /// The same, compressed.
    #[must_use]
    pub fn with_compression(self, compression: TextCompression) -> Self {
        Self { compression, ..self }
    }
}

impl<T: Record> Default for JsonSink<T> {
    fn default() -> JsonSink<T> {
        JsonSink::new()
    }
}

impl<T: Record> Sink for JsonSink<T> {
    type Item = T;
    type Chunk = Vec<u8>;

    fn format(&self) -> String {
        "json".to_string()
    }

    fn extension(&self) -> String {
        self.compression.extension("json")
    }

    fn lane(&self) -> Box<dyn EncodeLane<T, Vec<u8>>> {
        Box::new(JsonLane { compression: self.compression, lines: Vec::new() })
    }

    fn part(&self) -> Box<dyn EncodePart<Vec<u8>>> {
        Box::new(JsonPart)
    }

    fn pieces<'a>(&self, chunk: &'a Vec<u8>) -> Option<Vec<&'a [u8]>> {
        Some(vec![chunk])
    }
}

struct JsonLane {
    compression: TextCompression,
    lines: Vec<u8>,
}

impl<T: Record> EncodeLane<T, Vec<u8>> for JsonLane {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError> {
        if let Some(columns) = columns_of::<T>(batch, selection)? {
            let writer = WriterBuilder::new().with_explicit_nulls(true);
            let mut writer = writer.build::<_, LineDelimited>(&mut self.lines);
            writer.write(&for_text(columns)?)?;
            writer.finish()?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, PushError> {
        Ok(self.compression.compress(self.lines)?)
    }
}

struct JsonPart;

impl EncodePart<Vec<u8>> for JsonPart {
    fn write(&mut self, chunk: Vec<u8>, file: &mut dyn Write) -> Result<(), PushError> {
        Ok(file.write_all(&chunk)?)
    }

    fn finish(self: Box<Self>, _file: &mut dyn Write) -> Result<(), PushError> {
        Ok(())
    }
}
