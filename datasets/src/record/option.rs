//! `Option<T>`: a column that may hold nulls.
//!
//! Where `T` itself may be null (an `Option` of an `Option`, or of `()`), the column is a struct of one field
//! `some`, so that `None` and `Some(None)` are told apart.

use super::text::TextRecord;
use super::{Batch, BindError, Builder, Heap, Key, Record, mix, nulls};
use arrow::array::{Array, ArrayRef, AsArray, NullBufferBuilder, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use std::cmp::Ordering;
use std::hash::Hasher;
use std::sync::Arc;

/// A column of `T` with nulls.
pub struct OptColumn<T: Record> {
    /// Which rows are not null; `None` where all are not.
    nulls: Option<NullBuffer>,
    /// The values; anything under a null.
    values: T::Batch,
}

impl<T: Record> Clone for OptColumn<T> {
    fn clone(&self) -> Self {
        OptColumn { nulls: self.nulls.clone(), values: self.values.clone() }
    }
}

impl<T: Record> OptColumn<T> {
    /// Which rows are not null; `None` where none is null.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    /// The values, with anything in the rows that are null.
    pub fn values(&self) -> &T::Batch {
        &self.values
    }

    fn all_none(len: usize) -> OptColumn<T> {
        let mut values = T::Builder::default();
        for _ in 0..len {
            values.push_blank();
        }
        let nulls = (len > 0).then(|| NullBuffer::new_null(len));
        OptColumn { nulls, values: values.finish() }
    }
}

/// Builds a column of `T` with nulls.
pub struct OptBuilder<T: Record> {
    nulls: NullBufferBuilder,
    values: T::Builder,
}

impl<T: Record> Default for OptBuilder<T> {
    fn default() -> Self {
        OptBuilder { nulls: NullBufferBuilder::new(0), values: T::Builder::default() }
    }
}

/// The one column of the struct for a `T` that may itself be null.
fn wrapper<T: Record>() -> Fields {
    Fields::from(vec![Field::new("some", T::data_type(), true)])
}

impl<T: Record> Record for Option<T> {
    type View<'a> = Option<T::View<'a>>;
    type Batch = OptColumn<T>;
    type Builder = OptBuilder<T>;
    type Slot = Option<T::Slot>;

    #[inline]
    fn view(&self) -> Option<T::View<'_>> {
        self.as_ref().map(T::view)
    }
    #[inline]
    fn own(view: Option<T::View<'_>>) -> Option<T> {
        view.map(T::own)
    }
    #[inline(always)]
    fn shorten<'short, 'long: 'short>(view: Option<T::View<'long>>) -> Option<T::View<'short>> {
        view.map(T::shorten)
    }
    #[inline]
    fn keep(view: Option<T::View<'_>>, heap: &mut Heap) -> Option<T::Slot> {
        view.map(|view| T::keep(view, heap))
    }
    #[inline]
    unsafe fn slot_view<'a>(slot: &'a Option<T::Slot>) -> Option<T::View<'a>> {
        // SAFETY: the caller's promise.
        slot.as_ref().map(|slot| unsafe { T::slot_view(slot) })
    }
    fn data_type() -> DataType {
        if T::nullable() { DataType::Struct(wrapper::<T>()) } else { T::data_type() }
    }
    fn nullable() -> bool {
        true
    }
    #[inline(always)]
    fn is_null(view: Option<T::View<'_>>) -> bool {
        view.is_none()
    }
    fn approximate_bytes(view: Option<T::View<'_>>) -> usize {
        view.map_or(1, T::approximate_bytes)
    }
}

impl<T: Record> Batch<Option<T>> for OptColumn<T> {
    #[inline]
    fn len(&self) -> usize {
        self.values.len()
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> Option<T::View<'_>> {
        if let Some(nulls) = &self.nulls {
            // SAFETY: the nulls are as many as the values; the caller keeps `index` in bounds.
            if unsafe { !nulls.inner().value_unchecked(index) } {
                return None;
            }
        }
        // SAFETY: the caller keeps `index` in bounds.
        Some(unsafe { self.values.get_unchecked(index) })
    }
    #[inline(always)]
    fn prefetch(&self, index: usize) {
        self.values.prefetch(index);
    }
    fn to_array(&self) -> ArrayRef {
        let values = self.values.to_array();
        if T::nullable() {
            return Arc::new(StructArray::new(wrapper::<T>(), vec![values], self.nulls.clone()));
        }
        match &self.nulls {
            Some(nulls) => nulls::attach(&values, Some(nulls.clone())),
            None => values,
        }
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        if *array.data_type() == DataType::Null {
            return Ok(OptColumn::all_none(array.len()));
        }
        let (nulls, values) = nulls::split(array);
        if !T::nullable() {
            return Ok(OptColumn { nulls, values: T::Batch::from_array(&values)? });
        }
        match values.as_struct_opt() {
            Some(wrapped) if wrapped.num_columns() == 1 => {
                let values = T::Batch::from_array(wrapped.column(0));
                Ok(OptColumn { nulls, values: values.map_err(|e| e.within("some"))? })
            }
            _ => Err(BindError::wrong_type::<Option<T>>(array.data_type())),
        }
    }
}

