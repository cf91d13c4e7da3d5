//! What lies somewhere: an output, files with columns, text.

pub use crate::formats::parquet::facts::{Bound, ColumnFacts, ParquetFacts};

use crate::commit::Manifest;
use crate::formats::parquet::{facts, rust};
use crate::formats::rows::{self, RowsFormat, RowsOptions, RowsSource};
use crate::formats::text;
use crate::location::{IntoLocations, Location};
use crate::push::{Demand, Push, PushError, Selection};
use crate::record::{Row, RowBatch};
use crate::source::{Source, SourceError};
use crate::storage::{Object, Storage, StorageError, StorageErrorKind};

use arrow::datatypes::Fields;

#[cfg(test)]
mod tests;

/// What is read of a text to show its first lines, in bytes.
const HEAD_BYTES: usize = 64 << 10;

/// What the first bytes of a Parquet file are.
const PARQUET: &[u8] = b"PAR1";

/// What lies at a location.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The manifest, if it is an output of a job.
    pub manifest: Option<Manifest>,
    /// The files: of an output those that its manifest lists.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is in them.
    pub content: Content,
}

/// What is in files.
#[derive(Clone, Debug)]
pub enum Content {
    /// Nothing: there are no files, or all are empty.
    Nothing,
    /// Columns.
    Parquet(Box<ParquetFacts>),
    /// Columns of another format.
    Rows(RowsFacts),
    /// Text, or other bytes: the first lines of the first file that has any.
    Lines(Vec<String>),
}

/// What files with columns are, other than Parquet.
#[derive(Clone, Debug)]
pub struct RowsFacts {
    /// The format.
    pub format: RowsFormat,
    /// The columns of the first file that is not empty; of CSV and JSON, as its beginning suggests.
    pub fields: Fields,
    /// The first rows as text, a cell for each column.
    pub first: Vec<Vec<String>>,
}

impl RowsFacts {
    /// The struct with `#[derive(Record)]` that reads all columns that a record can have, as Rust.
    ///
    /// # Errors
    /// The reason, where there is no such column.
    pub fn rust(&self) -> Result<String, String> {
        rust::rust_struct(&self.fields)
    }
}

/// Looks at what lies at `location`: a file, a folder, a pattern, or an output. Shows so many of its first rows or
/// lines. What the first file that is not empty is tells what all are taken for.
///
/// # Errors
/// [`SourceError`] for what does not exist, cannot be read, or is damaged.
pub fn inspect(
    storage: &Storage,
    location: &Location,
    rows: usize,
) -> Result<Inspection, SourceError> {
    let manifest = if location.is_pattern() { None } else { manifest(storage, location)? };
    let objects = match &manifest {
        Some(manifest) => manifest
            .files
            .iter()
            .map(|file| Object::named(location.join(&file.name), file.bytes))
            .collect(),
        None => storage.list(&location.clone().into_locations())?,
    };
    let content = match objects.iter().find(|object| object.size > 0) {
        None => Content::Nothing,
        Some(first) if is_parquet(storage, first)? => {
            Content::Parquet(Box::new(facts::facts(storage, &objects, rows)?))
        }
        Some(first) => match rows::format_of(storage, first)? {
            RowsFormat::Text => {
                Content::Lines(lines(&text::head(storage, first, HEAD_BYTES)?, rows))
            }
            format => Content::Rows(rows_facts(storage, first, format, rows)?),
        },
    };
    let bytes = objects.iter().map(|object| object.size).sum();
    Ok(Inspection { manifest, files: objects.len() as u64, bytes, content })
}

/// The columns and the first rows of a file.
fn rows_facts(
    storage: &Storage,
    object: &Object,
    format: RowsFormat,
    wanted: usize,
) -> Result<RowsFacts, SourceError> {
    let options = RowsOptions { format: Some(format), ..RowsOptions::default() };
    let fields = rows::columns_of(storage, object, format, &options)?;
    let source = RowsSource::new(object.location.clone().into_locations(), options);
    let mut first = FirstRows { wanted, rows: Vec::new() };
    if wanted > 0 {
        let mut splits = Vec::new();
        source.split(storage, &mut |split| {
            splits.push(split);
            Ok(())
        })?;
        let lanes = splits.iter().flat_map(|split| (0..split.lanes).map(move |lane| (split, lane)));
        for (split, lane) in lanes {
            if first.rows.len() >= wanted {
                break;
            }
            source.read(storage, split, lane, &mut first)?;
        }
    }
    first.rows.truncate(wanted);
    Ok(RowsFacts { format, fields, first: first.rows })
}

/// Takes the first rows as text.
struct FirstRows {
    wanted: usize,
    rows: Vec<Vec<String>>,
}

impl Push<Row> for FirstRows {
    fn batch(&mut self, batch: &RowBatch, _: Selection<'_>) -> Result<Demand, PushError> {
        let columns = batch.columns();
        let some = columns.slice(0, columns.num_rows().min(self.wanted - self.rows.len()));
        facts::append(&some, &mut self.rows);
        Ok(if self.rows.len() < self.wanted { Demand::More } else { Demand::Enough })
    }

    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

/// The manifest, if there is one and it may be read. Stores that must not be listed deny what is not there; of an output
/// whose manifest is denied that is told by the listing, which looks for it as well.
fn manifest(storage: &Storage, location: &Location) -> Result<Option<Manifest>, StorageError> {
    match Manifest::find(storage, location) {
        Err(StorageError { kind: StorageErrorKind::Permission, .. }) => Ok(None),
        found => found,
    }
}

/// By the first bytes; also what only says that it is, so that it is told what is wrong with it.
fn is_parquet(storage: &Storage, object: &Object) -> Result<bool, SourceError> {
    if object.location.extension().as_deref() == Some("parquet") {
        return Ok(true);
    }
    let mut head = [0; PARQUET.len()];
    let count = storage.open_listed(object)?.read_at(0, &mut head)?;
    Ok(&head[..count] == PARQUET)
}

/// The first lines of a text; the last one may be cut.
fn lines(text: &[u8], count: usize) -> Vec<String> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let line = |line: &[u8]| {
        String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned()
    };
    text.split(|&byte| byte == b'\n').take(count).map(line).collect()
}

impl ParquetFacts {
    /// The struct with `#[derive(Record)]` that reads all columns that a record can have, as Rust.
    ///
    /// # Errors
    /// The reason, where there is no such column.
    pub fn rust(&self) -> Result<String, String> {
        rust::rust_struct(self.schema.fields())
    }
}
