//! Which rows each task of a stage has that reads shuffles.
//!
//! How a shuffle is [`Cut`](crate::shape::Cut) follows from the job's input alone, and so do the tasks of stages that
//! write files, one a task. Where nobody sees how many tasks there are, they are made of buckets once it is known how large
//! these have become: of many where filters and aggregates left little, of few where one has most of the rows. A bucket
//! that is much larger than a task should be is cut, if it is of a join whose rows may come in any order: each task has
//! some of the rows of one side, and all of the other.

use crate::ids::ShuffleId;
use crate::shape::TASK_BYTES;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::LazyLock;

/// What a task reads of the shuffles of its root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The first bucket.
    pub first: u32,
    /// One past the last.
    pub end: u32,
    /// Which rows of them, where that is not all; it is then one bucket.
    pub piece: Option<Piece>,
}

/// Some of the rows that a shuffle has of a bucket: those of some map outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// The shuffle; of others that the stage reads a task has all rows of the bucket.
    pub shuffle: ShuffleId,
    /// Which piece it is.
    pub number: u32,
    /// Of so many.
    pub of: u32,
}

impl Piece {
    /// The map outputs that the piece is made of, of so many in all.
    pub fn outputs(self, count: usize) -> Range<usize> {
        let from =
            |number: u32| (count as u64 * u64::from(number) / u64::from(self.of.max(1))) as usize;
        from(self.number)..from(self.number + 1)
    }
}

/// About how many bytes each bucket of a map output has, before compression: a byte for each, which says it to within a
/// tenth or so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BucketSizes(Vec<u8>);

/// The steps of a [`BucketSizes`] in which a size doubles.
const STEPS: f64 = 6.0;

impl BucketSizes {
    /// Of these sizes, in bytes.
    pub fn of(sizes: impl IntoIterator<Item = u64>) -> BucketSizes {
        let code = |bytes: u64| match bytes {
            0 => 0,
            // Never over 255: up to 2^42 bytes and more.
            _ => (1.0 + (bytes as f64).log2() * STEPS).round().min(255.0) as u8,
        };
        BucketSizes(sizes.into_iter().map(code).collect())
    }

    /// The sizes, in bytes, as far as they are known.
    pub fn bytes(&self) -> impl Iterator<Item = u64> + '_ {
        let sizes = &*SIZES;
        self.0.iter().map(|&code| sizes[usize::from(code)])
    }
}

/// What each code of a [`BucketSizes`] stands for.
static SIZES: LazyLock<[u64; 256]> = LazyLock::new(|| {
    std::array::from_fn(|code| match code {
        0 => 0,
        code => ((code as f64 - 1.0) / STEPS).exp2().round() as u64,
    })
});

/// Tasks are not made so small that they have fewer bytes, be there ever so many slots.
const PART_BYTES_MIN: u64 = 1 << 20;

/// A bucket is cut if it has so many times the bytes that a task should have.
const CUT_FROM: u64 = 2;

/// The most pieces of a bucket.
const PIECES_MAX: u64 = 256;

/// The side of a join that may be cut.
#[derive(Clone, Copy, Debug)]
pub struct Cuttable<'a> {
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The bytes of each of its buckets.
    pub bytes: &'a [u64],
    /// The number of its map outputs.
    pub outputs: u32,
}

/// Makes the parts of all buckets, which have so many bytes in all shuffles that are read together: of about
/// [`TASK_BYTES`], or as many as there are `slots`, if they do not become too small then.
pub fn parts(bytes: &[u64], slots: u64, cuttable: Option<Cuttable<'_>>) -> Vec<Part> {
    let all = bytes.iter().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    let tasks = all.div_ceil(TASK_BYTES).max(slots.min(all / PART_BYTES_MIN)).max(1);
    let share = all.div_ceil(tasks).max(1);
    let mut parts = Vec::new();
    let (mut first, mut sum) = (0, 0u64);
    for (bucket, &bytes) in (0..).zip(bytes) {
        let pieces = cuttable.map_or(1, |side| side.pieces(bucket, share));
        if bucket > first && (pieces > 1 || sum.saturating_add(bytes / 2) > share) {
            parts.push(Part { first, end: bucket, piece: None });
            (first, sum) = (bucket, 0);
        }
        if let Some(Cuttable { shuffle, .. }) = cuttable.filter(|_| pieces > 1) {
            let piece = |number| Some(Piece { shuffle, number, of: pieces });
            let end = bucket + 1;
            parts.extend((0..pieces).map(|number| Part { first, end, piece: piece(number) }));
            first = end;
            continue;
        }
        sum = sum.saturating_add(bytes);
    }
    let end = bytes.len() as u32;
    if end > first {
        parts.push(Part { first, end, piece: None });
    }
    parts
}

