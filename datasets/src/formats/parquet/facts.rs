//! What footers say of Parquet files: schema, row groups, statistics; and their first rows.

use super::bind::leaf_count;
use super::file::ParquetFile;
use crate::source::SourceError;
use crate::storage::{Object, Storage};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute::{SortOptions, concat, sort_to_indices, take};
use arrow::datatypes::{DataType, Fields, SchemaRef};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::DecodeResult;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::push_decoder::ParquetPushDecoderBuilder;
use parquet::file::metadata::ParquetMetaData;
use rayon::prelude::*;
use std::sync::Arc;

/// The files whose footers are read side by side, and held.
const FILES_AT_ONCE: usize = 64;

/// What Parquet files are, together.
#[derive(Clone, Debug)]
pub struct ParquetFacts {
    /// The schema of the first file.
    pub schema: SchemaRef,
    /// The program that wrote the first file, if it says so.
    pub created_by: Option<String>,
    /// Row groups of all files.
    pub groups: u64,
    /// Rows of all files.
    pub rows: u64,
    /// Columns, those within structs one by one; of the files that have the schema of the first.
    pub columns: Vec<ColumnFacts>,
    /// Files that have another schema than the first, and the first difference.
    pub others: Vec<(String, String)>,
    /// The values of the first rows, by top-level column.
    pub first: Vec<Vec<String>>,
}

/// What the footers say of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnFacts {
    /// Its name, dotted within structs.
    pub name: String,
    /// Its Arrow type.
    pub kind: String,
    /// Its bytes, as compressed.
    pub bytes: u64,
    /// Its nulls, where all row groups count them.
    pub nulls: Option<u64>,
    /// Its smallest value, where all row groups have one.
    pub min: Option<Bound>,
    /// Its greatest value, likewise.
    pub max: Option<Bound>,
}

/// The smallest or the greatest value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The value, as text.
    pub value: String,
    /// Whether a row has it; else all rows are within it. Long texts are cut so.
    pub exact: bool,
}

/// A column in the making.
struct Column {
    name: String,
    kind: DataType,
    /// Its leaf, if it has no others.
    leaf: Option<usize>,
    leaves: std::ops::Range<usize>,
    bytes: u64,
    nulls: Option<u64>,
    min: Extreme,
    max: Extreme,
}

/// The smallest or greatest value so far.
#[derive(Clone)]
enum Extreme {
    /// There were only nulls.
    None,
    /// An array of it alone, and whether it is exact.
    Of(ArrayRef, bool),
    /// A row group does not say.
    Unknown,
}

impl Extreme {
    /// Adds those of row groups. `blank` tells which groups have no values.
    fn add(
        &mut self,
        found: &ArrayRef,
        exact: &BooleanArray,
        blank: &[bool],
        descending: bool,
    ) -> Result<(), ArrowError> {
        let missing = (0..found.len()).any(|group| found.is_null(group) && !blank[group]);
        if missing || matches!(self, Extreme::Unknown) {
            *self = Extreme::Unknown;
            return Ok(());
        }
        let (all, before) = match self {
            Extreme::Of(value, _) => (concat(&[value, found])?, 1),
            _ => (found.clone(), 0),
        };
        let options = SortOptions { descending, nulls_first: false };
        let order = sort_to_indices(&all, Some(options), Some(1))?;
        if order.is_empty() || all.is_null(order.value(0) as usize) {
            return Ok(());
        }
        let exact = match (&*self, (order.value(0) as usize).checked_sub(before)) {
            (Extreme::Of(_, exact), None) => *exact,
            (_, group) => exact.value(group.unwrap_or(0)),
        };
        *self = Extreme::Of(take(&all, &order, None)?, exact);
        Ok(())
    }

    fn bound(&self) -> Option<Bound> {
        let Extreme::Of(value, exact) = self else { return None };
        Some(Bound { value: Cells::of(value).value(0), exact: *exact })
    }
}

/// How the values of an array are shown.
enum Cells<'a> {
    /// Text where they are UTF-8, else with escapes.
    Bytes(&'a ArrayRef),
    Other(ArrayFormatter<'a>),
    /// There is no way.
    None,
}

impl Cells<'_> {
    fn of(array: &ArrayRef) -> Cells<'_> {
        static OPTIONS: FormatOptions<'static> = FormatOptions::new().with_null("");
        if bytes_of(array, 0).is_some() {
            return Cells::Bytes(array);
        }
        ArrayFormatter::try_new(array, &OPTIONS).map_or(Cells::None, Cells::Other)
    }

    fn value(&self, row: usize) -> String {
        match self {
            Cells::Bytes(array) if array.is_null(row) => String::new(),
            Cells::Bytes(array) => {
                let bytes = bytes_of(array, row).unwrap_or_default();
                match std::str::from_utf8(bytes) {
                    Ok(text) => text.to_string(),
                    Err(_) => bytes.escape_ascii().to_string(),
                }
            }
            Cells::Other(formatter) => formatter.value(row).to_string(),
            Cells::None => "?".to_string(),
        }
    }
}

