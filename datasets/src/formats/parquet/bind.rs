//! Which columns of a file a record's fields are, and in which Arrow types they are decoded.

use crate::formats::bind::{Names, Wanted};
use crate::record::{BindError, Record};
use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewArray, DictionaryArray, RecordBatch, StringViewArray,
};
use arrow::datatypes::{
    DECIMAL64_MAX_PRECISION, DataType, Field, Fields, Int32Type, Schema, SchemaRef,
};
use parquet::basic::Encoding;
use parquet::file::metadata::ColumnChunkMetaData;
use std::sync::Arc;

/// The longest dictionary that is read as one, in bytes as compressed.
const DICTIONARY_BYTES_MAX: i64 = 1 << 20;

/// How the columns of a file are read as records.
#[derive(Debug)]
pub(super) struct Binding {
    /// The file's schema, in the types that are decoded.
    pub(super) schema: SchemaRef,
    /// The leaf columns that are read, ascending.
    pub(super) leaves: Vec<usize>,
    /// The top-level columns of text or binary that are read: position in the schema, and leaf.
    texts: Vec<(usize, usize)>,
    names: Names,
}

/// Binds `T` to a file of this schema.
///
/// # Errors
/// [`BindError`] with the dotted path of the column.
pub(super) fn bind<T: Record>(wanted: &Wanted, found: &Schema) -> Result<Binding, BindError> {
    let names = Names::new(wanted, found.fields());
    let schema = Arc::new(Schema::new(decoded_fields(found.fields())));
    let (mut leaves, mut texts, mut next) = (Vec::new(), Vec::new(), 0);
    let mut projected = Vec::new();
    for (position, field) in schema.fields().iter().enumerate() {
        let first = next;
        match names.field_of(field.name()) {
            Some(wanted) => {
                let kind = project(wanted.data_type(), field.data_type(), &mut next, &mut leaves);
                if matches!(kind, DataType::Utf8View | DataType::BinaryView) {
                    texts.push((position, first));
                }
                projected.push(Field::new(field.name(), kind, field.is_nullable()));
            }
            None => next += leaf_count(field.data_type()),
        }
    }
    names.check::<T>(&projected.into(), found.fields())?;
    Ok(Binding { schema, leaves, texts, names })
}

impl Binding {
    /// The schema for a row group with these column chunks: text that is dictionary-encoded throughout as dictionaries.
    pub(super) fn schema_of_group(&self, chunks: &[ColumnChunkMetaData]) -> SchemaRef {
        let mut fields: Vec<_> = self.schema.fields().iter().cloned().collect();
        for &(position, leaf) in &self.texts {
            if chunks.get(leaf).is_some_and(is_dictionary) {
                let value = match fields[position].data_type() {
                    DataType::BinaryView => DataType::Binary,
                    _ => DataType::Utf8,
                };
                let kind = DataType::Dictionary(Box::new(DataType::Int32), Box::new(value));
                fields[position] = Arc::new(fields[position].as_ref().clone().with_data_type(kind));
            }
        }
        Arc::new(Schema::new(fields))
    }

    /// The records of what was decoded.
    pub(super) fn batch<T: Record>(
        &self,
        decoded: RecordBatch,
        dictionaries: &mut Dictionaries,
    ) -> Result<T::Batch, BindError> {
        self.names.batch::<T>(decoded.num_rows(), |name| {
            let at = decoded.schema_ref().index_of(name).ok()?;
            Some(dictionaries.with_views(at, decoded.column(at)))
        })
    }
}

/// The values of dictionaries as views, made once for the batches that share them.
#[derive(Default)]
pub(super) struct Dictionaries {
    /// By the position of the column: the values as they were decoded, and as views.
    made: Vec<Option<(ArrayRef, ArrayRef)>>,
}

impl Dictionaries {
    fn with_views(&mut self, column: usize, array: &ArrayRef) -> ArrayRef {
        let Some(dictionary) = array.as_dictionary_opt::<Int32Type>() else {
            return array.clone();
        };
        let values = dictionary.values();
        if self.made.len() <= column {
            self.made.resize(column + 1, None);
        }
        let views = match &self.made[column] {
            // The decoded values are kept, so that no others can be at their address.
            Some((decoded, views)) if same_values(decoded, values) => views.clone(),
            _ => {
                let views: ArrayRef = match values.data_type() {
                    DataType::Utf8 => Arc::new(StringViewArray::from(values.as_string::<i32>())),
                    DataType::Binary => Arc::new(BinaryViewArray::from(values.as_binary::<i32>())),
                    _ => return array.clone(),
                };
                self.made[column] = Some((values.clone(), views.clone()));
                views
            }
        };
        let dictionary: DictionaryArray<Int32Type> = dictionary.with_values(views);
        Arc::new(dictionary)
    }
}

