//! Types of our own over Arrow's numbers: what dates and timestamps have in common.

use super::{Batch, BindError, Builder, Record};
use crate::memory::{Gather, prefetch};
use arrow::array::{ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::DataType;
use std::sync::Arc;

/// A value that is a number in Arrow, and more than that here.
pub trait Logical: Copy + Send + Sync + 'static {
    /// The Arrow type, apart from its parameters.
    type Arrow: ArrowPrimitiveType;
    /// The Arrow type with its parameters.
    const DATA_TYPE: fn() -> DataType;

    /// The value of a number from a bound column or from [`Logical::raw`].
    fn of(raw: Native<Self>) -> Self;
    /// The value's number.
    fn raw(self) -> Native<Self>;
    /// The numbers of an array, converted where nothing is lost.
    ///
    /// # Errors
    /// [`BindError`] if the array's type or one of its values does not fit.
    fn bind(array: &ArrayRef) -> Result<ScalarBuffer<Native<Self>>, BindError>;
}

/// The number that a logical value is in Arrow.
pub(super) type Native<T> = <<T as Logical>::Arrow as ArrowPrimitiveType>::Native;

/// A column of dates or timestamps.
#[derive(Clone, Debug)]
pub struct LogicalColumn<T: Logical>(ScalarBuffer<Native<T>>);

impl<T: Logical> LogicalColumn<T> {
    /// The numbers of the column: days or microseconds.
    #[inline]
    pub fn raw(&self) -> &ScalarBuffer<<T::Arrow as ArrowPrimitiveType>::Native> {
        &self.0
    }
}

/// Builds a column of dates or timestamps.
pub struct LogicalBuilder<T: Logical>(Gather<Native<T>>);

impl<T: Logical> Default for LogicalBuilder<T> {
    fn default() -> Self {
        LogicalBuilder(Gather::default())
    }
}

impl<T: Logical + for<'a> Record<View<'a> = T>> Batch<T> for LogicalColumn<T> {
    #[inline]
    fn len(&self) -> usize {
        self.0.len()
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> T {
        // SAFETY: the caller keeps `index` in bounds.
        T::of(unsafe { *self.0.get_unchecked(index) })
    }
    #[inline(always)]
    fn prefetch(&self, index: usize) {
        prefetch(self.0.as_ptr().wrapping_add(index));
    }
    fn to_array(&self) -> ArrayRef {
        let array = PrimitiveArray::<T::Arrow>::new(self.0.clone(), None);
        Arc::new(array.with_data_type(T::DATA_TYPE()))
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        if let Some(row) = super::nulls::first_null(array.as_ref()) {
            return Err(BindError::Null { column: String::new(), row });
        }
        T::bind(array).map(LogicalColumn)
    }
}

impl<T: Logical + for<'a> Record<View<'a> = T, Batch = LogicalColumn<T>>> Builder<T>
    for LogicalBuilder<T>
{
    #[inline]
    fn push(&mut self, view: T) {
        self.0.push(view.raw());
    }
    #[inline]
    fn push_blank(&mut self) {
        self.0.push(Native::<T>::default());
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn reserve(&mut self, records: usize) {
        self.0.reserve(records);
    }
    fn finish(&mut self) -> LogicalColumn<T> {
        LogicalColumn(self.0.take().into())
    }
}

/// The numbers of an array of `A`, each through `convert`, which says why where it fails.
pub(super) fn convert<A: ArrowPrimitiveType, N: arrow::datatypes::ArrowNativeType>(
    array: &PrimitiveArray<A>,
    convert: impl Fn(A::Native) -> Result<N, String>,
) -> Result<ScalarBuffer<N>, BindError> {
    let values = array.values().iter().enumerate().map(|(row, &value)| {
        convert(value).map_err(|reason| BindError::Value { column: String::new(), row, reason })
    });
    values.collect::<Result<Vec<N>, _>>().map(ScalarBuffer::from)
}

/// `Record` for a logical type whose slot is the value.
macro_rules! logical_record {
    ($type:ty) => {
        impl Record for $type {
            type View<'a> = $type;
            type Batch = LogicalColumn<$type>;
            type Builder = LogicalBuilder<$type>;
            type Slot = $type;

            #[inline]
            fn view(&self) -> $type {
                *self
            }
            #[inline]
            fn own(view: $type) -> $type {
                view
            }
            #[inline(always)]
            fn shorten<'short, 'long: 'short>(view: $type) -> $type {
                view
            }
            #[inline]
            fn keep(view: $type, _heap: &mut Heap) -> $type {
                view
            }
            #[inline]
            unsafe fn slot_view(slot: &$type) -> $type {
                *slot
            }
            fn data_type() -> DataType {
                <$type as Logical>::DATA_TYPE()
            }
        }
    };
}
pub(super) use logical_record;

/// `Key` for a logical type that is ordered and hashed as its number.
macro_rules! logical_key {
    ($type:ty as $native:ty) => {
        impl Key for $type {
            const PREFIX_IS_EXACT: bool = true;
            const PREFIX_BITS: u32 = <$native as Key>::PREFIX_BITS;

            #[inline]
            fn probe(view: $type) -> $type {
                view
            }
            #[inline]
            unsafe fn keep_slot(slot: &$type, _heap: &mut Heap) -> $type {
                *slot
            }
            #[inline]
            unsafe fn slot_hash(slot: &$type) -> u64 {
                // SAFETY: a number's slot points to nothing.
                unsafe { <$native as Key>::slot_hash(&slot.raw()) }
            }
            unsafe fn slot_feed(slot: &$type, hasher: &mut impl std::hash::Hasher) {
                // SAFETY: a number's slot points to nothing.
                unsafe { <$native as Key>::slot_feed(&slot.raw(), hasher) };
            }
            #[inline]
            unsafe fn slot_eq(a: &$type, b: &$type) -> bool {
                a == b
            }
            #[inline]
            unsafe fn slot_cmp(a: &$type, b: &$type) -> Ordering {
                a.cmp(b)
            }
            #[inline]
            unsafe fn prefix(slot: &$type) -> u128 {
                // SAFETY: a number's slot points to nothing.
                unsafe { <$native as Key>::prefix(&slot.raw()) }
            }
        }
    };
}
pub(super) use logical_key;
