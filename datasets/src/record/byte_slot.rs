//! The slot of a byte string: short ones inline, long ones by address.
//!
//! It has the layout of an Arrow view (Arrow columnar format, "Variable-size Binary View Layout"), except that a
//! long value's last eight bytes are its address: `[length: 4][inline: 12]` or `[length: 4][prefix: 4][address: 8]`.

use super::{Heap, mix};

/// The longest value that is inline in a slot or an Arrow view.
pub(super) const INLINE_BYTES: usize = 12;

/// A byte string in 16 bytes; see the module for the layout.
///
/// Kept as halves: a `u128` has an alignment of 16, which would make rows of tables longer by half.
#[derive(Clone, Copy, Debug)]
pub struct ByteSlot([u64; 2]);

impl ByteSlot {
    #[inline(always)]
    pub(super) fn of_bits(bits: u128) -> ByteSlot {
        ByteSlot([bits as u64, (bits >> 64) as u64])
    }

    #[inline(always)]
    pub(super) fn bits(&self) -> u128 {
        u128::from(self.0[0]) | u128::from(self.0[1]) << 64
    }

    /// A slot that borrows `bytes`.
    ///
    /// # Panics
    /// If `bytes` is longer than 4 GiB.
    #[inline]
    pub fn borrowed(bytes: &[u8]) -> ByteSlot {
        let len = u32::try_from(bytes.len()).expect("a value of at most 4 GiB");
        if bytes.len() <= INLINE_BYTES {
            return ByteSlot::of_bits(u128::from(len) | (load_short(bytes) << 32));
        }
        let prefix = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        ByteSlot([u64::from(len) | u64::from(prefix) << 32, bytes.as_ptr() as u64])
    }

    /// The length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.0[0] as u32 as usize
    }

    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    pub(super) fn is_inline(&self) -> bool {
        self.len() <= INLINE_BYTES
    }

    /// The bytes.
    ///
    /// # Safety
    /// What the slot points to is alive as long as the result.
    #[inline]
    pub unsafe fn bytes(&self) -> &[u8] {
        let start = if self.is_inline() {
            // SAFETY: the inline bytes follow the length within the 16 bytes (little endian).
            unsafe { std::ptr::from_ref(&self.0).cast::<u8>().add(4) }
        } else {
            self.0[1] as usize as *const u8
        };
        // SAFETY: inline bytes are part of the slot; others are alive by the caller's promise.
        unsafe { std::slice::from_raw_parts(start, self.len()) }
    }

    /// The order-preserving first 16 bytes, left-aligned, padded with zeros.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline]
    pub(super) unsafe fn prefix(&self) -> u128 {
        if self.is_inline() {
            return (self.bits() >> 32).swap_bytes();
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { self.bytes() };
        let mut first = [0u8; 16];
        let n = bytes.len().min(16);
        first[..n].copy_from_slice(&bytes[..n]);
        u128::from_be_bytes(first)
    }

    /// Asks the processor for the bytes, if they are elsewhere.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        if !self.is_inline() {
            crate::memory::prefetch(self.0[1] as usize as *const u8);
        }
    }

    /// A slot that points into `heap` only.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline]
    pub(super) unsafe fn keep(&self, heap: &mut Heap) -> ByteSlot {
        if self.is_inline() {
            return *self;
        }
        // SAFETY: the caller's promise.
        let address = heap.copy(unsafe { self.bytes() });
        ByteSlot([self.0[0], address as u64])
    }

    /// # Safety
    /// What the slot points to is alive.
    #[inline]
    pub(super) unsafe fn hash(&self) -> u64 {
        if self.is_inline() {
            return mix(self.0[0], self.0[1]);
        }
        // SAFETY: the caller's promise.
        rapidhash::v3::rapidhash_v3(unsafe { self.bytes() })
    }

    /// # Safety
    /// What the slots point to is alive.
    #[inline]
    pub(super) unsafe fn equals(&self, other: &ByteSlot) -> bool {
        if self.0 == other.0 {
            return true;
        }
        if self.0[0] != other.0[0] || self.is_inline() {
            return false;
        }
        // SAFETY: the caller's promise.
        unsafe { self.bytes() == other.bytes() }
    }
}

/// Up to 12 bytes as a little-endian number.
#[inline]
fn load_short(bytes: &[u8]) -> u128 {
    let n = bytes.len();
    if n >= 8 {
        let low = u64::from_le_bytes(bytes[..8].try_into().expect("8 bytes"));
        let high = u64::from_le_bytes(bytes[n - 8..].try_into().expect("8 bytes"));
        // The last 8 bytes overlap the first; shift away what is already there.
        let high = if n == 8 { 0 } else { high >> (8 * (16 - n)) };
        u128::from(low) | (u128::from(high) << 64)
    } else if n >= 4 {
        let low = u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
        let high = u32::from_le_bytes(bytes[n - 4..].try_into().expect("4 bytes"));
        u128::from(u64::from(low) | (u64::from(high) << (8 * (n - 4))))
    } else if n > 0 {
        let (a, b, c) = (bytes[0], bytes[n / 2], bytes[n - 1]);
        u128::from(u32::from(a) | (u32::from(b) << (8 * (n / 2))) | (u32::from(c) << (8 * (n - 1))))
    } else {
        0
    }
}
