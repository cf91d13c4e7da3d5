//! Builds columns of byte strings: a dictionary where few values come again and again, else views.
//!
//! Every batch is begun as a dictionary. When it has more values than are worth it, the rows so far become views, and
//! so are those that follow; batches after it are then not tried for a while. So text that has few values stays a
//! dictionary on its way through closures, shuffles and tables, takes four bytes a row, and is grouped by its codes.

use super::byte_slot::{ByteSlot, INLINE_BYTES};
use super::bytes::BytesColumn;
use super::codes::{Code, Codes, VALUES_MIN};
use super::{Heap, mix};
use crate::memory::Gather;
use arrow::array::{AsArray, GenericByteViewArray, new_empty_array};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::datatypes::ByteViewType;
use std::marker::PhantomData;

/// The bytes that a builder gathers before it starts another data buffer.
const BUFFER_BYTES: usize = 1 << 20;

/// At most so many batches are not tried after one that was no dictionary.
const UNTRIED_MAX: u32 = 64;

/// Builds a column of byte strings; see the module.
pub struct BytesBuilder<B: ByteViewType> {
    form: Form,
    views: Gather<u128>,
    data: Gather<u8>,
    buffers: Vec<Buffer>,
    codes: Gather<i32>,
    values: Values,
    /// Batches that are not tried, and how many it will be the next time.
    untried: u32,
    untried_next: u32,
    kind: PhantomData<fn() -> B>,
}

/// What the batch is made as.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    Dictionary,
    Views,
}

impl<B: ByteViewType> Default for BytesBuilder<B> {
    fn default() -> Self {
        BytesBuilder {
            form: Form::Dictionary,
            views: Gather::default(),
            data: Gather::default(),
            buffers: Vec::new(),
            codes: Gather::default(),
            values: Values::default(),
            untried: 0,
            untried_next: 1,
            kind: PhantomData,
        }
    }
}

/// The values of a dictionary in the making.
#[derive(Default)]
struct Values {
    /// In the order of their codes; they point into the heap.
    slots: Vec<ByteSlot>,
    heap: Heap,
    codes: Codes,
}

impl Values {
    /// The code of a value that so many rows came before; `None` if it is new, and there are as many as there may be.
    #[inline(always)]
    fn code(&mut self, bytes: &[u8], rows: usize) -> Option<i32> {
        let Values { slots, codes, .. } = self;
        let slot = ByteSlot::borrowed(bytes);
        let code = codes.of(quick_hash(bytes, &slot), rows, |code| {
            // SAFETY: `bytes` are alive, and so is the heap.
            slots.get(code).is_some_and(|known| unsafe { known.equals(&slot) })
        });
        match code {
            Code::Known(code) => Some(i32::from(code)),
            Code::New(code) => {
                self.keep(bytes);
                Some(i32::from(code))
            }
            Code::TooMany => None,
        }
    }

    #[cold]
    fn keep(&mut self, bytes: &[u8]) {
        // SAFETY: the borrowed slot points to `bytes`.
        self.slots.push(unsafe { ByteSlot::borrowed(bytes).keep(&mut self.heap) });
    }

    fn clear(&mut self) {
        self.slots.clear();
        self.heap.clear();
        self.codes.clear();
    }
}

/// A hash of the length, the first bytes and the last ones: values that have those in common are few.
#[inline(always)]
fn quick_hash(bytes: &[u8], slot: &ByteSlot) -> u64 {
    let bits = slot.bits();
    let last = match bytes.last_chunk() {
        Some(last) if bytes.len() > INLINE_BYTES => u64::from_le_bytes(*last),
        _ => (bits >> 64) as u64,
    };
    mix(bits as u64, last)
}

impl<B: ByteViewType> BytesBuilder<B> {
    #[inline]
    pub(super) fn append(&mut self, bytes: &[u8]) {
        if self.form == Form::Dictionary {
            match self.values.code(bytes, self.codes.len()) {
                Some(code) => return self.codes.push(code),
                None => self.give_up(),
            }
        }
        self.append_view(bytes);
    }

    #[inline]
    fn append_view(&mut self, bytes: &[u8]) {
        let slot = ByteSlot::borrowed(bytes);
        if slot.is_inline() {
            self.views.push(slot.bits());
            return;
        }
        if self.data.len() + bytes.len() > BUFFER_BYTES && !self.data.is_empty() {
            self.buffers.push(self.data.take());
        }
        let place = (self.buffers.len() as u64) | ((self.data.len() as u64) << 32);
        self.data.extend(bytes);
        self.views.push((slot.bits() as u64 as u128) | (u128::from(place) << 64));
    }

    /// Appends what stands where there is no value.
    #[inline]
    pub(super) fn append_blank(&mut self) {
        self.append(&[]);
    }

