//! A growing array of plain values that becomes an Arrow buffer: what builders of columns write to.

use super::Piece;
use arrow::buffer::{Buffer, MutableBuffer};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// From so many bytes on, values lie on huge pages.
const LARGE_BYTES: usize = 256 << 10;

/// Alignment of all values, in bytes.
const ALIGNMENT: usize = 64;

/// Values of a batch in the making. After a batch is taken out, the next one begins with room for as many.
pub struct Gather<V> {
    /// Where the values lie; aligned to [`ALIGNMENT`], dangling while there is no room.
    start: NonNull<V>,
    len: usize,
    capacity: usize,
    /// How many the last batch had.
    last: usize,
    room: Room,
    values: PhantomData<V>,
}

/// What owns the values.
enum Room {
    Small(MutableBuffer),
    Large(Piece),
}

// SAFETY: it owns its values, as a `Vec<V>` does.
unsafe impl<V: Send> Send for Gather<V> {}
// SAFETY: as above; through a shared reference nothing is written.
unsafe impl<V: Sync> Sync for Gather<V> {}

impl<V> Default for Gather<V> {
    fn default() -> Self {
        Gather {
            start: NonNull::dangling(),
            len: 0,
            capacity: 0,
            last: 0,
            room: Room::Small(MutableBuffer::new(0)),
            values: PhantomData,
        }
    }
}

impl<V> std::fmt::Debug for Gather<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gather").field("len", &self.len).finish_non_exhaustive()
    }
}

impl<V: Copy> Gather<V> {
    /// Appends a value.
    #[inline(always)]
    pub fn push(&mut self, value: V) {
        if self.len == self.capacity {
            self.grow(1);
        }
        // SAFETY: there is room for one more value.
        unsafe { self.start.add(self.len).write(value) };
        self.len += 1;
    }

    /// Appends all values.
    #[inline]
    pub fn extend(&mut self, values: &[V]) {
        if self.capacity - self.len < values.len() {
            self.grow(values.len());
        }
        // SAFETY: there is room for as many values, and nobody else has this memory.
        unsafe {
            let end = self.start.add(self.len).as_ptr();
            std::ptr::copy_nonoverlapping(values.as_ptr(), end, values.len());
        }
        self.len += values.len();
    }

    /// Makes room for so many more values, and no others.
    pub fn reserve(&mut self, more: usize) {
        let wanted = self.len + more;
        if wanted > self.capacity {
            self.move_to(wanted);
        }
    }

    #[cold]
    fn grow(&mut self, by: usize) {
        let wanted = self.len.checked_add(by).expect("fewer values than addresses");
        self.move_to(if self.len == 0 {
            wanted.max(self.last)
        } else {
            wanted.max(2 * self.capacity)
        });
    }

    /// Moves the values to where there is room for so many, which are no fewer than there are.
    fn move_to(&mut self, capacity: usize) {
        const {
            assert!(align_of::<V>() <= ALIGNMENT);
        }
        let bytes = capacity.checked_mul(size_of::<V>()).expect("fewer bytes than addresses");
        let (mut room, start) = if bytes < LARGE_BYTES {
            let mut buffer = MutableBuffer::new(bytes);
            let start = buffer.as_mut_ptr();
            (Room::Small(buffer), start)
        } else {
            let piece = Piece::any(bytes);
            let start = piece.start().as_ptr();
            (Room::Large(piece), start)
        };
        let start = NonNull::new(start.cast::<V>()).expect("memory is never at address zero");
        // SAFETY: both have room for `len` values, and do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(self.start.as_ptr(), start.as_ptr(), self.len) };
        std::mem::swap(&mut self.room, &mut room);
        self.start = start;
        self.capacity = capacity;
    }

    /// The number of values.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values; there are none afterwards, and no memory is held.
    pub fn take(&mut self) -> Buffer {
        let taken = std::mem::take(self);
        self.last = taken.len;
        let bytes = taken.len * size_of::<V>();
        match taken.room {
            Room::Small(mut buffer) => {
                // SAFETY: so many bytes of values were written to the buffer's memory.
                unsafe { buffer.set_len(bytes) };
                buffer.into()
            }
            Room::Large(piece) => {
                let start = piece.start();
                // SAFETY: so many bytes are initialized, and owned by the piece, which the buffer holds on to.
                unsafe { Buffer::from_custom_allocation(start, bytes, Arc::new(piece)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_second_batch_is_allocated_once() {
        let mut gather = Gather::default();
        for batch in 0..3 {
            for value in 0..1000u32 {
                gather.push(value);
                assert!(batch == 0 || gather.capacity == 1000);
            }
            gather.extend(&[]);
            assert_eq!(gather.len(), 1000);
            assert_eq!(gather.take().typed_data::<u32>(), (0..1000).collect::<Vec<u32>>());
            assert!(gather.is_empty());
            assert_eq!(gather.capacity, 0);
        }
    }

    /// What is done to an array.
    #[derive(Clone, Debug)]
    enum Step {
        Push(u64),
        Extend(Vec<u64>),
        /// So many values, one by one.
        Many(u32),
        Reserve(usize),
        Take,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u64>().prop_map(Step::Push),
            prop::collection::vec(any::<u64>(), 0..50).prop_map(Step::Extend),
            (0..2 * (LARGE_BYTES / 8) as u32).prop_map(Step::Many),
            (0..100_000usize).prop_map(Step::Reserve),
            Just(Step::Take),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]

        #[test]
        fn it_holds_what_a_vec_holds(steps in prop::collection::vec(step(), 0..20)) {
            let (mut gather, mut expected) = (Gather::<u64>::default(), Vec::new());
            let mut taken: Vec<(Buffer, Vec<u64>)> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(value) => {
                        gather.push(value);
                        expected.push(value);
                    }
                    Step::Extend(values) => {
                        gather.extend(&values);
                        expected.extend(values);
                    }
                    Step::Many(count) => (0..u64::from(count)).for_each(|value| {
                        gather.push(value);
                        expected.push(value);
                    }),
                    Step::Reserve(more) => {
                        gather.reserve(more);
                        prop_assert!(gather.capacity - gather.len >= more);
                    }
                    Step::Take => taken.push((gather.take(), std::mem::take(&mut expected))),
                }
                prop_assert_eq!(gather.len(), expected.len());
            }
            taken.push((gather.take(), expected));
            for (found, expected) in taken {
                prop_assert_eq!(found.typed_data::<u64>(), &expected[..]);
                prop_assert_eq!(found.as_ptr() as usize % 8, 0);
            }
        }
    }
}
