//! Memory on huge pages, taken from the system once and used again.
//!
//! A fresh page costs more than most of the work done in it, and a table on pages of 4 KiB misses the TLB at each
//! probe. So tables lie in one range of addresses, aligned to 2 MiB, for which huge pages are asked. Pages appear when
//! they are first touched: the range is much larger than what is used. Pieces that are given back are used again, by
//! this job or the next; [`trim`] gives what is free back to the system.

use std::ptr::NonNull;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The size of a huge page, in bytes.
const HUGE: usize = 2 << 20;

/// Sizes of pieces are multiples of this, in bytes.
const SMALLEST: usize = 16 << 10;

/// The sizes of the range that are tried, in bytes: a system may forbid the larger ones.
const RANGES: [usize; 4] = [1 << 40, 1 << 37, 1 << 34, 1 << 32];

/// A range of addresses from which pieces are taken.
struct Arena {
    /// Aligned to [`HUGE`]; null where the system refused.
    start: *mut u8,
    len: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    used: usize,
    /// Pieces that came back: offset, size, and whether they may hold other bytes than zeros.
    free: Vec<(usize, usize, bool)>,
    /// The sum of those that may.
    idle: usize,
}

// SAFETY: the memory is reached through pieces only, each of which has a part of it to itself; the rest is locked.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

fn arena() -> &'static Arena {
    static ARENA: OnceLock<Arena> = OnceLock::new();
    ARENA.get_or_init(Arena::new)
}