    /// Makes views of what was a dictionary so far.
    #[cold]
    fn give_up(&mut self) {
        let rows = self.codes.len();
        let mut values = std::mem::take(&mut self.values);
        let first = self.views.len();
        for slot in &values.slots {
            // SAFETY: the heap is alive.
            self.append_view(unsafe { slot.bytes() });
        }
        let of_values = self.views.take();
        let of_values = &of_values.typed_data::<u128>()[first..];
        let codes = self.codes.take();
        self.views.reserve(rows.max(VALUES_MIN));
        for &code in codes.typed_data::<i32>() {
            self.views.push(of_values[code as usize]);
        }
        values.clear();
        self.values = values;
        self.form = Form::Views;
        self.untried = self.untried_next;
        self.untried_next = (2 * self.untried_next).min(UNTRIED_MAX);
    }

    pub(super) fn rows(&self) -> usize {
        match self.form {
            Form::Dictionary => self.codes.len(),
            Form::Views => self.views.len(),
        }
    }

    pub(super) fn make_room(&mut self, rows: usize) {
        match self.form {
            Form::Dictionary => self.codes.reserve(rows),
            Form::Views => self.views.reserve(rows),
        }
    }

    pub(super) fn take(&mut self) -> BytesColumn<B> {
        let column = match self.form {
            Form::Dictionary => self.take_dictionary(),
            Form::Views => BytesColumn::Views(self.take_views()),
        };
        self.untried = self.untried.saturating_sub(1);
        if self.form == Form::Views && self.untried == 0 {
            self.form = Form::Dictionary;
        }
        column
    }

    fn take_dictionary(&mut self) -> BytesColumn<B> {
        if self.codes.is_empty() {
            return BytesColumn::Views(new_empty_array(&B::DATA_TYPE).as_byte_view::<B>().clone());
        }
        let codes = ScalarBuffer::from(self.codes.take());
        let values = std::mem::take(&mut self.values);
        for slot in &values.slots {
            // SAFETY: the heap is alive.
            self.append_view(unsafe { slot.bytes() });
        }
        self.values = values;
        self.values.clear();
        self.untried_next = 1;
        // SAFETY: each code is the place of a value among these.
        unsafe { BytesColumn::of_codes(codes, self.take_views()) }
    }

    fn take_views(&mut self) -> GenericByteViewArray<B> {
        if !self.data.is_empty() {
            self.buffers.push(self.data.take());
        }
        if self.views.is_empty() {
            return new_empty_array(&B::DATA_TYPE).as_byte_view::<B>().clone();
        }
        let views = ScalarBuffer::from(self.views.take());
        let buffers = std::mem::take(&mut self.buffers).into();
        // SAFETY: `append_view` wrote each view over bytes of its own kind, within the buffer that it names.
        unsafe { GenericByteViewArray::new_unchecked(views, buffers, None) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Batch, Builder};
    use arrow::datatypes::StringViewType;
    use proptest::prelude::*;

    type Texts = BytesBuilder<StringViewType>;

    fn built(builder: &mut Texts, values: &[String]) -> BytesColumn<StringViewType> {
        values.iter().for_each(|value| Builder::<String>::push(builder, value));
        assert_eq!(Builder::<String>::len(builder), values.len());
        Builder::<String>::finish(builder)
    }

    fn is_dictionary(column: &BytesColumn<StringViewType>) -> bool {
        matches!(column, BytesColumn::Dictionary { .. })
    }

    #[test]
    fn few_values_are_a_dictionary_and_many_are_views() {
        let mut builder = Texts::default();
        let few: Vec<String> =
            (0..5000).map(|n| ["card", "cash", "a much longer way"][n % 3].to_string()).collect();
        let many: Vec<String> = (0..5000).map(|n| format!("number {n}")).collect();
        // More than a batch may have at first, and not too many for its rows.
        let some: Vec<String> = (0..5000).map(|n| format!("number {}", n / 12)).collect();
        assert!(is_dictionary(&built(&mut builder, &few)));
        assert!(!is_dictionary(&built(&mut builder, &many)));
        // Tried again behind one that is not, then behind two.
        let tried: Vec<bool> = (0..3).map(|_| is_dictionary(&built(&mut builder, &many))).collect();
        assert_eq!(tried, [false; 3]);
        let found = (0..8).position(|_| is_dictionary(&built(&mut builder, &few)));
        assert!(matches!(found, Some(1..)), "{found:?}");
        assert!(is_dictionary(&built(&mut builder, &some)));
    }

    proptest! {
        #[test]
        fn whatever_it_is_made_as_it_has_what_was_pushed(
            batches in prop::collection::vec(
                (1usize..900, 1u32..700, prop::bool::ANY).prop_map(|(rows, values, long)| {
                    let text = move |row: usize| {
                        let value = (row as u32).wrapping_mul(2_654_435_761) % values;
                        if long { format!("more than twelve bytes {value}") } else { value.to_string() }
                    };
                    (0..rows).map(text).collect::<Vec<_>>()
                }),
                1..12,
            ),
        ) {
            let mut builder = Texts::default();
            for values in batches {
                Builder::<String>::reserve(&mut builder, values.len());
                let column = built(&mut builder, &values);
                prop_assert_eq!(Batch::<String>::len(&column), values.len());
                for (at, value) in values.iter().enumerate() {
                    prop_assert_eq!(Batch::<String>::get(&column, at), value.as_str());
                }
            }
        }
    }
}
