//! `Encoded<T>`: any type with serde's traits as a record, encoded (postcard) in a binary column.

use super::{Batch, BindError, Builder, ByteSlot, BytesBuilder, BytesColumn, Heap, Record};
use arrow::array::ArrayRef;
use arrow::datatypes::{BinaryViewType, DataType};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

/// A type that Arrow does not have (an enum, a map, a type of another crate) as a record.
///
/// Closures see an [`EncodedView`], which decodes when asked. It costs an encoding each time that a record enters a
/// batch and a decoding each time that one is looked at: a struct with `#[derive(Record)]` costs neither.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Encoded<T>(pub T);

/// What [`Encoded`] asks of a type. Implemented for all that have it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be in an `Encoded`",
    label = "cannot be encoded",
    note = "add `#[derive(Clone, serde::Serialize, serde::Deserialize)]` to `{Self}`; it must own its data and be `Send` and `Sync`"
)]
pub trait Encodable: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static> Encodable for T {}

/// The view of an [`Encoded`].
pub struct EncodedView<'a, T>(Content<'a, T>);

enum Content<'a, T> {
    Value(&'a T),
    Bytes(&'a [u8]),
}

/// Bytes that are no `T`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes cannot be decoded as `{wanted}`: {reason}")]
pub struct DecodeError {
    wanted: &'static str,
    bytes: usize,
    reason: String,
}

impl<T> Clone for EncodedView<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for EncodedView<'_, T> {}

impl<T> Clone for Content<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Content<'_, T> {}

impl<T> fmt::Debug for EncodedView<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Encoded<{}>", type_name::<T>())
    }
}

impl<'a, T: Encodable> EncodedView<'a, T> {
    /// The value.
    ///
    /// # Errors
    /// [`DecodeError`] if the bytes are not an encoded `T`: they come from a file of something else, or from an
    /// older `T`.
    pub fn decode(self) -> Result<T, DecodeError> {
        match self.0 {
            Content::Value(value) => Ok(value.clone()),
            Content::Bytes(bytes) => postcard::from_bytes(bytes).map_err(|error| DecodeError {
                wanted: type_name::<T>(),
                bytes: bytes.len(),
                reason: error.to_string(),
            }),
        }
    }
}

/// Calls `f` with the encoded bytes of a view; `scratch` is overwritten where it is needed.
///
/// # Panics
/// If serde refuses the value.
#[inline]
fn with_bytes<T: Encodable, R>(
    view: EncodedView<'_, T>,
    scratch: &mut Vec<u8>,
    f: impl FnOnce(&[u8]) -> R,
) -> R {
    match view.0 {
        Content::Bytes(bytes) => f(bytes),
        Content::Value(value) => {
            scratch.clear();
            match postcard::to_extend(value, std::mem::take(scratch)) {
                Ok(bytes) => {
                    *scratch = bytes;
                    f(scratch)
                }
                Err(error) => panic!("a `{}` cannot be encoded: {error}", type_name::<T>()),
            }
        }
    }
}

/// A column of encoded values.
pub struct EncodedColumn<T> {
    bytes: BytesColumn<BinaryViewType>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Clone for EncodedColumn<T> {
    fn clone(&self) -> Self {
        EncodedColumn { bytes: self.bytes.clone(), kind: PhantomData }
    }
}

/// Builds a column of encoded values.
pub struct EncodedBuilder<T> {
    bytes: BytesBuilder<BinaryViewType>,
    scratch: Vec<u8>,
    kind: PhantomData<fn() -> T>,
}

impl<T> Default for EncodedBuilder<T> {
    fn default() -> Self {
        EncodedBuilder { bytes: BytesBuilder::default(), scratch: Vec::new(), kind: PhantomData }
    }
}

impl<T: Encodable> Record for Encoded<T> {
    type View<'a> = EncodedView<'a, T>;
    type Batch = EncodedColumn<T>;
    type Builder = EncodedBuilder<T>;
    type Slot = ByteSlot;

