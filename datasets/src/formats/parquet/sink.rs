//! Writes records as Parquet files.

use super::bind::leaf_count;
use crate::push::{PushError, Selection};
use crate::record::{Batch, Record, fields_of, schema_of};
use crate::sink::{EncodeLane, EncodePart, Sink};
use arrow::array::{
    Array, ArrayRef, AsArray, GenericByteViewArray, RecordBatch, StructArray, UInt32Array,
};
use arrow::compute::{concat, take};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, SchemaRef, StringViewType};
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

/// The rows that are given to the encoders at a time. Pages and dictionaries may end only between them or at marks
/// inside them, so the number is part of what a file's bytes depend on.
const BLOCK_ROWS: usize = 8192;

/// The blocks that are encoded side by side, a column on a thread.
const BLOCKS_AT_ONCE: usize = 8;

/// The rows in a page at most, so that lanes which read the file have whole pages.
const PAGE_ROWS: usize = 16_384;

/// The rows in a row group at most; whole blocks.
const GROUP_ROWS: usize = 1 << 20;

/// A row group ends with the block that brings it to so many bytes of values, before encoding.
const GROUP_BYTES: usize = 512 << 20;

/// How the pages of Parquet files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParquetCompression {
    /// Not at all.
    None,
    /// Fast to write and read.
    Snappy,
    /// As fast to read, and about a quarter smaller than Snappy; level 1.
    #[default]
    Zstd,
}

/// Writes records as Parquet, columns encoded side by side on the rayon pool.
///
/// A file's bytes are a function of its records alone, not of batches or lanes. A row group has 1,048,576 rows, or fewer where
/// these would have more than 512 MiB of values.
#[derive(Clone, Debug)]
pub struct ParquetSink<T> {
    compression: ParquetCompression,
    group_rows: usize,
    record: PhantomData<fn(T)>,
}

impl<T: Record> ParquetSink<T> {
    /// A sink for files `part-….parquet`, compressed by zstd.
    pub fn new() -> ParquetSink<T> {
        ParquetSink {
            compression: ParquetCompression::default(),
            group_rows: GROUP_ROWS,
            record: PhantomData,
        }
    }

    /// The same with this compression.
    #[must_use]
    pub fn with_compression(self, compression: ParquetCompression) -> Self {
        Self { compression, ..self }
    }

    /// The same with row groups of so many rows, rounded up to a multiple of 8,192.
    #[must_use]
    pub fn with_group_rows(self, rows: usize) -> Self {
        Self { group_rows: rows.div_ceil(BLOCK_ROWS).max(1) * BLOCK_ROWS, ..self }
    }
}

impl<T: Record> Default for ParquetSink<T> {
    fn default() -> ParquetSink<T> {
        ParquetSink::new()
    }
}

/// The records of a lane as Arrow columns.
#[derive(Debug, Default)]
pub struct ParquetChunk {
    batches: Vec<Vec<ArrayRef>>,
}

impl<T: Record> Sink for ParquetSink<T> {
    type Item = T;
    type Chunk = ParquetChunk;

    fn format(&self) -> String {
        "parquet".to_string()
    }

    fn extension(&self) -> String {
        "parquet".to_string()
    }

    fn lane(&self) -> Box<dyn EncodeLane<T, ParquetChunk>> {
        Box::new(ParquetLane { batches: Vec::new() })
    }

    fn part(&self) -> Box<dyn EncodePart<ParquetChunk>> {
        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("windrow version ", env!("CARGO_PKG_VERSION")).to_string())
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_compression(match self.compression {
                ParquetCompression::None => Compression::UNCOMPRESSED,
                ParquetCompression::Snappy => Compression::SNAPPY,
                ParquetCompression::Zstd => Compression::ZSTD(ZstdLevel::default()),
            });
        properties = properties.set_max_row_group_row_count(None);
        Box::new(ParquetPart {
            schema: schema_of::<T>(),
            properties: Some(properties.build()),
            group_rows: self.group_rows,
            pending: VecDeque::new(),
            pending_rows: 0,
            blocks: Vec::new(),
            file: None,
            group: None,
        })
    }
}

struct ParquetLane {
    batches: Vec<Vec<ArrayRef>>,
}

