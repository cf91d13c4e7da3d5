//! Splits a block of text into words, 64 bytes at a time.
//!
//! A word is a run of bytes other than ASCII white space, as [`u8::is_ascii_whitespace`] has it (space, tab, line
//! feed, form feed, carriage return; not vertical tab). All other bytes are accepted, NUL and broken UTF-8 too.
//!
//! [`Splitter::split`] finds the 64 white-space bits of each 64 bytes (AVX2 where the machine has it, SSE2 or plain
//! words of 8 bytes elsewhere: the same answer), and writes the positions where a word begins or ends, its *edges*,
//! to an array that is used again for the next block. [`Words`] gives the words of a block, or its bare edges.
//!
//! ```
//! use windrow_datasets::text::split::Splitter;
//!
//! let mut splitter = Splitter::new();
//! let words = splitter.split(b"the quick\tbrown\nfox ");
//! assert_eq!(words.len(), 4);
//! assert_eq!(words.get(1), Some(&b"quick"[..]));
//! assert!(words.iter().eq([&b"the"[..], b"quick", b"brown", b"fox"]));
//! ```
//!
//! A word that goes on in the next block is the caller's affair: [`cut`] says where a block may end. Blocks of 64 KiB
//! keep text and edges in cache.
//!
//! [`load`] takes a word of up to 16 bytes as one `u128`, which is how short words are best compared and hashed.

#[cfg(any(test, not(target_arch = "x86_64")))]
use super::positions::{ONES, gathered, zeros};
use super::positions::{STEP, append};

/// Finds the words of blocks, one block after another, in memory that it keeps.
#[derive(Debug, Default)]
pub struct Splitter {
    edges: Vec<u32>,
}

/// The words of one block, in their order.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    block: &'a [u8],
    /// Beginning and end of each word by turns: ascending, none past the end of the block, an even number of them.
    edges: &'a [u32],
}

impl Splitter {
    /// A splitter without memory: the first block brings it.
    pub fn new() -> Self {
        Self::default()
    }

    /// The words of a block.
    ///
    /// # Panics
    /// If the block has 4 GiB or more: positions are `u32`.
    pub fn split<'a>(&'a mut self, block: &'a [u8]) -> Words<'a> {
        assert!(
            u32::try_from(block.len()).is_ok(),
            "a block of {} bytes is too long to split",
            block.len()
        );
        self.edges.clear();
        find_edges(block, &mut self.edges);
        Words { block, edges: &self.edges }
    }
}

impl<'a> Words<'a> {
    /// The number of words.
    pub fn len(&self) -> usize {
        self.edges.len() / 2
    }

    /// Whether the block has no word.
    pub fn is_empty(&self) -> bool {
        self.edges.is_empty()
    }

    /// The block that was split.
    pub fn block(&self) -> &'a [u8] {
        self.block
    }

    /// Beginning and end of each word by turns, as positions in the block.
    pub fn edges(&self) -> &'a [u32] {
        self.edges
    }

    /// The word with this number.
    pub fn get(&self, index: usize) -> Option<&'a [u8]> {
        let pair = self.edges.get(index * 2..index * 2 + 2)?;
        // SAFETY: `pair` is the beginning and the end of a word of this block.
        Some(unsafe { word(self.block, pair) })
    }

    /// All words.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        let block = self.block;
        // SAFETY: `pair` is the beginning and the end of a word of this block.
        self.edges.chunks_exact(2).map(move |pair| unsafe { word(block, pair) })
    }

    /// Beginning and length of each word.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = (u32, u32)> + use<'a> {
        self.edges.chunks_exact(2).map(|pair| (pair[0], pair[1] - pair[0]))
    }
}

/// The bytes between two edges.
///
/// # Safety
/// `pair` is two edges of this block, ascending.
#[inline(always)]
unsafe fn word<'a>(block: &'a [u8], pair: &[u32]) -> &'a [u8] {
    // SAFETY: `Words` holds only edges that `find_edges` found in its block: ascending, at most its length.
    unsafe { block.get_unchecked(pair[0] as usize..pair[1] as usize) }
}

/// Where to cut `text` so that no word is torn: just behind the last white space, or 0 if there is none.
pub fn cut(text: &[u8]) -> usize {
    text.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1)
}

