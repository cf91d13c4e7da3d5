//! One Parquet file in the making.

use super::super::bind::leaf_count;
use super::columns::value_bytes;
use super::options::Options;
use crate::push::PushError;
use arrow::array::{Array, RecordBatch};
use arrow::compute::concat;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowSchemaConverter;
use parquet::arrow::arrow_writer::{ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::errors::ParquetError;
use parquet::file::writer::SerializedFileWriter;
use rayon::prelude::*;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// The rows that are given to the encoders at a time. Pages and dictionaries may end only between them or at marks
/// inside them, so the number is part of what a file's bytes depend on.
pub(super) const BLOCK_ROWS: usize = 8192;

/// The blocks that are encoded side by side, a column on a thread.
const BLOCKS_AT_ONCE: usize = 8;

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

/// A file in the making, whose rows come as Arrow columns of one schema.
pub(crate) struct PartEncoder {
    schema: SchemaRef,
    options: Arc<Options>,
    /// Rows that were added.
    rows: u64,
    /// Batches that are not in blocks yet.
    pending: VecDeque<RecordBatch>,
    pending_rows: usize,
    /// Blocks of the row group that are not encoded yet.
    blocks: Vec<RecordBatch>,
    file: Option<OpenFile>,
    group: Option<OpenGroup>,
    /// Bytes that were written.
    written: u64,
}

impl PartEncoder {
    pub(super) fn new(schema: SchemaRef, options: Arc<Options>) -> PartEncoder {
        PartEncoder {
            schema,
            options,
            rows: 0,
            pending: VecDeque::new(),
            pending_rows: 0,
            blocks: Vec::new(),
            file: None,
            group: None,
            written: 0,
        }
    }

    /// Rows that were added so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows, which come into the file with [`PartEncoder::step`].
    pub(crate) fn add(&mut self, batch: RecordBatch) {
        self.rows += batch.num_rows() as u64;
        self.pending_rows += batch.num_rows();
        self.pending.push_back(batch);
    }

    /// Takes a block of the added rows, if there is a whole one; `false` if there is not.
    pub(crate) fn step(&mut self, file: &mut dyn Write) -> Result<bool, PushError> {
        if self.pending_rows < BLOCK_ROWS {
            return Ok(false);
        }
        let block = self.cut_block(BLOCK_ROWS)?;
        self.add_block(block, file)?;
        Ok(true)
    }

    /// Whether the file has the size that it is to have. A function of the rows alone: it is looked at after so many
    /// blocks, when all are encoded.
    pub(super) fn is_full(&self) -> bool {
        let Some(most) = self.options.file_bytes else { return false };
        let encoded = |group: &OpenGroup| {
            let writers = group.columns.iter().flatten();
            writers.map(|writer| writer.get_estimated_total_bytes() as u64).sum()
        };
        let open: u64 = self.group.as_ref().map_or(0, encoded);
        self.blocks.is_empty() && self.written + open >= most
    }

    /// The rows that are in no block yet: they go into another file.
    pub(super) fn take_pending(&mut self) -> VecDeque<RecordBatch> {
        self.rows -= self.pending_rows as u64;
        self.pending_rows = 0;
        std::mem::take(&mut self.pending)
    }

    /// Writes what is left, and the end of the file.
    pub(crate) fn finish(mut self, file: &mut dyn Write) -> Result<(), PushError> {
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

    fn file(&mut self) -> Result<&mut OpenFile, PushError> {
        if self.file.is_none() {
            let descriptor = ArrowSchemaConverter::new().convert(&self.schema)?;
            let properties = self.options.properties(&descriptor);
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
        let full = group.rows >= self.options.group_rows || group.bytes >= self.options.group_bytes;
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
        let bytes = open.outbox.take();
        self.written += bytes.len() as u64;
        Ok(file.write_all(&bytes)?)
    }
}