impl<T: Record> EncodeLane<T, ParquetChunk> for ParquetLane {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError> {
        let mut array = batch.to_array();
        if let Selection::Rows(rows) = selection
            && rows.len() < array.len()
        {
            array = take(&array, &UInt32Array::from(rows.to_vec()), None)?;
        }
        if array.is_empty() {
            return Ok(());
        }
        let columns = match (T::data_type(), array.as_struct_opt()) {
            (DataType::Struct(_), Some(columns)) => columns.columns().to_vec(),
            _ => vec![array],
        };
        debug_assert_eq!(columns.len(), fields_of::<T>().len());
        self.batches.push(columns.iter().map(without_waste).collect());
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<ParquetChunk, PushError> {
        Ok(ParquetChunk { batches: self.batches })
    }
}

/// The same array, without buffers that are mostly not its own: a batch of a text source holds all of what was read.
fn without_waste(array: &ArrayRef) -> ArrayRef {
    fn views<B: ByteViewType>(array: &GenericByteViewArray<B>) -> ArrayRef {
        let held: usize = array.data_buffers().iter().map(|buffer| buffer.len()).sum();
        let used: usize = array.views().iter().map(|&view| view as u32 as usize).sum();
        Arc::new(if held > 2 * used + 4096 { array.gc() } else { array.clone() })
    }
    match array.data_type() {
        DataType::Utf8View => views::<StringViewType>(array.as_byte_view()),
        DataType::BinaryView => views::<BinaryViewType>(array.as_byte_view()),
        DataType::Struct(fields) => {
            let columns = array.as_struct();
            let inner = columns.columns().iter().map(without_waste).collect();
            let nulls = columns.nulls().cloned();
            let rebuilt =
                StructArray::try_new_with_length(fields.clone(), inner, nulls, columns.len());
            rebuilt.map_or_else(|_| array.clone(), |rebuilt| Arc::new(rebuilt) as ArrayRef)
        }
        _ => array.clone(),
    }
}

/// The bytes of the values of an array, whatever buffers they are in.
fn value_bytes(array: &ArrayRef) -> usize {
    fn views<B: ByteViewType>(array: &GenericByteViewArray<B>) -> usize {
        array.views().iter().map(|&view| view as u32 as usize + 4).sum()
    }
    match array.data_type() {
        DataType::Utf8View => views::<StringViewType>(array.as_byte_view()),
        DataType::BinaryView => views::<BinaryViewType>(array.as_byte_view()),
        DataType::Struct(_) => array.as_struct().columns().iter().map(value_bytes).sum(),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (first, last) = (lists.offsets()[0], lists.offsets()[lists.len()]);
            let elements = lists.values().slice(first as usize, (last - first) as usize);
            value_bytes(&elements) + 4 * lists.len()
        }
        DataType::FixedSizeBinary(size) => *size as usize * array.len(),
        other => other.primitive_width().unwrap_or(1) * array.len(),
    }
}

/// Takes what the file writer writes, to be passed on.
#[derive(Clone, Default)]
struct Outbox(Arc<Mutex<Vec<u8>>>);

impl Outbox {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Outbox {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file in the making.
struct OpenFile {
    writer: SerializedFileWriter<Outbox>,
    outbox: Outbox,
    columns: ArrowRowGroupWriterFactory,
    groups: usize,
}

/// A row group in the making: the encoders of the leaves of each column.
struct OpenGroup {
    columns: Vec<Vec<ArrowColumnWriter>>,
    rows: usize,
    bytes: usize,
}

struct ParquetPart {
    schema: SchemaRef,
    /// Until the file is begun.
    properties: Option<WriterProperties>,
    group_rows: usize,
    /// Batches that are not in blocks yet.
    pending: VecDeque<RecordBatch>,
    pending_rows: usize,
    /// Blocks of the row group that are not encoded yet.
    blocks: Vec<RecordBatch>,
    file: Option<OpenFile>,
    group: Option<OpenGroup>,
}

impl ParquetPart {
    fn file(&mut self) -> Result<&mut OpenFile, PushError> {
        if let Some(properties) = self.properties.take() {
            let descriptor = ArrowSchemaConverter::new().convert(&self.schema)?;
            let outbox = Outbox::default();
            let root = descriptor.root_schema_ptr();
            let writer = SerializedFileWriter::new(outbox.clone(), root, Arc::new(properties))?;
            let columns = ArrowRowGroupWriterFactory::new(&writer, self.schema.clone());
            self.file = Some(OpenFile { writer, outbox, columns, groups: 0 });
        }
        self.file.as_mut().ok_or_else(|| "the file could not be begun before".into())
    }

