//! Writes records as Parquet files.
//!
//! `options` says what files are to be like, `part` makes one file, `task` the files of a task, `partitions` groups rows
//! by the folders that they go to.

mod columns;
mod options;
mod part;
mod partitions;
mod task;
#[cfg(test)]
mod tests;

pub use options::{BloomFilter, ParquetCompression, ParquetStatistics};
pub(crate) use part::PartEncoder;

use self::columns::without_waste;
use self::options::Options;
use self::partitions::{PartitionBy, PartitionedLane, Piece};
use self::task::{Partitioned, Rolling};
use crate::columns::{Cols, Columns, KeyColumns, NamedColumns};
use crate::location::glob;
use crate::push::{PushError, Selection};
use crate::record::{Batch, Record, fields_of, schema_of};
use crate::sink::{EncodeLane, EncodePart, EncodeTask, Sink};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use std::fmt::{self, Debug, Formatter};
use std::io::Write;
use std::sync::Arc;

/// Writes records as Parquet, columns encoded side by side on the rayon pool.
///
/// A file's bytes are a function of its records alone, not of batches or lanes. A row group has 1,048,576 rows, or fewer where
/// these would have more than 512 MiB of values. Files have statistics and a page index.
///
/// ```
/// use windrow_datasets::Record;
/// use windrow_datasets::formats::{BloomFilter, ParquetCompression, ParquetSink};
///
/// #[derive(Record)]
/// # #[record(crate = "windrow_datasets")]
/// struct Trip { zone: u32, payment: String, fare: f64 }
///
/// let sink = ParquetSink::<Trip>::new()
///     .with_compression(ParquetCompression::Zstd)
///     .with_compression_level(6)
///     .with_file_bytes(256 << 20)
///     .with_bloom_filter(|c| c.zone, BloomFilter::default())
///     .with_dictionary(|c| c.fare, false)
///     .with_sort_order(|c| (c.zone, c.payment));
/// # let _ = sink;
/// ```
pub struct ParquetSink<T: Record> {
    options: Arc<Options>,
    by: Option<By<T>>,
}

/// Which columns rows are put in folders by.
struct By<T: Record> {
    keys: Arc<dyn PartitionBy<T>>,
    names: Arc<[String]>,
    /// The columns that are in the files, by number.
    kept: Arc<[usize]>,
}

impl<T: Record> Clone for ParquetSink<T> {
    fn clone(&self) -> Self {
        let by = self.by.as_ref().map(|By { keys, names, kept }| By {
            keys: keys.clone(),
            names: names.clone(),
            kept: kept.clone(),
        });
        ParquetSink { options: self.options.clone(), by }
    }
}

impl<T: Record> Debug for ParquetSink<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let by = self.by.as_ref().map(|by| &by.names);
        f.debug_struct("ParquetSink").field("options", &self.options).field("by", &by).finish()
    }
}

impl<T: Record> ParquetSink<T> {
    /// A sink for files `part-….parquet`, compressed by zstd.
    pub fn new() -> ParquetSink<T> {
        ParquetSink { options: Arc::default(), by: None }
    }

