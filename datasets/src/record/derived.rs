//! What the code of `#[derive(Record)]` calls. No part of the public interface.

use super::{BindError, Key, Record, nulls};
use crate::record::Batch;
use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{Field, Fields};
use std::sync::Arc;

pub use crate::columns::{Col, Cols, Columns};
pub use arrow::array::ArrayRef;
pub use arrow::datatypes::DataType;

/// A column's name, type, and whether it may hold nulls.
pub fn field<T: Record>(name: &str) -> Field {
    Field::new(name, T::data_type(), T::nullable())
}

/// The type of a struct of these columns.
pub fn struct_type(fields: Vec<Field>) -> DataType {
    DataType::Struct(Fields::from(fields))
}

/// The struct array of `T`'s type over these columns.
pub fn struct_array<T: Record>(columns: Vec<ArrayRef>) -> ArrayRef {
    let DataType::Struct(fields) = T::data_type() else {
        unreachable!("a derived record's type is a struct")
    };
    Arc::new(StructArray::new(fields, columns, None))
}

/// The columns of an array that `T` binds to.
///
/// # Errors
/// [`BindError`] if it is no struct array, or a row of it is null.
pub fn columns<T: Record>(array: &ArrayRef) -> Result<&StructArray, BindError> {
    let Some(columns) = array.as_struct_opt() else {
        return Err(BindError::wrong_type::<T>(array.data_type()));
    };
    match nulls::first_null(columns) {
        Some(row) => Err(BindError::Null { column: String::new(), row }),
        None => Ok(columns),
    }
}

/// The column `name`, or nulls where it is missing and may be.
///
/// # Errors
/// [`BindError`] if it is missing and may not be, or does not bind.
pub fn column<T: Record>(columns: &StructArray, name: &str) -> Result<T::Batch, BindError> {
    let column = match columns.column_by_name(name) {
        Some(column) => T::Batch::from_array(column),
        None if T::nullable() => {
            let nulls: ArrayRef = Arc::new(arrow::array::NullArray::new(columns.len()));
            T::Batch::from_array(&nulls)
        }
        None => {
            let present = columns.column_names().join(", ");
            return Err(BindError::Missing { column: name.to_string(), present });
        }
    };
    column.map_err(|error| error.within(name))
}

/// Compiles for keys only.
pub fn is_key<T: Key>() {}

/// The prefix of a key of several fields, in the making.
#[derive(Clone, Copy, Default)]
pub struct Prefix {
    bits: u128,
    taken: u32,
}

impl Prefix {
    /// The prefix with `slot`'s behind what is there.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline]
    #[must_use]
    pub unsafe fn then<T: Key>(mut self, slot: &T::Slot) -> Prefix {
        if self.taken < 128 {
            // SAFETY: the caller's promise.
            self.bits |= unsafe { T::prefix(slot) } >> self.taken;
            // What follows a key of no fixed width says nothing about the order.
            self.taken = if T::PREFIX_IS_EXACT { self.taken + T::PREFIX_BITS } else { 128 };
        }
        self
    }

    /// The bits.
    #[inline]
    pub fn bits(self) -> u128 {
        self.bits
    }
}
