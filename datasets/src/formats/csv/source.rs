//! Reads CSV files as records.

use super::CsvOptions;
use super::apart::Apart;
use crate::columns::Predicate;
use crate::formats::bind::{Names, Wanted};
use crate::formats::columns::text_type;
use crate::formats::compression::Compression;
use crate::formats::files::{self, LaneFile, Sizes};
use crate::formats::folders::ByFolder;
use crate::formats::text::{Piece, RowsOfFile, head, push_what_fits, read_pieces};
use crate::location::{IntoLocations, Locations};
use crate::place;
use crate::push::{BATCH_RECORDS, Demand, Push};
use crate::record::{Batch, Record};
use crate::source::{Pruned, Source, SourceDescription, SourceError, Split};
use crate::storage::{Object, Storage};
use crate::unparsed;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringViewArray};
use arrow::csv::ReaderBuilder;
use arrow::csv::reader::Decoder;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::sync::Arc;

/// What is read of a file to learn the names of its columns, in bytes.
const HEAD_BYTES: usize = 256 << 10;

/// What text in UTF-8 may begin with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The rows of CSV files. Which columns are parsed, and as what, is what `T` says.
///
/// A file is read by one thread from its beginning to its end, since a value in quotes may have line breaks, unless the
/// [options](CsvOptions::splittable) say that none has.
#[derive(Debug)]
pub struct CsvSource<T: Record> {
    locations: Locations,
    options: CsvOptions,
    wanted: Wanted,
    sizes: Sizes,
    by_folder: ByFolder<T>,
}

impl<T: Record> CsvSource<T> {
    /// The rows of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> CsvSource<T> {
        CsvSource::of(locations.into_locations(), Wanted::of::<T>())
    }

    /// The same with other columns than those that the type says.
    pub(crate) fn of(locations: Locations, wanted: Wanted) -> CsvSource<T> {
        let (options, sizes) = (CsvOptions::new(), Sizes::default());
        CsvSource { locations, options, wanted, sizes, by_folder: ByFolder::default() }
    }

    /// The same, of files that are written down in another way.
    #[must_use]
    pub fn with_options(self, options: CsvOptions) -> Self {
        Self { options, ..self }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(in crate::formats) fn with_sizes(self, sizes: Sizes) -> Self {
        Self { sizes, ..self }
    }
}

impl<T: Record> Source for CsvSource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "csv".to_string(),
            locations: self.locations.names(),
            columns: Some(self.wanted.names()),
        }
    }

    fn pruned(&self, predicate: Arc<Predicate<T>>) -> Option<Pruned<Self>> {
        let source = CsvSource {
            locations: self.locations.clone(),
            options: self.options.clone(),
            wanted: self.wanted.clone(),
            sizes: self.sizes,
            by_folder: self.by_folder.and(predicate),
        };
        Some(Pruned { source, exact: false })
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let look = |object: &Object| {
            if !self.by_folder.may_hold(storage, &self.wanted, object)? {
                return Ok(None);
            }
            Ok(Some(if self.options.splittable {
                Compression::of(&object.location)
            } else {
                Compression::of_whole(&object.location)
            }))
        };
        files::split(storage, &self.locations, self.sizes, &look, out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        let mut open: Option<OpenFile> = None;
        read_pieces(storage, split, lane, self.sizes, &mut |piece| match piece {
            Some(piece) => {
                let mut text = piece.text;
                if piece.first {
                    if piece.file.range.start == 0 {
                        text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
                    }
                    open = Some(self.open(storage, &piece, text)?);
                }
                match &mut open {
                    Some(file) => file.push(text, &self.options, out),
                    None => Ok(Demand::More),
                }
            }
            None => match open.take() {
                Some(file) => file.end(&self.options, out),
                None => Ok(Demand::More),
            },
        })
    }
}

/// The columns that this beginning of a CSV file suggests.
///
/// # Errors
/// If it is no CSV.
pub(crate) fn guess(text: &[u8], options: &CsvOptions) -> Result<Fields, ArrowError> {
    let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
    let format = options.format().with_header(options.header);
    Ok(format.infer_schema(text, None)?.0.fields().clone())
}

/// The names of the columns of a CSV file that begins with this text: of a header, or numbered from 1 on.
///
/// # Errors
/// If it is no CSV.
fn columns(text: &[u8], options: &CsvOptions) -> Result<Vec<String>, ArrowError> {
    let format = options.format().with_header(options.header);
    // Without a header the first row has to be looked at to count its columns.
    let rows = if options.header { 0 } else { 1 };
    let (schema, _) = format.infer_schema(text, Some(rows))?;
    Ok(schema.fields().iter().map(|field| field.name().clone()).collect())
}

