//! Reads rows of a row group: the columns that predicates need first, and the others only where rows pass.
//!
//! What is decoded of the others is a function of the rows that pass: if they are few and lie together, only these are;
//! else all are, since stepping over single rows takes longer than to decode them. No column is decoded twice.

use super::bind::{Binding, Dictionaries};
use super::chunks::{CHUNK_MAX, Chunk, Chunks};
use super::file::ParquetFile;
use super::rows::Rows;
use crate::columns::Predicate;
use crate::formats::bind::bind_error;
use crate::location::Location;
use crate::place::{self, DescribeRow};
use crate::push::{Demand, Push, Selection};
use crate::record::{Batch, Builder, Record, fields_of};
use crate::source::SourceError;
use crate::storage::Begun;
use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

/// The most rows of which columns are held while others are not decoded yet: more are decoded column beside column.
const HELD_ROWS_MAX: u64 = 1 << 20;

/// The rows that are decoded in the time that it takes to step over some and begin anew.
const STEP_ROWS: u64 = 8;

/// If of the first rows at most one in so many passes, those that do not are not held.
const THIN_ONE_IN: u64 = 4;

/// Rows of a row group, and how they are read.
pub(super) struct Lane<T: Record> {
    pub(super) file: Arc<ParquetFile>,
    /// With the types in which the row group's columns are decoded.
    pub(super) reader: ArrowReaderMetadata,
    pub(super) binding: Binding,
    /// What holds of all rows that are given.
    pub(super) predicates: Vec<Arc<Predicate<T>>>,
    pub(super) group: usize,
    /// All rows of the row group.
    pub(super) total: u64,
    /// Where the row group begins in the file, in rows.
    pub(super) first: u64,
    pub(super) rows: Rows,
    /// The rows in a batch.
    pub(super) batch: usize,
    /// Where the row group's chunks are shared with its other lanes.
    pub(super) shared: Option<Arc<Chunks>>,
}

/// A lane that is ready to be read.
pub(super) struct Ready<T: Record> {
    lane: Lane<T>,
    /// Of the columns that are decoded first.
    decoder: Decoder,
    /// These columns, and the leaves that are decoded later; `None` if all are decoded side by side.
    late: Option<(Binding, Vec<usize>)>,
}

impl<T: Record> Ready<T> {
    /// Asks for the bytes that are read first, without waiting for them, if they are at most so many; gives how many.
    pub(super) fn fetch(&mut self, most: u64) -> Result<u64, SourceError> {
        self.decoder.fetch(most)
    }

    /// Gives the rows for which the predicates hold; how many were left out because one does not.
    pub(super) fn read(self, out: &mut dyn Push<T>) -> Result<u64, SourceError> {
        match self.late {
            Some((ahead, others)) => self.lane.read_late(self.decoder, &ahead, &others, out),
            None => self.lane.read_at_once(self.decoder, out),
        }
    }
}

impl<T: Record> Lane<T> {
    /// Decides how it is read.
    pub(super) fn ready(self) -> Result<Ready<T>, SourceError> {
        let columns: BTreeSet<&str> =
            self.predicates.iter().flat_map(|predicate| predicate.columns()).collect();
        let mut late = None;
        if !columns.is_empty() && self.rows.count() <= HELD_ROWS_MAX {
            let ahead = self.binding.only(&columns, blank::<T>(self.batch));
            let others: Vec<usize> =
                self.binding.leaves.iter().copied().filter(|l| !ahead.leaves.contains(l)).collect();
            if !ahead.leaves.is_empty() && !others.is_empty() {
                late = Some((ahead, others));
            }
        }
        let first = late.as_ref().map_or(&self.binding, |(ahead, _)| ahead);
        let decoder = self.decoder(&first.leaves, &self.rows)?;
        Ok(Ready { lane: self, decoder, late })
    }

    /// All columns side by side.
    fn read_at_once(
        &self,
        mut decoder: Decoder,
        out: &mut dyn Push<T>,
    ) -> Result<u64, SourceError> {
        let (mut dictionaries, mut passed) = (Dictionaries::default(), Vec::new());
        let (mut at, mut left_out) = (0, 0);
        while let Some(decoded) = decoder.next()? {
            let batch = self.bind(&self.binding, decoded, &mut dictionaries, &self.rows, at)?;
            self.select(&batch, &mut passed);
            left_out += (batch.len() - passed.len()) as u64;
            if self.push(&batch, &passed, &self.rows, at, out)? == Demand::Enough {
                return Ok(left_out);
            }
            at += batch.len() as u64;
        }
        self.all_there(at, &self.rows)?;
        Ok(left_out)
    }