impl<T: Record> Builder<Option<T>> for OptBuilder<T> {
    #[inline]
    fn push(&mut self, view: Option<T::View<'_>>) {
        match view {
            Some(view) => {
                self.nulls.append_non_null();
                self.values.push(view);
            }
            None => {
                self.nulls.append_null();
                self.values.push_blank();
            }
        }
    }
    /// No null: under a null there are no others, so that a batch has one form only.
    #[inline]
    fn push_blank(&mut self) {
        self.nulls.append_non_null();
        self.values.push_blank();
    }
    fn len(&self) -> usize {
        self.values.len()
    }
    fn reserve(&mut self, records: usize) {
        self.values.reserve(records);
    }
    fn finish(&mut self) -> OptColumn<T> {
        OptColumn { nulls: self.nulls.finish(), values: self.values.finish() }
    }
}

/// `None` is the least key.
impl<T: Key> Key for Option<T> {
    const PREFIX_IS_EXACT: bool = T::PREFIX_IS_EXACT && T::PREFIX_BITS < 96;
    const PREFIX_BITS: u32 = T::PREFIX_BITS + 1;

    #[inline]
    fn probe(view: Option<T::View<'_>>) -> Option<T::Slot> {
        view.map(T::probe)
    }
    #[inline]
    unsafe fn keep_slot(slot: &Option<T::Slot>, heap: &mut Heap) -> Option<T::Slot> {
        // SAFETY: the caller's promise.
        slot.as_ref().map(|slot| unsafe { T::keep_slot(slot, heap) })
    }
    #[inline]
    unsafe fn slot_hash(slot: &Option<T::Slot>) -> u64 {
        match slot {
            // SAFETY: the caller's promise.
            Some(slot) => mix(unsafe { T::slot_hash(slot) }, 1),
            None => mix(0, 0),
        }
    }
    unsafe fn slot_feed(slot: &Option<T::Slot>, hasher: &mut impl Hasher) {
        hasher.write_u8(u8::from(slot.is_some()));
        if let Some(slot) = slot {
            // SAFETY: the caller's promise.
            unsafe { T::slot_feed(slot, hasher) };
        }
    }
    #[inline]
    unsafe fn slot_eq(a: &Option<T::Slot>, b: &Option<T::Slot>) -> bool {
        match (a, b) {
            // SAFETY: the caller's promise.
            (Some(a), Some(b)) => unsafe { T::slot_eq(a, b) },
            (None, None) => true,
            _ => false,
        }
    }
    #[inline]
    unsafe fn slot_cmp(a: &Option<T::Slot>, b: &Option<T::Slot>) -> Ordering {
        match (a, b) {
            // SAFETY: the caller's promise.
            (Some(a), Some(b)) => unsafe { T::slot_cmp(a, b) },
            _ => a.is_some().cmp(&b.is_some()),
        }
    }
    #[inline]
    unsafe fn prefix(slot: &Option<T::Slot>) -> u128 {
        match slot {
            // SAFETY: the caller's promise.
            Some(slot) => (1 << 127) | (unsafe { T::prefix(slot) } >> 1),
            None => 0,
        }
    }
}

impl<T: TextRecord> TextRecord for Option<T> {
    #[inline]
    fn write_text(view: Option<T::View<'_>>, out: &mut Vec<u8>) {
        if let Some(view) = view {
            T::write_text(view, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{DictionaryArray, Int32Array, NullArray};
    use arrow::datatypes::Int32Type;

    #[test]
    fn dictionaries_with_nulls_bind() {
        let array: DictionaryArray<Int32Type> =
            vec![Some("card"), None, Some("card")].into_iter().collect();
        let column = OptColumn::<String>::from_array(&(Arc::new(array) as ArrayRef)).unwrap();
        assert_eq!((column.get(0), column.get(1)), (Some("card"), None));
        assert!(matches!(column.values(), crate::record::BytesColumn::Dictionary { .. }));
        let none: DictionaryArray<Int32Type> = vec![None::<&str>, None].into_iter().collect();
        let column = OptColumn::<String>::from_array(&(Arc::new(none) as ArrayRef)).unwrap();
        assert_eq!((column.len(), column.get(1)), (2, None));
    }

    #[test]
    fn a_null_struct_hides_the_nulls_of_its_columns() {
        let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
        let fields = Fields::from(vec![
            Field::new("_0", DataType::Int32, true),
            Field::new("_1", DataType::Int32, true),
        ]);
        let rows = |valid: Vec<bool>| -> ArrayRef {
            let columns = vec![numbers.clone(), numbers.clone()];
            Arc::new(StructArray::new(fields.clone(), columns, Some(NullBuffer::from(valid))))
        };
        let column = OptColumn::<(i32, i32)>::from_array(&rows(vec![true, false, true])).unwrap();
        assert_eq!((column.get(1), column.get(2)), (None, Some((3, 3))));
        let Err(error) = OptColumn::<(i32, i32)>::from_array(&rows(vec![false, true, true])) else {
            panic!("a null bound to `i32`")
        };
        assert_eq!(error, BindError::Null { column: "_0".into(), row: 1 });
    }

    #[test]
    fn what_is_null_altogether_binds_to_any_option() {
        let array: ArrayRef = Arc::new(NullArray::new(3));
        let column = OptColumn::<(String, Option<u8>)>::from_array(&array).unwrap();
        assert_eq!((column.len(), column.get(2)), (3, None));
    }
}