    fn set(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.options));
        self
    }

    /// The same with this compression.
    #[must_use]
    pub fn with_compression(self, compression: ParquetCompression) -> Self {
        self.set(|options| options.compression = compression)
    }

    /// The same with this level of compression, or the nearest that the codec has: 1 to 22 of zstd, 0 to 9 of gzip, 0 to
    /// 11 of brotli. Others have none.
    #[must_use]
    pub fn with_compression_level(self, level: u32) -> Self {
        self.set(|options| options.level = Some(level))
    }

    /// The same with row groups of so many rows, rounded up to a multiple of 8,192.
    #[must_use]
    pub fn with_group_rows(self, rows: usize) -> Self {
        self.set(|options| options.set_group_rows(rows))
    }

    /// The same with row groups that end with the 8,192 rows that bring them to so many bytes of values, before
    /// encoding; 512 MiB unless said otherwise.
    #[must_use]
    pub fn with_group_bytes(self, bytes: usize) -> Self {
        self.set(|options| options.group_bytes = bytes)
    }

    /// The same with files of about so many bytes: a task goes on to another file once one has them. It looks every
    /// 65,536 rows. Without it a task writes one file, or one in each folder.
    #[must_use]
    pub fn with_file_bytes(self, bytes: u64) -> Self {
        self.set(|options| options.file_bytes = Some(bytes))
    }

    /// The same with so many rows in a page at most; 16,384 unless said otherwise. Readers skip whole pages.
    #[must_use]
    pub fn with_page_rows(self, rows: usize) -> Self {
        self.set(|options| options.page_rows = rows)
    }

    /// The same with these statistics.
    #[must_use]
    pub fn with_statistics(self, statistics: ParquetStatistics) -> Self {
        self.set(|options| options.statistics = statistics)
    }

    /// The same with a page index or without: where each page is, and, with [`ParquetStatistics::Pages`], what is in it.
    #[must_use]
    pub fn with_page_index(self, page_index: bool) -> Self {
        self.set(|options| options.page_index = page_index)
    }

    /// The same with dictionaries or without, for columns of which nothing else is said. A dictionary is given up by
    /// itself where it grows too large.
    #[must_use]
    pub fn with_dictionaries(self, dictionaries: bool) -> Self {
        self.set(|options| options.dictionaries = dictionaries)
    }

    /// The same with a text about the files, for whoever reads their footers.
    #[must_use]
    pub fn with_metadata(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(|options| options.metadata.push((key.into(), value.into())))
    }

    /// The same with so many bytes of rows set aside, before encoding, where [`partitioned`](ParquetSink::partitioned_by):
    /// 64 MiB unless said otherwise. More of them give fewer and larger files of rows that come in no order.
    #[must_use]
    pub fn with_buffer_bytes(self, bytes: usize) -> Self {
        self.set(|options| options.buffer_bytes = bytes)
    }

    /// An encoder of a file with other columns than those that the type says.
    pub(crate) fn encoder_of(&self, schema: SchemaRef) -> PartEncoder {
        PartEncoder::new(schema, self.options.clone())
    }

    /// The schema of the files.
    fn schema(&self) -> SchemaRef {
        match &self.by {
            None => schema_of::<T>(),
            Some(by) => {
                let fields = fields_of::<T>();
                Arc::new(Schema::new(
                    by.kept.iter().map(|&at| fields[at].clone()).collect::<Vec<_>>(),
                ))
            }
        }
    }
}

impl<T: Columns> ParquetSink<T> {
    /// The same with bloom filters for these columns.
    #[must_use]
    pub fn with_bloom_filter<C: NamedColumns<T>>(
        self,
        columns: impl FnOnce(Cols<T>) -> C,
        filter: BloomFilter,
    ) -> Self {
        self.set(|options| options.bloom(columns(T::COLS).names(), filter))
    }

    /// The same with dictionaries for these columns, or without.
    #[must_use]
    pub fn with_dictionary<C: NamedColumns<T>>(
        self,
        columns: impl FnOnce(Cols<T>) -> C,
        dictionary: bool,
    ) -> Self {
        self.set(|options| options.dictionary(columns(T::COLS).names(), dictionary))
    }

    /// The same with a footer which says that rows are sorted by these columns, and within equal ones by those of the next
    /// call. That they are is the job's promise: nothing is sorted here, nor checked.
    #[must_use]
    pub fn with_sort_order<C: NamedColumns<T>>(self, columns: impl FnOnce(Cols<T>) -> C) -> Self {
        self.sorted(columns(T::COLS).names(), false)
    }

    /// As [`with_sort_order`](ParquetSink::with_sort_order), from the greatest to the least.
    #[must_use]
    pub fn with_sort_order_descending<C: NamedColumns<T>>(
        self,
        columns: impl FnOnce(Cols<T>) -> C,
    ) -> Self {
        self.sorted(columns(T::COLS).names(), true)
    }

    fn sorted(self, names: Vec<&'static str>, descending: bool) -> Self {
        self.set(|options| {
            options.sorted_by.extend(names.into_iter().map(|name| (name, descending)));
        })
    }