impl<T: Record> CsvSource<T> {
    /// Begins a file, of which the lane reads this text first.
    fn open(
        &self,
        storage: &Storage,
        piece: &Piece<'_>,
        text: &[u8],
    ) -> Result<OpenFile, SourceError> {
        let file = LaneFile { object: piece.file.object.clone(), range: piece.file.range.clone() };
        let rows = RowsOfFile { file: &file, first: 0 };
        let columns = if file.range.start == 0 {
            columns(text, &self.options)
        } else {
            let text = head(storage, &file.object, HEAD_BYTES)?;
            columns(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&text), &self.options)
        };
        let mut columns = columns.map_err(|e| rows.wrong(format!("is no CSV: {e}")))?;
        let given = self.wanted.given(&file.object.location)?;
        if !self.options.header {
            let in_file = self.wanted.fields.iter().filter(|f| !given.contains_key(f.name()));
            for (column, wanted) in columns.iter_mut().zip(in_file) {
                column.clone_from(wanted.name());
            }
        }
        let found: Fields =
            columns.iter().map(|name| Field::new(name, DataType::Utf8View, true)).collect();
        let names = Names::new(&self.wanted, &found).with_given(given);
        let positions = names.positions(&found);
        let mut fields: Vec<Field> = Vec::with_capacity(columns.len());
        for (position, column) in columns.iter().enumerate() {
            let kind = match names.field_of(column) {
                Some(_) if columns[..position].contains(column) => {
                    return Err(rows.wrong(format!(
                        "has two columns `{column}`; rename one of them in the file"
                    )));
                }
                Some(wanted) => csv_type(wanted.data_type()).ok_or_else(|| {
                    rows.wrong(format!(
                        "column `{column}` cannot be {}: a value in CSV is a number, a text, a date, a time or a truth value",
                        wanted.data_type()
                    ))
                })?,
                None => DataType::Utf8View,
            };
            fields.push(Field::new(column, kind, true));
        }
        let projected: Fields = positions.iter().map(|&at| fields[at].clone()).collect();
        names.check::<T>(&projected, &found).map_err(|e| rows.bind_error(e))?;
        let has_header = self.options.header && file.range.start == 0;
        let schema = Arc::new(Schema::new(fields));
        let decoder = decoder(&schema, &positions, &self.options, has_header);
        let apart = unparsed::leaves_out().then(|| Apart::new(has_header));
        Ok(OpenFile { file, names, columns, positions, schema, decoder, apart, rows: 0 })
    }
}

/// Parses rows of these columns.
fn decoder(
    schema: &SchemaRef,
    positions: &[usize],
    options: &CsvOptions,
    has_header: bool,
) -> Decoder {
    ReaderBuilder::new(schema.clone())
        .with_format(options.format())
        .with_header(has_header)
        .with_projection(positions.to_vec())
        .with_batch_size(BATCH_RECORDS)
        .build_decoder()
}

/// As what a column is parsed for a field; `None` if it cannot be.
fn csv_type(wanted: &DataType) -> Option<DataType> {
    use DataType::{
        Boolean, Date32, Date64, Decimal32, Decimal64, Decimal128, Float32, Float64, Int8, Int16,
        Int32, Int64, Timestamp, UInt8, UInt16, UInt32, UInt64, Utf8, Utf8View,
    };
    match wanted {
        Utf8View | DataType::BinaryView => Some(Utf8View),
        Utf8 | DataType::Binary => Some(Utf8),
        Boolean | Int8 | Int16 | Int32 | Int64 | UInt8 | UInt16 | UInt32 | UInt64 | Float32
        | Float64 | Date32 | Date64 | Decimal32(..) | Decimal64(..) | Decimal128(..) => {
            Some(wanted.clone())
        }
        Timestamp(..) => Some(text_type(wanted)),
        _ => None,
    }
}

/// A file, or the part of it that a lane reads.
struct OpenFile {
    file: LaneFile,
    names: Names,
    columns: Vec<String>,
    positions: Vec<usize>,
    schema: SchemaRef,
    decoder: Decoder,
    /// What is wrong with a row does not end the file.
    apart: Option<Apart>,
    /// Those that were passed on.
    rows: u64,
}

impl OpenFile {
    fn push<T: Record>(
        &mut self,
        text: &[u8],
        options: &CsvOptions,
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        if let Some(mut apart) = self.apart.take() {
            let demand = self.push_what_fits(&apart.rows(text, options), options, out);
            self.apart = Some(apart);
            return demand;
        }
        if options.splittable {
            self.check_lines(text, options)?;
        }
        let mut at = 0;
        while at < text.len() {
            at += self.decoder.decode(&text[at..]).map_err(|e| self.wrong(&e))?;
            if self.decoder.capacity() == 0 && self.flush(options, out)? == Demand::Enough {
                return Ok(Demand::Enough);
            }
        }
        Ok(Demand::More)
    }