/// The word of `len` bytes at `start` of `block` as one number, its first byte lowest, zero behind its end.
///
/// Two words of at most 16 bytes that do not end in a NUL byte are equal if and only if these numbers are.
///
/// # Panics
/// If the word is longer than 16 bytes, or reaches past the end of the block.
#[inline(always)]
pub fn load(block: &[u8], start: usize, len: usize) -> u128 {
    assert!(len <= 16, "a word of {len} bytes does not fit 16");
    match block.get(start..).and_then(<[u8]>::first_chunk::<16>) {
        Some(bytes) => u128::from_le_bytes(*bytes) & mask(len),
        None => load_near_end(&block[start..start + len]),
    }
}

/// The lowest `len` bytes of 16 set.
#[inline(always)]
fn mask(len: usize) -> u128 {
    /// 16 set bytes, then 16 zero ones: read from `16 - len` on.
    static MASKS: [u8; 32] = {
        let mut masks = [0; 32];
        let mut at = 0;
        while at < 16 {
            masks[at] = 0xff;
            at += 1;
        }
        masks
    };
    let bytes = MASKS[16 - len..].first_chunk::<16>();
    u128::from_le_bytes(*bytes.expect("16 bytes remain"))
}

/// As [`load`], where 16 bytes cannot be read.
#[cold]
fn load_near_end(word: &[u8]) -> u128 {
    let mut bytes = [0; 16];
    bytes[..word.len()].copy_from_slice(word);
    u128::from_le_bytes(bytes)
}

/// Appends the edges of the words of `block`.
fn find_edges(block: &[u8], edges: &mut Vec<u32>) {
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("bmi1")
        {
            // SAFETY: the machine has AVX2 and BMI1.
            return unsafe { with_avx2(block, edges) };
        }
        with_sse2(block, edges)
    }
    #[cfg(not(target_arch = "x86_64"))]
    with_words(block, edges)
}

/// The loop over a block, around a function that gives the white-space bits of 64 bytes. A macro, so that all of it is
/// compiled for the instructions of the function that it stands in.
macro_rules! split_loop {
    ($block:ident, $edges:ident, $white:expr) => {{
        let white = $white;
        let (steps, rest) = $block.as_chunks::<STEP>();
        // The last bit of the step before: whether it ended inside a word.
        let mut inside = 0_u64;
        let mut base = 0_u32;
        for step in steps {
            let words = !white(step);
            append($edges, base, words ^ (words << 1 | inside));
            inside = words >> 63;
            base += STEP as u32;
        }
        if !rest.is_empty() {
            let mut step = [b' '; STEP];
            step[..rest.len()].copy_from_slice(rest);
            let words = !white(&step);
            append($edges, base, words ^ (words << 1 | inside));
            inside = words >> 63;
        }
        if inside == 1 {
            $edges.push($block.len() as u32);
        }
    }};
}

/// The edges by AVX2: a byte is white space if it equals the entry that its low four bits choose.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn with_avx2(block: &[u8], edges: &mut Vec<u32>) {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_setr_epi8,
        _mm256_shuffle_epi8,
    };
    // Place 0 has the space, 9 the tab, 10 line feed, 12 form feed, 13 carriage return. A zero elsewhere matches
    // nothing: only a zero byte could equal it, and that one chooses place 0. A byte from 128 on gives zero.
    let table = _mm256_setr_epi8(
        32, 0, 0, 0, 0, 0, 0, 0, 0, 9, 10, 0, 12, 13, 0, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 9, 10, 0,
        12, 13, 0, 0,
    );
    split_loop!(block, edges, |step: &[u8; STEP]| {
        // SAFETY: both reads are inside of the 64 bytes; the load asks for no alignment.
        let (low, high) = unsafe {
            (
                _mm256_loadu_si256(step.as_ptr().cast::<__m256i>()),
                _mm256_loadu_si256(step.as_ptr().add(32).cast::<__m256i>()),
            )
        };
        let low =
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, low), low)) as u32;
        let high =
            _mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_shuffle_epi8(table, high), high)) as u32;
        u64::from(high) << 32 | u64::from(low)
    })
}

/// The edges by SSE2, which every x86-64 machine has: five comparisons.
#[cfg(target_arch = "x86_64")]
fn with_sse2(block: &[u8], edges: &mut Vec<u32>) {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };
    split_loop!(block, edges, |step: &[u8; STEP]| {
        let mut bits = 0;
        for (number, part) in step.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: SSE2 is part of x86-64; the read is of the 16 bytes of `part`, and asks for no alignment.
            let white = unsafe {
                let part = _mm_loadu_si128(part.as_ptr().cast::<__m128i>());
                let is = |byte: u8| _mm_cmpeq_epi8(part, _mm_set1_epi8(byte as i8));
                let line = _mm_or_si128(is(b'\n'), is(b'\r'));
                let other = _mm_or_si128(is(b'\t'), is(b'\x0c'));
                _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(line, other), is(b' ')))
            };
            bits |= (white as u64) << (16 * number);
        }
        bits
    })
}

