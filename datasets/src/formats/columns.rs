//! Records as columns, for sinks.

use crate::push::{PushError, Selection};
use crate::record::{Batch, Record, Row, RowBatch, schema_of};
use arrow::array::{Array, AsArray, RecordBatch, UInt32Array};
use arrow::compute::{cast, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::any::{Any, TypeId};
use std::sync::Arc;

/// Records that a format cannot have.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CannotWrite(pub(crate) String);

/// The selected records of a batch as columns; `None` if there are none.
///
/// # Errors
/// Never, for a batch that is one.
pub(crate) fn columns_of<T: Record>(
    batch: &T::Batch,
    selection: Selection<'_>,
) -> Result<Option<RecordBatch>, PushError> {
    if let Some(rows) = (batch as &dyn Any).downcast_ref::<RowBatch>() {
        let columns = match selection {
            Selection::Rows(picked) if picked.len() < rows.columns().num_rows() => {
                take_record_batch(rows.columns(), &UInt32Array::from(picked.to_vec()))?
            }
            _ => rows.columns().clone(),
        };
        return Ok((columns.num_rows() > 0).then_some(columns));
    }
    let mut array = batch.to_array();
    if let Selection::Rows(rows) = selection
        && rows.len() < array.len()
    {
        array = take(&array, &UInt32Array::from(rows.to_vec()), None)?;
    }
    if array.is_empty() {
        return Ok(None);
    }
    let columns = match (T::data_type(), array.as_struct_opt()) {
        (DataType::Struct(_), Some(columns)) => columns.columns().to_vec(),
        _ => vec![array],
    };
    Ok(Some(RecordBatch::try_new(schema_of::<T>(), columns)?))
}

/// The columns of all records of a type; `None` for rows, which have theirs with them.
pub(crate) fn known_columns<T: Record>() -> Option<SchemaRef> {
    (TypeId::of::<T>() != TypeId::of::<Row>()).then(schema_of::<T>)
}

/// The same type in the plain layout, that all readers know: no views, no dictionaries, decimals of 128 bits.
pub(crate) fn plain_type(kind: &DataType) -> DataType {
    let plain = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(plain_type(field.data_type())))
    };
    match kind {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
            DataType::Decimal128(*precision, *scale)
        }
        DataType::Struct(fields) => DataType::Struct(plain_fields(fields)),
        DataType::List(element) | DataType::LargeList(element) => DataType::List(plain(element)),
        DataType::FixedSizeList(element, size) => DataType::FixedSizeList(plain(element), *size),
        DataType::Map(entries, sorted) => DataType::Map(plain(entries), *sorted),
        other => other.clone(),
    }
}

/// The same fields in the plain layout.
pub(crate) fn plain_fields(fields: &Fields) -> Fields {
    let plain = |field: &Arc<Field>| {
        Field::new(field.name(), plain_type(field.data_type()), field.is_nullable())
    };
    fields.iter().map(plain).collect()
}

/// The same type as it is told in text: a point in time in UTC, by an offset rather than a name of a zone.
pub(crate) fn text_type(kind: &DataType) -> DataType {
    let text = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(text_type(field.data_type())))
    };
    match kind {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(text).collect()),
        DataType::List(element) => DataType::List(text(element)),
        other => other.clone(),
    }
}

/// The same columns as they are told in text.
///
/// # Errors
/// Never, for columns of a record.
pub(crate) fn for_text(columns: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let told = |field: &Arc<Field>| {
        Arc::new(field.as_ref().clone().with_data_type(text_type(field.data_type())))
    };
    let fields: Fields = columns.schema_ref().fields().iter().map(told).collect();
    if &fields == columns.schema_ref().fields() {
        return Ok(columns);
    }
    let arrays = columns.columns().iter().zip(&fields);
    let arrays = arrays.map(|(array, field)| cast(array, field.data_type()));
    let arrays = arrays.collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)
}
