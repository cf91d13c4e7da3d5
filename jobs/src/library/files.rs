//! What the jobs on files of any format have in common: their flags, and rows by columns.

use crate::dataset::Dataset;
use crate::exec::{OperatorError, UserError};
use crate::{Error, Flow, Result};
use arrow::array::{BinaryViewArray, RecordBatch, UInt32Array};
use arrow::compute::{SortOptions, take_record_batch};
use arrow::datatypes::Fields;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::panic::Location as CodePlace;
use windrow_datasets::formats::{
    CsvOptions, CsvSink, IpcCompression, IpcSink, JsonSink, ParquetCompression, ParquetSink,
    RowsFormat, RowsOptions, RowsParquetSink, RowsSource, RowsTextSink, TextCompression,
};
use windrow_datasets::location::{IntoLocations, Location};
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::record::{Batch2, BytesColumn, Row, RowBatch};
use windrow_datasets::{Key, Record};

/// A format of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum FileFormat {
    /// Parquet
    Parquet,
    /// CSV
    Csv,
    /// JSON, an object a line
    Json,
    /// Arrow IPC
    Ipc,
    /// Avro; for reading
    Avro,
    /// Lines of text: one column `value`
    Text,
}

impl FileFormat {
    fn rows(self) -> RowsFormat {
        match self {
            FileFormat::Parquet => RowsFormat::Parquet,
            FileFormat::Csv => RowsFormat::Csv,
            FileFormat::Json => RowsFormat::Json,
            FileFormat::Ipc => RowsFormat::Ipc,
            FileFormat::Avro => RowsFormat::Avro,
            FileFormat::Text => RowsFormat::Text,
        }
    }
}

/// How files are compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub enum FileCompression {
    /// Not at all
    None,
    /// gzip: csv, json, text, parquet
    Gzip,
    /// zstd: all formats
    Zstd,
    /// lz4: all formats
    Lz4,
    /// bzip2: csv, json, text
    Bzip2,
    /// snappy: parquet
    Snappy,
}

/// What is read.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct ReadFlags {
    /// Files, folders, patterns of one format
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The format [default: what the first file is]
    #[arg(long, value_enum)]
    pub from: Option<FileFormat>,
    /// What stands between the values of CSV
    #[arg(long, value_name = "CHAR", default_value_t = ',')]
    pub delimiter: char,
    /// CSV without a row of names: columns are column_1 and so on
    #[arg(long)]
    pub no_header: bool,
    /// The text that is a null in CSV [default: none at all]
    #[arg(long, value_name = "TEXT")]
    pub null: Option<String>,
    /// Values of CSV may have line breaks: each file is read by one thread
    #[arg(long)]
    pub line_breaks: bool,
    /// All columns of CSV and JSON are text, whatever they look like
    #[arg(long)]
    pub all_text: bool,
}

impl ReadFlags {
    /// The source that was asked for.
    pub(super) fn source(&self) -> Result<RowsSource> {
        let delimiter = u8::try_from(self.delimiter)
            .map_err(|_| Error::other(format!("--delimiter `{}` is no ASCII", self.delimiter)))?;
        let mut csv = CsvOptions::new().delimiter(delimiter);
        if self.no_header {
            csv = csv.without_header();
        }
        if let Some(null) = &self.null {
            csv = csv.null(null);
        }
        if !self.line_breaks {
            csv = csv.splittable();
        }
        let format = self.from.map(FileFormat::rows);
        let options = RowsOptions { format, csv, text: self.all_text };
        Ok(RowsSource::new((&self.input).into_locations(), options))
    }

    /// The rows.
    #[track_caller]
    pub(super) fn rows(&self, flow: &Flow) -> Result<Dataset<Row>> {
        Ok(flow.read(self.source()?))
    }
}

/// What is written.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct WriteFlags {
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
    /// The format
    #[arg(long, value_enum, default_value = "parquet")]
    pub to: FileFormat,
    /// How files are compressed [default: zstd for parquet, else none]
    #[arg(long, value_enum)]
    pub compression: Option<FileCompression>,
}

impl WriteFlags {
    /// Writes rows.
    #[track_caller]
    pub(super) fn write(&self, rows: &Dataset<Row>) -> Result<()> {
        use FileCompression::{Bzip2, Gzip, Lz4, None as Plain, Snappy, Zstd};
        let unknown = || {
            let name = |value: &dyn std::fmt::Debug| format!("{value:?}").to_lowercase();
            let compression = self.compression.map(|c| name(&c)).unwrap_or_default();
            Err(Error::other(format!("{} is not compressed with {compression}", name(&self.to))))
        };
        let text = match self.compression {
            None | Some(Plain) => Some(TextCompression::None),
            Some(Gzip) => Some(TextCompression::Gzip),
            Some(Zstd) => Some(TextCompression::Zstd),
            Some(Lz4) => Some(TextCompression::Lz4),
            Some(Bzip2) => Some(TextCompression::Bzip2),
            Some(Snappy) => None,
        };
        match (self.to, text) {
            (FileFormat::Parquet, _) => {
                let compression = match self.compression {
                    None | Some(Zstd) => ParquetCompression::default(),
                    Some(Plain) => ParquetCompression::None,
                    Some(Snappy) => ParquetCompression::Snappy,
                    Some(Lz4) => ParquetCompression::Lz4,
                    Some(Gzip) => ParquetCompression::Gzip,
                    Some(Bzip2) => return unknown(),
                };
                let options = ParquetSink::new().with_compression(compression);
                rows.write(RowsParquetSink::new(options), &self.output)
            }
            (FileFormat::Ipc, _) => {
                let compression = match self.compression {
                    None | Some(Plain) => IpcCompression::None,
                    Some(Lz4) => IpcCompression::Lz4,
                    Some(Zstd) => IpcCompression::Zstd,
                    _ => return unknown(),
                };
                rows.write(IpcSink::<Row>::new().with_compression(compression), &self.output)
            }
            (FileFormat::Csv, Some(text)) => {
                rows.write(CsvSink::<Row>::new().with_compression(text), &self.output)
            }
            (FileFormat::Json, Some(text)) => {
                rows.write(JsonSink::<Row>::new().with_compression(text), &self.output)
            }
            (FileFormat::Text, Some(text)) => rows.write(RowsTextSink::new(text), &self.output),
            (FileFormat::Avro, _) => {
                Err(Error::other("Avro is only read; write parquet, csv, json, ipc or text"))
            }
            _ => unknown(),
        }
    }
}