/// The edges by arithmetic on eight bytes at a time, on any machine.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn with_words(block: &[u8], edges: &mut Vec<u32>) {
    split_loop!(block, edges, |step: &[u8; STEP]| {
        let mut bits = 0;
        for (number, part) in step.as_chunks::<8>().0.iter().enumerate() {
            let part = u64::from_le_bytes(*part);
            let mut white = 0;
            for byte in *b" \t\n\x0c\r" {
                white |= zeros(part ^ (ONES * u64::from(byte)));
            }
            bits |= gathered(white) << (8 * number);
        }
        bits
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A way to find edges.
    type Way = fn(&[u8], &mut Vec<u32>);

    /// All ways that this machine has, with their names.
    fn ways() -> Vec<(&'static str, Way)> {
        let mut ways: Vec<(&'static str, Way)> =
            vec![("chosen", find_edges), ("words", with_words)];
        #[cfg(target_arch = "x86_64")]
        {
            ways.push(("sse2", with_sse2));
            if std::arch::is_x86_feature_detected!("avx2")
                && std::arch::is_x86_feature_detected!("bmi1")
            {
                // SAFETY: the machine has them.
                ways.push(("avx2", |block, edges| unsafe { with_avx2(block, edges) }));
            }
        }
        ways
    }

    fn naive(block: &[u8]) -> Vec<&[u8]> {
        block.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect()
    }

    fn check(block: &[u8]) {
        let expected = naive(block);
        for (name, way) in ways() {
            let mut edges = Vec::new();
            way(block, &mut edges);
            let words = Words { block, edges: &edges };
            assert!(words.iter().eq(expected.iter().copied()), "{name} on {block:?}");
            assert_eq!(words.len(), expected.len());
            for (number, ((start, len), word)) in words.spans().zip(&expected).enumerate() {
                assert_eq!(words.get(number), Some(*word));
                assert_eq!(&block[start as usize..][..len as usize], *word);
            }
            assert_eq!(words.get(expected.len()), None);
        }
    }

    #[test]
    fn every_byte_between_words() {
        for byte in 0..=255_u8 {
            for at in 0..130 {
                let mut block = vec![b'a'; 130];
                block[at] = byte;
                check(&block);
            }
        }
    }

    #[test]
    fn every_length() {
        for len in 0..200 {
            check(&vec![b'a'; len]);
            check(&vec![b' '; len]);
            check(&b"a ".repeat(len));
            check(&b" a".repeat(len));
        }
    }

    #[test]
    fn memory_is_used_again() {
        let mut splitter = Splitter::new();
        let long = b"one two ".repeat(20_000);
        assert_eq!(splitter.split(&long).len(), 40_000);
        assert_eq!(splitter.split(b"").len(), 0);
        assert!(splitter.split(b" three ").iter().eq([b"three"]));
    }

    #[test]
    fn cut_is_behind_white_space() {
        assert_eq!(cut(b"one two"), 4);
        assert_eq!(cut(b"one two "), 8);
        assert_eq!(cut(b"one\x0btwo"), 0);
        assert_eq!(cut(b""), 0);
    }

    #[test]
    #[should_panic(expected = "a word of 17 bytes")]
    fn load_refuses_long_words() {
        load(&[b'a'; 64], 0, 17);
    }

    #[test]
    #[should_panic]
    fn load_refuses_what_is_outside() {
        load(&[b'a'; 20], 10, 11);
    }

    /// Text in which white space, NUL and bytes near white space are frequent.
    fn texts() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            4 => prop::sample::select(&b" \t\n\x0c\r\x0b\0\x08\x0e\x1f!\x80\x89\x8a\xa0"[..]),
            3 => b'a'..=b'z',
            1 => any::<u8>(),
        ];
        prop::collection::vec(byte, 0..400)
    }

    proptest! {
        #[test]
        fn equals_the_naive_split(text in texts(), from in 0..8_usize) {
            // From another address too.
            check(&text[from.min(text.len())..]);
        }

        #[test]
        fn load_equals_a_copy(text in texts(), start in 0..400_usize, len in 0..=16_usize) {
            let start = start.min(text.len());
            let word = &text[start..(start + len).min(text.len())];
            let mut bytes = [0; 16];
            bytes[..word.len()].copy_from_slice(word);
            prop_assert_eq!(load(&text, start, word.len()), u128::from_le_bytes(bytes));
        }
    }
}
