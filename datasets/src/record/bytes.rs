//! `String` and `Bytes`: byte strings as Arrow view columns, or dictionaries of them.

use super::byte_slot::{ByteSlot, INLINE_BYTES};
use super::bytes_builder::BytesBuilder;
use super::{Batch, BindError, Builder, Heap, Key, Record};
use crate::memory::prefetch;
use crate::push::Selection;
use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, GenericByteViewArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, Int32Type, StringViewType};
use bytes::Bytes;
use std::cmp::Ordering;
use std::hash::Hasher;
use std::sync::Arc;

/// A column of byte strings: views, or a dictionary of views. Matched once a batch.
#[derive(Debug)]
pub enum BytesColumn<B: ByteViewType> {
    /// One view a record.
    Views(GenericByteViewArray<B>),
    /// One code a record, and the values that codes stand for. Made by [`Batch::from_array`] and by
    /// builders only, which see to it that all codes are valid.
    #[non_exhaustive]
    Dictionary {
        /// Indexes into `values`, all valid.
        codes: ScalarBuffer<i32>,
        /// The distinct values.
        values: GenericByteViewArray<B>,
    },
}

impl<B: ByteViewType> Clone for BytesColumn<B> {
    fn clone(&self) -> Self {
        match self {
            BytesColumn::Views(views) => BytesColumn::Views(views.clone()),
            BytesColumn::Dictionary { codes, values } => {
                BytesColumn::Dictionary { codes: codes.clone(), values: values.clone() }
            }
        }
    }
}

impl<B: ByteViewType> BytesColumn<B> {
    /// A dictionary.
    ///
    /// # Safety
    /// All codes are indexes into `values`.
    pub(super) unsafe fn of_codes(
        codes: ScalarBuffer<i32>,
        values: GenericByteViewArray<B>,
    ) -> Self {
        BytesColumn::Dictionary { codes, values }
    }

    #[inline]
    unsafe fn position(&self, index: usize) -> (&GenericByteViewArray<B>, usize) {
        match self {
            BytesColumn::Views(views) => (views, index),
            BytesColumn::Dictionary { codes, values } => {
                // SAFETY: the caller keeps `index` in bounds; codes are valid by construction.
                (values, unsafe { *codes.get_unchecked(index) } as usize)
            }
        }
    }

