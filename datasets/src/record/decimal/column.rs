//! Columns of decimals: numbers of 64 bits where these hold all digits, else of 128.

use super::Decimal;
use crate::memory::{Gather, prefetch};
use crate::record::nulls::first_null;
use crate::record::{Batch, BindError, Builder, Record};
use arrow::array::{Array, ArrayRef, AsArray, Decimal64Array, Decimal128Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Decimal64Type, Decimal128Type};
use std::sync::Arc;

/// A column of decimals, unscaled. Which of the two buffers is used is decided by the type, so that no row asks.
#[derive(Clone, Debug)]
pub struct DecimalColumn<const P: u8, const S: i8> {
    /// Those of up to 18 digits.
    narrow: ScalarBuffer<i64>,
    /// Others.
    wide: ScalarBuffer<i128>,
}

impl<const P: u8, const S: i8> DecimalColumn<P, S> {
    fn of_narrow(narrow: ScalarBuffer<i64>) -> Self {
        DecimalColumn { narrow, wide: ScalarBuffer::from(Vec::new()) }
    }

    fn of_wide(wide: ScalarBuffer<i128>) -> Self {
        DecimalColumn { narrow: ScalarBuffer::from(Vec::new()), wide }
    }
}

/// Builds a column of decimals.
pub struct DecimalBuilder<const P: u8, const S: i8> {
    narrow: Gather<i64>,
    wide: Gather<i128>,
}

impl<const P: u8, const S: i8> Default for DecimalBuilder<P, S> {
    fn default() -> Self {
        DecimalBuilder { narrow: Gather::default(), wide: Gather::default() }
    }
}

impl<const P: u8, const S: i8> Batch<Decimal<P, S>> for DecimalColumn<P, S> {
    #[inline]
    fn len(&self) -> usize {
        if Decimal::<P, S>::IS_NARROW { self.narrow.len() } else { self.wide.len() }
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> Decimal<P, S> {
        // SAFETY: the caller keeps `index` in bounds.
        let raw = unsafe {
            if Decimal::<P, S>::IS_NARROW {
                i128::from(*self.narrow.get_unchecked(index))
            } else {
                *self.wide.get_unchecked(index)
            }
        };
        Decimal { raw }
    }
    #[inline(always)]
    fn prefetch(&self, index: usize) {
        if Decimal::<P, S>::IS_NARROW {
            prefetch(self.narrow.as_ptr().wrapping_add(index));
        } else {
            prefetch(self.wide.as_ptr().wrapping_add(index));
        }
    }
    fn to_array(&self) -> ArrayRef {
        let kind = Decimal::<P, S>::data_type();
        if Decimal::<P, S>::IS_NARROW {
            Arc::new(Decimal64Array::new(self.narrow.clone(), None).with_data_type(kind))
        } else {
            Arc::new(Decimal128Array::new(self.wide.clone(), None).with_data_type(kind))
        }
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        if let Some(row) = first_null(array.as_ref()) {
            return Err(BindError::Null { column: String::new(), row });
        }
        let wanted = Decimal::<P, S>::data_type();
        let array = converted::<P, S>(array, &wanted)?;
        // Nothing in a file keeps a value to the digits that its type promises; keys rest on it.
        if Decimal::<P, S>::IS_NARROW {
            let values = array.as_primitive::<Decimal64Type>().values();
            // Less than 10^18, so that it fits.
            let limit = Decimal::<P, S>::LIMIT as u64;
            let fits = |&raw: &i64| Decimal::<P, S>::from_raw(i128::from(raw)).is_some();
            // All bits that any of them has, signs aside: where these stay below the limit, so does each. Most often
            // they do, and this goes by vectors.
            let bits = values.iter().fold(0, |bits, raw| bits | (raw ^ (raw >> 63))) as u64;
            if bits < limit - 1 || values.iter().all(fits) {
                return Ok(DecimalColumn::of_narrow(values.clone()));
            }
            let row = values.iter().position(|raw| !fits(raw)).unwrap_or_default();
            Err(too_long::<P, S>(row, i128::from(values[row])))
        } else {
            let values = array.as_primitive::<Decimal128Type>().values();
            match values.iter().position(|&raw| Decimal::<P, S>::from_raw(raw).is_none()) {
                None => Ok(DecimalColumn::of_wide(values.clone())),
                Some(row) => Err(too_long::<P, S>(row, values[row])),
            }
        }
    }
}

fn too_long<const P: u8, const S: i8>(row: usize, raw: i128) -> BindError {
    let reason = format!("{raw}e-{S} has more than {P} digits");
    BindError::Value { column: String::new(), row, reason }
}

/// The array with the type `wanted`, that of `Decimal<P, S>`.
fn converted<const P: u8, const S: i8>(
    array: &ArrayRef,
    wanted: &DataType,
) -> Result<ArrayRef, BindError> {
    let found = array.data_type();
    if found == wanted {
        return Ok(array.clone());
    }
    let wrong = || BindError::wrong_type::<Decimal<P, S>>(found);
    if !widens(found, P, S) {
        return Err(wrong());
    }
    // Numbers of the same digits are converted one by one, since a cast would refuse the whole column for one that is
    // too long, and not say which.
    if *found == DataType::Decimal128(P, S) {
        let values = array.as_primitive::<Decimal128Type>().values();
        if let Some(row) = values.iter().position(|&raw| Decimal::<P, S>::from_raw(raw).is_none()) {
            return Err(too_long::<P, S>(row, values[row]));
        }
        let values: ScalarBuffer<i64> = values.iter().map(|&raw| raw as i64).collect();
        return Ok(Arc::new(Decimal64Array::new(values, None).with_data_type(wanted.clone())));
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(array, wanted, &options).map_err(|_| wrong())
}

/// Whether each value of `found` is one of a decimal of `precision` and `scale`.
fn widens(found: &DataType, precision: u8, scale: i8) -> bool {
    let (p, s) = match *found {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) | DataType::Decimal128(p, s) => {
            (p, s)
        }
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return false,
    };
    s <= scale && i16::from(p) - i16::from(s) <= i16::from(precision) - i16::from(scale)
}

impl<const P: u8, const S: i8> Builder<Decimal<P, S>> for DecimalBuilder<P, S> {
    #[inline]
    fn push(&mut self, view: Decimal<P, S>) {
        if Decimal::<P, S>::IS_NARROW {
            self.narrow.push(view.raw as i64);
        } else {
            self.wide.push(view.raw);
        }
    }
    #[inline]
    fn push_blank(&mut self) {
        self.push(Decimal { raw: 0 });
    }
    fn len(&self) -> usize {
        if Decimal::<P, S>::IS_NARROW { self.narrow.len() } else { self.wide.len() }
    }
    fn reserve(&mut self, records: usize) {
        if Decimal::<P, S>::IS_NARROW {
            self.narrow.reserve(records);
        } else {
            self.wide.reserve(records);
        }
    }
    fn finish(&mut self) -> DecimalColumn<P, S> {
        DecimalColumn { narrow: self.narrow.take().into(), wide: self.wide.take().into() }
    }
}
