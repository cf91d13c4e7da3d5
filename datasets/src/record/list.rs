//! `Vec<T>`: list columns.

use super::text::TextRecord;
use super::{Batch, BindError, Builder, Heap, Record, nulls};
use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The view of a `Vec<T>`: a list whose elements are views.
pub struct ListView<'a, T: Record>(Elements<'a, T>);

/// Where the elements of a list are.
enum Elements<'a, T: Record> {
    /// In a batch, at these indexes, which are in its bounds.
    Column(&'a T::Batch, usize, usize),
    Owned(&'a [T]),
    /// In slots that live, with all that they point to, for `'a`.
    Slots(&'a [T::Slot]),
}

impl<T: Record> Clone for ListView<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Record> Copy for ListView<'_, T> {}

impl<T: Record> Clone for Elements<'_, T> {
    #[inline]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Record> Copy for Elements<'_, T> {}

impl<'a, T: Record> ListView<'a, T> {
    /// The number of elements.
    #[inline]
    pub fn len(self) -> usize {
        match self.0 {
            Elements::Column(_, start, end) => end - start,
            Elements::Owned(values) => values.len(),
            Elements::Slots(slots) => slots.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The element at `index`, if there is one.
    #[inline]
    pub fn get(self, index: usize) -> Option<T::View<'a>> {
        // SAFETY: checked just before.
        (index < self.len()).then(|| unsafe { self.get_unchecked(index) })
    }

    /// The element at `index`.
    ///
    /// # Safety
    /// `index < self.len()`.
    #[inline]
    unsafe fn get_unchecked(self, index: usize) -> T::View<'a> {
        // SAFETY: the caller keeps `index` in bounds; the rest is promised by `Elements`.
        unsafe {
            match self.0 {
                Elements::Column(batch, start, _) => batch.get_unchecked(start + index),
                Elements::Owned(values) => values.get_unchecked(index).view(),
                Elements::Slots(slots) => T::slot_view(slots.get_unchecked(index)),
            }
        }
    }

    /// The elements in order.
    #[inline]
    pub fn iter(self) -> ListIter<'a, T> {
        ListIter { list: self, range: 0..self.len() }
    }
}

impl<'a, T: Record> From<&'a [T]> for ListView<'a, T> {
    fn from(values: &'a [T]) -> Self {
        ListView(Elements::Owned(values))
    }
}

impl<'a, T: Record> From<&'a Vec<T>> for ListView<'a, T> {
    fn from(values: &'a Vec<T>) -> Self {
        ListView(Elements::Owned(values))
    }
}

impl<'a, T: Record> IntoIterator for ListView<'a, T> {
    type Item = T::View<'a>;
    type IntoIter = ListIter<'a, T>;

    #[inline]
    fn into_iter(self) -> ListIter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Record<View<'a>: fmt::Debug>> fmt::Debug for ListView<'a, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// The elements of a [`ListView`], in order.
pub struct ListIter<'a, T: Record> {
    list: ListView<'a, T>,
    /// Within the list.
    range: Range<usize>,
}

impl<'a, T: Record> Iterator for ListIter<'a, T> {
    type Item = T::View<'a>;

    #[inline]
    fn next(&mut self) -> Option<T::View<'a>> {
        // SAFETY: the range is within the list.
        self.range.next().map(|index| unsafe { self.list.get_unchecked(index) })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl<T: Record> DoubleEndedIterator for ListIter<'_, T> {
    #[inline]
    fn next_back(&mut self) -> Option<Self::Item> {
        // SAFETY: the range is within the list.
        self.range.next_back().map(|index| unsafe { self.list.get_unchecked(index) })
    }
}

impl<T: Record> ExactSizeIterator for ListIter<'_, T> {}

/// A column of lists.
pub struct ListColumn<T: Record> {
    /// One more than there are lists; ascending; the last is the number of `values`.
    offsets: OffsetBuffer<i32>,
    values: T::Batch,
}

