//! Which keys one side of a join has, so that the other side need not keep rows that will find no partner.
//!
//! A Bloom filter whose keys have their bits in one word each, so that to look a key up touches one place (Putze, Sanders
//! and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007): what it says no to is certainly not there.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use windrow_datasets::memory::{Budget, Piece, Share, prefetch};

/// More rows than these make no filter: it would lie in no cache, and few rows would be left out by it.
const ROWS_MAX: usize = 1 << 23;

/// So many bits for each row: some 1 % of other keys are taken for one that is there.
const BITS_A_ROW: usize = 12;

/// See the module.
pub struct KeyFilter {
    /// Memory for the words.
    piece: Piece,
    /// The number of words.
    words: usize,
    _share: Share,
}

impl KeyFilter {
    /// An empty one with room for the keys of so many rows; none if they are too many.
    pub(super) fn for_rows(rows: usize, budget: &Budget) -> Option<KeyFilter> {
        let words = (rows * BITS_A_ROW).div_ceil(64).max(1);
        (rows <= ROWS_MAX).then(|| {
            let share = budget.share();
            share.add(8 * words as u64);
            KeyFilter { piece: Piece::zeroed(8 * words), words, _share: share }
        })
    }

    /// A key with this hash is there.
    #[inline(always)]
    pub(super) fn add(&self, hash: u64) {
        self.word(hash).fetch_or(bits(hash), Relaxed);
    }

    /// Whether a key with this hash may be there.
    #[inline(always)]
    pub(super) fn may_have(&self, hash: u64) -> bool {
        let bits = bits(hash);
        self.word(hash).load(Relaxed) & bits == bits
    }

    /// Asks for what [`may_have`](KeyFilter::may_have) will look at.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(self.word(hash));
    }

    #[inline(always)]
    fn word(&self, hash: u64) -> &AtomicU64 {
        // Not by the hash alone, upper bits of which rows of one bucket have in common.
        let mixed = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let at = ((u128::from(mixed) * self.words as u128) >> 64) as usize;
        // SAFETY: `at` is below the number of words; a piece is aligned, and has zeros where nothing was written.
        unsafe { &*self.piece.start().as_ptr().cast::<AtomicU64>().add(at) }
    }
}

/// The four bits of a hash in its word; some may be the same.
#[inline(always)]
fn bits(hash: u64) -> u64 {
    (1 << (hash & 63))
        | (1 << (hash >> 6 & 63))
        | (1 << (hash >> 12 & 63))
        | (1 << (hash >> 18 & 63))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_datasets::record::mix;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        for rows in [0, 1, 100, 100_000] {
            let budget = Budget::of(1 << 30);
            let filter = KeyFilter::for_rows(rows, &budget).unwrap();
            (0..rows as u64).for_each(|key| filter.add(mix(key, 1)));
            assert!((0..rows as u64).all(|key| filter.may_have(mix(key, 1))));
            let wrong = (0..100_000).filter(|&key| filter.may_have(mix(key, 2))).count();
            assert!(wrong < 2_000, "{wrong} of 100,000 keys are taken for one of {rows}");
            assert_eq!(budget.counted(), 8 * filter.words as u64);
        }
    }

    #[test]
    fn too_many_rows_have_none() {
        assert!(KeyFilter::for_rows(ROWS_MAX + 1, &Budget::unlimited()).is_none());
    }
}
