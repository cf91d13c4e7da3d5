//! Which compression takes the least time, as far as was measured: to compress, to move what is left, to decompress.

use super::Compression;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Each compression is tried once in so many bodies.
const TRIED_ONE_IN: u64 = 64;

/// The latest measurement counts as one part in so many.
const LATEST: u64 = 16;

/// Ways to compress, and in tenths what it takes to compress and to decompress, against compressing.
const COMPRESSIONS: [(Compression, u64); 2] = [(Compression::Lz4, 12), (Compression::Zstd, 14)];

/// Chooses by measuring. Cheap to clone: all clones are one, and threads share it.
#[derive(Clone, Debug, Default)]
pub struct Choice(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    turns: AtomicU64,
    /// How long a byte takes to be written and read again, in picoseconds.
    disk: AtomicU64,
    /// How long a byte takes on its way to where it is read, in picoseconds.
    link: AtomicU64,
    tried: [Tried; COMPRESSIONS.len()],
}

/// What a compression did, of late.
#[derive(Debug, Default)]
struct Tried {
    /// How long a byte takes to be compressed, in picoseconds; 0 before the first.
    time: AtomicU64,
    /// The bytes that are left of 1,024.
    left: AtomicU64,
}

impl Choice {
    /// How the next body is to be compressed: once in a while in each way, else in the quickest.
    pub(super) fn next(&self) -> Compression {
        let Inner { turns, disk, link, tried } = &*self.0;
        let turn = turns.fetch_add(1, Relaxed) % TRIED_ONE_IN;
        let part = TRIED_ONE_IN / COMPRESSIONS.len() as u64;
        if turn.is_multiple_of(part) {
            return COMPRESSIONS[(turn / part) as usize].0;
        }
        let moved = disk.load(Relaxed) + link.load(Relaxed);
        let (mut best, mut least) = (Compression::None, moved);
        for ((compression, tenths), of) in COMPRESSIONS.iter().zip(tried) {
            let time = of.time.load(Relaxed);
            let takes = time * tenths / 10 + of.left.load(Relaxed) * moved / 1024;
            if time > 0 && takes < least {
                (best, least) = (*compression, takes);
            }
        }
        best
    }

    /// A body of so many bytes was compressed, which took so long and left so many.
    pub(super) fn compressed(&self, with: Compression, body: usize, left: usize, took: Duration) {
        let found = COMPRESSIONS.iter().position(|(compression, _)| *compression == with);
        let Some(tried) = found.map(|at| &self.0.tried[at]).filter(|_| body > 0) else { return };
        average(&tried.left, left as u64 * 1024 / body as u64);
        average(&tried.time, per_byte(body as u64, took).max(1));
    }

    /// So many bytes were written to a disk, which took so long. Writing takes little as long as the system has memory
    /// for what is written, and what the disk takes once it has not; reading is thought to take half of it.
    pub fn wrote(&self, bytes: u64, took: Duration) {
        if bytes > 0 {
            average(&self.0.disk, per_byte(bytes, took) * 3 / 2);
        }
    }

    /// A byte takes so long on its way to where it is read, in picoseconds.
    pub fn set_link(&self, picoseconds: u64) {
        self.0.link.store(picoseconds, Relaxed);
    }
}

fn per_byte(bytes: u64, took: Duration) -> u64 {
    (took.as_nanos() * 1000 / u128::from(bytes)) as u64
}

fn average(of: &AtomicU64, latest: u64) {
    let before = of.load(Relaxed);
    let now = if before == 0 { latest } else { (before * (LATEST - 1) + latest) / LATEST };
    of.store(now, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is chosen most, where 1,000 bytes take so many nanoseconds to be compressed, with so many left of them.
    fn chosen(choice: &Choice, lz4: (u64, usize), zstd: (u64, usize)) -> Compression {
        let mut chosen = [0; 3];
        for _ in 0..20 * TRIED_ONE_IN {
            let next = choice.next();
            chosen[next as usize] += 1;
            let (took, left) = match next {
                Compression::None => continue,
                Compression::Lz4 => lz4,
                Compression::Zstd => zstd,
            };
            choice.compressed(next, 1000, left, Duration::from_nanos(took));
        }
        assert!(chosen[1] > 10 && chosen[2] > 10, "each is tried: {chosen:?}");
        let all = [Compression::None, Compression::Lz4, Compression::Zstd];
        all.into_iter().max_by_key(|&one| chosen[one as usize]).unwrap()
    }

    #[test]
    fn what_moves_quickly_is_not_compressed_and_what_moves_slowly_is_made_small() {
        let choice = Choice::default();
        let (lz4, zstd) = ((1000, 500), (3000, 300));
        choice.wrote(1000, Duration::from_nanos(500));
        assert_eq!(chosen(&choice, lz4, zstd), Compression::None);
        choice.set_link(8_000);
        assert_eq!(chosen(&choice, lz4, zstd), Compression::Lz4);
        choice.set_link(80_000);
        assert_eq!(chosen(&choice, lz4, zstd), Compression::Zstd);
        // What does not become less is not compressed, however long it takes.
        assert_eq!(chosen(&Choice::clone(&choice), (1000, 1000), (3000, 1000)), Compression::None);
    }

    #[test]
    fn a_disk_that_becomes_slow_is_noticed() {
        let choice = Choice::default();
        choice.wrote(1000, Duration::from_nanos(100));
        assert_eq!(chosen(&choice, (1000, 500), (3000, 400)), Compression::None);
        (0..100).for_each(|_| choice.wrote(1000, Duration::from_nanos(4000)));
        assert_eq!(chosen(&choice, (1000, 500), (3000, 400)), Compression::Lz4);
    }
}