    /// The file is at its end.
    fn end<T: Record>(
        mut self,
        options: &CsvOptions,
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        if let Some(apart) = self.apart.take() {
            return self.push_what_fits(&apart.end(), options, out);
        }
        let before = self.decoder.capacity();
        // All lines have their ends: what the end of the file ends is within quotes.
        if self.decoder.decode(&[]).is_err() || self.decoder.capacity() != before {
            let row = self.rows + (BATCH_RECORDS - before) as u64;
            return Err(self.place().wrong(format!(
                "row {row}: a value begins with a quote and has no end; add the closing quote"
            )));
        }
        self.flush(options, out)
    }

    /// Passes on what was decoded.
    fn flush<T: Record>(
        &mut self,
        options: &CsvOptions,
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        let decoded = match self.decoder.flush() {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return Ok(Demand::More),
            Err(error) => return Err(self.wrong(&error)),
        };
        let decoded = self.with_empty_texts(decoded, options);
        let rows = self.place();
        let batch = self.names.records::<T>(&decoded).map_err(|e| rows.bind_error(e))?;
        let demand = place::push(out, &batch, &rows)?;
        self.rows += batch.len() as u64;
        Ok(demand)
    }

    /// Passes on those of some rows that fit, and notes the others.
    fn push_what_fits<T: Record>(
        &mut self,
        texts: &[Vec<u8>],
        options: &CsvOptions,
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        let mut rows = self.rows;
        let parse = |text: &[u8], rows, first| self.parse::<T>(text, rows, first, options);
        let demand = push_what_fits(texts, &self.file, &mut rows, parse, out);
        self.rows = rows;
        demand
    }

    /// So many rows from this one on, if all of them fit.
    fn parse<T: Record>(
        &self,
        text: &[u8],
        rows: usize,
        first: u64,
        options: &CsvOptions,
    ) -> Result<T::Batch, String> {
        let mut decoder = decoder(&self.schema, &self.positions, options, false);
        let wrong = |error: ArrowError| error.to_string();
        let mut at = 0;
        while at < text.len() && decoder.capacity() > 0 {
            at += decoder.decode(&text[at..]).map_err(wrong)?;
        }
        let decoded = decoder.flush().map_err(wrong)?;
        let decoded = decoded.filter(|decoded| decoded.num_rows() == rows && at == text.len());
        let decoded = decoded.ok_or("a value begins with a quote and has no end")?;
        let decoded = self.with_empty_texts(decoded, options);
        let place = RowsOfFile { file: &self.file, first };
        self.names.records::<T>(&decoded).map_err(|error| place.bind_error(error).to_string())
    }

    /// Text that may not be null is empty where nothing stands.
    fn with_empty_texts(&self, decoded: RecordBatch, options: &CsvOptions) -> RecordBatch {
        if !options.null.is_empty() {
            return decoded;
        }
        let schema = decoded.schema();
        let column = |(field, array): (&Arc<Field>, &ArrayRef)| -> ArrayRef {
            let strict = self.names.field_of(field.name()).is_some_and(|f| !f.is_nullable());
            match array.as_string_view_opt() {
                Some(texts) if strict && texts.null_count() > 0 => Arc::new(
                    StringViewArray::from_iter_values(texts.iter().map(Option::unwrap_or_default)),
                ),
                _ => array.clone(),
            }
        };
        let columns = schema.fields().iter().zip(decoded.columns()).map(column).collect();
        RecordBatch::try_new(schema.clone(), columns).unwrap_or(decoded)
    }

    fn place(&self) -> RowsOfFile<'_> {
        RowsOfFile { file: &self.file, first: self.rows }
    }

    /// The error for a file that the decoder does not take. It counts columns.
    fn wrong(&self, error: &ArrowError) -> SourceError {
        const COLUMNS: usize = 16;
        let names = self.positions.iter().take(COLUMNS);
        let names: Vec<String> =
            names.map(|&at| format!("{at} is `{}`", self.columns[at])).collect();
        self.place().wrong(format!("{error}; of the columns, {}", names.join(", ")))
    }

    /// Each line has to be whole, or it is not true that files may be cut at any line.
    fn check_lines(&self, text: &[u8], options: &CsvOptions) -> Result<(), SourceError> {
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let is_comment = |line: &[u8]| options.comment.is_some_and(|c| line.first() == Some(&c));
        match lines.into_iter().find(|line| !is_comment(line) && !options.is_whole(line)) {
            None => Ok(()),
            Some(line) => {
                let line = String::from_utf8_lossy(&line[..line.len().min(80)]);
                Err(self.place().wrong(format!(
                    "has a line break within quotes, so that the file must not be cut: read it without `splittable` (with --line-breaks, on a command line); the line is {line:?}"
                )))
            }
        }
    }
}
