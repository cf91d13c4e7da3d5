//! `[u8; N]`: byte strings of one length, as Arrow's fixed-size binary.

use super::{Batch, BindError, Builder, Heap, Key, Record, mix};
use crate::memory::Gather;
use arrow::array::{Array, ArrayRef, AsArray, FixedSizeBinaryArray};
use arrow::buffer::Buffer;
use arrow::datatypes::DataType;
use std::cmp::Ordering;
use std::hash::Hasher;
use std::sync::Arc;

/// A column of byte strings of `N` bytes each, one right after the other.
#[derive(Clone, Debug)]
pub struct FixedColumn<const N: usize> {
    /// Exactly `N * len` bytes.
    values: Buffer,
    len: usize,
}

/// Builds a column of byte strings of `N` bytes.
#[derive(Debug, Default)]
pub struct FixedBuilder<const N: usize>(Gather<[u8; N]>);

/// The longest value that is hashed by two words.
const SHORT_BYTES: usize = 16;

impl<const N: usize> FixedColumn<N> {
    /// The values as one slice.
    #[inline]
    pub fn values(&self) -> &[[u8; N]] {
        // SAFETY: the buffer has `N * len` bytes, and an array of bytes has no alignment.
        unsafe { std::slice::from_raw_parts(self.values.as_ptr().cast(), self.len) }
    }

    /// A column over the bytes of its values, one right after the other. Copies nothing.
    ///
    /// # Panics
    /// If the length is no multiple of `N`, or `N` is 0.
    pub fn from_buffer(values: Buffer) -> FixedColumn<N> {
        assert!(
            N > 0 && values.len().is_multiple_of(N),
            "{} bytes are no values of {N} bytes",
            values.len()
        );
        FixedColumn { len: values.len() / N, values }
    }

    /// The bytes of the values, one right after the other; shared, not copied.
    pub fn buffer(&self) -> &Buffer {
        &self.values
    }

    /// As [`FixedColumn::buffer`], for a column that is not needed any more.
    pub fn into_buffer(self) -> Buffer {
        self.values
    }
}

impl<const N: usize> Record for [u8; N] {
    type View<'a> = &'a [u8; N];
    type Batch = FixedColumn<N>;
    type Builder = FixedBuilder<N>;
    type Slot = [u8; N];

    #[inline]
    fn view(&self) -> &[u8; N] {
        self
    }
    #[inline]
    fn own(view: &[u8; N]) -> [u8; N] {
        *view
    }
    #[inline(always)]
    fn shorten<'short, 'long: 'short>(view: &'long [u8; N]) -> &'short [u8; N] {
        view
    }
    #[inline]
    fn keep(view: &[u8; N], _heap: &mut Heap) -> [u8; N] {
        *view
    }
    #[inline]
    unsafe fn slot_view(slot: &[u8; N]) -> &[u8; N] {
        slot
    }
    fn data_type() -> DataType {
        DataType::FixedSizeBinary(i32::try_from(N).expect("an array of at most 2 GiB"))
    }
}

impl<const N: usize> Batch<[u8; N]> for FixedColumn<N> {
    #[inline]
    fn len(&self) -> usize {
        self.len
    }
    #[inline]
    unsafe fn get_unchecked(&self, index: usize) -> &[u8; N] {
        // SAFETY: the caller keeps `index` in bounds.
        unsafe { self.values().get_unchecked(index) }
    }
    #[inline(always)]
    fn prefetch(&self, index: usize) {
        let start = self.values.as_ptr().wrapping_add(index * N);
        for line in (0..N).step_by(64) {
            crate::memory::prefetch(start.wrapping_add(line));
        }
        crate::memory::prefetch(start.wrapping_add(N - 1));
    }
    fn to_array(&self) -> ArrayRef {
        let size = i32::try_from(N).expect("an array of at most 2 GiB");
        let array =
            FixedSizeBinaryArray::try_new_with_len(size, self.values.clone(), None, self.len);
        Arc::new(array.expect("a buffer of `N * len` bytes"))
    }
    fn from_array(array: &ArrayRef) -> Result<Self, BindError> {
        let found = array.data_type();
        if *found != <[u8; N] as Record>::data_type() {
            return Err(BindError::wrong_type::<[u8; N]>(found));
        }
        if let Some(row) = super::nulls::first_null(array.as_ref()) {
            return Err(BindError::Null { column: String::new(), row });
        }
        let len = array.len();
        let values = array.as_fixed_size_binary().values();
        // A slice of an array may leave bytes before or behind its own.
        Ok(FixedColumn { values: values.slice_with_length(0, N * len), len })
    }
}

