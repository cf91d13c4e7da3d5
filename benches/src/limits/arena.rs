//! Memory on huge pages, taken from the system once and used again.
//!
//! A fresh page costs more than most of the work done in it, and a table of 4 KiB pages misses the TLB at each probe.
//! So tables lie in one range of addresses, aligned to 2 MiB, for which huge pages are asked. Pages appear when they
//! are first touched: the range may be much larger than what is used.

use std::{
    io,
    marker::PhantomData,
    ptr::NonNull,
    sync::{Mutex, atomic::AtomicU64},
};

/// The size of a huge page.
const HUGE: usize = 2 << 20;

/// Pieces are multiples of this.
const SMALLEST: usize = 16 << 10;

/// Types whose value is valid when all its bytes are zero, and which need no drop.
///
/// # Safety
/// All zero bytes are a value of the type, its alignment is at most 64, and it has no drop.
pub unsafe trait Zeroed {}

// SAFETY: plain numbers.
unsafe impl Zeroed for u8 {}
// SAFETY: plain numbers.
unsafe impl Zeroed for u32 {}
// SAFETY: plain numbers.
unsafe impl Zeroed for u64 {}
// SAFETY: plain numbers.
unsafe impl Zeroed for u128 {}
// SAFETY: a number, which others may write meanwhile.
unsafe impl Zeroed for AtomicU64 {}

/// A range of addresses from which pieces are taken, and to which they come back.
pub struct Arena {
    start: NonNull<u8>,
    mapped: (NonNull<u8>, usize),
    inner: Mutex<Inner>,
    len: usize,
}

struct Inner {
    used: usize,
    /// Pieces that came back: where they begin, relative to the start, and their size.
    free: Vec<(usize, usize)>,
}

// SAFETY: the memory is reached through pieces only, each of which has its own part of it; the rest is behind a lock.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

/// A part of an arena: a slice that is this piece's alone.
pub struct Piece<'a, T> {
    start: NonNull<T>,
    len: usize,
    arena: PhantomData<&'a Arena>,
}

// SAFETY: a piece owns its part of the arena, as a `Vec` does.
unsafe impl<T: Send> Send for Piece<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Piece<'_, T> {}

impl Arena {
    /// An arena of `len` bytes of addresses, not of memory.
    pub fn new(len: usize) -> io::Result<Self> {
        let len = len.next_multiple_of(HUGE);
        let whole = len + HUGE;
        // SAFETY: an anonymous map at an address that the system chooses touches nothing else.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                whole,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).expect("a map is never at address zero");
        let skip = base.as_ptr().align_offset(HUGE);
        // SAFETY: `skip` is below 2 MiB, and the map is that much longer than `len`.
        let start = unsafe { base.add(skip) };
        // SAFETY: the range is inside of the map. That huge pages may be refused is no error: it is slower then.
        unsafe { libc::madvise(start.as_ptr().cast(), len, libc::MADV_HUGEPAGE) };
        let inner = Inner { used: 0, free: Vec::new() };
        Ok(Self { start, mapped: (base, whole), inner: Mutex::new(inner), len })
    }

    /// A piece of `len` values, all of them zero.
    ///
    /// # Panics
    /// If the arena is used up.
    pub fn zeroed<T: Zeroed>(&self, len: usize) -> Piece<'_, T> {
        let (at, used_before) = self.take(size_of::<T>() * len);
        // SAFETY: `take` gave this range of the arena to nobody else, aligned to 16 KiB.
        unsafe {
            let start = self.start.add(at);
            if used_before {
                start.write_bytes(0, size_of::<T>() * len);
            }
            Piece { start: start.cast(), len, arena: PhantomData }
        }
    }

    /// A piece of `len` values of any content: zero, or what was there before.
    ///
    /// # Panics
    /// If the arena is used up.
    pub fn any(&self, len: usize) -> Piece<'_, u8> {
        let (at, _) = self.take(len);
        // SAFETY: `take` gave this range to nobody else; bytes that were zero or written before are initialized.
        Piece { start: unsafe { self.start.add(at) }, len, arena: PhantomData }
    }

    /// Takes a piece back.
    pub fn give_back<T>(&self, piece: Piece<'_, T>) {
        let at = piece.start.as_ptr() as usize - self.start.as_ptr() as usize;
        assert!(at < self.len, "a piece came back to an arena that is not its own");
        let size = size(size_of::<T>() * piece.len);
        self.inner.lock().expect("no panic under the arena's lock").free.push((at, size));
    }

    /// Where a range of this many bytes lies, and whether it was in use before.
    fn take(&self, bytes: usize) -> (usize, bool) {
        let size = size(bytes);
        let mut inner = self.inner.lock().expect("no panic under the arena's lock");
        // What is much larger waits for another.
        if let Some(place) = inner.free.iter().position(|(_, has)| (size..=size * 2).contains(has))
        {
            return (inner.free.swap_remove(place).0, true);
        }
        let at = inner.used;
        assert!(size <= self.len - at, "the arena of {} bytes is used up", self.len);
        inner.used = at + size;
        (at, false)
    }
}

impl<'a, T> Piece<'a, T> {
    /// The values for as long as the arena lives: the piece never comes back.
    pub fn into_slice(self) -> &'a mut [T] {
        // SAFETY: the piece owns `len` initialized values from `start` on, and gives up owning them.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// The size of a piece of `bytes`.
fn size(bytes: usize) -> usize {
    bytes.max(1).next_multiple_of(SMALLEST)
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the map is this arena's, and pieces cannot outlive it.
        unsafe { libc::munmap(self.mapped.0.as_ptr().cast(), self.mapped.1) };
    }
}

impl<T> std::ops::Deref for Piece<'_, T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        // SAFETY: the piece owns `len` values from `start` on, all of them initialized.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl<T> std::ops::DerefMut for Piece<'_, T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the piece is borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_apart_and_zero_when_used_again() {
        let arena = Arena::new(8 << 20).unwrap();
        let mut first = arena.zeroed::<u64>(1000);
        let mut second = arena.zeroed::<u64>(1000);
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|n| *n == 1));
        let address = first.as_ptr();
        arena.give_back(first);
        let third = arena.zeroed::<u64>(1000);
        assert_eq!(third.as_ptr(), address);
        assert!(third.iter().all(|n| *n == 0));
        assert!(second.iter().all(|n| *n == 2));
        assert_eq!(third.as_ptr() as usize % 64, 0);
    }

    #[test]
    #[should_panic(expected = "used up")]
    fn an_arena_ends() {
        let arena = Arena::new(HUGE).unwrap();
        let _pieces: Vec<_> = (0..129).map(|_| arena.any(SMALLEST)).collect();
    }
}
