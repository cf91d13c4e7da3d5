//! Integers, floats, `bool` and `()`: records whose view, slot and owned form are one and the same.

use super::{Batch, BindError, Builder, Heap, Key, Record, mix};
use crate::memory::{Gather, prefetch};
use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, NullArray, PrimitiveArray,
};
use arrow::buffer::{BooleanBuffer, ScalarBuffer};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use std::cmp::Ordering;
use std::hash::Hasher;
use std::sync::Arc;

/// A column of numbers without nulls.
#[derive(Debug)]
pub struct ScalarColumn<P: ArrowPrimitiveType>(pub ScalarBuffer<P::Native>);

impl<P: ArrowPrimitiveType> Clone for ScalarColumn<P> {
    fn clone(&self) -> Self {
        ScalarColumn(self.0.clone())
    }
}

/// Builds a column of numbers.
pub struct ScalarBuilder<P: ArrowPrimitiveType>(Gather<P::Native>);

impl<P: ArrowPrimitiveType> Default for ScalarBuilder<P> {
    fn default() -> Self {
        ScalarBuilder(Gather::default())
    }
}

/// Whether every value of `from` is a value of `to`.
pub(crate) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Float16, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64,
    };
    matches!(
        (from, to),
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
            | (Int16, Int32 | Int64 | Float32 | Float64)
            | (Int32, Int64 | Float64)
            | (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64 | Float32 | Float64)
            | (UInt16, UInt32 | UInt64 | Int32 | Int64 | Float32 | Float64)
            | (UInt32, UInt64 | Int64 | Float64)
            | (Float16, Float32 | Float64)
            | (Float32, Float64)
    )
}

/// The values of an array as `P`, widened where nothing is lost.
///
/// # Errors
/// [`BindError`] for another type, or a null.
pub(crate) fn bind_primitive<P: ArrowPrimitiveType>(
    array: &ArrayRef,
) -> Result<ScalarBuffer<P::Native>, BindError> {
    if let Some(row) = super::nulls::first_null(array.as_ref()) {
        return Err(BindError::Null { column: String::new(), row });
    }
    let found = array.data_type();
    let wrong = || BindError::Type {
        column: String::new(),
        expected: P::DATA_TYPE.to_string(),
        found: found.to_string(),
    };
    if *found == P::DATA_TYPE {
        return Ok(array.as_primitive::<P>().values().clone());
    }
    if !widens(found, &P::DATA_TYPE) {
        return Err(wrong());
    }
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = cast_with_options(array, &P::DATA_TYPE, &options).map_err(|_| wrong())?;
    Ok(cast.as_primitive::<P>().values().clone())
}

macro_rules! scalar_record {
    ($native:ty, $arrow:ty) => {
        impl Record for $native {
            type View<'a> = $native;
            type Batch = ScalarColumn<$arrow>;
            type Builder = ScalarBuilder<$arrow>;
            type Slot = $native;

            #[inline]
            fn view(&self) -> $native {
                *self
            }
            #[inline]
            fn own(view: $native) -> $native {
                view
            }
            #[inline(always)]
            fn shorten<'short, 'long: 'short>(view: $native) -> $native {
                view
            }
            #[inline]
            fn keep(view: $native, _heap: &mut Heap) -> $native {
                view
            }
            #[inline]
            unsafe fn slot_view(slot: &$native) -> $native {
                *slot
            }
            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }
        }

        impl Batch<$native> for ScalarColumn<$arrow> {
            #[inline]
            fn len(&self) -> usize {
                self.0.len()
            }
            #[inline]
            unsafe fn get_unchecked(&self, index: usize) -> $native {
                // SAFETY: the caller keeps `index` in bounds.
                unsafe { *self.0.get_unchecked(index) }
            }
            #[inline(always)]
            fn prefetch(&self, index: usize) {
                prefetch(self.0.as_ptr().wrapping_add(index));
            }
            fn to_array(&self) -> ArrayRef {
                Arc::new(PrimitiveArray::<$arrow>::new(self.0.clone(), None))
            }
            fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
                bind_primitive::<$arrow>(array).map(ScalarColumn)
            }
        }

        impl Builder<$native> for ScalarBuilder<$arrow> {
            #[inline]
            fn push(&mut self, view: $native) {
                self.0.push(view);
            }
            #[inline]
            fn push_blank(&mut self) {
                self.0.push(<$native>::default());
            }
            fn len(&self) -> usize {
                self.0.len()
            }
            fn reserve(&mut self, records: usize) {
                self.0.reserve(records);
            }
            fn finish(&mut self) -> ScalarColumn<$arrow> {
                ScalarColumn(self.0.take().into())
            }
        }
    };
}

