//! Input to try things on, made rather than read.
//!
//! A generator is a pure function of its fields, the seed among them: the same bytes on any machine, with any number of
//! threads. Its output consists of *pieces* (a record, a line, a stretch of text), each of which can be made without
//! those before it, so that several threads can write one file, and a job can take ranges of pieces as its splits.
//!
//! | generator | a piece |
//! |---|---|
//! | [`Tera`] | a record of 100 bytes, as `gensort` writes them |
//! | [`Words`] | up to 64 KiB of lines of words, frequent and rare ones as in a language |
//! | [`Measurements`] | a line `station;temperature` |
//! | [`Edges`] | a line `from<TAB>to`: an edge of a graph |
//!
//! [`tpch`] has tables rather than bytes, and is a source of records.

mod edges;
mod measurements;
mod stations;
mod tera;
pub mod tpch;
mod words;

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::Range,
    path::Path,
};

use rayon::prelude::*;

pub use edges::Edges;
pub use measurements::Measurements;
pub use stations::{STATIONS, Station};
pub use tera::Tera;
pub use words::Words;

/// Makes bytes, piece by piece.
pub trait Generator: Sync {
    /// The number of pieces.
    fn pieces(&self) -> u64;

    /// About how many bytes a piece has.
    fn piece_bytes(&self) -> u64;

    /// Appends the bytes of these pieces. Pieces past the end are left out.
    fn fill(&self, pieces: Range<u64>, out: &mut Vec<u8>);

    /// Writes all pieces to a file, which must not exist, on the threads of the rayon pool; gives the number of bytes.
    /// A file that could not be written in full is removed.
    ///
    /// # Errors
    /// What the file system says.
    fn write_file(&self, path: &Path) -> io::Result<u64> {
        let mut file = File::create_new(path)?;
        write_all(self, &mut file).inspect_err(|_| {
            // The first error is the one to tell.
            let _ = fs::remove_file(path);
        })
    }
}

/// Writes all pieces in order, while the next ones are made.
fn write_all<G: Generator + ?Sized>(generator: &G, file: &mut File) -> io::Result<u64> {
    const BUFFER: u64 = 1 << 20;
    let (pieces, step) = (generator.pieces(), (BUFFER / generator.piece_bytes().max(1)).max(1));
    let count = 2 * rayon::current_num_threads();
    let mut made = vec![Vec::new(); count];
    let (mut ready, mut next, mut bytes) = (made.clone(), 0, 0);
    while next < pieces || made.iter().any(|buffer| !buffer.is_empty()) {
        std::mem::swap(&mut made, &mut ready);
        let write = || {
            ready.iter().try_for_each(|buffer| {
                bytes += buffer.len() as u64;
                file.write_all(buffer)
            })
        };
        let make = || {
            made.par_iter_mut().enumerate().for_each(|(number, buffer)| {
                buffer.clear();
                let start = next.saturating_add(step.saturating_mul(number as u64)).min(pieces);
                generator.fill(start..start.saturating_add(step).min(pieces), buffer);
            });
        };
        rayon::join(write, make).0?;
        next = next.saturating_add(step * count as u64);
    }
    Ok(bytes)
}

/// Mixes the bits of a number (the last steps of SplitMix64): numbers next to each other give unlike ones.
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A stream of random numbers (SplitMix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    /// The stream of a piece.
    fn of(seed: u64, piece: u64) -> Self {
        Self(mix(mix(seed ^ 0x5851_f42d_4c95_7f2d).wrapping_add(piece)))
    }

    /// The next number.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `end`.
    fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(end)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks that ranges and files are parts of one whole, on any number of threads.
    fn check(generator: &(impl Generator + ?Sized), cuts: &[u64]) {
        let pieces = generator.pieces();
        let mut whole = Vec::new();
        generator.fill(0..pieces, &mut whole);
        let mut cuts: Vec<_> =
            cuts.iter().map(|cut| cut % (pieces + 1)).chain([0, pieces]).collect();
        cuts.sort_unstable();
        let mut parts = Vec::new();
        for pair in cuts.windows(2) {
            generator.fill(pair[0]..pair[1], &mut parts);
        }
        assert!(whole == parts, "parts differ from the whole");
        generator.fill(pieces..pieces + 10, &mut parts);
        assert_eq!(parts.len(), whole.len(), "there is something behind the end");
        let folder = tempfile::tempdir().unwrap();
        for threads in [1, 3] {
            let path = folder.path().join(threads.to_string());
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let bytes = pool.install(|| generator.write_file(&path)).unwrap();
            assert_eq!(bytes, whole.len() as u64);
            assert!(fs::read(&path).unwrap() == whole, "the file differs");
            assert_eq!(
                pool.install(|| generator.write_file(&path)).unwrap_err().kind(),
                io::ErrorKind::AlreadyExists
            );
        }
    }

    #[test]
    fn files_larger_than_a_round() {
        check(&Tera { records: 30_000, seed: 3 }, &[7, 20_000]);
        check(&Words { bytes: 3_000_000, seed: 3 }, &[7, 20]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn pieces_are_made_alone(
            number in 0..2_000_u64, seed in any::<u64>(), cuts in prop::collection::vec(any::<u64>(), 0..4)
        ) {
            check(&Tera { records: number, seed }, &cuts);
            check(&Measurements { records: number, seed }, &cuts);
            check(&Words { bytes: number * 100, seed }, &cuts);
        }
    }
}