    /// The view array, with a dictionary's values repeated where there was one.
    fn to_views(&self) -> ArrayRef {
        match self {
            BytesColumn::Views(views) => Arc::new(views.clone()),
            BytesColumn::Dictionary { codes, values } => {
                let views: Vec<u128> =
                    codes.iter().map(|&code| values.views()[code as usize]).collect();
                // SAFETY: every view is copied from a valid array over the same buffers.
                Arc::new(unsafe {
                    GenericByteViewArray::<B>::new_unchecked(
                        views.into(),
                        values.data_buffers().clone(),
                        None,
                    )
                })
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            BytesColumn::Views(views) => views.len(),
            BytesColumn::Dictionary { codes, .. } => codes.len(),
        }
    }

    #[inline]
    unsafe fn slot(&self, index: usize) -> ByteSlot {
        // SAFETY: the caller keeps `index` in bounds.
        let (array, at) = unsafe { self.position(index) };
        // SAFETY: as above.
        let view = unsafe { *array.views().get_unchecked(at) };
        if view as u32 as usize <= INLINE_BYTES {
            return ByteSlot::of_bits(view);
        }
        // SAFETY: as above.
        let value: &[u8] = unsafe { array.value_unchecked(at) }.as_ref();
        ByteSlot::of_bits((view as u64 as u128) | ((value.as_ptr() as u128) << 64))
    }

    /// See [`Key::add_codes`].
    fn add_codes(&self, selection: Selection<'_>, most: u32, into: &mut [u32]) -> Option<u32> {
        let BytesColumn::Dictionary { codes, values } = self else { return None };
        let count = u32::try_from(values.len()).ok().filter(|count| (1..=most).contains(count))?;
        let add = |code: &mut u32, own: i32| *code = *code * count + own as u32;
        match selection {
            Selection::All => into.iter_mut().zip(codes.iter()).for_each(|(a, &own)| add(a, own)),
            Selection::Rows(rows) => {
                into.iter_mut().zip(rows).for_each(|(a, &row)| add(a, codes[row as usize]));
            }
        }
        Some(count)
    }

    fn from_array(array: &ArrayRef, wanted: &DataType) -> Result<Self, BindError> {
        if let Some(row) = super::nulls::first_null(array.as_ref()) {
            return Err(BindError::Null { column: String::new(), row });
        }
        match array.data_type() {
            found if found == wanted => Ok(BytesColumn::Views(array.as_byte_view::<B>().clone())),
            DataType::Dictionary(_, value_type) if is_bytes(value_type, wanted) => {
                let dictionary = cast(
                    array,
                    &DataType::Dictionary(Box::new(DataType::Int32), Box::new(wanted.clone())),
                )
                .map_err(|e| cast_error(wanted, array.data_type(), &e))?;
                let dictionary: &DictionaryArray<Int32Type> = dictionary.as_dictionary();
                if dictionary.values().null_count() > 0 {
                    // A null can only be unused here, since no record is null: spell the values out.
                    let views = cast(array, wanted)
                        .map_err(|e| cast_error(wanted, array.data_type(), &e))?;
                    return Ok(BytesColumn::Views(views.as_byte_view::<B>().clone()));
                }
                Ok(BytesColumn::Dictionary {
                    codes: dictionary.keys().values().clone(),
                    values: dictionary.values().as_byte_view::<B>().clone(),
                })
            }
            found if is_bytes(found, wanted) => {
                let views = cast(array, wanted).map_err(|e| cast_error(wanted, found, &e))?;
                Ok(BytesColumn::Views(views.as_byte_view::<B>().clone()))
            }
            found => Err(BindError::Type {
                column: String::new(),
                expected: wanted.to_string(),
                found: found.to_string(),
            }),
        }
    }
}

fn is_bytes(found: &DataType, wanted: &DataType) -> bool {
    let text = matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let binary = matches!(
        found,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    );
    text || (binary && *wanted == DataType::BinaryView)
}

fn cast_error(wanted: &DataType, found: &DataType, error: &arrow::error::ArrowError) -> BindError {
    BindError::Type {
        column: String::new(),
        expected: wanted.to_string(),
        found: format!("{found} ({error})"),
    }
}

macro_rules! byte_record {
    ($owned:ty, $kind:ty, $view:ty, $as_bytes:expr, $of_bytes:expr, $own:expr) => {
        impl Record for $owned {
            type View<'a> = &'a $view;
            type Batch = BytesColumn<$kind>;
            type Builder = BytesBuilder<$kind>;
            type Slot = ByteSlot;

            fn view(&self) -> &$view {
                self
            }
            fn own(view: &$view) -> $owned {
                $own(view)
            }
            #[inline(always)]
            fn shorten<'short, 'long: 'short>(view: &'long $view) -> &'short $view {
                view
            }
            #[inline]
            fn keep(view: &$view, heap: &mut Heap) -> ByteSlot {
                // SAFETY: the borrowed slot points to `view`, which lives until the end of this call.
                unsafe { ByteSlot::borrowed($as_bytes(view)).keep(heap) }
            }
            #[inline]
            unsafe fn slot_view(slot: &ByteSlot) -> &$view {
                // SAFETY: the caller's promise; slots of this record are only made from its own views.
                unsafe { $of_bytes(slot.bytes()) }
            }
            fn data_type() -> DataType {
                <$kind as ByteViewType>::DATA_TYPE
            }
            fn approximate_bytes(view: &$view) -> usize {
                view.len() + 4
            }
        }