macro_rules! integer_key {
    ($native:ty, $unsigned:ty, $flip:expr) => {
        impl Key for $native {
            const PREFIX_IS_EXACT: bool = true;
            const PREFIX_BITS: u32 = <$unsigned>::BITS;

            #[inline]
            fn probe(view: $native) -> $native {
                view
            }
            #[inline]
            unsafe fn keep_slot(slot: &$native, _heap: &mut Heap) -> $native {
                *slot
            }
            #[inline]
            unsafe fn slot_hash(slot: &$native) -> u64 {
                mix(*slot as u64, <$unsigned>::BITS as u64)
            }
            unsafe fn slot_feed(slot: &$native, hasher: &mut impl Hasher) {
                hasher.write_u64(*slot as u64);
            }
            #[inline]
            unsafe fn slot_eq(a: &$native, b: &$native) -> bool {
                a == b
            }
            #[inline]
            unsafe fn slot_cmp(a: &$native, b: &$native) -> Ordering {
                a.cmp(b)
            }
            #[inline]
            unsafe fn prefix(slot: &$native) -> u128 {
                // A signed number's order is that of its bits with the sign bit flipped.
                u128::from((*slot as $unsigned) ^ $flip) << (128 - <$unsigned>::BITS)
            }
        }
    };
}

scalar_record!(u8, UInt8Type);
scalar_record!(u16, UInt16Type);
scalar_record!(u32, UInt32Type);
scalar_record!(u64, UInt64Type);
scalar_record!(i8, Int8Type);
scalar_record!(i16, Int16Type);
scalar_record!(i32, Int32Type);
scalar_record!(i64, Int64Type);
scalar_record!(f32, Float32Type);
scalar_record!(f64, Float64Type);

integer_key!(u8, u8, 0);
integer_key!(u16, u16, 0);
integer_key!(u32, u32, 0);
integer_key!(u64, u64, 0);
integer_key!(i8, u8, 1 << 7);
integer_key!(i16, u16, 1 << 15);
integer_key!(i32, u32, 1 << 31);
integer_key!(i64, u64, 1 << 63);

impl Record for bool {
    type View<'a> = bool;
    type Batch = BooleanBuffer;
    type Builder = Vec<bool>;
    type Slot = bool;

    fn view(&self) -> bool {
        *self
    }
    fn own(view: bool) -> bool {
        view
    }
    #[inline(always)]
    fn shorten<'short, 'long: 'short>(view: bool) -> bool {
        view
    }
    fn keep(view: bool, _heap: &mut Heap) -> bool {
        view
    }
    unsafe fn slot_view(slot: &bool) -> bool {
        *slot
    }
    fn data_type() -> DataType {
        DataType::Boolean
    }
}

impl Batch<bool> for BooleanBuffer {
    fn len(&self) -> usize {
        BooleanBuffer::len(self)
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> bool {
        // SAFETY: the caller keeps `index` in bounds.
        unsafe { self.value_unchecked(index) }
    }
    fn to_array(&self) -> ArrayRef {
        Arc::new(BooleanArray::new(self.clone(), None))
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        let Some(values) = array.as_boolean_opt() else {
            return Err(BindError::wrong_type::<bool>(array.data_type()));
        };
        if let Some(row) = super::nulls::first_null(values) {
            return Err(BindError::Null { column: String::new(), row });
        }
        Ok(values.values().clone())
    }
}

impl Builder<bool> for Vec<bool> {
    #[inline]
    fn push(&mut self, view: bool) {
        Vec::push(self, view);
    }
    #[inline]
    fn push_blank(&mut self) {
        Vec::push(self, false);
    }
    fn len(&self) -> usize {
        Vec::len(self)
    }
    fn finish(&mut self) -> BooleanBuffer {
        BooleanBuffer::from(std::mem::take(self))
    }
}

impl Key for bool {
    const PREFIX_IS_EXACT: bool = true;
    const PREFIX_BITS: u32 = 1;