    /// The same with files in folders by the values of these columns, as in `year=2024/month=7/`, the way of Hive and
    /// Spark: the columns are left out of the files, null and empty text are `__HIVE_DEFAULT_PARTITION__`, and bytes that
    /// mean something in a path are escaped, as in `%2F`.
    ///
    /// A task sets rows aside by partition, and writes all partitions when it has [enough of
    /// them](ParquetSink::with_buffer_bytes): so thousands of partitions take little memory. Rows that are sorted by these
    /// columns, or brought together by `partition_by`, give about one file a partition; others may give many.
    #[must_use]
    pub fn partitioned_by<K: KeyColumns<T> + NamedColumns<T>>(
        mut self,
        columns: impl FnOnce(Cols<T>) -> K,
    ) -> Self {
        let columns = columns(T::COLS);
        let names: Arc<[String]> = columns.names().into_iter().map(str::to_string).collect();
        let fields = fields_of::<T>();
        let is_kept = |at: &usize| !names.iter().any(|name| name == fields[*at].name());
        let kept = (0..fields.len()).filter(is_kept).collect();
        self.by = Some(By { keys: Arc::new(columns), names, kept });
        self
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
    /// In place of batches where rows go into folders.
    pieces: Vec<Piece>,
}

impl<T: Record> Sink for ParquetSink<T> {
    type Item = T;
    type Chunk = ParquetChunk;

    fn format(&self) -> String {
        match &self.by {
            None => "parquet".to_string(),
            Some(by) => format!("parquet by {}", by.names.join(", ")),
        }
    }

    fn extension(&self) -> String {
        "parquet".to_string()
    }

    fn check(&self) -> Result<(), String> {
        let Some(by) = &self.by else { return Ok(()) };
        if let Some(name) = by.names.iter().find(|name| glob::is_hidden(name.as_bytes())) {
            return Err(format!(
                "files cannot be put in folders by column `{name}`: readers leave out folders whose names begin with `_` or `.`; make a struct of the rows, with another name"
            ));
        }
        if let Some(name) = by.names.iter().find(|name| name.len() > 100) {
            return Err(format!("`{name}` is too long to name folders after"));
        }
        let mut names: Vec<&String> = by.names.iter().collect();
        names.sort_unstable();
        if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("files cannot be put in folders by column `{}` twice", twice[0]));
        }
        if by.kept.is_empty() {
            return Err("all columns are in the names of folders, and none is left for the files; leave one out".to_string());
        }
        Ok(())
    }

    fn lane(&self) -> Box<dyn EncodeLane<T, ParquetChunk>> {
        match &self.by {
            None => Box::new(ParquetLane { batches: Vec::new() }),
            Some(By { keys, names, kept }) => {
                Box::new(PartitionedLane::new(keys.clone(), names.clone(), kept.clone()))
            }
        }
    }

    fn part(&self) -> Box<dyn EncodePart<ParquetChunk>> {
        let schema = self.schema();
        Box::new(ParquetPart {
            encoder: PartEncoder::new(schema.clone(), self.options.clone()),
            schema,
        })
    }

    fn task(&self) -> Box<dyn EncodeTask<ParquetChunk>> {
        match (&self.by, self.options.file_bytes) {
            (Some(_), _) => Box::new(Partitioned::new(self.schema(), self.options.clone())),
            (None, Some(_)) => Box::new(Rolling::new(self.schema(), self.options.clone())),
            (None, None) => crate::sink::one_part(self.part()),
        }
    }

    fn partitioned_by(&self) -> Vec<String> {
        self.by.as_ref().map_or_else(Vec::new, |by| by.names.to_vec())
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
        Ok(ParquetChunk { batches: self.batches, pieces: Vec::new() })
    }
}

/// One file of rows that go into no folders.
struct ParquetPart {
    schema: SchemaRef,
    encoder: PartEncoder,
}

impl EncodePart<ParquetChunk> for ParquetPart {
    fn write(&mut self, chunk: ParquetChunk, file: &mut dyn Write) -> Result<(), PushError> {
        for columns in chunk.batches {
            self.encoder.add(RecordBatch::try_new(self.schema.clone(), columns)?);
            while self.encoder.step(file)? {}
        }
        Ok(())
    }

    fn finish(self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError> {
        self.encoder.finish(file)
    }
}
