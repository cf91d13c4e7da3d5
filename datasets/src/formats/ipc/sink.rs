//! Writes records as Arrow IPC files.

use crate::formats::columns::{columns_of, known_columns, plain_fields};
use crate::formats::rows::file_of_rows;
use crate::push::{PushError, Selection};
use crate::record::Record;
use crate::sink::{EncodeLane, EncodePart, EncodeTask, Sink, one_part};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::CompressionType;
use arrow::ipc::writer::{FileWriter, IpcWriteOptions};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::marker::PhantomData;
use std::sync::Arc;

/// The rows in a record batch at most.
const BLOCK_ROWS: usize = 65_536;

/// The bytes of text in a record batch at most; offsets into it have 31 bits.
const BLOCK_BYTES: usize = 512 << 20;

/// How the buffers of Arrow IPC files are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IpcCompression {
    /// Not at all.
    #[default]
    None,
    /// As lz4 frames.
    Lz4,
    /// As zstd, level 3.
    Zstd,
}

/// Writes records in the file format, text and bytes in the layout that all readers know. Record batches have up to 65,536
/// rows and end with lanes.
#[derive(Clone, Debug)]
pub struct IpcSink<T> {
    compression: IpcCompression,
    record: PhantomData<fn(T)>,
}

impl<T: Record> IpcSink<T> {
    /// A sink for files `part-….arrow`.
    pub fn new() -> IpcSink<T> {
        IpcSink { compression: IpcCompression::None, record: PhantomData }
    }

    /// The same, compressed.
    #[must_use]
    pub fn with_compression(self, compression: IpcCompression) -> Self {
        Self { compression, ..self }
    }
}

impl<T: Record> Default for IpcSink<T> {
    fn default() -> IpcSink<T> {
        IpcSink::new()
    }
}

/// The records of a lane as record batches.
#[derive(Debug, Default)]
pub struct IpcChunk {
    blocks: Vec<RecordBatch>,
}

impl<T: Record> Sink for IpcSink<T> {
    type Item = T;
    type Chunk = IpcChunk;

    fn format(&self) -> String {
        "ipc".to_string()
    }

    fn extension(&self) -> String {
        "arrow".to_string()
    }

    fn lane(&self) -> Box<dyn EncodeLane<T, IpcChunk>> {
        Box::new(IpcLane::default())
    }

    fn task(&self) -> Box<dyn EncodeTask<IpcChunk>> {
        match known_columns::<T>() {
            Some(_) => one_part(self.part()),
            None => file_of_rows(self.part()),
        }
    }

    fn part(&self) -> Box<dyn EncodePart<IpcChunk>> {
        let plain = |schema: SchemaRef| Arc::new(Schema::new(plain_fields(schema.fields())));
        let schema = known_columns::<T>().map(plain);
        Box::new(IpcPart { schema, compression: self.compression, writer: None })
    }
}

#[derive(Default)]
struct IpcLane {
    blocks: Vec<RecordBatch>,
    pending: Vec<RecordBatch>,
    rows: usize,
}

impl IpcLane {
    fn add(&mut self, columns: &RecordBatch) -> Result<(), PushError> {
        let fields = plain_fields(columns.schema_ref().fields());
        let arrays = columns.columns().iter().zip(&fields);
        let arrays = arrays.map(|(array, field)| cast(array, field.data_type()));
        let arrays = arrays.collect::<Result<Vec<_>, _>>()?;
        let mut batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?;
        while batch.num_rows() > 0 {
            let rows = batch.num_rows().min(BLOCK_ROWS - self.rows);
            self.rows += rows;
            self.pending.push(batch.slice(0, rows));
            batch = batch.slice(rows, batch.num_rows() - rows);
            if self.rows == BLOCK_ROWS {
                self.end_block()?;
            }
        }
        Ok(())
    }

    fn end_block(&mut self) -> Result<(), PushError> {
        let rows = std::mem::take(&mut self.rows);
        join(&std::mem::take(&mut self.pending), rows, &mut self.blocks)
    }
}