    fn probe(view: bool) -> bool {
        view
    }
    unsafe fn keep_slot(slot: &bool, _heap: &mut Heap) -> bool {
        *slot
    }
    unsafe fn slot_hash(slot: &bool) -> u64 {
        mix(u64::from(*slot), 1)
    }
    unsafe fn slot_feed(slot: &bool, hasher: &mut impl Hasher) {
        hasher.write_u8(u8::from(*slot));
    }
    unsafe fn slot_eq(a: &bool, b: &bool) -> bool {
        a == b
    }
    unsafe fn slot_cmp(a: &bool, b: &bool) -> Ordering {
        a.cmp(b)
    }
    unsafe fn prefix(slot: &bool) -> u128 {
        u128::from(*slot) << 127
    }
}

/// A column of nothing: only a number of records.
#[derive(Clone, Copy, Debug, Default)]
pub struct UnitColumn(pub usize);

/// Counts records of nothing.
#[derive(Default)]
pub struct UnitBuilder(usize);

impl Record for () {
    type View<'a> = ();
    type Batch = UnitColumn;
    type Builder = UnitBuilder;
    type Slot = ();

    fn view(&self) {}
    fn own((): ()) {}
    fn shorten<'short, 'long: 'short>((): ()) {}
    fn keep((): (), _heap: &mut Heap) {}
    unsafe fn slot_view(_slot: &()) {}
    fn data_type() -> DataType {
        DataType::Null
    }
    fn nullable() -> bool {
        true
    }
}

impl Batch<()> for UnitColumn {
    fn len(&self) -> usize {
        self.0
    }
    unsafe fn get_unchecked(&self, _index: usize) {}
    fn to_array(&self) -> ArrayRef {
        Arc::new(NullArray::new(self.0))
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        Ok(UnitColumn(array.len()))
    }
}

impl Builder<()> for UnitBuilder {
    fn push(&mut self, (): ()) {
        self.0 += 1;
    }
    fn push_blank(&mut self) {
        self.0 += 1;
    }
    fn len(&self) -> usize {
        self.0
    }
    fn finish(&mut self) -> UnitColumn {
        UnitColumn(std::mem::take(&mut self.0))
    }
}

impl Key for () {
    const PREFIX_IS_EXACT: bool = true;
    const PREFIX_BITS: u32 = 0;

    fn probe((): ()) {}
    unsafe fn keep_slot(_slot: &(), _heap: &mut Heap) {}
    unsafe fn slot_hash(_slot: &()) -> u64 {
        0
    }
    unsafe fn slot_feed(_slot: &(), _hasher: &mut impl Hasher) {}
    unsafe fn slot_eq(_a: &(), _b: &()) -> bool {
        true
    }
    unsafe fn slot_cmp(_a: &(), _b: &()) -> Ordering {
        Ordering::Equal
    }
    unsafe fn prefix(_slot: &()) -> u128 {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::Int32Array;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn prefixes_order_signed_numbers(a: i64, b: i64) {
            // SAFETY: a number's slot points to nothing.
            unsafe {
                prop_assert_eq!(<i64 as Key>::prefix(&a).cmp(&<i64 as Key>::prefix(&b)), a.cmp(&b));
            }
        }
    }

    #[test]
    fn binding_widens_where_nothing_is_lost() {
        let array: ArrayRef = Arc::new(Int32Array::from(vec![1, -2]));
        let wide = <ScalarColumn<Int64Type> as Batch<i64>>::from_array(&array).unwrap();
        assert_eq!(Batch::<i64>::get(&wide, 1), -2);
        let float = <ScalarColumn<Float64Type> as Batch<f64>>::from_array(&array).unwrap();
        assert_eq!(Batch::<f64>::get(&float, 0), 1.0);
        let error = <ScalarColumn<UInt64Type> as Batch<u64>>::from_array(&array).unwrap_err();
        assert!(matches!(error, BindError::Type { .. }), "{error}");
        let error = <ScalarColumn<Float32Type> as Batch<f32>>::from_array(&array).unwrap_err();
        assert!(matches!(error, BindError::Type { .. }), "{error}");
    }

    #[test]
    fn a_null_is_named() {
        let array: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let error = <ScalarColumn<Int32Type> as Batch<i32>>::from_array(&array).unwrap_err();
        assert_eq!(error, BindError::Null { column: String::new(), row: 1 });
    }
}