impl<T: Record> Clone for ListColumn<T> {
    fn clone(&self) -> Self {
        ListColumn { offsets: self.offsets.clone(), values: self.values.clone() }
    }
}

/// Builds a column of lists.
pub struct ListBuilder<T: Record> {
    offsets: Vec<i32>,
    values: T::Builder,
}

impl<T: Record> Default for ListBuilder<T> {
    fn default() -> Self {
        ListBuilder { offsets: vec![0], values: T::Builder::default() }
    }
}

/// A list in a fixed number of bytes: where the slots of its elements are, in a heap.
pub struct ListSlot<S> {
    slots: *const S,
    len: usize,
}

impl<S> Clone for ListSlot<S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for ListSlot<S> {}

// SAFETY: a slot is shared and sent with the heap that it points into, which is never changed under it.
unsafe impl<S: Send + Sync> Send for ListSlot<S> {}
// SAFETY: as for `Send`.
unsafe impl<S: Send + Sync> Sync for ListSlot<S> {}

impl<T: Record> Record for Vec<T> {
    type View<'a> = ListView<'a, T>;
    type Batch = ListColumn<T>;
    type Builder = ListBuilder<T>;
    type Slot = ListSlot<T::Slot>;

    #[inline]
    fn view(&self) -> ListView<'_, T> {
        self.into()
    }
    fn own(view: ListView<'_, T>) -> Vec<T> {
        view.iter().map(T::own).collect()
    }
    #[inline(always)]
    fn shorten<'short, 'long: 'short>(view: ListView<'long, T>) -> ListView<'short, T> {
        view
    }
    fn keep(view: ListView<'_, T>, heap: &mut Heap) -> ListSlot<T::Slot> {
        let slots = heap.reserve_slots::<T::Slot>(view.len());
        for (index, element) in view.iter().enumerate() {
            // SAFETY: `reserve_slots` gave room for as many as there are elements.
            unsafe { slots.add(index).write(T::keep(element, heap)) };
        }
        ListSlot { slots, len: view.len() }
    }
    #[inline]
    unsafe fn slot_view<'a>(slot: &'a ListSlot<T::Slot>) -> ListView<'a, T> {
        // SAFETY: `keep` wrote that many slots; the caller answers for the heap being alive.
        ListView(Elements::Slots(unsafe { std::slice::from_raw_parts(slot.slots, slot.len) }))
    }
    fn data_type() -> DataType {
        DataType::List(Arc::new(Field::new_list_field(T::data_type(), T::nullable())))
    }
    fn approximate_bytes(view: ListView<'_, T>) -> usize {
        4 + view.iter().map(T::approximate_bytes).sum::<usize>()
    }
}

impl<T: Record> Batch<Vec<T>> for ListColumn<T> {
    #[inline]
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> ListView<'_, T> {
        // SAFETY: there is one offset more than lists; the caller keeps `index` in bounds.
        let (start, end) =
            unsafe { (*self.offsets.get_unchecked(index), *self.offsets.get_unchecked(index + 1)) };
        ListView(Elements::Column(&self.values, start as usize, end as usize))
    }
    fn to_array(&self) -> ArrayRef {
        let DataType::List(field) = <Vec<T> as Record>::data_type() else {
            unreachable!("a `Vec` is a list")
        };
        Arc::new(ListArray::new(field, self.offsets.clone(), self.values.to_array(), None))
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        if let Some(row) = nulls::first_null(array.as_ref()) {
            return Err(BindError::Null { column: String::new(), row });
        }
        let found = array.data_type();
        let wrong = || BindError::wrong_type::<Vec<T>>(found);
        let element = match found {
            DataType::List(_) => None,
            DataType::LargeList(element)
            | DataType::FixedSizeList(element, _)
            | DataType::ListView(element)
            | DataType::LargeListView(element) => Some(element),
            _ => return Err(wrong()),
        };
        let array = match element {
            Some(element) => cast(array, &DataType::List(element.clone())).map_err(|_| wrong())?,
            None => array.clone(),
        };
        let lists = array.as_list::<i32>();
        let offsets = lists.offsets();
        let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
        let values = lists.values().slice(first as usize, (last - first) as usize);
        let values = T::Batch::from_array(&values).map_err(|error| {
            let row_of = |at: usize| offsets.partition_point(|&o| (o - first) as usize <= at) - 1;
            error.at_row(row_of).within("item")
        })?;
        let offsets = if first == 0 {
            offsets.clone()
        } else {
            OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect())
        };
        Ok(ListColumn { offsets, values })
    }
}