/// The value of a row, if there is one and it is of bytes.
fn bytes_of(array: &ArrayRef, row: usize) -> Option<&[u8]> {
    if row >= array.len() {
        return None;
    }
    match array.data_type() {
        DataType::Binary => Some(array.as_binary::<i32>().value(row)),
        DataType::LargeBinary => Some(array.as_binary::<i64>().value(row)),
        DataType::BinaryView => Some(array.as_binary_view().value(row)),
        DataType::FixedSizeBinary(_) => Some(array.as_fixed_size_binary().value(row)),
        _ => None,
    }
}

/// Appends the columns of these fields, the first of which begins at leaf `next`.
fn columns_of(outer: &str, fields: &Fields, next: &mut usize, columns: &mut Vec<Column>) {
    for field in fields {
        let name = format!("{outer}{}", field.name());
        if let DataType::Struct(fields) = field.data_type() {
            columns_of(&format!("{name}."), fields, next, columns);
            continue;
        }
        let nested = matches!(
            field.data_type(),
            DataType::List(_)
                | DataType::LargeList(_)
                | DataType::FixedSizeList(..)
                | DataType::Map(..)
        );
        let leaves = *next..*next + leaf_count(field.data_type());
        *next = leaves.end;
        columns.push(Column {
            name,
            kind: field.data_type().clone(),
            leaf: (!nested).then_some(leaves.start),
            leaves,
            bytes: 0,
            nulls: Some(0),
            min: Extreme::None,
            max: Extreme::None,
        });
    }
}

impl Column {
    /// Adds what a footer says.
    fn add(&mut self, metadata: &ParquetMetaData) {
        for group in metadata.row_groups() {
            let bytes = self.leaves.clone().map(|leaf| group.column(leaf).compressed_size() as u64);
            self.bytes += bytes.sum::<u64>();
        }
        if self.add_statistics(metadata).is_none() {
            (self.nulls, self.min, self.max) = (None, Extreme::Unknown, Extreme::Unknown);
        }
    }

    /// `None` where there are no statistics of such a column.
    fn add_statistics(&mut self, metadata: &ParquetMetaData) -> Option<()> {
        let leaf = self.leaf?;
        let file = metadata.file_metadata();
        let field = arrow::datatypes::Field::new("", self.kind.clone(), true);
        let groups = || metadata.row_groups().iter();
        let of = StatisticsConverter::from_column_index(leaf, &field, file.schema_descr())
            .ok()?
            .with_missing_null_counts_as_zero(false)
            .with_column_orders(file.column_orders().map(Vec::as_slice));
        let nulls = of.row_group_null_counts(groups()).ok()?;
        let sum = (nulls.null_count() == 0).then(|| nulls.values().iter().sum::<u64>());
        self.nulls = self.nulls.zip(sum).map(|(all, more)| all + more);
        let blank: Vec<bool> = groups()
            .enumerate()
            .map(|(at, group)| nulls.is_valid(at) && nulls.value(at) == group.num_rows() as u64)
            .collect();
        let (min, max) = (of.row_group_mins(groups()).ok()?, of.row_group_maxes(groups()).ok()?);
        let exact = of.row_group_is_min_value_exact(groups()).ok()?;
        self.min.add(&min, &exact, &blank, false).ok()?;
        let exact = of.row_group_is_max_value_exact(groups()).ok()?;
        self.max.add(&max, &exact, &blank, true).ok()
    }

    fn facts(self) -> ColumnFacts {
        ColumnFacts {
            name: self.name,
            kind: self.kind.to_string(),
            bytes: self.bytes,
            nulls: self.nulls,
            min: self.min.bound(),
            max: self.max.bound(),
        }
    }
}

