//! The heap that kept slots point into: memory that grows by chunks and never moves.

/// The size of an ordinary chunk, in bytes.
const CHUNK_BYTES: usize = 256 << 10;

/// Bytes at stable addresses, freed together.
///
/// Slots made by [`Record::keep`](super::Record::keep) point into a heap and are valid while it lives. A heap may
/// be moved and sent to another thread: its chunks stay where they are.
#[derive(Default)]
pub struct Heap {
    full: Vec<Vec<u128>>,
    /// The chunk that is being filled; in units of 16 bytes, so that every address is aligned to 16.
    current: Vec<u128>,
    /// Bytes of `current` that are taken.
    used: usize,
    bytes: usize,
}

impl Heap {
    /// An empty heap; allocates nothing yet.
    pub fn new() -> Heap {
        Heap::default()
    }

    /// The bytes allocated from the system.
    pub fn allocated_bytes(&self) -> usize {
        self.bytes
    }

    /// Copies `bytes` to the heap and returns their address.
    #[inline]
    pub fn copy(&mut self, bytes: &[u8]) -> *const u8 {
        let target = self.reserve(bytes.len(), 1);
        // SAFETY: `reserve` gave `bytes.len()` bytes that nothing else points to.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, bytes.len()) };
        target
    }

    /// Room for `count` values of `S`, aligned for it and not yet written; nothing else points there.
    pub fn reserve_slots<S: Copy>(&mut self, count: usize) -> *mut S {
        const { assert!(align_of::<S>() <= 16) };
        let len = count.checked_mul(size_of::<S>()).expect("a size that fits the address space");
        self.reserve(len, align_of::<S>()).cast::<S>()
    }

    /// Copies `values` to the heap and returns their address, which is aligned for `S`.
    pub fn copy_slots<S: Copy>(&mut self, values: &[S]) -> *const S {
        let target = self.reserve_slots::<S>(values.len());
        // SAFETY: `reserve_slots` gave room for as many values, that nothing else points to.
        unsafe { std::ptr::copy_nonoverlapping(values.as_ptr(), target, values.len()) };
        target
    }

    /// Gives all memory back except one chunk. Slots made with this heap must not be used any more.
    pub fn clear(&mut self) {
        self.full.clear();
        self.used = 0;
        self.bytes = self.current.len() * 16;
    }

    #[inline]
    fn reserve(&mut self, len: usize, align: usize) -> *mut u8 {
        let start = self.used.next_multiple_of(align);
        if start + len > self.current.len() * 16 {
            return self.reserve_in_new_chunk(len);
        }
        self.used = start + len;
        // SAFETY: `start <= start + len <= current.len() * 16`, checked above.
        unsafe { self.current.as_mut_ptr().cast::<u8>().add(start) }
    }

    #[cold]
    fn reserve_in_new_chunk(&mut self, len: usize) -> *mut u8 {
        let size = len.max(CHUNK_BYTES).next_multiple_of(16);
        let chunk = vec![0u128; size / 16];
        self.bytes += size;
        let old = std::mem::replace(&mut self.current, chunk);
        if !old.is_empty() {
            self.full.push(old);
        }
        self.used = len;
        self.current.as_mut_ptr().cast::<u8>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_stay_where_they_are() {
        let mut heap = Heap::new();
        let kept: Vec<(Vec<u8>, *const u8)> = (0..5000usize)
            .map(|i| {
                let bytes = vec![i as u8; i % 700 + usize::from(i == 77) * 1_000_000];
                let address = heap.copy(&bytes);
                (bytes, address)
            })
            .collect();
        for (bytes, address) in &kept {
            // SAFETY: the heap is alive, and `address` came from `copy` of as many bytes.
            let seen = unsafe { std::slice::from_raw_parts(*address, bytes.len()) };
            assert_eq!(seen, &bytes[..]);
        }
    }

    #[test]
    fn slots_are_aligned() {
        let mut heap = Heap::new();
        for i in 0..1000u64 {
            heap.copy(&[1; 3]);
            let address = heap.copy_slots(&[i, i + 1]);
            assert!(address.is_aligned());
            // SAFETY: the heap is alive, and two values were copied there.
            assert_eq!(unsafe { *address.add(1) }, i + 1);
        }
    }
}
