//! Writes records as CSV files.

use super::CsvOptions;
use crate::formats::columns::{CannotWrite, columns_of, for_text, known_columns};
use crate::formats::compression::TextCompression;
use crate::formats::rows::file_of_rows;
use crate::push::{PushError, Selection};
use crate::record::Record;
use crate::sink::{EncodeLane, EncodePart, EncodeTask, Sink, one_part};
use arrow::array::RecordBatch;
use arrow::csv::WriterBuilder;
use arrow::datatypes::SchemaRef;
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
    /// Of rows, of which no type says it.
    schema: Option<SchemaRef>,
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
            schema: None,
        })
    }

    fn task(&self) -> Box<dyn EncodeTask<CsvChunk>> {
        match known_columns::<T>() {
            Some(_) => one_part(self.part()),
            None => file_of_rows(self.part()),
        }
    }

    fn part(&self) -> Box<dyn EncodePart<CsvChunk>> {
        let writer = CsvWriter { options: self.options.clone(), header: true };
        Box::new(CsvPart {
            header: self.options.header.then_some(writer),
            schema: known_columns::<T>(),
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
        let fields = batch.schema_ref().fields();
        if let Some(nested) = fields.iter().find(|field| field.data_type().is_nested()) {
            let (name, kind) = (nested.name(), nested.data_type());
            return Err(Box::new(CannotWrite(format!(
                "column `{name}` is {kind}, which no value of CSV is; write json, ipc or parquet"
            ))));
        }
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
    schema: Option<SchemaRef>,
}

impl<T: Record> EncodeLane<T, CsvChunk> for CsvLane {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError> {
        match columns_of::<T>(batch, selection)? {
            Some(columns) => {
                self.schema.get_or_insert_with(|| columns.schema());
                self.writer.write(&for_text(columns)?, &mut self.rows)
            }
            None => Ok(()),
        }
    }

    fn finish(self: Box<Self>) -> Result<CsvChunk, PushError> {
        Ok(CsvChunk { rows: self.compression.compress(self.rows)?, schema: self.schema })
    }
}

struct CsvPart {
    /// Until it is written.
    header: Option<CsvWriter>,
    /// Of rows, that of the first; without a row nobody knows the columns.
    schema: Option<SchemaRef>,
    compression: TextCompression,
}

impl CsvPart {
    fn begin(&mut self, file: &mut dyn Write) -> Result<(), PushError> {
        if let Some(schema) = self.schema.clone()
            && let Some(writer) = self.header.take()
        {
            let mut header = Vec::new();
            writer.write(&for_text(RecordBatch::new_empty(schema))?, &mut header)?;
            file.write_all(&self.compression.compress(header)?)?;
        }
        Ok(())
    }
}

impl EncodePart<CsvChunk> for CsvPart {
    fn write(&mut self, chunk: CsvChunk, file: &mut dyn Write) -> Result<(), PushError> {
        self.schema = self.schema.take().or(chunk.schema);
        self.begin(file)?;
        Ok(file.write_all(&chunk.rows)?)
    }

    fn finish(mut self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError> {
        self.begin(file)
    }
}
