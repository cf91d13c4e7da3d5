//! Tuples of two to eight records: struct columns `_0`, `_1`, ...

use super::{Batch, BindError, Builder, Heap, Key, Record, mix};
use crate::push::Selection;
use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use std::cmp::Ordering;
use std::hash::Hasher;
use std::sync::Arc;

macro_rules! tuple_record {
    ($batch:ident, $builder:ident, $count:literal: $($letter:ident $index:tt),+) => {
        /// A batch of tuples: a column an element, all of one length.
        pub struct $batch<$($letter: Record),+>($(pub $letter::Batch),+);

        /// Builds a batch of tuples.
        pub struct $builder<$($letter: Record),+>($($letter::Builder),+);

        impl<$($letter: Record),+> Clone for $batch<$($letter),+> {
            fn clone(&self) -> Self {
                $batch($(self.$index.clone()),+)
            }
        }

        impl<$($letter: Record),+> Default for $builder<$($letter),+> {
            fn default() -> Self {
                $builder($($letter::Builder::default()),+)
            }
        }

        impl<$($letter: Record),+> Record for ($($letter,)+) {
            type View<'a> = ($($letter::View<'a>,)+);
            type Batch = $batch<$($letter),+>;
            type Builder = $builder<$($letter),+>;
            type Slot = ($($letter::Slot,)+);

            #[inline]
            fn view(&self) -> Self::View<'_> {
                ($(self.$index.view(),)+)
            }
            #[inline]
            fn own(view: Self::View<'_>) -> Self {
                ($($letter::own(view.$index),)+)
            }
            #[inline(always)]
            fn shorten<'short, 'long: 'short>(view: Self::View<'long>) -> Self::View<'short> {
                ($($letter::shorten(view.$index),)+)
            }
            #[inline]
            fn keep(view: Self::View<'_>, heap: &mut Heap) -> Self::Slot {
                ($($letter::keep(view.$index, heap),)+)
            }
            #[inline]
            unsafe fn slot_view<'a>(slot: &'a Self::Slot) -> Self::View<'a> {
                // SAFETY: the caller's promise holds for each element.
                unsafe { ($($letter::slot_view(&slot.$index),)+) }
            }
            fn data_type() -> DataType {
                DataType::Struct(Fields::from(vec![
                    $(Field::new(concat!("_", $index), $letter::data_type(), $letter::nullable())),+
                ]))
            }
            fn approximate_bytes(view: Self::View<'_>) -> usize {
                0 $(+ $letter::approximate_bytes(view.$index))+
            }
        }

        impl<$($letter: Record),+> Batch<($($letter,)+)> for $batch<$($letter),+> {
            #[inline]
            fn len(&self) -> usize {
                // Columns of one length are the rule; who breaks it gets no further than the shortest.
                self.0.len()$(.min(self.$index.len()))+
            }
            #[inline]
            unsafe fn get_unchecked(&self, index: usize) -> ($($letter::View<'_>,)+) {
                // SAFETY: the caller keeps `index` below the length of the shortest column.
                unsafe { ($(self.$index.get_unchecked(index),)+) }
            }
            #[inline(always)]
            fn prefetch(&self, index: usize) {
                $(self.$index.prefetch(index);)+
            }
            fn to_array(&self) -> ArrayRef {
                let DataType::Struct(fields) = <($($letter,)+) as Record>::data_type() else {
                    unreachable!("a tuple's type is a struct")
                };
                Arc::new(StructArray::new(fields, vec![$(self.$index.to_array()),+], None))
            }
            fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
                let Some(columns) = array.as_struct_opt() else {
                    return Err(BindError::wrong_type::<($($letter,)+)>(array.data_type()));
                };
                if columns.num_columns() != $count {
                    return Err(BindError::wrong_type::<($($letter,)+)>(array.data_type()));
                }
                if let Some(row) = super::nulls::first_null(columns) {
                    return Err(BindError::Null { column: String::new(), row });
                }
                Ok($batch($(
                    $letter::Batch::from_array(columns.column($index))
                        .map_err(|e| e.within(columns.column_names()[$index]))?
                ),+))
            }
        }

        impl<$($letter: Record),+> Builder<($($letter,)+)> for $builder<$($letter),+> {
            #[inline]
            fn push(&mut self, view: ($($letter::View<'_>,)+)) {
                $(self.$index.push(view.$index);)+
            }
            #[inline]
            fn push_blank(&mut self) {
                $(self.$index.push_blank();)+
            }
            fn len(&self) -> usize {
                self.0.len()
            }
            fn reserve(&mut self, records: usize) {
                $(self.$index.reserve(records);)+
            }
            fn finish(&mut self) -> $batch<$($letter),+> {
                $batch($(self.$index.finish()),+)
            }
        }

        impl<$($letter: Key),+> Key for ($($letter,)+) {
            const PREFIX_IS_EXACT: bool =
                true $(&& $letter::PREFIX_IS_EXACT)+ && 0 $(+ $letter::PREFIX_BITS)+ <= 96;
            const PREFIX_BITS: u32 = 0 $(+ $letter::PREFIX_BITS)+;

            #[inline]
            fn probe(view: Self::View<'_>) -> Self::Slot {
                ($($letter::probe(view.$index),)+)
            }
            #[inline]
            unsafe fn probe_batch(batch: &Self::Batch, index: usize) -> Self::Slot {
                // SAFETY: the caller's promise.
                unsafe { ($($letter::probe_batch(&batch.$index, index),)+) }
            }
            fn add_codes(
                batch: &Self::Batch,
                selection: Selection<'_>,
                most: u32,
                codes: &mut [u32],
            ) -> Option<u32> {
                let count = 1;
                $(let count = count
                    * $letter::add_codes(&batch.$index, selection, most / count, codes)?;)+
                Some(count)
            }
            #[inline]
            unsafe fn keep_slot(slot: &Self::Slot, heap: &mut Heap) -> Self::Slot {
                // SAFETY: the caller's promise.
                unsafe { ($($letter::keep_slot(&slot.$index, heap),)+) }
            }
            #[inline]
            unsafe fn slot_hash(slot: &Self::Slot) -> u64 {
                let hash = $count;
                // SAFETY: the caller's promise.
                $(let hash = mix(hash, unsafe { $letter::slot_hash(&slot.$index) });)+
                hash
            }
            unsafe fn slot_feed(slot: &Self::Slot, hasher: &mut impl Hasher) {
                // SAFETY: the caller's promise.
                $(unsafe { $letter::slot_feed(&slot.$index, hasher) };)+
            }
            #[inline]
            unsafe fn slot_eq(a: &Self::Slot, b: &Self::Slot) -> bool {
                // SAFETY: the caller's promise.
                unsafe { true $(&& $letter::slot_eq(&a.$index, &b.$index))+ }
            }
            #[inline]
            unsafe fn slot_cmp(a: &Self::Slot, b: &Self::Slot) -> Ordering {
                $(
                    // SAFETY: the caller's promise.
                    let order = unsafe { $letter::slot_cmp(&a.$index, &b.$index) };
                    if order != Ordering::Equal {
                        return order;
                    }
                )+
                Ordering::Equal
            }
            #[inline]
            unsafe fn prefix(slot: &Self::Slot) -> u128 {
                let mut prefix = 0u128;
                let mut taken = 0u32;
                $(
                    if taken < 128 {
                        // SAFETY: the caller's promise.
                        prefix |= unsafe { $letter::prefix(&slot.$index) } >> taken;
                        // What follows a key of no fixed width says nothing about the order.
                        taken = if $letter::PREFIX_IS_EXACT { taken + $letter::PREFIX_BITS } else { 128 };
                    }
                )+
                let _ = taken;
                prefix
            }
        }
    };
}