impl Cuttable<'_> {
    /// How many pieces a bucket is cut into, where a task should have `share` bytes.
    fn pieces(&self, bucket: u32, share: u64) -> u32 {
        let bytes = self.bytes.get(bucket as usize).copied().unwrap_or(0);
        if bytes / CUT_FROM < share {
            return 1;
        }
        bytes.div_ceil(share).min(u64::from(self.outputs)).clamp(1, PIECES_MAX) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_have_each_row_of_each_bucket_once(
            bytes in prop::collection::vec(
                prop_oneof![Just(0), 0..1u64 << 20, 0..TASK_BYTES * 3, 0..1u64 << 40],
                0..200,
            ),
            slots in 0..100u64,
            outputs in 0..300u32,
        ) {
            let shuffle = ShuffleId(3);
            let side = Cuttable { shuffle, bytes: &bytes, outputs };
            for cuttable in [None, Some(side)] {
                let mut next = 0;
                let mut open: Option<(Part, usize)> = None;
                for part in parts(&bytes, slots, cuttable) {
                    if let Some((of, seen)) = open {
                        prop_assert_eq!((part.first, part.end), (of.first, of.end));
                        let outputs = part.piece.unwrap().outputs(outputs as usize);
                        prop_assert!(outputs.start == seen && outputs.end > seen);
                        open = Some((of, outputs.end));
                    } else {
                        prop_assert_eq!(part.first, next);
                        prop_assert!(part.end > part.first);
                        next = part.end;
                        if let Some(piece) = part.piece {
                            prop_assert_eq!((part.end - part.first, piece.shuffle), (1, shuffle));
                            let outputs = piece.outputs(outputs as usize);
                            prop_assert!(cuttable.is_some() && outputs.start == 0);
                            open = Some((part, outputs.end));
                        }
                    }
                    open = open.filter(|(_, seen)| *seen < outputs as usize);
                }
                prop_assert!(open.is_none());
                prop_assert_eq!(next as usize, bytes.len());
            }
        }

        #[test]
        fn parts_of_even_buckets_are_even_and_no_more_than_need_be(
            size in 1u64..64 << 20,
            buckets in 1..512usize,
            slots in 1..64u64,
        ) {
            let bytes = vec![size; buckets];
            let all = size * buckets as u64;
            let parts = parts(&bytes, slots, None);
            let wanted = all.div_ceil(TASK_BYTES).max(slots.min(all >> 20)).max(1);
            prop_assert!(parts.len() as u64 <= wanted * 3 / 2 + 1, "{} of {wanted}", parts.len());
            let sizes = parts.iter().map(|part| u64::from(part.end - part.first));
            let most = sizes.max().unwrap();
            prop_assert!(most <= (buckets as u64).div_ceil(wanted) + 1);
        }

        #[test]
        fn sizes_are_known_to_a_tenth_or_so(bytes in 0..1u64 << 42) {
            let sizes = BucketSizes::of([bytes]);
            let found = sizes.bytes().next().unwrap();
            prop_assert!(found.abs_diff(bytes) * 16 <= bytes.max(16), "{found} for {bytes}");
        }
    }

    #[test]
    fn a_bucket_with_most_rows_is_cut_or_alone() {
        let mut bytes = vec![1 << 20; 64];
        bytes[5] = 640 << 20;
        let alone = parts(&bytes, 4, None);
        assert!(alone.contains(&Part { first: 5, end: 6, piece: None }));
        let side = Cuttable { shuffle: ShuffleId(1), bytes: &bytes, outputs: 40 };
        let cut = parts(&bytes, 4, Some(side));
        assert_eq!(cut.iter().filter(|part| part.piece.is_some()).count(), 11);
        // Its rows come of two map outputs alone.
        let cut = parts(&bytes, 4, Some(Cuttable { outputs: 2, ..side }));
        assert_eq!(cut.iter().filter(|part| part.piece.is_some()).count(), 2);
    }
}
