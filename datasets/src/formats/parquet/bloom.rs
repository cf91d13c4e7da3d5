//! Bloom filters of column chunks: which values a row group is sure not to have.

use super::file::ParquetFile;
use crate::columns::Absent;
use crate::source::SourceError;
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit,
    TimestampMicrosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use parquet::basic::{ConvertedType, LogicalType, TimeUnit as FileUnit, Type};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::ParquetMetaData;
use parquet::schema::types::ColumnDescriptor;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The longest filter that is read, in bytes.
const FILTER_BYTES_MAX: i32 = 16 << 20;

/// The Bloom filters of some columns of a file.
#[derive(Default)]
pub(super) struct Blooms {
    /// By leaf: how the column holds its values, and its filters by row group.
    columns: BTreeMap<usize, (Stored, BTreeMap<usize, Arc<Sbbf>>)>,
}

impl Blooms {
    /// Reads those of these columns in these row groups, all at once, as far as there are any.
    pub(super) fn fetch(
        file: &ParquetFile,
        metadata: &ParquetMetaData,
        groups: &[usize],
        leaves: &BTreeSet<usize>,
    ) -> Result<Blooms, SourceError> {
        let mut places: Vec<(Range<u64>, usize, usize)> = Vec::new();
        let mut blooms = Blooms::default();
        for &leaf in leaves {
            let column = metadata.file_metadata().schema_descr().column(leaf);
            let Some(stored) = Stored::of(&column) else { continue };
            for &group in groups {
                let chunk = metadata.row_group(group).column(leaf);
                // Writers of old files did not say how long they are; finding out would take one more request.
                if let (Some(start), Some(length @ 1..=FILTER_BYTES_MAX)) =
                    (chunk.bloom_filter_offset(), chunk.bloom_filter_length())
                    && let Ok(start) = u64::try_from(start)
                {
                    places.push((start..start.saturating_add(length as u64), leaf, group));
                }
            }
            blooms.columns.insert(leaf, (stored, BTreeMap::new()));
        }
        if places.is_empty() {
            return Ok(Blooms::default());
        }
        places.sort_by_key(|(range, ..)| range.start);
        let ranges: Vec<Range<u64>> = places.iter().map(|(range, ..)| range.clone()).collect();
        for ((_, leaf, group), bytes) in places.into_iter().zip(file.fetch(&ranges)?) {
            // What is no filter that we know prunes nothing.
            if let Ok(filter) = Sbbf::from_bytes(&bytes)
                && filter.num_blocks() > 0
                && let Some((_, filters)) = blooms.columns.get_mut(&leaf)
            {
                filters.insert(group, Arc::new(filter));
            }
        }
        Ok(blooms)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// What the filters of a column tell, in a file of so many row groups.
    pub(super) fn of(&self, leaf: usize, groups: usize) -> Option<Absent> {
        let (stored, filters) = self.columns.get(&leaf)?;
        let filters: Vec<Option<Arc<Sbbf>>> =
            (0..groups).map(|group| filters.get(&group).cloned()).collect();
        let stored = *stored;
        Some(Absent::new(move |group, values, at| {
            filters[group].as_ref().is_some_and(|filter| stored.lacks(filter, values, at))
        }))
    }
}

/// How a column holds values, as far as filters go: the bytes of its physical values are what is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stored {
    /// Integers, signed.
    Signed(Bits),
    /// Integers without a sign, in the bits of signed ones.
    Unsigned(Bits),
    /// Days.
    Date,
    /// Microseconds.
    Micros,
    /// Text or binary.
    Bytes,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bits {
    B32,
    B64,
}

impl Stored {
    /// `None` for what is held in ways of which one value may have several.
    fn of(column: &ColumnDescriptor) -> Option<Stored> {
        let bits = match column.physical_type() {
            Type::INT32 => Some(Bits::B32),
            Type::INT64 => Some(Bits::B64),
            _ => None,
        };
        match (column.logical_type_ref(), column.converted_type(), bits) {
            (None, ConvertedType::NONE, Some(bits)) => Some(Stored::Signed(bits)),
            (Some(LogicalType::Integer(kind)), _, Some(bits)) if kind.is_signed => {
                Some(Stored::Signed(bits))
            }
            (Some(LogicalType::Integer(_)), _, Some(bits)) => Some(Stored::Unsigned(bits)),
            (Some(LogicalType::Date), _, Some(Bits::B32)) => Some(Stored::Date),
            (Some(LogicalType::Timestamp(kind)), _, Some(Bits::B64))
                if kind.unit == FileUnit::MICROS =>
            {
                Some(Stored::Micros)
            }
            (Some(LogicalType::String), _, None)
            | (None, ConvertedType::UTF8 | ConvertedType::NONE, None)
                if column.physical_type() == Type::BYTE_ARRAY =>
            {
                Some(Stored::Bytes)
            }
            _ => None,
        }
    }

    /// Whether the value at `at` is sure not to be in the column chunk of this filter.
    fn lacks(self, filter: &Sbbf, values: &ArrayRef, at: usize) -> bool {
        if values.is_null(at) {
            return false;
        }
        match self {
            // What does not fit is in no such column.
            Stored::Signed(bits) | Stored::Unsigned(bits) => {
                match integer(values, at) {
                    None => false,
                    Some(value) => match (self, bits) {
                        (Stored::Signed(_), Bits::B32) => {
                            i32::try_from(value).map_or(true, |value| !filter.check(&value))
                        }
                        (Stored::Signed(_), Bits::B64) => {
                            i64::try_from(value).map_or(true, |value| !filter.check(&value))
                        }
                        (_, Bits::B32) => u32::try_from(value)
                            .map_or(true, |value| !filter.check(&(value as i32))),
                        (_, Bits::B64) => u64::try_from(value)
                            .map_or(true, |value| !filter.check(&(value as i64))),
                    },
                }
            }
            Stored::Date => match values.data_type() {
                DataType::Date32 => !filter.check(&values.as_primitive::<Date32Type>().value(at)),
                _ => false,
            },
            Stored::Micros => match values.data_type() {
                DataType::Timestamp(TimeUnit::Microsecond, _) => {
                    !filter.check(&values.as_primitive::<TimestampMicrosecondType>().value(at))
                }
                _ => false,
            },
            Stored::Bytes => match values.data_type() {
                DataType::Utf8View => !filter.check(values.as_string_view().value(at)),
                DataType::BinaryView => !filter.check(values.as_binary_view().value(at)),
                _ => false,
            },
        }
    }
}

/// The integer at `at`; `None` if it is something else.
fn integer(values: &ArrayRef, at: usize) -> Option<i128> {
    macro_rules! of {
        ($kind:ty) => {
            Some(i128::from(values.as_primitive::<$kind>().value(at)))
        };
    }
    match values.data_type() {
        DataType::Int8 => of!(Int8Type),
        DataType::Int16 => of!(Int16Type),
        DataType::Int32 => of!(Int32Type),
        DataType::Int64 => of!(Int64Type),
        DataType::UInt8 => of!(UInt8Type),
        DataType::UInt16 => of!(UInt16Type),
        DataType::UInt32 => of!(UInt32Type),
        DataType::UInt64 => of!(UInt64Type),
        _ => None,
    }
}
