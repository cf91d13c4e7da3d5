//! A word as 24 bytes: up to 16 bytes of text inline, or a pointer into the input.

use std::marker::PhantomData;

use windrow_datasets::text::split;

use crate::limits::{arena::Zeroed, prefetch};

/// A word of a text that lives for `'a`, with its hash.
///
/// The lowest bit of the hash says where the text is: 0, inline, the first byte lowest and zero behind the last one;
/// 1, elsewhere, address and length in place of the text. Words of more than 16 bytes are elsewhere, and those that
/// end in a NUL byte, since inline they would be equal to the same word without it.
#[derive(Clone, Copy, Default)]
pub(super) struct Word<'a> {
    /// The lower and the upper half: a `u128` would make a row of 32 bytes one of 48.
    halves: [u64; 2],
    hash: u64,
    lives: PhantomData<&'a [u8]>,
}

// SAFETY: zero bytes are the empty word, inline.
unsafe impl Zeroed for Word<'_> {}

const SEEDS: [u64; 3] = [0x2d35_8dcc_aa6c_78a5, 0x8bb8_4b93_962e_acc9, 0x4b33_a62e_d433_d4a3];

/// Both halves of a product, folded.
#[inline(always)]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl<'a> Word<'a> {
    /// The word from `start` to `end` of a block.
    #[inline(always)]
    pub(super) fn new(block: &'a [u8], start: u32, end: u32) -> Self {
        let (start, end) = (start as usize, end as usize);
        let len = end - start;
        if len <= 16 && block[end - 1] != 0 {
            let text = split::load(block, start, len);
            let halves = [text as u64, (text >> 64) as u64];
            let hash = fold(halves[0] ^ SEEDS[0], halves[1] ^ SEEDS[1]);
            let hash = fold(hash, SEEDS[2]) & !1;
            return Self { halves, hash, lives: PhantomData };
        }
        Self::elsewhere(&block[start..end])
    }

    fn elsewhere(word: &'a [u8]) -> Self {
        let halves = [word.as_ptr() as u64, word.len() as u64];
        let mut hash = SEEDS[2] ^ word.len() as u64;
        let (parts, _) = word.as_chunks::<16>();
        let last = match word.last_chunk::<16>() {
            Some(last) => u128::from_le_bytes(*last),
            None => split::load(word, 0, word.len()),
        };
        for part in parts.iter().map(|part| u128::from_le_bytes(*part)).chain([last]) {
            hash = fold(part as u64 ^ SEEDS[0] ^ hash, (part >> 64) as u64 ^ SEEDS[1]);
        }
        Self { halves, hash: fold(hash, SEEDS[2]) | 1, lives: PhantomData }
    }

    /// The hash: rows leave in its order.
    #[inline(always)]
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    #[inline(always)]
    fn is_inline(&self) -> bool {
        self.hash & 1 == 0
    }

    /// Whether both are the same text.
    #[inline(always)]
    pub(super) fn is(&self, other: &Self) -> bool {
        let differ = (self.halves[0] ^ other.halves[0]) | (self.halves[1] ^ other.halves[1]);
        if differ | (self.hash ^ other.hash) == 0 {
            return true;
        }
        self.hash == other.hash && !self.is_inline() && self.far() == other.far()
    }

    /// Text that is elsewhere.
    fn far(&self) -> &'a [u8] {
        assert!(!self.is_inline());
        // SAFETY: with the lowest bit of the hash set, `elsewhere` made this from a slice that lives for `'a`.
        unsafe { std::slice::from_raw_parts(self.halves[0] as *const u8, self.halves[1] as usize) }
    }

    /// Asks for the text that will be compared or written, if it is elsewhere.
    #[inline(always)]
    pub(super) fn prefetch(&self) {
        if !self.is_inline() {
            prefetch(self.halves[0] as *const u8);
        }
    }

    /// Appends the text.
    #[inline(always)]
    pub(super) fn append_to(&self, out: &mut Vec<u8>) {
        if self.is_inline() {
            let text = u128::from(self.halves[0]) | u128::from(self.halves[1]) << 64;
            let len = 16 - text.leading_zeros() as usize / 8;
            out.extend_from_slice(&text.to_le_bytes());
            out.truncate(out.len() - 16 + len);
        } else {
            out.extend_from_slice(self.far());
        }
    }

    /// The order of rows of one hash.
    #[cold]
    pub(super) fn text_order(&self, other: &Self) -> std::cmp::Ordering {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        self.append_to(&mut a);
        other.append_to(&mut b);
        a.cmp(&b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(text: &[u8]) -> Word<'_> {
        Word::new(text, 0, text.len() as u32)
    }

    #[test]
    fn words_are_equal_as_their_bytes_are() {
        let mut words: Vec<Vec<u8>> = Vec::new();
        for len in 1..40 {
            for last in [0, 1, b'a', 255] {
                let mut text = vec![b'a'; len];
                text[len - 1] = last;
                words.push(text.clone());
                text[0] = 0;
                words.push(text);
            }
        }
        for a in &words {
            for b in &words.clone() {
                assert_eq!(word(a).is(&word(b)), a == b, "{a:?} {b:?}");
                let order = word(a).text_order(&word(b));
                assert_eq!(order, a.cmp(b));
            }
            let mut out = Vec::new();
            word(a).append_to(&mut out);
            assert_eq!(&out, a);
        }
    }
}