/// What these files are, and their first rows, so many. There is a file at least.
///
/// # Errors
/// A file that is no Parquet, or cannot be read.
pub(crate) fn facts(
    storage: &Storage,
    objects: &[Object],
    rows: usize,
) -> Result<ParquetFacts, SourceError> {
    let open = |object: &Object| {
        let file = ParquetFile::open(storage, object)?;
        let footer = Arc::new(file.footer()?);
        let reader = ArrowReaderMetadata::try_new(footer, ArrowReaderOptions::new());
        let reader = reader.map_err(|e| file.damaged(e))?;
        Ok::<_, SourceError>((file, reader))
    };
    let (_, first) = open(&objects[0])?;
    let schema = first.schema().clone();
    let mut columns = Vec::new();
    columns_of("", schema.fields(), &mut 0, &mut columns);
    let mut facts = ParquetFacts {
        schema: schema.clone(),
        created_by: first.metadata().file_metadata().created_by().map(str::to_string),
        groups: 0,
        rows: 0,
        columns: Vec::new(),
        others: Vec::new(),
        first: Vec::new(),
    };
    for objects in objects.chunks(FILES_AT_ONCE) {
        let opened: Vec<_> = objects.par_iter().map(open).collect();
        for (object, opened) in objects.iter().zip(opened) {
            let (file, reader) = opened?;
            let groups = reader.metadata().row_groups();
            facts.groups += groups.len() as u64;
            facts.rows += groups.iter().map(|group| group.num_rows() as u64).sum::<u64>();
            if let Some(why) = differs(schema.fields(), reader.schema().fields()) {
                facts.others.push((object.location.to_string(), why));
                continue;
            }
            columns.iter_mut().for_each(|column| column.add(reader.metadata()));
            if facts.first.len() < rows {
                let wanted = rows - facts.first.len();
                read_rows(&file, reader, wanted, &mut facts.first)?;
            }
        }
    }
    facts.columns = columns.into_iter().map(Column::facts).collect();
    Ok(facts)
}

/// The first difference of two schemas.
fn differs(expected: &Fields, found: &Fields) -> Option<String> {
    for field in expected {
        let Some((_, other)) = found.find(field.name()) else {
            return Some(format!("it has no column `{}`", field.name()));
        };
        if field.data_type() != other.data_type() {
            let (name, one, two) = (field.name(), field.data_type(), other.data_type());
            return Some(format!("`{name}` is {two}, and {one} in the first file"));
        }
        if field.is_nullable() != other.is_nullable() {
            let may = if other.is_nullable() { "may" } else { "must not" };
            return Some(format!("`{}` {may} be null, unlike in the first file", field.name()));
        }
    }
    if let Some(more) = found.iter().find(|field| expected.find(field.name()).is_none()) {
        return Some(format!("it has a column `{}` more", more.name()));
    }
    let order = expected.iter().zip(found).find(|(one, other)| one.name() != other.name());
    order.map(|(_, other)| format!("`{}` is at another place", other.name()))
}

/// Appends the first rows of a file, `wanted` at most.
fn read_rows(
    file: &ParquetFile,
    reader: ArrowReaderMetadata,
    wanted: usize,
    rows: &mut Vec<Vec<String>>,
) -> Result<(), SourceError> {
    let groups = reader.metadata().row_groups();
    let sizes: Vec<usize> = groups.iter().map(|group| group.num_rows() as usize).collect();
    let mut left = wanted;
    for (number, size) in sizes.into_iter().enumerate().filter(|(_, size)| *size > 0) {
        let some = left.min(size);
        if some == 0 {
            break;
        }
        let selection = RowSelection::from_consecutive_ranges(std::iter::once(0..some), size);
        let mut decoder = ParquetPushDecoderBuilder::new_with_metadata(reader.clone())
            .with_row_groups(vec![number])
            .with_row_selection(selection)
            .build()
            .map_err(|e| file.damaged(e))?;
        loop {
            match file.decode(|| decoder.try_decode())? {
                DecodeResult::NeedsData(ranges) => {
                    let bytes = file.fetch(&ranges)?;
                    decoder.push_ranges(ranges, bytes).map_err(|e| file.damaged(e))?;
                }
                DecodeResult::Data(batch) => append(&batch, rows),
                DecodeResult::Finished => break,
            }
        }
        left -= some;
    }
    Ok(())
}

/// Appends the rows of a batch, as text.
pub(crate) fn append(batch: &RecordBatch, rows: &mut Vec<Vec<String>>) {
    let columns: Vec<_> = batch.columns().iter().map(Cells::of).collect();
    rows.extend(
        (0..batch.num_rows())
            .map(|row| columns.iter().map(|column| column.value(row)).collect::<Vec<_>>()),
    );
}