impl<const N: usize> Builder<[u8; N]> for FixedBuilder<N> {
    #[inline]
    fn push(&mut self, view: &[u8; N]) {
        self.0.push(*view);
    }
    #[inline]
    fn push_blank(&mut self) {
        self.0.push([0; N]);
    }
    fn len(&self) -> usize {
        self.0.len()
    }
    fn reserve(&mut self, records: usize) {
        self.0.reserve(records);
    }
    fn finish(&mut self) -> FixedColumn<N> {
        FixedColumn { len: self.0.len(), values: self.0.take() }
    }
}

impl<const N: usize> Key for [u8; N] {
    const PREFIX_IS_EXACT: bool = N <= 12;
    const PREFIX_BITS: u32 = if N <= 12 { 8 * N as u32 } else { 96 };

    #[inline]
    fn probe(view: &[u8; N]) -> [u8; N] {
        *view
    }
    #[inline]
    unsafe fn keep_slot(slot: &[u8; N], _heap: &mut Heap) -> [u8; N] {
        *slot
    }
    #[inline]
    unsafe fn slot_hash(slot: &[u8; N]) -> u64 {
        if N > SHORT_BYTES {
            return rapidhash::v3::rapidhash_v3(slot);
        }
        let mut padded = [0u8; SHORT_BYTES];
        padded[..N].copy_from_slice(slot);
        let (low, high) = padded.split_at(8);
        let word = |half: &[u8]| u64::from_le_bytes(half.try_into().expect("8 bytes"));
        mix(word(low), word(high) ^ ((N as u64) << 56))
    }
    unsafe fn slot_feed(slot: &[u8; N], hasher: &mut impl Hasher) {
        hasher.write(slot);
    }
    #[inline]
    unsafe fn slot_eq(a: &[u8; N], b: &[u8; N]) -> bool {
        a == b
    }
    #[inline]
    unsafe fn slot_cmp(a: &[u8; N], b: &[u8; N]) -> Ordering {
        a.cmp(b)
    }
    #[inline]
    unsafe fn prefix(slot: &[u8; N]) -> u128 {
        let mut first = [0u8; 16];
        let n = N.min(16);
        first[..n].copy_from_slice(&slot[..n]);
        u128::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_of_arrays_bind() {
        let mut builder = FixedBuilder::<3>::default();
        for i in 0..9 {
            builder.push(&[i, 1, 2]);
        }
        let array = builder.finish().to_array().slice(4, 3);
        let column = FixedColumn::<3>::from_array(&array).unwrap();
        assert_eq!(column.len(), 3);
        assert_eq!(column.get(0), &[4, 1, 2]);
        assert_eq!(column.values()[2], [6, 1, 2]);
    }

    #[test]
    fn buffers_become_columns_without_a_copy() {
        let buffer = Buffer::from(b"abcdef".to_vec());
        let column = FixedColumn::<3>::from_buffer(buffer.clone());
        assert_eq!(column.values(), [*b"abc", *b"def"]);
        assert_eq!(column.buffer().as_ptr(), buffer.as_ptr());
        assert_eq!(column.into_buffer().as_ptr(), buffer.as_ptr());
        assert!(std::panic::catch_unwind(|| FixedColumn::<4>::from_buffer(buffer)).is_err());
    }

    #[test]
    fn another_length_is_refused() {
        let array = FixedColumn::<3> { values: Buffer::from(vec![0u8; 6]), len: 2 }.to_array();
        let error = FixedColumn::<4>::from_array(&array).unwrap_err();
        assert!(matches!(error, BindError::Type { .. }), "{error}");
    }

    #[test]
    fn arrays_of_no_bytes_have_a_number() {
        let mut builder = FixedBuilder::<0>::default();
        builder.push(&[]);
        builder.push_blank();
        let array = builder.finish().to_array();
        assert_eq!(array.len(), 2);
        assert_eq!(FixedColumn::<0>::from_array(&array).unwrap().get(1), &[0u8; 0]);
    }
}
