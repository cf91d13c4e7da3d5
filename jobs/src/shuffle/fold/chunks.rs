//! Rows one after the other, in pieces of memory of one size, so that those of one list become those of the next.

use std::marker::PhantomData;
use windrow_datasets::memory::Piece;

/// The size of a piece, in bytes.
const PIECE_BYTES: usize = if cfg!(test) { 4 << 10 } else { 64 << 10 };

/// A list of rows, to whose end rows are added. Rows that it is dropped with are forgotten, not dropped.
pub(super) struct Chunks<R> {
    /// All full but the last.
    pieces: Vec<Piece>,
    len: usize,
    rows: PhantomData<R>,
}

impl<R> Default for Chunks<R> {
    fn default() -> Chunks<R> {
        Chunks { pieces: Vec::new(), len: 0, rows: PhantomData }
    }
}

impl<R> Chunks<R> {
    /// The rows of a piece.
    const ROWS: usize = {
        assert!(align_of::<R>() <= 64, "a piece is aligned to 64");
        let rows = PIECE_BYTES / size_of::<R>();
        if rows == 0 { 1 } else { rows }
    };

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes that it has.
    pub(super) fn bytes(&self) -> usize {
        self.pieces.len() * Self::ROWS * size_of::<R>()
    }

    /// How many more rows take no further piece.
    #[inline(always)]
    pub(super) fn room(&self) -> usize {
        self.pieces.len() * Self::ROWS - self.len
    }

    /// Adds a row.
    #[inline(always)]
    pub(super) fn push(&mut self, row: R) {
        if self.room() == 0 {
            self.pieces.push(Piece::any(Self::ROWS * size_of::<R>()));
        }
        let Some(last) = self.pieces.last() else { return };
        // SAFETY: all pieces but the last are full, so that the last one has a place for the row at this offset.
        unsafe { last.start().cast::<R>().add(self.len % Self::ROWS).write(row) };
        self.len += 1;
    }

    /// All rows, piece by piece.
    pub(super) fn slices(&self) -> impl Iterator<Item = &[R]> {
        (0..).zip(&self.pieces).map(|(number, piece)| {
            let len = (self.len - number * Self::ROWS).min(Self::ROWS);
            // SAFETY: so many rows of this piece were written; they live as long as the piece, which is borrowed.
            unsafe { std::slice::from_raw_parts(piece.start().cast::<R>().as_ptr(), len) }
        })
    }

    /// Gives all rows, piece by piece, each of which is free then; the list is empty.
    pub(super) fn take(&mut self, mut each: impl FnMut(&[R])) {
        let mut left = std::mem::take(&mut self.len);
        for piece in std::mem::take(&mut self.pieces) {
            let len = left.min(Self::ROWS);
            left -= len;
            // SAFETY: as in `slices`.
            each(unsafe { std::slice::from_raw_parts(piece.start().cast::<R>().as_ptr(), len) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn rows_come_as_they_went(lens in prop::collection::vec(0..500usize, 0..5)) {
            let mut chunks = Chunks::<[u64; 5]>::default();
            for len in lens {
                let rows: Vec<[u64; 5]> = (0..len as u64).map(|n| [n; 5]).collect();
                rows.iter().for_each(|row| chunks.push(*row));
                prop_assert_eq!(chunks.len(), len);
                prop_assert!(chunks.bytes() >= len * 40 && chunks.bytes() < len * 40 + (4 << 10));
                prop_assert_eq!(chunks.slices().flatten().copied().collect::<Vec<_>>(), rows.clone());
                let mut taken = Vec::new();
                chunks.take(|slice| taken.extend_from_slice(slice));
                prop_assert_eq!(taken, rows);
                prop_assert_eq!((chunks.len(), chunks.bytes()), (0, 0));
            }
        }
    }
}
