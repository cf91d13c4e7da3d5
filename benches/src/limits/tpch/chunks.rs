//! Column chunks of Parquet files, each fetched in one piece, and their decoding.

use arrow::datatypes::{DataType, Field, Schema};
use bytes::{Buf, Bytes};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// The rows that are decoded at a time.
const BATCH_ROWS: usize = 4096;

/// A column to read, and the type to read it as.
pub type Column = (&'static str, fn() -> DataType);

/// A key.
pub fn key() -> DataType {
    DataType::Int64
}

/// A `decimal(15, 2)`, as a number of cents.
pub fn money() -> DataType {
    DataType::Decimal64(15, 2)
}

/// A day.
pub fn date() -> DataType {
    DataType::Date32
}

/// Text of few values: codes of a dictionary.
pub fn code() -> DataType {
    DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8))
}

/// What is known of a Parquet file.
pub struct Footer {
    metadata: ArrowReaderMetadata,
    mask: ProjectionMask,
    leaves: Vec<usize>,
}

impl Footer {
    /// Of a file's metadata, for some of its columns, in the order of the file.
    ///
    /// # Errors
    /// If a column is not there, or not of its type.
    pub fn new(metadata: ParquetMetaData, columns: &[Column]) -> Result<Footer> {
        let metadata = Arc::new(metadata);
        let found = ArrowReaderMetadata::try_new(metadata.clone(), ArrowReaderOptions::new())?;
        let fields: Vec<Field> = found
            .schema()
            .fields()
            .iter()
            .map(|field| match columns.iter().find(|(name, _)| name == field.name()) {
                Some((_, as_type)) => Field::new(field.name(), as_type(), field.is_nullable()),
                None => field.as_ref().clone(),
            })
            .collect();
        let options = ArrowReaderOptions::new().with_schema(Arc::new(Schema::new(fields)));
        let metadata = ArrowReaderMetadata::try_new(metadata, options)?;
        let leaves = columns
            .iter()
            .map(|(name, _)| {
                let missing = || ParquetError::General(format!("there is no column {name}"));
                metadata.schema().index_of(name).map_err(|_| missing())
            })
            .collect::<Result<Vec<usize>>>()?;
        let mask = ProjectionMask::leaves(metadata.parquet_schema(), leaves.iter().copied());
        Ok(Footer { metadata, mask, leaves })
    }

    /// The number of row groups.
    pub fn groups(&self) -> usize {
        self.metadata.metadata().num_row_groups()
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.metadata.metadata().file_metadata().num_rows() as usize
    }

    /// Where the chunks of the columns are in a row group.
    pub fn ranges(&self, group: usize) -> Vec<Range<u64>> {
        let group = self.metadata.metadata().row_group(group);
        let chunk = |&leaf: &usize| {
            let (start, length) = group.column(leaf).byte_range();
            start..start + length
        };
        self.leaves.iter().map(chunk).collect()
    }

    /// The batches of a row group.
    ///
    /// # Errors
    /// What the `parquet` crate says.
    pub fn decode(&self, group: usize, chunks: Chunks) -> Result<ParquetRecordBatchReader> {
        ParquetRecordBatchReaderBuilder::new_with_metadata(chunks, self.metadata.clone())
            .with_projection(self.mask.clone())
            .with_row_groups(vec![group])
            .with_batch_size(BATCH_ROWS)
            .build()
    }
}

/// A local file.
pub(super) struct File {
    file: fs::File,
    footer: Footer,
}

impl File {
    pub(super) fn open(path: &Path, columns: &[Column]) -> io::Result<File> {
        let named = |error: ParquetError| io::Error::other(format!("{}: {error}", path.display()));
        let file = fs::File::open(path)?;
        let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(named)?;
        Ok(File { file, footer: Footer::new(metadata, columns).map_err(named)? })
    }

    pub(super) fn groups(&self) -> usize {
        self.footer.groups()
    }

    pub(super) fn rows(&self) -> usize {
        self.footer.rows()
    }

    pub(super) fn decode(
        &self,
        group: usize,
        chunks: Chunks,
    ) -> io::Result<ParquetRecordBatchReader> {
        self.footer.decode(group, chunks).map_err(io::Error::other)
    }
}

/// Pieces of a file: where each begins, and its bytes.
pub struct Chunks(Vec<(u64, Bytes)>);

impl Chunks {
    /// The chunks at these ranges.
    pub fn new(ranges: &[Range<u64>], bytes: Vec<Bytes>) -> Chunks {
        Chunks(ranges.iter().map(|range| range.start).zip(bytes).collect())
    }

    /// Reads the chunks of a row group.
    pub(super) fn read(file: &File, group: usize) -> io::Result<Chunks> {
        let ranges = file.footer.ranges(group);
        let read = |range: &Range<u64>| {
            let mut bytes = vec![0; (range.end - range.start) as usize];
            file.file.read_exact_at(&mut bytes, range.start)?;
            Ok(Bytes::from(bytes))
        };
        let bytes = ranges.iter().map(read).collect::<io::Result<_>>()?;
        Ok(Chunks::new(&ranges, bytes))
    }

    /// All that there is of the piece from `start`.
    fn from(&self, start: u64) -> Result<Bytes> {
        let found = self.0.iter().find_map(|(begin, bytes)| {
            let at = usize::try_from(start.checked_sub(*begin)?).ok()?;
            (at < bytes.len()).then(|| bytes.slice(at..))
        });
        found.ok_or_else(|| ParquetError::General(format!("byte {start} was not fetched")))
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        self.0.iter().map(|(start, bytes)| start + bytes.len() as u64).max().unwrap_or(0)
    }
}

impl ChunkReader for Chunks {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        Ok(self.from(start)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let bytes = self.from(start)?;
        match bytes.len() >= length {
            true => Ok(bytes.slice(..length)),
            false => Err(ParquetError::EOF(format!("{length} bytes at {start} were not fetched"))),
        }
    }
}
