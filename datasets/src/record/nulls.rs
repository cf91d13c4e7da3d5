//! Nulls of Arrow arrays, taken away from the values that lie under them.

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, DictionaryArray, StructArray, UInt64Array, make_array,
    new_null_array,
};
use arrow::buffer::{MutableBuffer, NullBuffer};
use arrow::compute::{cast, take};
use arrow::datatypes::{DataType, Field, Fields, Int32Type};
use std::sync::Arc;

/// The first row that is null, also by a dictionary's value.
pub(super) fn first_null(array: &dyn Array) -> Option<usize> {
    let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0)?;
    (0..array.len()).find(|&row| nulls.is_null(row))
}

/// The nulls of an array (none if no row is null), and the same array without them: at what was a null there is
/// some value of the type.
pub(super) fn split(array: &ArrayRef) -> (Option<NullBuffer>, ArrayRef) {
    match array.logical_nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => {
            let values = strip(array, &nulls);
            (Some(nulls), values)
        }
        None => (None, array.clone()),
    }
}

/// The same values with these nulls and no others.
pub(super) fn attach(array: &ArrayRef, nulls: Option<NullBuffer>) -> ArrayRef {
    let builder = array.to_data().into_builder().nulls(nulls);
    // SAFETY: the data was valid, and stays so whichever of its rows count as null: callers pass values that are
    // valid at each row (`strip`), with nulls of the same length.
    make_array(unsafe { builder.build_unchecked() })
}

/// `array` without its logical nulls, which are `nulls`.
fn strip(array: &ArrayRef, nulls: &NullBuffer) -> ArrayRef {
    match array.data_type() {
        DataType::Null => array.clone(),
        DataType::Dictionary(_, value_type) => {
            let dictionary = array.as_any_dictionary();
            if dictionary.values().is_empty() {
                return strip(&new_null_array(value_type, array.len()), nulls);
            }
            // The key of a null may be any number; these are in range.
            let keys = dictionary.normalized_keys().into_iter().map(|key| key as i32);
            let (_, values) = split(dictionary.values());
            Arc::new(DictionaryArray::<Int32Type>::new(keys.collect::<Vec<_>>().into(), values))
        }
        DataType::Struct(fields) => {
            let columns: Vec<ArrayRef> = array
                .as_struct()
                .columns()
                .iter()
                .map(|column| {
                    let (own, values) = split(column);
                    // What is null under a null of the struct is no null of the column.
                    let left = own.map(|own| NullBuffer::new(own.inner() | &!nulls.inner()));
                    match left.filter(|left| left.null_count() > 0) {
                        Some(left) if *values.data_type() != DataType::Null => {
                            attach(&values, Some(left))
                        }
                        _ => values,
                    }
                })
                .collect();
            let fields: Fields = fields
                .iter()
                .zip(&columns)
                .map(|(field, column)| {
                    Field::new(field.name(), column.data_type().clone(), field.is_nullable())
                })
                .collect();
            let array = StructArray::try_new_with_length(fields, columns, None, array.len());
            Arc::new(array.expect("the columns of a valid struct array"))
        }
        // A null list may have elements, which may be null themselves: take them away.
        DataType::FixedSizeList(element, _) => {
            match cast(array, &DataType::List(element.clone())) {
                Ok(lists) => strip(&lists, nulls),
                Err(_) => attach(array, None),
            }
        }
        DataType::List(_) if null_lists_are_empty(array, nulls) => attach(array, None),
        DataType::List(_) | DataType::LargeList(_) => {
            let rows: UInt64Array =
                (0..array.len()).map(|row| nulls.is_valid(row).then_some(row as u64)).collect();
            let lists = take(array, &rows, None).expect("indexes in bounds");
            attach(&lists, None)
        }
        // Their values are looked at when they are bound, and what lies under a null may be anything.
        DataType::Timestamp(..)
        | DataType::Date64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..) => zeroed(array, nulls),
        _ => attach(array, None),
    }
}

fn null_lists_are_empty(array: &ArrayRef, nulls: &NullBuffer) -> bool {
    let offsets = array.as_list::<i32>().offsets();
    (!nulls.inner()).set_indices().all(|row| offsets[row] == offsets[row + 1])
}

/// An array of numbers with zeros where the nulls were.
fn zeroed(array: &ArrayRef, nulls: &NullBuffer) -> ArrayRef {
    let data = array.to_data();
    let width = array.data_type().primitive_width().unwrap_or(0);
    let from = data.offset() * width;
    let mut bytes = MutableBuffer::new(data.len() * width);
    bytes.extend_from_slice(&data.buffers()[0].as_slice()[from..][..data.len() * width]);
    for row in (!nulls.inner()).set_indices() {
        bytes[row * width..][..width].fill(0);
    }
    let builder = ArrayData::builder(array.data_type().clone()).len(data.len());
    // SAFETY: as many numbers as before, in a buffer that is aligned for any of them.
    make_array(unsafe { builder.add_buffer(bytes.into()).build_unchecked() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Decimal128Array;
    use arrow::datatypes::Decimal128Type;

    #[test]
    fn what_lies_under_a_null_is_no_value() {
        let nulls = NullBuffer::from(vec![true, false, true]);
        let array = Decimal128Array::new(vec![1, i128::MAX, 3].into(), Some(nulls.clone()));
        let array: ArrayRef = Arc::new(array.slice(0, 3));
        let (found, values) = split(&array);
        assert_eq!(found, Some(nulls));
        assert_eq!(values.as_primitive::<Decimal128Type>().values()[..], [1, 0, 3]);
        let (found, values) = split(&array.slice(1, 2));
        assert_eq!(found.map(|nulls| nulls.null_count()), Some(1));
        assert_eq!(values.as_primitive::<Decimal128Type>().values()[..], [0, 3]);
    }
}
