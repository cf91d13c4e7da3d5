//! What a file is, and which columns it has.

use super::{RowsFormat, RowsOptions};
use crate::formats::avro::{AvroFile, columns as avro_columns};
use crate::formats::columns::plain_fields;
use crate::formats::ipc::{IpcFile, Stream};
use crate::formats::parquet::file::ParquetFile;
use crate::formats::{csv, hive, text};
use crate::source::SourceError;
use crate::storage::{Object, Storage};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::error::ArrowError;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use std::sync::Arc;

/// What is read of a file of text to guess its columns, in bytes.
const HEAD_BYTES: usize = 4 << 20;

/// The format of a file: by the extension of its name, without one for compression, or by its first bytes; text, if
/// neither tells.
pub(crate) fn format_of(storage: &Storage, object: &Object) -> Result<RowsFormat, SourceError> {
    let name = object.location.name().to_ascii_lowercase();
    let mut parts = name.rsplit('.');
    let mut extension = parts.next().unwrap_or_default();
    if matches!(
        extension,
        "gz" | "gzip" | "zst" | "zstd" | "lz4" | "bz2" | "bzip2" | "sz" | "snappy"
    ) {
        extension = parts.next().unwrap_or_default();
    }
    match extension {
        "parquet" | "pq" => return Ok(RowsFormat::Parquet),
        "csv" => return Ok(RowsFormat::Csv),
        "json" | "jsonl" | "ndjson" => return Ok(RowsFormat::Json),
        "arrow" | "arrows" | "feather" | "ipc" => return Ok(RowsFormat::Ipc),
        "avro" => return Ok(RowsFormat::Avro),
        _ => {}
    }
    let mut head = [0; 8];
    let count = storage.open_listed(object)?.read_at(0, &mut head)?;
    let head = &head[..count];
    Ok(if head.starts_with(b"PAR1") {
        RowsFormat::Parquet
    } else if head.starts_with(b"ARROW1") || head.starts_with(&[0xff; 4]) {
        RowsFormat::Ipc
    } else if head.starts_with(b"Obj\x01") {
        RowsFormat::Avro
    } else {
        RowsFormat::Text
    })
}

/// The columns of a file, in the plain layout, and those that the folders of its path name; all may be null.
pub(crate) fn schema_of(
    storage: &Storage,
    object: &Object,
    format: RowsFormat,
    options: &RowsOptions,
) -> Result<Fields, SourceError> {
    let found = columns_of(storage, object, format, options)?;
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    let mut fields: Vec<Field> = plain_fields(&found).iter().map(nullable).collect();
    // Lines are the only column of text.
    if format != RowsFormat::Text {
        for given in hive::fields(&object.location) {
            match fields.iter_mut().find(|field| field.name() == given.name()) {
                Some(field) => *field = given,
                None => fields.push(given),
            }
        }
    }
    Ok(fields.into())
}

/// The columns of a file, as it has them.
pub(crate) fn columns_of(
    storage: &Storage,
    object: &Object,
    format: RowsFormat,
    options: &RowsOptions,
) -> Result<Fields, SourceError> {
    Ok(match format {
        RowsFormat::Parquet => {
            let file = ParquetFile::open(storage, object)?;
            let metadata = Arc::new(file.footer()?);
            let read = ArrowReaderMetadata::try_new(metadata, ArrowReaderOptions::new());
            read.map_err(|e| file.damaged(e))?.schema().fields().clone()
        }
        RowsFormat::Ipc => {
            let file = IpcFile::open(storage, object)?;
            if file.is_file()? {
                file.footer()?.schema.fields().clone()
            } else {
                let mut stream = Stream::new(&file);
                let first = stream.next()?;
                let schema = first.map(|batch| batch.schema()).or_else(|| stream.schema());
                schema.ok_or_else(|| file.damaged("it has no schema"))?.fields().clone()
            }
        }
        RowsFormat::Avro => avro_columns(&AvroFile::open(storage, object)?)?,
        RowsFormat::Text => Fields::from(vec![Field::new("value", DataType::Utf8, true)]),
        RowsFormat::Csv | RowsFormat::Json => guessed(storage, object, format, options)?,
    })
}

/// The columns of CSV or JSON, as the beginning of the file suggests.
fn guessed(
    storage: &Storage,
    object: &Object,
    format: RowsFormat,
    options: &RowsOptions,
) -> Result<Fields, SourceError> {
    let mut head = text::head(storage, object, HEAD_BYTES)?;
    if head.len() == HEAD_BYTES
        && let Some(last) = memchr::memrchr(b'\n', &head)
    {
        head.truncate(last + 1);
    }
    let guess = || -> Result<Fields, ArrowError> {
        if format == RowsFormat::Json {
            let (schema, _) = arrow::json::reader::infer_json_schema(&head[..], None)?;
            let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
            fields.sort_by_cached_key(|field| first_place(&head, field.name()));
            return Ok(fields.into());
        }
        csv::guess(&head, &options.csv)
    };
    let fields = guess().map_err(|error| SourceError::Input {
        location: object.location.to_string(),
        reason: format!("is no {format}: {error}"),
    })?;
    if !options.text {
        return Ok(fields.iter().map(|field| known(field)).collect());
    }
    Ok(fields.iter().map(|field| Field::new(field.name(), DataType::Utf8, true)).collect())
}

/// Where the name of a member is first, so that columns are in the order in which members are.
fn first_place(text: &[u8], name: &str) -> usize {
    let quoted = serde_json::to_string(name).unwrap_or_default();
    let mut places = memchr::memmem::find_iter(text, &quoted);
    let is_name = |at: &usize| text[at + quoted.len()..].trim_ascii_start().starts_with(b":");
    places.find(is_name).unwrap_or(text.len())
}

/// The field; text where all values that were seen are null.
fn known(field: &Field) -> Field {
    match field.data_type() {
        DataType::Null => field.clone().with_data_type(DataType::Utf8),
        _ => field.clone(),
    }
}
