//! Memory that is read into, and then shared as an Arrow buffer.

use super::Piece;
use arrow::buffer::Buffer;
use bytes::Bytes;
use std::sync::Arc;

/// A buffer of one size, on huge pages, that is used again once nobody holds what was shared of it.
pub struct ReadBuffer {
    piece: Arc<Piece>,
    len: usize,
}

impl ReadBuffer {
    /// A buffer of `len` bytes of any content.
    pub fn new(len: usize) -> ReadBuffer {
        ReadBuffer { piece: Arc::new(Piece::any(len)), len }
    }

    /// All bytes, to be written. Memory that somebody still holds is left to them, and replaced.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        if Arc::get_mut(&mut self.piece).is_none() {
            self.piece = Arc::new(Piece::any(self.len));
        }
        // SAFETY: the piece has `len` initialized bytes, and nobody else has the piece while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.piece.start().as_ptr(), self.len) }
    }

    /// The first `len` bytes, shared.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn share(&self, len: usize) -> Buffer {
        assert!(len <= self.len, "{len} bytes of a buffer of {}", self.len);
        // SAFETY: the bytes are initialized, and owned by the piece, which the buffer holds on to; `bytes_mut` gives
        // them to nobody while it does.
        unsafe { Buffer::from_custom_allocation(self.piece.start(), len, self.piece.clone()) }
    }

    /// The first `len` bytes, as the `bytes` crate has them.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn into_bytes(self, len: usize) -> Bytes {
        assert!(len <= self.len, "{len} bytes of a buffer of {}", self.len);
        Bytes::from_owner(Owned { buffer: self, len })
    }

    /// The number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// A buffer of which some bytes are shared, and that nobody writes to any more.
struct Owned {
    buffer: ReadBuffer,
    len: usize,
}

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the piece has `len` initialized bytes at least, which nothing writes to while it is owned here.
        unsafe { std::slice::from_raw_parts(self.buffer.piece.start().as_ptr(), self.len) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_stays_as_it_was() {
        let mut buffer = ReadBuffer::new(1000);
        buffer.bytes_mut().fill(1);
        let first = buffer.share(10);
        buffer.bytes_mut().fill(2);
        let second = buffer.share(1000);
        assert_eq!(first.as_slice(), [1; 10]);
        assert_eq!(second.as_slice(), [2; 1000]);
        let address = second.as_ptr();
        drop(second);
        assert_eq!(buffer.bytes_mut().as_ptr(), address);
    }

    #[test]
    fn bytes_are_those_that_were_read() {
        let mut buffer = ReadBuffer::new(1000);
        buffer.bytes_mut().fill(3);
        buffer.bytes_mut()[..2].copy_from_slice(&[1, 2]);
        let bytes = buffer.into_bytes(3);
        let other = bytes.slice(1..);
        drop(bytes);
        assert_eq!(other, [2, 3][..]);
    }
}