    #[inline]
    fn view(&self) -> EncodedView<'_, T> {
        EncodedView(Content::Value(&self.0))
    }
    /// # Panics
    /// If the bytes are not an encoded `T`; [`EncodedView::decode`] says so without a panic.
    fn own(view: EncodedView<'_, T>) -> Encoded<T> {
        match view.decode() {
            Ok(value) => Encoded(value),
            Err(error) => panic!("{error}"),
        }
    }
    #[inline(always)]
    fn shorten<'short, 'long: 'short>(view: EncodedView<'long, T>) -> EncodedView<'short, T> {
        view
    }
    fn keep(view: EncodedView<'_, T>, heap: &mut Heap) -> ByteSlot {
        with_bytes(view, &mut Vec::new(), |bytes| <Bytes as Record>::keep(bytes, heap))
    }
    #[inline]
    unsafe fn slot_view<'a>(slot: &'a ByteSlot) -> EncodedView<'a, T> {
        // SAFETY: the caller's promise.
        EncodedView(Content::Bytes(unsafe { slot.bytes() }))
    }
    fn data_type() -> DataType {
        DataType::BinaryView
    }
    fn approximate_bytes(view: EncodedView<'_, T>) -> usize {
        match view.0 {
            Content::Value(_) => size_of::<T>(),
            Content::Bytes(bytes) => bytes.len() + 4,
        }
    }
}

impl<T: Encodable> Batch<Encoded<T>> for EncodedColumn<T> {
    fn len(&self) -> usize {
        Batch::<Bytes>::len(&self.bytes)
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> EncodedView<'_, T> {
        // SAFETY: the caller keeps `index` in bounds.
        EncodedView(Content::Bytes(unsafe { Batch::<Bytes>::get_unchecked(&self.bytes, index) }))
    }
    fn to_array(&self) -> ArrayRef {
        Batch::<Bytes>::to_array(&self.bytes)
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        let bytes = <BytesColumn<BinaryViewType> as Batch<Bytes>>::from_array(array)?;
        Ok(EncodedColumn { bytes, kind: PhantomData })
    }
}

impl<T: Encodable> Builder<Encoded<T>> for EncodedBuilder<T> {
    /// # Panics
    /// If serde refuses the value (postcard has no sequences of unknown length, no untagged enums).
    #[inline]
    fn push(&mut self, view: EncodedView<'_, T>) {
        let EncodedBuilder { bytes: column, scratch, .. } = self;
        with_bytes(view, scratch, |bytes| Builder::<Bytes>::push(column, bytes));
    }
    #[inline]
    fn push_blank(&mut self) {
        Builder::<Bytes>::push_blank(&mut self.bytes);
    }
    fn len(&self) -> usize {
        Builder::<Bytes>::len(&self.bytes)
    }
    fn finish(&mut self) -> EncodedColumn<T> {
        EncodedColumn { bytes: Builder::<Bytes>::finish(&mut self.bytes), kind: PhantomData }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    enum Payment {
        Cash,
        Card { number: String },
    }

    #[test]
    fn enums_and_maps_are_records() {
        let card = Payment::Card { number: "1234 5678 1234 5678".into() };
        let maps: Vec<Encoded<BTreeMap<String, Payment>>> =
            vec![Encoded([("a".to_string(), card.clone())].into()), Encoded(BTreeMap::new())];
        let mut builder = EncodedBuilder::default();
        let mut heap = Heap::new();
        for map in &maps {
            builder.push(map.view());
        }
        let column = builder.finish();
        for (index, map) in maps.iter().enumerate() {
            let view = column.get(index);
            assert_eq!(view.decode().as_ref(), Ok(&map.0));
            let slot = Encoded::<BTreeMap<String, Payment>>::keep(view, &mut heap);
            // SAFETY: the heap is alive.
            let kept = unsafe { Encoded::<BTreeMap<String, Payment>>::slot_view(&slot) };
            assert_eq!(Encoded::own(kept), *map);
        }
    }

    #[test]
    fn bytes_of_something_else_are_an_error() {
        let mut builder = BytesBuilder::<BinaryViewType>::default();
        Builder::<Bytes>::push(&mut builder, &[9, 9]);
        let array = Batch::<Bytes>::to_array(&Builder::<Bytes>::finish(&mut builder));
        let column = EncodedColumn::<Payment>::from_array(&array).unwrap();
        let error = column.get(0).decode().unwrap_err().to_string();
        assert!(error.starts_with("2 bytes cannot be decoded as `"), "{error}");
        assert_eq!(Encoded(Payment::Cash).view().decode(), Ok(Payment::Cash));
    }
}