    /// The columns of `ahead`, then the `others`.
    fn read_late(
        &self,
        mut decoder: Decoder,
        ahead: &Binding,
        others: &[usize],
        out: &mut dyn Push<T>,
    ) -> Result<u64, SourceError> {
        let (mut dictionaries, mut rows) = (Dictionaries::default(), Vec::new());
        let (mut at, mut passed, mut held) = (0, Vec::new(), Vec::new());
        // If few pass, only they are held, so that the memory of one batch is near when the next one is decoded.
        let mut thin = false;
        while let Some(decoded) = decoder.next()? {
            let batch = self.bind(ahead, decoded.clone(), &mut dictionaries, &self.rows, at)?;
            self.select(&batch, &mut rows);
            if at == 0 {
                thin = rows.len() as u64 * THIN_ONE_IN <= batch.len() as u64;
            }
            passed.extend(rows.iter().map(|row| at as u32 + row));
            at += batch.len() as u64;
            drop(batch);
            held.push(if thin { self.some(&decoded, &rows)? } else { decoded });
        }
        drop(decoder);
        self.all_there(at, &self.rows)?;
        let left_out = at - passed.len() as u64;
        if passed.is_empty() {
            return Ok(left_out);
        }
        let dear = |rows: u64, runs: u64| rows + rows / 4 + STEP_ROWS * runs;
        // Most often so many pass that it need not be known how they lie.
        let few = (thin || dear(passed.len() as u64, 1) <= at).then(|| self.rows.at(&passed));
        let alone = few.as_ref().filter(|few| dear(few.count(), few.runs() as u64) <= at).is_some();
        if alone && !thin {
            held = self.some_of_all(held, &passed)?;
        }
        let mut held = Held(held.into());
        // The rows that are given, of which each batch has those that pass, and the rows that are decoded.
        let given = few.as_ref().filter(|_| alone || thin).unwrap_or(&self.rows);
        let mut decoder = self.decoder(others, if alone { given } else { &self.rows })?;
        let (mut dictionaries, mut selected, mut schema) =
            (Dictionaries::default(), Vec::new(), None);
        let (mut at, mut next) = (0, 0);
        while let Some(decoded) = decoder.next()? {
            let count = decoded.num_rows();
            let end = at + count as u64;
            let first = if alone || thin { next as u64 } else { at };
            selected.clear();
            let decoded = if alone {
                next += count;
                decoded
            } else {
                let these = passed[next..].partition_point(|&row| u64::from(row) < end);
                selected.extend(passed[next..next + these].iter().map(|&row| row - at as u32));
                next += these;
                if thin { self.some(&decoded, &selected)? } else { decoded }
            };
            at = end;
            let rows = decoded.num_rows();
            let ahead = held.take(rows).map_err(|e| self.file.damaged(e))?;
            if alone || thin {
                selected.clear();
                selected.extend(0..rows as u32);
            }
            if !selected.is_empty() {
                let whole =
                    beside(ahead, decoded, &mut schema).map_err(|e| self.file.damaged(e))?;
                let batch = self.bind(&self.binding, whole, &mut dictionaries, given, first)?;
                if self.push(&batch, &selected, given, first, out)? == Demand::Enough {
                    return Ok(left_out);
                }
            }
        }
        self.all_there(at, if alone { given } else { &self.rows })?;
        Ok(left_out)
    }

    /// Some rows of a batch.
    fn some(&self, batch: &RecordBatch, rows: &[u32]) -> Result<RecordBatch, SourceError> {
        let rows = UInt32Array::from(rows.to_vec());
        take_record_batch(batch, &rows).map_err(|e| self.file.damaged(e))
    }

    /// Those rows of batches, as numbered from the first on.
    fn some_of_all(
        &self,
        batches: Vec<RecordBatch>,
        mut rows: &[u32],
    ) -> Result<Vec<RecordBatch>, SourceError> {
        let (mut all, mut first) = (Vec::new(), 0);
        for batch in batches {
            let end = first + batch.num_rows() as u32;
            let (these, others) = rows.split_at(rows.partition_point(|&row| row < end));
            let within: Vec<u32> = these.iter().map(|row| row - first).collect();
            all.push(self.some(&batch, &within)?);
            (first, rows) = (end, others);
        }
        Ok(all)
    }