impl Arena {
    fn new() -> Arena {
        let refused = Arena { start: std::ptr::null_mut(), len: 0, inner: Mutex::default() };
        let Some((base, len)) = RANGES.iter().find_map(|&len| Some((reserve(len)?, len))) else {
            return refused;
        };
        let skip = base.align_offset(HUGE);
        // SAFETY: `skip` is below 2 MiB, and the map is longer.
        let start = unsafe { base.add(skip) };
        let len = (len - skip) / HUGE * HUGE;
        // SAFETY: the range is inside the map. That huge pages may be refused is no error: it is slower then.
        unsafe { libc::madvise(start.cast(), len, libc::MADV_HUGEPAGE) };
        Arena { start, len, inner: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a range of `size` bytes lies, its size, and whether it may hold other bytes than zeros.
    fn take(&self, size: usize) -> Option<(usize, usize, bool)> {
        let mut inner = self.lock();
        // Most often many pieces have one size, and one of them came back of late.
        let same = inner.free.iter().rposition(|piece| piece.1 == size);
        // Else the best of those that fit; what is much larger waits for another.
        let place = same.or_else(|| {
            let fits = |piece: &(usize, usize, bool)| (size..=size * 2).contains(&piece.1);
            let all = inner.free.iter().enumerate().filter(|(_, piece)| fits(piece));
            all.min_by_key(|(_, piece)| piece.1).map(|(place, _)| place)
        });
        if let Some(place) = place {
            let piece = inner.free.swap_remove(place);
            inner.idle -= if piece.2 { piece.1 } else { 0 };
            return Some(piece);
        }
        let at = inner.used;
        if size > self.len - at {
            return None;
        }
        inner.used = at + size;
        Some((at, size, false))
    }
}

/// Reserves addresses, not memory.
fn reserve(len: usize) -> Option<*mut u8> {
    // SAFETY: an anonymous map at an address that the system chooses touches nothing else.
    let base = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            len,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    (base != libc::MAP_FAILED).then_some(base.cast())
}

/// A range of initialized memory that has one owner; goes back to the arena when it is dropped.
pub struct Piece {
    start: NonNull<u8>,
    home: Home,
}

enum Home {
    /// Offset and size in the arena.
    Arena(usize, usize),
    /// The arena is used up, or there is none.
    Heap(std::alloc::Layout),
    /// Nothing was asked for.
    Nowhere,
}

// SAFETY: a piece owns its memory, as a `Vec<u8>` does.
unsafe impl Send for Piece {}
// SAFETY: as above.
unsafe impl Sync for Piece {}

impl Piece {
    /// `len` bytes of zeros, aligned to 64.
    pub fn zeroed(len: usize) -> Piece {
        Piece::new(len, true)
    }

    /// `len` bytes of any content, aligned to 64.
    pub fn any(len: usize) -> Piece {
        Piece::new(len, false)
    }

    fn new(len: usize, zeroed: bool) -> Piece {
        if len == 0 {
            return Piece { start: NonNull::<u128>::dangling().cast(), home: Home::Nowhere };
        }
        let size = len.next_multiple_of(SMALLEST);
        let arena = arena();
        let Some((at, size, dirty)) = arena.take(size) else {
            return Piece::on_heap(len);
        };
        // SAFETY: `take` gave this range, which is inside the arena, to nobody else.
        let start = unsafe { arena.start.add(at) };
        if dirty && zeroed {
            // SAFETY: as above.
            unsafe { start.write_bytes(0, len) };
        }
        let start = NonNull::new(start).expect("a map is never at address zero");
        Piece { start, home: Home::Arena(at, size) }
    }

    #[cold]
    fn on_heap(len: usize) -> Piece {
        let layout = std::alloc::Layout::from_size_align(len, 64).expect("a size that exists");
        // SAFETY: the layout has a size above zero.
        let start = unsafe { std::alloc::alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else { std::alloc::handle_alloc_error(layout) };
        Piece { start, home: Home::Heap(layout) }
    }

    /// The first byte.
    #[inline(always)]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        match self.home {
            Home::Arena(at, size) => {
                let mut inner = arena().lock();
                inner.free.push((at, size, true));
                inner.idle += size;
            }
            // SAFETY: it was allocated with this layout, and nobody else has it.
            Home::Heap(layout) => unsafe { std::alloc::dealloc(self.start.as_ptr(), layout) },
            Home::Nowhere => {}
        }
    }
}

/// The bytes of pieces that somebody has.
pub fn arena_bytes() -> u64 {
    let inner = arena().lock();
    (inner.used - inner.free.iter().map(|(_, size, _)| size).sum::<usize>()) as u64
}

/// The bytes of pieces that nobody has and that the system still counts as this process's.
pub(super) fn idle_bytes() -> u64 {
    arena().lock().idle as u64
}

/// Gives free pieces back to the system, and joins neighbours so that other sizes fit. For the end of a job, and for when memory is short.
pub fn trim() {
    let arena = arena();
    let mut inner = arena.lock();
    inner.idle = 0;
    inner.free.sort_unstable();
    let mut joined: Vec<(usize, usize, bool)> = Vec::new();
    for (at, size, dirty) in std::mem::take(&mut inner.free) {
        if dirty {
            // SAFETY: the range is free and inside the arena; it reads as zeros afterwards.
            unsafe { libc::madvise(arena.start.add(at).cast(), size, libc::MADV_DONTNEED) };
        }
        match joined.last_mut() {
            Some(last) if last.0 + last.1 == at => last.1 += size,
            _ => joined.push((at, size, false)),
        }
    }
    if let Some(&(at, size, _)) = joined.last()
        && at + size == inner.used
    {
        inner.used = at;
        joined.pop();
    }
    inner.free = joined;
}

/// Asks for the cache line at `address`, which may be any.
#[inline(always)]
pub fn prefetch<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing that the program can see, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(piece: &mut Piece, len: usize) -> &mut [u8] {
        // SAFETY: the piece owns `len` initialized bytes.
        unsafe { std::slice::from_raw_parts_mut(piece.start().as_ptr(), len) }
    }

    #[test]
    fn pieces_are_apart_and_zero_when_used_again() {
        for _ in 0..3 {
            let lens = [1, 100, SMALLEST, 3 * SMALLEST + 1, HUGE + 5];
            let mut pieces = lens.map(Piece::zeroed);
            for (number, (piece, len)) in pieces.iter_mut().zip(lens).enumerate() {
                assert!(bytes(piece, len).iter().all(|&b| b == 0));
                assert_eq!(piece.start().as_ptr() as usize % 64, 0);
                bytes(piece, len).fill(number as u8 + 1);
            }
            for (number, (piece, len)) in pieces.iter_mut().zip(lens).enumerate() {
                assert!(bytes(piece, len).iter().all(|&b| b == number as u8 + 1));
            }
            drop(pieces);
            trim();
        }
        drop(Piece::zeroed(0));
    }
}
