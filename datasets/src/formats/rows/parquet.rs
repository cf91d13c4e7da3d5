//! Writes rows as Parquet files.

use crate::formats::columns::columns_of;
use crate::formats::parquet::ParquetCompression;
use crate::push::{PushError, Selection};
use crate::record::{Row, RowBatch};
use crate::sink::{EncodeLane, EncodePart, Sink};
use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::io::Write;
use std::sync::Arc;

/// The rows in a page at most, so that lanes which read the file have whole pages.
const PAGE_ROWS: usize = 16_384;

/// The rows in a row group at most.
const GROUP_ROWS: usize = 1 << 20;

/// The rows that are encoded at a time: pages end between them.
const BLOCK_ROWS: usize = 8192;

/// Writes rows as Parquet, with the columns that they have.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowsParquetSink {
    compression: ParquetCompression,
}

impl RowsParquetSink {
    /// A sink for files `part-….parquet`.
    pub fn new(compression: ParquetCompression) -> RowsParquetSink {
        RowsParquetSink { compression }
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
        let compression = match self.compression {
            ParquetCompression::None => Compression::UNCOMPRESSED,
            ParquetCompression::Snappy => Compression::SNAPPY,
            _ => Compression::ZSTD(ZstdLevel::default()),
        };
        Box::new(Part { compression, writer: None, pending: Vec::new(), rows: 0 })
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
    compression: Compression,
    /// Writes into memory, of which what is there is passed on.
    writer: Option<ArrowWriter<Vec<u8>>>,
    /// Rows that make no block yet.
    pending: Vec<RecordBatch>,
    rows: usize,
}

impl Part {
    fn writer(&mut self, schema: SchemaRef) -> Result<&mut ArrowWriter<Vec<u8>>, PushError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let properties = WriterProperties::builder()
                    .set_created_by(
                        concat!("windrow version ", env!("CARGO_PKG_VERSION")).to_string(),
                    )
                    .set_data_page_row_count_limit(PAGE_ROWS)
                    .set_max_row_group_row_count(Some(GROUP_ROWS))
                    .set_compression(self.compression);
                ArrowWriter::try_new(Vec::new(), schema, Some(properties.build()))?
            }
        };
        Ok(self.writer.insert(writer))
    }

    /// Encodes the rows that wait.
    fn block(&mut self, file: &mut dyn Write) -> Result<(), PushError> {
        let pending = std::mem::take(&mut self.pending);
        self.rows = 0;
        let Some(first) = pending.first() else { return Ok(()) };
        let block = arrow::compute::concat_batches(&first.schema(), &pending)?;
        let writer = self.writer(first.schema())?;
        writer.write(&block)?;
        let bytes = writer.inner_mut();
        file.write_all(bytes)?;
        bytes.clear();
        Ok(())
    }
}

impl EncodePart<RowsChunk> for Part {
    fn write(&mut self, chunk: RowsChunk, file: &mut dyn Write) -> Result<(), PushError> {
        for mut batch in chunk.batches {
            // What a block is must not depend on how rows came in batches.
            while batch.num_rows() > 0 {
                let rows = batch.num_rows().min(BLOCK_ROWS - self.rows);
                self.pending.push(batch.slice(0, rows));
                self.rows += rows;
                batch = batch.slice(rows, batch.num_rows() - rows);
                if self.rows == BLOCK_ROWS {
                    self.block(file)?;
                }
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError> {
        self.block(file)?;
        // Without a row nobody knows the columns.
        self.writer(Arc::new(Schema::empty()))?;
        if let Some(writer) = self.writer.take() {
            file.write_all(&writer.into_inner()?)?;
        }
        Ok(())
    }
}