    /// Decodes these leaves of these rows.
    fn decoder(&self, leaves: &[usize], rows: &Rows) -> Result<Decoder, SourceError> {
        let mask = ProjectionMask::leaves(self.reader.parquet_schema(), leaves.iter().copied());
        let mut builder = ParquetPushDecoderBuilder::new_with_metadata(self.reader.clone())
            .with_projection(mask)
            .with_row_groups(vec![self.group])
            .with_batch_size(self.batch);
        if let Some(selection) = rows.selection(self.total) {
            builder = builder.with_row_selection(selection);
        }
        let decoder = builder.build().map_err(|e| self.file.damaged(e))?;
        let shared = self.shared.as_ref().map(|chunks| {
            let group = self.reader.metadata().row_group(self.group);
            let range = |&leaf: &usize| {
                let (start, length) = group.column(leaf).byte_range();
                start..start + length
            };
            let ranges = leaves.iter().map(range);
            (chunks.clone(), ranges.filter(|r| r.end - r.start <= CHUNK_MAX).collect())
        });
        Ok(Decoder { file: self.file.clone(), decoder, shared, begun: None, step: None })
    }

    /// The records of a batch that begins with the `at`-th of `rows`.
    fn bind(
        &self,
        binding: &Binding,
        decoded: RecordBatch,
        dictionaries: &mut Dictionaries,
        rows: &Rows,
        at: u64,
    ) -> Result<T::Batch, SourceError> {
        binding.batch::<T>(decoded, dictionaries).map_err(|error| {
            let row_of = |row: usize| (self.first + rows.nth(at + row as u64)) as usize;
            bind_error(&self.file.object.location, error.at_row(row_of), 0)
        })
    }

    /// The rows of a batch for which all predicates hold.
    fn select(&self, batch: &T::Batch, passed: &mut Vec<u32>) {
        let Some((first, others)) = self.predicates.split_first() else {
            passed.clear();
            passed.extend(0..batch.len() as u32);
            return;
        };
        first.select(batch, Selection::All, passed);
        for predicate in others {
            let some = std::mem::take(passed);
            predicate.select(batch, Selection::Rows(&some), passed);
        }
    }

    /// Passes on the selected records of a batch that begins with the `at`-th of `rows`.
    fn push(
        &self,
        batch: &T::Batch,
        selected: &[u32],
        rows: &Rows,
        at: u64,
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        let selection = match selected.len() {
            0 => return Ok(Demand::More),
            all if all == batch.len() => Selection::All,
            _ => Selection::Rows(selected),
        };
        let describe = || describe_rows(&self.file.object.location, self.first, rows, at);
        Ok(place::push_selected(out, batch, selection, &describe)?)
    }

    fn all_there(&self, found: u64, rows: &Rows) -> Result<(), SourceError> {
        match rows.count().checked_sub(found) {
            Some(0) => Ok(()),
            Some(missing) => {
                let group = self.group;
                Err(self.file.damaged(format!("{missing} rows of row group {group} are missing")))
            }
            None => Err(self.file.damaged(format!("row group {} has too many rows", self.group))),
        }
    }
}

fn describe_rows(location: &Location, first: u64, rows: &Rows, at: u64) -> DescribeRow {
    let (location, rows) = (location.to_string(), rows.clone());
    Box::new(move |row| format!("{location}, row {}", first + rows.nth(at + row as u64)))
}

/// Something for each field of the record, by its name, in so many rows.
fn blank<T: Record>(rows: usize) -> BTreeMap<String, ArrayRef> {
    let mut builder = T::Builder::default();
    (0..rows).for_each(|_| builder.push_blank());
    let array = builder.finish().to_array();
    let columns = array.as_struct_opt().map_or(&[][..], |columns| columns.columns());
    let names = fields_of::<T>();
    names.iter().map(|field| field.name().clone()).zip(columns.iter().cloned()).collect()
}

/// Columns of some rows, a batch at a time.
struct Decoder {
    file: Arc<ParquetFile>,
    decoder: ParquetPushDecoder,
    /// Chunks that other lanes need too, and where they are in the file.
    shared: Option<(Arc<Chunks>, Vec<Range<u64>>)>,
    /// Bytes that were asked for.
    begun: Option<Asked>,
    /// What the decoder said when that was done.
    step: Option<DecodeResult<RecordBatch>>,
}