/// Whether two arrays of bytes have the same buffers.
fn same_values(a: &ArrayRef, b: &ArrayRef) -> bool {
    let address = |array: &ArrayRef| match array.data_type() {
        DataType::Utf8 => {
            let array = array.as_string::<i32>();
            (array.value_data().as_ptr() as usize, array.value_offsets().as_ptr() as usize)
        }
        DataType::Binary => {
            let array = array.as_binary::<i32>();
            (array.value_data().as_ptr() as usize, array.value_offsets().as_ptr() as usize)
        }
        _ => (0, 0),
    };
    Arc::ptr_eq(a, b)
        || (a.data_type() == b.data_type() && a.len() == b.len() && address(a) == address(b))
}

/// Whether all values of a column chunk are in its dictionary, and it is not a long one.
fn is_dictionary(chunk: &ColumnChunkMetaData) -> bool {
    let by_code = |encoding: Encoding| {
        matches!(encoding, Encoding::RLE_DICTIONARY | Encoding::PLAIN_DICTIONARY)
    };
    let throughout = match (chunk.page_encoding_stats(), chunk.page_encoding_stats_mask()) {
        (Some(pages), _) => pages
            .iter()
            .filter(|page| page.page_type != parquet::basic::PageType::DICTIONARY_PAGE)
            .all(|page| by_code(page.encoding)),
        (None, Some(mask)) => mask.encodings().all(by_code),
        (None, None) => false,
    };
    let bytes = chunk.dictionary_page_offset().map(|start| chunk.data_page_offset() - start);
    throughout && bytes.is_some_and(|bytes| bytes <= DICTIONARY_BYTES_MAX)
}

/// The same fields, with text and binary as views, and decimals of few digits in 64 bits.
fn decoded_fields(fields: &Fields) -> Fields {
    let view = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(decoded_type(field.data_type())))
    };
    fields.iter().map(view).collect()
}

fn decoded_type(kind: &DataType) -> DataType {
    let inner = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(decoded_type(field.data_type())))
    };
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        DataType::Binary | DataType::LargeBinary => DataType::BinaryView,
        DataType::Dictionary(_, value) => decoded_type(value),
        DataType::Decimal128(precision, scale) if *precision <= DECIMAL64_MAX_PRECISION => {
            DataType::Decimal64(*precision, *scale)
        }
        DataType::Struct(fields) => DataType::Struct(decoded_fields(fields)),
        DataType::List(element) => DataType::List(inner(element)),
        DataType::LargeList(element) => DataType::LargeList(inner(element)),
        DataType::FixedSizeList(element, size) => DataType::FixedSizeList(inner(element), *size),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => other.clone(),
    }
}

/// The part of a column of type `found` that a field of type `wanted` reads. `next` is the number of its first leaf,
/// and is moved past its last; the leaves that are read are appended.
fn project(
    wanted: &DataType,
    found: &DataType,
    next: &mut usize,
    leaves: &mut Vec<usize>,
) -> DataType {
    use DataType::{LargeList, List, Struct};
    match (wanted, found) {
        (Struct(wanted), Struct(found)) => {
            let mut read = Vec::new();
            for field in found {
                match wanted.find(field.name()) {
                    Some((_, wanted)) => {
                        let kind = project(wanted.data_type(), field.data_type(), next, leaves);
                        read.push(Field::new(field.name(), kind, field.is_nullable()));
                    }
                    None => *next += leaf_count(field.data_type()),
                }
            }
            Struct(read.into())
        }
        (List(wanted), List(element) | LargeList(element)) => {
            let kind = project(wanted.data_type(), element.data_type(), next, leaves);
            let element = Arc::new(element.as_ref().clone().with_data_type(kind));
            if matches!(found, LargeList(_)) { LargeList(element) } else { List(element) }
        }
        (_, found) => {
            let count = leaf_count(found);
            leaves.extend(*next..*next + count);
            *next += count;
            found.clone()
        }
    }
}

/// The number of leaf columns of a column.
pub(super) fn leaf_count(kind: &DataType) -> usize {
    match kind {
        DataType::Struct(fields) => fields.iter().map(|field| leaf_count(field.data_type())).sum(),
        DataType::List(inner)
        | DataType::LargeList(inner)
        | DataType::FixedSizeList(inner, _)
        | DataType::Map(inner, _) => leaf_count(inner.data_type()),
        _ => 1,
    }
}