        impl Batch<$owned> for BytesColumn<$kind> {
            fn len(&self) -> usize {
                BytesColumn::len(self)
            }
            #[inline]
            unsafe fn get_unchecked(&self, index: usize) -> &$view {
                // SAFETY: the caller keeps `index` in bounds.
                let (array, at) = unsafe { self.position(index) };
                // SAFETY: as above.
                unsafe { array.value_unchecked(at) }
            }
            fn dictionary(&self) -> Option<(&[i32], Self)> {
                match self {
                    BytesColumn::Views(_) => None,
                    BytesColumn::Dictionary { codes, values } => {
                        Some((codes, BytesColumn::Views(values.clone())))
                    }
                }
            }
            #[inline(always)]
            fn prefetch(&self, index: usize) {
                match self {
                    BytesColumn::Views(views) => {
                        prefetch(views.views().as_ptr().wrapping_add(index));
                    }
                    BytesColumn::Dictionary { codes, .. } => {
                        prefetch(codes.as_ptr().wrapping_add(index));
                    }
                }
            }
            fn to_array(&self) -> ArrayRef {
                self.to_views()
            }
            fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
                BytesColumn::from_array(array, &<$kind as ByteViewType>::DATA_TYPE)
            }
        }

        impl Builder<$owned> for BytesBuilder<$kind> {
            #[inline]
            fn push(&mut self, view: &$view) {
                self.append($as_bytes(view));
            }
            #[inline]
            fn push_blank(&mut self) {
                self.append_blank();
            }
            fn len(&self) -> usize {
                self.rows()
            }
            fn reserve(&mut self, records: usize) {
                self.make_room(records);
            }
            fn finish(&mut self) -> BytesColumn<$kind> {
                self.take()
            }
        }

        impl Key for $owned {
            const PREFIX_IS_EXACT: bool = false;

            #[inline]
            fn probe(view: &$view) -> ByteSlot {
                ByteSlot::borrowed($as_bytes(view))
            }
            #[inline]
            unsafe fn probe_batch(batch: &Self::Batch, index: usize) -> ByteSlot {
                // SAFETY: the caller's promise.
                unsafe { batch.slot(index) }
            }
            #[inline]
            unsafe fn keep_slot(slot: &ByteSlot, heap: &mut Heap) -> ByteSlot {
                // SAFETY: the caller's promise.
                unsafe { slot.keep(heap) }
            }
            #[inline]
            unsafe fn slot_hash(slot: &ByteSlot) -> u64 {
                // SAFETY: the caller's promise.
                unsafe { slot.hash() }
            }
            unsafe fn slot_feed(slot: &ByteSlot, hasher: &mut impl Hasher) {
                // SAFETY: the caller's promise.
                let bytes = unsafe { slot.bytes() };
                hasher.write_usize(bytes.len());
                hasher.write(bytes);
            }
            #[inline]
            unsafe fn slot_eq(a: &ByteSlot, b: &ByteSlot) -> bool {
                // SAFETY: the caller's promise.
                unsafe { a.equals(b) }
            }
            #[inline]
            unsafe fn slot_cmp(a: &ByteSlot, b: &ByteSlot) -> Ordering {
                // SAFETY: the caller's promise.
                unsafe { a.bytes().cmp(b.bytes()) }
            }
            fn add_codes(
                batch: &Self::Batch,
                selection: Selection<'_>,
                most: u32,
                codes: &mut [u32],
            ) -> Option<u32> {
                batch.add_codes(selection, most, codes)
            }
            #[inline(always)]
            fn prefetch(slot: &ByteSlot) {
                slot.prefetch();
            }
            #[inline]
            unsafe fn prefix(slot: &ByteSlot) -> u128 {
                // SAFETY: the caller's promise.
                unsafe { slot.prefix() }
            }
        }
    };
}