impl<T: Record> Builder<Vec<T>> for ListBuilder<T> {
    /// # Panics
    /// If the lists of the batch have more than 2^31 elements in all.
    #[inline]
    fn push(&mut self, view: ListView<'_, T>) {
        for element in view {
            self.values.push(element);
        }
        let end = i32::try_from(self.values.len()).expect("a batch of at most 2^31 elements");
        self.offsets.push(end);
    }
    #[inline]
    fn push_blank(&mut self) {
        self.offsets.push(self.offsets[self.offsets.len() - 1]);
    }
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }
    fn finish(&mut self) -> ListColumn<T> {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        // SAFETY: the offsets start with 0 and ascend.
        let offsets = unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(offsets)) };
        ListColumn { offsets, values: self.values.finish() }
    }
}

impl<T: TextRecord> TextRecord for Vec<T> {
    fn write_text(view: ListView<'_, T>, out: &mut Vec<u8>) {
        for (index, element) in view.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            T::write_text(element, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::OptColumn;
    use arrow::array::{FixedSizeListArray, Int32Array, LargeListArray};
    use arrow::datatypes::Int32Type;

    #[test]
    fn large_lists_and_slices_bind() {
        let rows = vec![Some(vec![Some(1)]), Some(vec![Some(2), Some(3)]), Some(vec![])];
        let array = LargeListArray::from_iter_primitive::<Int32Type, _, _>(rows);
        let column = ListColumn::<i64>::from_array(&(Arc::new(array.slice(1, 2)) as _)).unwrap();
        assert_eq!(column.len(), 2);
        assert_eq!(column.get(0).iter().collect::<Vec<i64>>(), [2, 3]);
        assert_eq!(column.get(0).iter().rev().collect::<Vec<i64>>(), [3, 2]);
        assert!(column.get(1).is_empty());
        assert_eq!(column.get(0).get(2), None);
    }

    #[test]
    fn a_null_list_hides_its_elements() {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![None, Some(2), Some(3), None]));
        let field = Arc::new(Field::new_list_field(DataType::Int32, true));
        let nulls = Some(vec![false, true, false].into());
        let offsets = OffsetBuffer::new(vec![0, 1, 3, 4].into());
        let lists: ArrayRef =
            Arc::new(ListArray::new(field.clone(), offsets, values.clone(), nulls));
        let column = OptColumn::<Vec<i32>>::from_array(&lists).unwrap();
        assert!(column.get(0).is_none() && column.get(2).is_none());
        assert_eq!(column.get(1).unwrap().iter().collect::<Vec<i32>>(), [2, 3]);
        let nulls = Some(vec![false, true, false, false].into());
        let lists: ArrayRef = Arc::new(FixedSizeListArray::new(field, 1, values, nulls));
        let column = OptColumn::<Vec<i32>>::from_array(&lists).unwrap();
        assert_eq!(column.get(1).unwrap().get(0), Some(2));
        assert!(column.get(0).is_none() && column.get(3).is_none());
    }

    #[test]
    fn a_null_element_is_named_by_its_record() {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), Some(2), None]));
        let field = Arc::new(Field::new_list_field(DataType::Int32, true));
        let offsets = OffsetBuffer::new(vec![0, 2, 2, 3].into());
        let array: ArrayRef = Arc::new(ListArray::new(field, offsets, values, None));
        let Err(error) = ListColumn::<i32>::from_array(&array) else {
            panic!("a null bound to `i32`")
        };
        assert_eq!(error, BindError::Null { column: "item".into(), row: 2 });
    }
}
