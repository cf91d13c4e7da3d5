//! Text in which a word comes the more rarely the later its rank (Zipf's law, exponent 1).

use std::ops::Range;

use super::{Generator, Random};

/// The size of a piece; the last one may be smaller.
const PIECE: u64 = 64 << 10;

/// Words have ranks from 1 to below two to this power: 16,777,215 words.
const OCTAVES: u64 = 24;

/// Lines of lower-case words, of exactly so many bytes together. Each piece ends with the end of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// The number of bytes.
    pub bytes: u64,
    /// Which text of that size.
    pub seed: u64,
}

impl Generator for Words {
    fn pieces(&self) -> u64 {
        self.bytes.div_ceil(PIECE)
    }

    fn piece_bytes(&self) -> u64 {
        PIECE
    }

    fn fill(&self, pieces: Range<u64>, out: &mut Vec<u8>) {
        for piece in pieces.start..pieces.end.min(self.pieces()) {
            let size = PIECE.min(self.bytes - piece * PIECE) as usize;
            let end = out.len() + size;
            out.reserve(size + 16);
            let mut random = Random::of(self.seed, piece);
            let mut line = 0;
            while out.len() < end {
                let before = out.len();
                spell(rank(&mut random), out);
                line += out.len() - before + 1;
                if line > 60 {
                    line = 0;
                    out.push(b'\n');
                } else {
                    out.push(b' ');
                }
            }
            // The last word is cut where the piece is full.
            out.truncate(end);
            out[end - 1] = b'\n';
        }
    }
}

/// A rank, each with a share in proportion to one by itself. Integers only: floats would not be the same everywhere.
fn rank(random: &mut Random) -> u64 {
    // All octaves (1, 2 to 3, 4 to 7, ..) have about the same share.
    let start = 1 << random.below(OCTAVES);
    loop {
        let rank = start + random.below(start);
        // Inside of one, a rank stays with a probability of `start / rank`.
        if random.below(rank) < start {
            return rank;
        }
    }
}

/// Appends the word of a rank: syllables, the fewer the more frequent it is. Each rank has a word of its own.
fn spell(mut rank: u64, out: &mut Vec<u8>) {
    const FIRST: [u8; 20] = *b"tnsrhldcmfpgwybvkxjz";
    const SECOND: [u8; 5] = *b"eaoiu";
    // Digits to base 100 without a zero, so that no word is another one with something before it.
    while rank > 0 {
        rank -= 1;
        let syllable = (rank % 100) as usize;
        out.extend_from_slice(&[FIRST[syllable / 5], SECOND[syllable % 5]]);
        rank /= 100;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use super::*;

    #[test]
    fn words_are_apart() {
        let mut words = HashSet::new();
        for rank in 1..50_000 {
            let mut word = Vec::new();
            spell(rank, &mut word);
            assert!(words.insert(word));
        }
    }

    #[test]
    fn shares_follow_the_law() {
        let mut random = Random::of(1, 1);
        let mut counts: HashMap<u64, u32> = HashMap::new();
        for _ in 0..240_000 {
            *counts.entry(rank(&mut random)).or_default() += 1;
        }
        let near = |rank, share: f64| {
            let count = f64::from(counts[&rank]);
            assert!((count / share / 10_000.0 - 1.0).abs() < 0.1, "{count} of rank {rank}");
        };
        // An octave has a share of 10,000.
        near(1, 1.0);
        near(2, 3.0 / 5.0);
        near(3, 2.0 / 5.0);
        assert!(counts.len() > 50_000);
    }

    #[test]
    fn the_size_is_exact() {
        for bytes in [0, 1, 2, 100, PIECE - 1, PIECE, PIECE + 1] {
            let mut out = Vec::new();
            Words { bytes, seed: 5 }.fill(0..u64::MAX, &mut out);
            assert_eq!(out.len() as u64, bytes);
            assert!(out.last().is_none_or(|last| *last == b'\n'));
            assert!(out.split(|byte| *byte == b'\n').all(|line| line.len() < 100));
        }
    }
}