byte_record!(
    String,
    StringViewType,
    str,
    str::as_bytes,
    |bytes| std::str::from_utf8_unchecked(bytes),
    str::to_string
);
byte_record!(
    Bytes,
    BinaryViewType,
    [u8],
    std::convert::identity,
    std::convert::identity,
    Bytes::copy_from_slice
);

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::StringViewArray;
    use proptest::prelude::*;

    fn kept(bytes: &[u8], heap: &mut Heap) -> ByteSlot {
        <Bytes as Record>::keep(bytes, heap)
    }

    proptest! {
        #[test]
        fn slots_keep_bytes_order_and_equality(
            a in prop::collection::vec(0u8..4, 0..40),
            b in prop::collection::vec(0u8..4, 0..40),
        ) {
            let mut heap = Heap::new();
            let (x, y) = (kept(&a, &mut heap), kept(&b, &mut heap));
            // SAFETY: the heap lives to the end of the test.
            unsafe {
                prop_assert_eq!(x.bytes(), &a[..]);
                prop_assert_eq!(<Bytes as Key>::slot_eq(&x, &y), a == b);
                prop_assert_eq!(<Bytes as Key>::slot_cmp(&x, &y), a.cmp(&b));
                let borrowed = <Bytes as Key>::probe(&a);
                prop_assert!(<Bytes as Key>::slot_eq(&x, &borrowed));
                prop_assert_eq!(<Bytes as Key>::slot_hash(&x), <Bytes as Key>::slot_hash(&borrowed));
                if x.prefix() >> 32 < y.prefix() >> 32 {
                    prop_assert!(a < b);
                }
            }
        }

        #[test]
        fn columns_give_back_what_was_pushed(values in prop::collection::vec(".{0,30}", 0..50)) {
            let mut builder = BytesBuilder::<StringViewType>::default();
            for value in &values {
                Builder::<String>::push(&mut builder, value);
            }
            let column = Builder::<String>::finish(&mut builder);
            let again = <BytesColumn<StringViewType> as Batch<String>>::from_array(
                &Batch::<String>::to_array(&column)).unwrap();
            for (i, value) in values.iter().enumerate() {
                prop_assert_eq!(Batch::<String>::get(&again, i), value.as_str());
                // SAFETY: `i` is in bounds, and the column is alive.
                unsafe {
                    let slot = <String as Key>::probe_batch(&again, i);
                    prop_assert_eq!(<String as Record>::slot_view(&slot), value.as_str());
                }
            }
        }
    }

    #[test]
    fn dictionaries_are_read_by_code() {
        let array: DictionaryArray<Int32Type> =
            vec!["card", "cash", "card", "a much longer way to pay"].into_iter().collect();
        let column = <BytesColumn<StringViewType> as Batch<String>>::from_array(
            &(Arc::new(array) as ArrayRef),
        )
        .unwrap();
        assert!(matches!(column, BytesColumn::Dictionary { .. }));
        assert_eq!(Batch::<String>::get(&column, 2), "card");
        assert_eq!(Batch::<String>::get(&column, 3), "a much longer way to pay");
        let flat = Batch::<String>::to_array(&column);
        assert_eq!(flat.as_string_view().value(1), "cash");
    }

    #[test]
    fn codes_of_dictionaries_are_put_together() {
        let column = |codes: Vec<i32>, values: Vec<&str>| {
            let values = Arc::new(StringViewArray::from(values));
            let array: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(codes.into(), values));
            <<String as Record>::Batch as Batch<String>>::from_array(&array).unwrap()
        };
        type Pair = (String, String);
        let a = column(vec![0, 1, 1, 0], vec!["a", "b"]);
        let b = column(vec![2, 0, 2, 1], vec!["c", "d", "e"]);
        let pair = crate::record::Batch2(a.clone(), b);
        let mut codes = [0; 4];
        assert_eq!(Pair::add_codes(&pair, Selection::All, 6, &mut codes), Some(6));
        assert_eq!(codes, [2, 3, 5, 1]);
        let mut codes = [0; 2];
        assert_eq!(Pair::add_codes(&pair, Selection::Rows(&[1, 3]), 100, &mut codes), Some(6));
        assert_eq!(codes, [3, 1]);
        assert_eq!(Pair::add_codes(&pair, Selection::All, 5, &mut [0; 4]), None);
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["x"; 4]));
        let views = <<String as Record>::Batch as Batch<String>>::from_array(&views).unwrap();
        let pair = crate::record::Batch2(a, views);
        assert_eq!(Pair::add_codes(&pair, Selection::All, 100, &mut [0; 4]), None);
        let empty = column(vec![], vec![]);
        assert_eq!(String::add_codes(&empty, Selection::All, 100, &mut []), None);
    }
}