/// A column that rows are sorted by: its name, or `-` and its name for the greatest first.
#[derive(Clone, Debug)]
struct SortColumn {
    name: String,
    descending: bool,
}

/// The rows behind a key that sorts them by these columns; nulls come first.
pub(super) fn keyed(rows: &Dataset<Row>, columns: &[String]) -> Dataset<(Bytes, Row)> {
    let place = CodePlace::caller();
    let column = |text: &String| match text.strip_prefix('-') {
        Some(name) => SortColumn { name: name.to_string(), descending: true },
        None => SortColumn { name: text.clone(), descending: false },
    };
    let columns: Vec<SortColumn> = columns.iter().map(column).collect();
    rows.narrow("sort key", place, Vec::new(), move |_, out| {
        let (columns, out) = (columns.clone(), out.into::<(Bytes, Row)>());
        AnyPush::new::<Row>(Box::new(Keying { columns, known: None, out }))
    })
}

/// The rows without their keys.
pub(super) fn without_keys<K: Key>(rows: &Dataset<(K, Row)>) -> Dataset<Row> {
    rows.narrow("rows", CodePlace::caller(), Vec::new(), |_, out| {
        AnyPush::new::<(K, Row)>(Box::new(WithoutKeys(out.into::<Row>())))
    })
}

struct WithoutKeys(Box<dyn Push<Row>>);

impl<K: Key> Push<(K, Row)> for WithoutKeys {
    fn batch(
        &mut self,
        batch: &Batch2<K, Row>,
        selection: Selection<'_>,
    ) -> std::result::Result<Demand, PushError> {
        self.0.batch(&batch.1, selection)
    }

    fn finish(&mut self) -> std::result::Result<(), PushError> {
        self.0.finish()
    }
}

/// Rows of which these count.
pub(super) fn selected(
    batch: &RowBatch,
    selection: Selection<'_>,
) -> std::result::Result<RecordBatch, PushError> {
    match selection {
        Selection::All => Ok(batch.columns().clone()),
        Selection::Rows(rows) => {
            Ok(take_record_batch(batch.columns(), &UInt32Array::from(rows.to_vec()))?)
        }
    }
}

struct Keying {
    columns: Vec<SortColumn>,
    /// Of the rows so far: where the columns are, and how keys are made of them.
    known: Option<(Fields, Vec<usize>, RowConverter)>,
    out: Box<dyn Push<(Bytes, Row)>>,
}

impl Keying {
    fn know(&mut self, fields: &Fields) -> std::result::Result<(), PushError> {
        if self.known.as_ref().is_some_and(|(known, ..)| known == fields) {
            return Ok(());
        }
        let mut positions = Vec::new();
        let mut kinds = Vec::new();
        for SortColumn { name, descending } in &self.columns {
            let Some((position, field)) = fields.find(name) else {
                let present: Vec<&str> = fields.iter().map(|f| f.name().as_str()).collect();
                return Err(Box::new(OperatorError::User(UserError {
                    operator: "sort",
                    place: "--sort-by".to_string(),
                    message: format!(
                        "there is no column `{name}`; the rows have: {}",
                        present.join(", ")
                    ),
                })));
            };
            let options = SortOptions { descending: *descending, nulls_first: true };
            positions.push(position);
            kinds.push(SortField::new_with_options(field.data_type().clone(), options));
        }
        self.known = Some((fields.clone(), positions, RowConverter::new(kinds)?));
        Ok(())
    }
}

impl Push<Row> for Keying {
    fn batch(
        &mut self,
        batch: &<Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> std::result::Result<Demand, PushError> {
        let rows = selected(batch, selection)?;
        self.know(rows.schema_ref().fields())?;
        let Some((_, positions, converter)) = &self.known else { return Ok(Demand::More) };
        let columns: Vec<_> = positions.iter().map(|&at| rows.column(at).clone()).collect();
        let keys = converter.convert_columns(&columns)?;
        let keys = BinaryViewArray::from_iter_values(keys.iter());
        let batch = Batch2(BytesColumn::Views(keys), RowBatch::new(rows));
        self.out.batch(&batch, Selection::All)
    }

    fn finish(&mut self) -> std::result::Result<(), PushError> {
        self.out.finish()
    }
}