tuple_record!(Batch2, Builder2, 2: A 0, B 1);
tuple_record!(Batch3, Builder3, 3: A 0, B 1, C 2);
tuple_record!(Batch4, Builder4, 4: A 0, B 1, C 2, D 3);
tuple_record!(Batch5, Builder5, 5: A 0, B 1, C 2, D 3, E 4);
tuple_record!(Batch6, Builder6, 6: A 0, B 1, C 2, D 3, E 4, F 5);
tuple_record!(Batch7, Builder7, 7: A 0, B 1, C 2, D 3, E 4, F 5, G 6);
tuple_record!(Batch8, Builder8, 8: A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn tuples_order_by_their_elements(a: (i8, u16), b: (i8, u16), s in "[ab]{0,14}", t in "[ab]{0,14}") {
            // SAFETY: the strings outlive their borrowed slots.
            unsafe {
                prop_assert_eq!(<(i8, u16) as Key>::prefix(&a).cmp(&<(i8, u16) as Key>::prefix(&b)), a.cmp(&b));
                type Pair = (String, i8);
                let (x, y) = (Pair::probe((&s, a.0)), Pair::probe((&t, b.0)));
                prop_assert_eq!(Pair::slot_cmp(&x, &y), (&s, a.0).cmp(&(&t, b.0)));
                if Pair::prefix(&x) < Pair::prefix(&y) {
                    prop_assert!((&s, a.0) <= (&t, b.0));
                }
            }
        }
    }
}
