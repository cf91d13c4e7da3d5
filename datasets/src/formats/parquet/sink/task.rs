//! The files of a task that may have several: one after the other in each folder.

use super::ParquetChunk;
use super::options::Options;
use super::part::PartEncoder;
use super::partitions::{Group, Piece};
use crate::commit::{AttemptFiles, PartFile};
use crate::push::PushError;
use crate::sink::EncodeTask;
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// How many files are begun together where folders are known in advance.
const ANNOUNCED: usize = 64;

/// The files of one folder, one after the other; at most one is open.
struct Files {
    schema: SchemaRef,
    options: Arc<Options>,
    open: Option<(PartEncoder, PartFile)>,
}

impl Files {
    fn new(schema: SchemaRef, options: Arc<Options>) -> Files {
        Files { schema, options, open: None }
    }

    /// The file that is open; one is begun if none is.
    fn open(
        &mut self,
        folder: &str,
        files: &mut AttemptFiles,
    ) -> Result<&mut (PartEncoder, PartFile), PushError> {
        match &mut self.open {
            Some(open) => Ok(open),
            none => {
                let encoder = PartEncoder::new(self.schema.clone(), self.options.clone());
                Ok(none.insert((encoder, files.next(folder)?)))
            }
        }
    }

    /// Appends rows, and goes on to another file whenever one has its size.
    fn write(
        &mut self,
        folder: &str,
        batch: RecordBatch,
        files: &mut AttemptFiles,
    ) -> Result<(), PushError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        self.open(folder, files)?.0.add(batch);
        loop {
            let (encoder, file) = self.open(folder, files)?;
            if !encoder.step(file)? {
                return Ok(());
            }
            if encoder.is_full() {
                let rest = encoder.take_pending();
                self.end(files)?;
                if rest.is_empty() {
                    return Ok(());
                }
                let (encoder, _) = self.open(folder, files)?;
                rest.into_iter().for_each(|batch| encoder.add(batch));
            }
        }
    }

    /// Ends the file that is open.
    fn end(&mut self, files: &mut AttemptFiles) -> Result<(), PushError> {
        let Some((encoder, mut file)) = self.open.take() else { return Ok(()) };
        let rows = encoder.rows();
        encoder.finish(&mut file)?;
        Ok(files.end(file, rows)?)
    }
}

/// A task whose files end when they have their size.
pub(super) struct Rolling {
    files: Files,
    begun: bool,
}

impl Rolling {
    pub(super) fn new(schema: SchemaRef, options: Arc<Options>) -> Rolling {
        Rolling { files: Files::new(schema, options), begun: false }
    }
}

impl EncodeTask<ParquetChunk> for Rolling {
    fn write(
        &mut self,
        chunk: ParquetChunk,
        _rows: u64,
        files: &mut AttemptFiles,
    ) -> Result<(), PushError> {
        for columns in chunk.batches {
            let batch = RecordBatch::try_new(self.files.schema.clone(), columns)?;
            self.begun |= batch.num_rows() > 0;
            self.files.write("", batch, files)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, files: &mut AttemptFiles) -> Result<(), PushError> {
        if !self.begun {
            // A task without records is a file without records.
            self.files.open("", files)?;
        }
        self.files.end(files)
    }
}

/// The rows of a partition that are set aside.
struct Aside {
    folder: Arc<str>,
    rows: Vec<Rows>,
}

/// Some of the rows of a piece. They become arrays of their own when they are written, which costs more memory than the
/// rows where they are few.
struct Rows {
    columns: Arc<[ArrayRef]>,
    range: Range<usize>,
}

impl Rows {
    fn batch(&self, schema: &SchemaRef) -> Result<RecordBatch, PushError> {
        let slice = |column: &ArrayRef| column.slice(self.range.start, self.range.len());
        let columns = self.columns.iter().map(slice).collect();
        Ok(RecordBatch::try_new(schema.clone(), columns)?)
    }
}

/// A task whose rows go into folders. They are set aside by partition; when there are too many, and at the end, each
/// partition becomes a file, in the order of the keys. The file of the partition that came last stays open, since more
/// of it may come: so sorted rows give few files. What decides is a function of the rows alone.
pub(super) struct Partitioned {
    schema: SchemaRef,
    options: Arc<Options>,
    aside: BTreeMap<Arc<[u8]>, Aside>,
    bytes: usize,
    /// The key of the last row that was set aside.
    last: Option<Arc<[u8]>>,
    /// The partition whose file is open.
    open: Option<(Arc<[u8]>, Files)>,
}

impl Partitioned {
    pub(super) fn new(schema: SchemaRef, options: Arc<Options>) -> Partitioned {
        let aside = BTreeMap::new();
        Partitioned { schema, options, aside, bytes: 0, last: None, open: None }
    }

    fn set_aside(&mut self, piece: Piece) {
        let Piece { columns, groups, bytes, last } = piece;
        self.bytes += bytes;
        self.last = groups.get(last).map(|group| group.key.clone());
        for Group { key, folder, rows: range } in groups {
            let aside = self.aside.entry(key).or_insert(Aside { folder, rows: Vec::new() });
            aside.rows.push(Rows { columns: columns.clone(), range });
        }
    }

    /// Writes all that was set aside.
    fn write_aside(&mut self, files: &mut AttemptFiles) -> Result<(), PushError> {
        self.bytes = 0;
        let mut aside = std::mem::take(&mut self.aside);
        if let Some((key, open)) = &mut self.open {
            // It goes on; and it is the end of it unless it came last.
            if let Some(Aside { folder, rows }) = aside.remove(key) {
                for rows in rows {
                    open.write(&folder, rows.batch(&self.schema)?, files)?;
                }
            }
            if self.last.as_ref() != Some(key) {
                open.end(files)?;
                self.open = None;
            }
        }
        let last = self.last.as_ref().and_then(|key| aside.remove_entry(key));
        let mut left: Vec<(Arc<[u8]>, Aside)> = aside.into_iter().chain(last).collect();
        while !left.is_empty() {
            let rest = left.split_off(left.len().min(ANNOUNCED));
            let folders: Vec<&str> = left.iter().map(|(_, aside)| &*aside.folder).collect();
            files.announce(&folders)?;
            for (key, Aside { folder, rows }) in std::mem::replace(&mut left, rest) {
                let mut own = Files::new(self.schema.clone(), self.options.clone());
                for rows in rows {
                    own.write(&folder, rows.batch(&self.schema)?, files)?;
                }
                if self.last.as_ref() == Some(&key) {
                    self.open = Some((key, own));
                } else {
                    own.end(files)?;
                }
            }
        }
        Ok(())
    }
}

impl EncodeTask<ParquetChunk> for Partitioned {
    fn write(
        &mut self,
        chunk: ParquetChunk,
        _rows: u64,
        files: &mut AttemptFiles,
    ) -> Result<(), PushError> {
        for piece in chunk.pieces {
            self.set_aside(piece);
            if self.bytes >= self.options.buffer_bytes {
                self.write_aside(files)?;
            }
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>, files: &mut AttemptFiles) -> Result<(), PushError> {
        self.write_aside(files)?;
        match &mut self.open {
            Some((_, open)) => open.end(files),
            None => Ok(()),
        }
    }
}
