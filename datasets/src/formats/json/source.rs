//! Reads files of JSON lines as records.

use crate::columns::Predicate;
use crate::formats::bind::{Names, Wanted};
use crate::formats::columns::text_type;
use crate::formats::compression::Compression;
use crate::formats::files::{self, LaneFile, Sizes};
use crate::formats::folders::ByFolder;
use crate::formats::text::{RowsOfFile, push_what_fits, read_pieces};
use crate::location::{IntoLocations, Locations};
use crate::place;
use crate::push::{BATCH_RECORDS, Demand, Push};
use crate::record::{Batch, Record};
use crate::source::{Pruned, Source, SourceDescription, SourceError, Split};
use crate::storage::{Object, Storage};
use crate::unparsed;
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::ReaderBuilder;
use arrow::json::reader::Decoder;
use std::sync::Arc;

/// The objects of files of JSON lines. Which members are read, and as what, is what `T` says.
#[derive(Debug)]
pub struct JsonSource<T: Record> {
    locations: Locations,
    wanted: Wanted,
    sizes: Sizes,
    by_folder: ByFolder<T>,
}

impl<T: Record> JsonSource<T> {
    /// The objects of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> JsonSource<T> {
        JsonSource::of(locations.into_locations(), Wanted::of::<T>())
    }

    /// The same with other members than those that the type says.
    pub(crate) fn of(locations: Locations, wanted: Wanted) -> JsonSource<T> {
        JsonSource { locations, wanted, sizes: Sizes::default(), by_folder: ByFolder::default() }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(in crate::formats) fn with_sizes(self, sizes: Sizes) -> Self {
        Self { sizes, ..self }
    }
}

impl<T: Record> Source for JsonSource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "json".to_string(),
            locations: self.locations.names(),
            columns: Some(self.wanted.names()),
        }
    }

    fn pruned(&self, predicate: Arc<Predicate<T>>) -> Option<Pruned<Self>> {
        let source = JsonSource {
            locations: self.locations.clone(),
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
            let wanted = self.by_folder.may_hold(storage, &self.wanted, object)?;
            Ok(wanted.then(|| Compression::of(&object.location)))
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
        let schema = Arc::new(Schema::new(nullable(&self.wanted.fields)));
        let names = Names::new(&self.wanted, schema.fields());
        let mut lines = Lines { schema, names, rows: 0 };
        read_pieces(storage, split, lane, self.sizes, &mut |piece| match piece {
            Some(piece) => {
                if piece.first {
                    lines.rows = 0;
                    let given = self.wanted.given(&piece.file.object.location)?;
                    lines.names = lines.names.clone().with_given(given);
                }
                lines.push(piece.file, piece.text, out)
            }
            None => Ok(Demand::More),
        })
    }
}

/// The same fields, all of which may be null: whether a record may have nulls there is seen when it is made.
fn nullable(fields: &Fields) -> Fields {
    fn nullable_field(field: &Arc<Field>) -> Arc<Field> {
        let kind = match field.data_type() {
            DataType::Struct(fields) => DataType::Struct(nullable(fields)),
            DataType::List(element) => DataType::List(nullable_field(element)),
            other => text_type(other),
        };
        Arc::new(Field::new(field.name(), kind, true))
    }
    fields.iter().map(nullable_field).collect()
}

/// The lines that are not blank.
fn count_lines(text: &[u8]) -> u64 {
    let mut start = 0;
    let mut count = 0;
    for end in memchr::memchr_iter(b'\n', text) {
        count += u64::from(!text[start..end].trim_ascii_start().is_empty());
        start = end + 1;
    }
    count
}

/// Makes records of lines.
struct Lines {
    schema: SchemaRef,
    names: Names,
    /// Those of the file that were passed on.
    rows: u64,
}

impl Lines {
    fn decoder(&self) -> Result<Decoder, ArrowError> {
        ReaderBuilder::new(self.schema.clone()).with_batch_size(BATCH_RECORDS).build_decoder()
    }

    /// Passes on the records of whole lines of a file.
    fn push<T: Record>(
        &mut self,
        file: &LaneFile,
        text: &[u8],
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        if unparsed::leaves_out() {
            let lines = text.split_inclusive(|&byte| byte == b'\n');
            let lines: Vec<&[u8]> = lines.filter(|line| !line.trim_ascii().is_empty()).collect();
            let mut rows = self.rows;
            let parse = |text: &[u8], lines, first| self.parse::<T>(file, text, lines, first);
            let demand = push_what_fits(&lines, file, &mut rows, parse, out);
            self.rows = rows;
            return demand;
        }
        let place = |first| RowsOfFile { file, first };
        let cannot =
            |error: ArrowError| place(0).wrong(format!("cannot be read as these records: {error}"));
        let mut decoder = self.decoder().map_err(cannot)?;
        let (mut at, mut from) = (0, 0);
        let (before, lines) = (self.rows, count_lines(text));
        let check = |rows: u64| {
            if rows == lines {
                return Ok(());
            }
            Err(place(before).wrong(format!(
                "from row {before} on there are {lines} lines and {rows} objects; each must be on a line of its own"
            )))
        };
        loop {
            let step = decoder.decode(&text[at..]);
            at += *step.as_ref().unwrap_or(&0);
            let full = decoder.len() >= BATCH_RECORDS && !decoder.has_partial_record();
            if step.is_ok() && at < text.len() && !full {
                continue;
            }
            let decoded = match step.and_then(|_| decoder.flush()) {
                Ok(Some(decoded)) => decoded,
                Ok(None) => return check(self.rows - before).map(|()| Demand::More),
                Err(error) => {
                    let (row, error) = self.find(&text[from..], error);
                    let row = self.rows + row;
                    return Err(place(row)
                        .wrong(format!("row {row} is no object on one line that fits: {error}")));
                }
            };
            let rows = place(self.rows);
            let batch = self.names.records::<T>(&decoded).map_err(|e| rows.bind_error(e))?;
            let demand = place::push(out, &batch, &rows)?;
            self.rows += batch.len() as u64;
            from = at;
            if demand == Demand::Enough {
                return Ok(demand);
            }
        }
    }

    /// The records of so many lines from this row on, if each has one that fits.
    fn parse<T: Record>(
        &self,
        file: &LaneFile,
        text: &[u8],
        lines: usize,
        first: u64,
    ) -> Result<T::Batch, String> {
        let objects = |text| {
            let mut decoder = self.decoder()?;
            decoder.decode(text)?;
            decoder.flush()
        };
        let decoded = objects(text).map_err(|error| error.to_string())?;
        let decoded = decoded.filter(|decoded| decoded.num_rows() == lines);
        let decoded = decoded.ok_or("it is not one object on one line")?;
        let rows = RowsOfFile { file, first };
        self.names.records::<T>(&decoded).map_err(|error| rows.bind_error(error).to_string())
    }

    /// Which of these lines is wrong, and why; the error that all together gave if each alone is right.
    fn find(&self, text: &[u8], error: ArrowError) -> (u64, ArrowError) {
        let lines = text.split_inclusive(|&byte| byte == b'\n');
        let lines = lines.filter(|line| !line.trim_ascii().is_empty());
        for (row, line) in (0..).zip(lines) {
            let alone = self.decoder().and_then(|mut decoder| {
                decoder.decode(line)?;
                decoder.flush()
            });
            if let Err(error) = alone {
                return (row, error);
            }
        }
        (0, error)
    }
}
