//! Columns of one type as those of another, where nothing is lost.

use crate::record::{BindError, widens};
use arrow::array::{Array, ArrayRef, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;

/// A column as one of the type that is wanted.
///
/// # Errors
/// [`BindError`] if something could be lost.
pub(crate) fn as_wanted(array: ArrayRef, wanted: &DataType) -> Result<ArrayRef, BindError> {
    let found = array.data_type();
    if found == wanted {
        return Ok(array);
    }
    if *found == DataType::Null {
        return Ok(new_null_array(wanted, array.len()));
    }
    if !fits(found, wanted) {
        return Err(BindError::Type {
            column: String::new(),
            expected: format!("{wanted}, as in the first file,"),
            found: found.to_string(),
        });
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(&array, wanted, &options).map_err(|error| BindError::Value {
        column: String::new(),
        row: 0,
        reason: error.to_string(),
    })
}

/// Whether all values of a type are values of another.
fn fits(found: &DataType, wanted: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Date64, Decimal32, Decimal64, Decimal128, Dictionary,
        FixedSizeBinary, FixedSizeList, LargeBinary, LargeList, LargeUtf8, List, Struct, Timestamp,
        Utf8, Utf8View,
    };
    match (found, wanted) {
        _ if found == wanted => true,
        (Dictionary(_, value), wanted) => fits(value, wanted),
        (Utf8 | LargeUtf8 | Utf8View, Utf8 | Binary) => true,
        (Binary | LargeBinary | BinaryView | FixedSizeBinary(_), Binary) => true,
        (Date32, Date64 | Timestamp(_, None)) => true,
        (Timestamp(from, a), Timestamp(to, b)) => from <= to && a.is_some() == b.is_some(),
        (
            Decimal32(p, s) | Decimal64(p, s) | Decimal128(p, s),
            Decimal32(q, t) | Decimal64(q, t) | Decimal128(q, t),
        ) => s <= t && i16::from(*p) - i16::from(*s) <= i16::from(*q) - i16::from(*t),
        (List(a) | LargeList(a) | FixedSizeList(a, _), List(b)) => {
            fits(a.data_type(), b.data_type())
        }
        (Struct(a), Struct(b)) => {
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.name() == b.name() && fits(a.data_type(), b.data_type()))
        }
        (found, wanted) => widens(found, wanted),
    }
}