    /// The first `rows` pending rows as one batch.
    fn cut_block(&mut self, rows: usize) -> Result<RecordBatch, PushError> {
        let mut pieces = Vec::new();
        let mut left = rows;
        while left > 0 {
            let Some(first) = self.pending.pop_front() else { break };
            if first.num_rows() > left {
                pieces.push(first.slice(0, left));
                self.pending.push_front(first.slice(left, first.num_rows() - left));
                left = 0;
            } else {
                left -= first.num_rows();
                pieces.push(first);
            }
        }
        self.pending_rows -= rows;
        if let [one] = pieces.as_slice() {
            return Ok(one.clone());
        }
        let columns = (0..self.schema.fields().len()).map(|column| {
            let arrays: Vec<&dyn Array> =
                pieces.iter().map(|piece| piece.column(column).as_ref()).collect();
            concat(&arrays)
        });
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        Ok(RecordBatch::try_new(self.schema.clone(), columns)?)
    }

    /// Adds a block to the row group, and ends the row group if that fills it.
    fn add_block(&mut self, block: RecordBatch, file: &mut dyn Write) -> Result<(), PushError> {
        if self.group.is_none() {
            let open = self.file()?;
            let mut writers = open.columns.create_column_writers(open.groups)?.into_iter();
            open.groups += 1;
            let columns = self.schema.fields().iter().map(|field| {
                let leaves = leaf_count(field.data_type());
                writers.by_ref().take(leaves).collect()
            });
            self.group = Some(OpenGroup { columns: columns.collect(), rows: 0, bytes: 0 });
        }
        let Some(group) = self.group.as_mut() else { return Ok(()) };
        group.rows += block.num_rows();
        group.bytes += block.columns().iter().map(value_bytes).sum::<usize>();
        let full = group.rows >= self.group_rows || group.bytes >= GROUP_BYTES;
        self.blocks.push(block);
        if full || self.blocks.len() == BLOCKS_AT_ONCE {
            self.encode()?;
        }
        if full { self.end_group(file) } else { Ok(()) }
    }

    /// Gives the blocks to the encoders, column by column.
    fn encode(&mut self) -> Result<(), PushError> {
        let blocks = std::mem::take(&mut self.blocks);
        let Some(group) = self.group.as_mut() else { return Ok(()) };
        let fields = self.schema.fields();
        let encoded: Result<(), ParquetError> =
            group.columns.par_iter_mut().enumerate().try_for_each(|(column, writers)| {
                for block in &blocks {
                    let leaves = compute_leaves(&fields[column], block.column(column))?;
                    for (leaf, writer) in leaves.iter().zip(writers.iter_mut()) {
                        writer.write(leaf)?;
                    }
                }
                Ok(())
            });
        Ok(encoded?)
    }

    /// Writes the row group.
    fn end_group(&mut self, file: &mut dyn Write) -> Result<(), PushError> {
        self.encode()?;
        let Some(group) = self.group.take() else { return Ok(()) };
        let chunks: Result<Vec<_>, ParquetError> = group
            .columns
            .into_par_iter()
            .flat_map_iter(|writers| writers.into_iter().map(ArrowColumnWriter::close))
            .collect();
        let chunks = chunks?;
        let open = self.file()?;
        let mut writer = open.writer.next_row_group()?;
        for chunk in chunks {
            chunk.append_to_row_group(&mut writer)?;
        }
        writer.close()?;
        open.writer.flush()?;
        Ok(file.write_all(&open.outbox.take())?)
    }
}

impl EncodePart<ParquetChunk> for ParquetPart {
    fn write(&mut self, chunk: ParquetChunk, file: &mut dyn Write) -> Result<(), PushError> {
        for columns in chunk.batches {
            let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
            self.pending_rows += batch.num_rows();
            self.pending.push_back(batch);
            while self.pending_rows >= BLOCK_ROWS {
                let block = self.cut_block(BLOCK_ROWS)?;
                self.add_block(block, file)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError> {
        if self.pending_rows > 0 {
            let block = self.cut_block(self.pending_rows)?;
            self.add_block(block, file)?;
        }
        self.end_group(file)?;
        self.file()?;
        let Some(OpenFile { writer, outbox, .. }) = self.file else { return Ok(()) };
        writer.close()?;
        Ok(file.write_all(&outbox.take())?)
    }
}
