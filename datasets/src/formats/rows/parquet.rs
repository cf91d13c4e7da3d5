//! Writes rows as Parquet files.

use super::task::file_of_rows;
use crate::formats::columns::columns_of;
use crate::formats::parquet::{ParquetSink, PartEncoder};
use crate::push::{PushError, Selection};
use crate::record::{Row, RowBatch};
use crate::sink::{EncodeLane, EncodePart, EncodeTask, Sink};
use arrow::array::RecordBatch;
use std::io::Write;

/// Writes rows as Parquet, with the columns that they have; a task without rows writes no file.
#[derive(Clone, Debug)]
pub struct RowsParquetSink {
    options: ParquetSink<Row>,
}

impl RowsParquetSink {
    /// A sink for files `part-….parquet` with the compression, the row groups and pages of another; whether those are put
    /// in folders, or are of some size, is not looked at.
    pub fn new(options: ParquetSink<Row>) -> RowsParquetSink {
        RowsParquetSink { options }
    }
}

/// The rows of a lane.
#[derive(Debug, Default)]
pub struct RowsChunk {
    batches: Vec<RecordBatch>,
}

impl Sink for RowsParquetSink {
    type Item = Row;
    type Chunk = RowsChunk;

    fn format(&self) -> String {
        "parquet".to_string()
    }

    fn extension(&self) -> String {
        "parquet".to_string()
    }

    fn lane(&self) -> Box<dyn EncodeLane<Row, RowsChunk>> {
        Box::new(Lane(RowsChunk::default()))
    }

    fn part(&self) -> Box<dyn EncodePart<RowsChunk>> {
        Box::new(Part { options: self.options.clone(), encoder: None })
    }

    fn task(&self) -> Box<dyn EncodeTask<RowsChunk>> {
        file_of_rows(self.part())
    }
}

struct Lane(RowsChunk);

impl EncodeLane<Row, RowsChunk> for Lane {
    fn batch(&mut self, batch: &RowBatch, selection: Selection<'_>) -> Result<(), PushError> {
        self.0.batches.extend(columns_of::<Row>(batch, selection)?);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<RowsChunk, PushError> {
        Ok(self.0)
    }
}

struct Part {
    options: ParquetSink<Row>,
    /// From the first row on, which tells the columns.
    encoder: Option<PartEncoder>,
}

impl EncodePart<RowsChunk> for Part {
    fn write(&mut self, chunk: RowsChunk, file: &mut dyn Write) -> Result<(), PushError> {
        for batch in chunk.batches {
            let schema = batch.schema();
            let encoder = self.encoder.get_or_insert_with(|| self.options.encoder_of(schema));
            encoder.add(batch);
            while encoder.step(file)? {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError> {
        match self.encoder {
            Some(encoder) => encoder.finish(file),
            None => Ok(()),
        }
    }
}