/// Bytes that were asked for.
enum Asked {
    Own(Begun),
    /// Within these chunks.
    Shared(Vec<Chunk>),
}

impl Decoder {
    /// Asks for the bytes at these ranges; `None` where there is nothing to wait for.
    fn ask(&self, ranges: &[Range<u64>]) -> Result<Option<Asked>, SourceError> {
        if let Some((chunks, all)) = &self.shared {
            let within = |range: &Range<u64>, chunk: &Range<u64>| {
                chunk.start <= range.start && range.end <= chunk.end
            };
            let needed = all.iter().filter(|chunk| ranges.iter().any(|range| within(range, chunk)));
            let needed: Vec<Range<u64>> = needed.cloned().collect();
            if ranges.iter().all(|range| needed.iter().any(|chunk| within(range, chunk)))
                && let Some(chunks) = self.file.begin_chunks(chunks, &needed)?
            {
                return Ok(Some(Asked::Shared(chunks)));
            }
        }
        Ok(self.file.begin(ranges)?.map(Asked::Own))
    }

    /// Asks for the bytes that it needs first, if they are at most so many; gives how many.
    fn fetch(&mut self, most: u64) -> Result<u64, SourceError> {
        let step = self.file.decode(|| self.decoder.try_decode())?;
        let mut bytes = 0;
        if let DecodeResult::NeedsData(ranges) = &step {
            let all = ranges.iter().map(|range| range.end.saturating_sub(range.start)).sum();
            if all <= most {
                self.begun = self.ask(ranges)?;
                bytes = all;
            }
        }
        self.step = Some(step);
        Ok(bytes)
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            let step = match self.step.take() {
                Some(step) => step,
                None => self.file.decode(|| self.decoder.try_decode())?,
            };
            match step {
                DecodeResult::NeedsData(ranges) => {
                    let asked = match self.begun.take() {
                        Some(asked) => Some(asked),
                        None => self.ask(&ranges)?,
                    };
                    let bytes = match asked {
                        Some(Asked::Own(begun)) => self.file.wait(&ranges, begun)?,
                        Some(Asked::Shared(chunks)) => self.file.within_chunks(&ranges, &chunks)?,
                        None => self.file.fetch(&ranges)?,
                    };
                    self.decoder.push_ranges(ranges, bytes).map_err(|e| self.file.damaged(e))?;
                }
                DecodeResult::Data(decoded) => return Ok(Some(decoded)),
                DecodeResult::Finished => return Ok(None),
            }
        }
    }
}

/// Columns that were decoded ahead of others.
struct Held(VecDeque<RecordBatch>);

impl Held {
    /// The next rows, so many.
    fn take(&mut self, rows: usize) -> Result<RecordBatch, ArrowError> {
        let (mut pieces, mut left) = (Vec::new(), rows);
        while left > 0 {
            let Some(batch) = self.0.pop_front() else {
                let reason = "its columns have different numbers of rows".to_string();
                return Err(ArrowError::InvalidArgumentError(reason));
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let count = left.min(batch.num_rows());
            if count < batch.num_rows() {
                self.0.push_front(batch.slice(count, batch.num_rows() - count));
                pieces.push(batch.slice(0, count));
            } else {
                pieces.push(batch);
            }
            left -= count;
        }
        match pieces.as_slice() {
            [one] => Ok(one.clone()),
            // Nothing will be made of it.
            [] => Ok(RecordBatch::new_empty(Arc::new(Schema::empty()))),
            [first, ..] => concat_batches(first.schema_ref(), &pieces),
        }
    }
}

/// The columns of two batches; `schema` is made once.
fn beside(
    a: RecordBatch,
    b: RecordBatch,
    schema: &mut Option<SchemaRef>,
) -> Result<RecordBatch, ArrowError> {
    let schema = schema.get_or_insert_with(|| {
        let fields = a.schema_ref().fields().iter().chain(b.schema_ref().fields());
        Arc::new(Schema::new(fields.cloned().collect::<Vec<_>>()))
    });
    let columns = a.columns().iter().chain(b.columns()).cloned().collect();
    RecordBatch::try_new(schema.clone(), columns)
}