/// Appends these rows as one record batch, or as halves where they have too much text for one.
fn join(
    batches: &[RecordBatch],
    rows: usize,
    blocks: &mut Vec<RecordBatch>,
) -> Result<(), PushError> {
    let Some(first) = batches.first() else { return Ok(()) };
    let text: usize = batches.iter().flat_map(RecordBatch::columns).map(text_bytes).sum();
    if rows == 1 || text <= BLOCK_BYTES {
        blocks.push(concat_batches(&first.schema(), batches)?);
        return Ok(());
    }
    let (mut halves, mut before) = ([Vec::new(), Vec::new()], 0);
    for batch in batches {
        let cut = (rows / 2).saturating_sub(before).min(batch.num_rows());
        halves[0].push(batch.slice(0, cut));
        halves[1].push(batch.slice(cut, batch.num_rows() - cut));
        before += batch.num_rows();
    }
    join(&halves[0], rows / 2, blocks)?;
    join(&halves[1], rows - rows / 2, blocks)
}

/// The bytes of text and of binary values of an array in the plain layout.
fn text_bytes(array: &ArrayRef) -> usize {
    let span = |offsets: &[i32]| match offsets {
        [first, .., last] => (*first as usize, (last - first) as usize),
        _ => (0, 0),
    };
    match array.data_type() {
        DataType::Utf8 => span(array.as_string::<i32>().value_offsets()).1,
        DataType::Binary => span(array.as_binary::<i32>().value_offsets()).1,
        DataType::Struct(_) => array.as_struct().columns().iter().map(text_bytes).sum(),
        DataType::List(_) => {
            let lists = array.as_list::<i32>();
            let (first, len) = span(lists.value_offsets());
            text_bytes(&lists.values().slice(first, len))
        }
        _ => 0,
    }
}

impl<T: Record> EncodeLane<T, IpcChunk> for IpcLane {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError> {
        match columns_of::<T>(batch, selection)? {
            Some(columns) => self.add(&columns),
            None => Ok(()),
        }
    }

    fn finish(mut self: Box<Self>) -> Result<IpcChunk, PushError> {
        self.end_block()?;
        Ok(IpcChunk { blocks: self.blocks })
    }
}

struct IpcPart {
    /// Of rows, that of the first; without a row nobody knows the columns.
    schema: Option<SchemaRef>,
    compression: IpcCompression,
    /// Writes into memory, of which what is there is passed on.
    writer: Option<FileWriter<Vec<u8>>>,
}

impl IpcPart {
    fn writer(&mut self) -> Result<&mut FileWriter<Vec<u8>>, PushError> {
        let writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                let compression = match self.compression {
                    IpcCompression::None => None,
                    IpcCompression::Lz4 => Some(CompressionType::LZ4_FRAME),
                    IpcCompression::Zstd => Some(CompressionType::ZSTD),
                };
                let options = IpcWriteOptions::default().try_with_compression(compression)?;
                let none = || Arc::new(Schema::empty());
                let schema = self.schema.get_or_insert_with(none);
                FileWriter::try_new_with_options(Vec::new(), schema, options)?
            }
        };
        Ok(self.writer.insert(writer))
    }
}

/// Passes on what was written into memory.
fn pass(writer: &mut FileWriter<Vec<u8>>, file: &mut dyn Write) -> Result<(), PushError> {
    file.write_all(writer.get_ref())?;
    writer.get_mut().clear();
    Ok(())
}

impl EncodePart<IpcChunk> for IpcPart {
    fn write(&mut self, chunk: IpcChunk, file: &mut dyn Write) -> Result<(), PushError> {
        for block in chunk.blocks {
            self.schema.get_or_insert_with(|| block.schema());
            let writer = self.writer()?;
            writer.write(&block)?;
            pass(writer, file)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError> {
        let writer = self.writer()?;
        writer.finish()?;
        pass(writer, file)
    }
}
