//! Writes records as CSV files.

use super::CsvOptions;
use crate::formats::columns::{columns_of, for_text};
use crate::formats::compression::TextCompression;
use crate::push::{PushError, Selection};
use crate::record::{Record, schema_of};
use crate::sink::{EncodeLane, EncodePart, Sink};
use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::Schema;
use std::io::Write;
use std::marker::PhantomData;

/// Writes a row a record, below a header. Values are quoted where they must be; lists and structs cannot be written.
#[derive(Clone, Debug)]
pub struct CsvSink<T> {
    options: CsvOptions,
    compression: TextCompression,
    record: PhantomData<fn(T)>,
}

impl<T: Record> CsvSink<T> {
    /// A sink for files `part-….csv`.
    pub fn new() -> CsvSink<T> {
        CsvSink {
            options: CsvOptions::new(),
            compression: TextCompression::None,
            record: PhantomData,
        }
    }

    /// The same, written down in another way.
    #[must_use]
    pub fn with_options(self, options: CsvOptions) -> Self {
        Self { options, ..self }
    }

    /// The same, compressed.
    #[must_use]
    pub fn with_compression(self, compression: TextCompression) -> Self {
        Self { compression, ..self }
    }
}

impl<T: Record> Default for CsvSink<T> {
    fn default() -> CsvSink<T> {
        CsvSink::new()
    }
}

/// The rows of a lane.
#[derive(Debug, Default)]
pub struct CsvChunk {
    rows: Vec<u8>,
}

impl<T: Record> Sink for CsvSink<T> {
    type Item = T;
    type Chunk = CsvChunk;

    fn format(&self) -> String {
        "csv".to_string()
    }

    fn extension(&self) -> String {
        self.compression.extension("csv")
    }

    fn lane(&self) -> Box<dyn EncodeLane<T, CsvChunk>> {
        Box::new(CsvLane {
            writer: CsvWriter { options: self.options.clone(), header: false },
            compression: self.compression,
            rows: Vec::new(),
        })
    }

    fn part(&self) -> Box<dyn EncodePart<CsvChunk>> {
        let header = self.options.header.then(|| schema_of::<T>());
        let writer = CsvWriter { options: self.options.clone(), header: true };
        Box::new(CsvPart {
            header: header.map(|schema| (writer, schema.as_ref().clone())),
            compression: self.compression,
        })
    }
}

/// Rows as text.
struct CsvWriter {
    options: CsvOptions,
    header: bool,
}

impl CsvWriter {
    fn write(&self, batch: &RecordBatch, text: &mut Vec<u8>) -> Result<(), PushError> {
        let mut writer = WriterBuilder::new()
            .with_header(self.header)
            .with_delimiter(self.options.delimiter)
            .with_quote(self.options.quote)
            .with_null(self.options.null.clone());
        if let Some(escape) = self.options.escape {
            writer = writer.with_escape(escape).with_double_quote(false);
        }
        Ok(writer.build(text).write(batch)?)
    }
}

struct CsvLane {
    writer: CsvWriter,
    compression: TextCompression,
    rows: Vec<u8>,
}

impl<T: Record> EncodeLane<T, CsvChunk> for CsvLane {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError> {
        match columns_of::<T>(batch, selection)? {
            Some(columns) => self.writer.write(&for_text(columns)?, &mut self.rows),
            None => Ok(()),
        }
    }

    fn finish(self: Box<Self>) -> Result<CsvChunk, PushError> {
        Ok(CsvChunk { rows: self.compression.compress(self.rows)? })
    }
}

struct CsvPart {
    /// Until it is written.
    header: Option<(CsvWriter, Schema)>,
    compression: TextCompression,
}

impl CsvPart {
    fn begin(&mut self, file: &mut dyn Write) -> Result<(), PushError> {
        if let Some((writer, schema)) = self.header.take() {
            let mut header = Vec::new();
            writer.write(&for_text(RecordBatch::new_empty(schema.into()))?, &mut header)?;
            file.write_all(&self.compression.compress(header)?)?;
        }
        Ok(())
    }
}

impl EncodePart<CsvChunk> for CsvPart {
    fn write(&mut self, chunk: CsvChunk, file: &mut dyn Write) -> Result<(), PushError> {
        self.begin(file)?;
        Ok(file.write_all(&chunk.rows)?)
    }

    fn finish(mut self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError> {
        self.begin(file)
    }
}
