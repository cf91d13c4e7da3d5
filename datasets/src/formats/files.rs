//! Cuts files of text or of fixed-length records, by bytes, into splits and lanes.
//!
//! A file longer than a lane is cut at multiples of the lane size, whole lanes of it make splits. Shorter files are
//! packed, whole, into lanes, and lanes into splits. A compressed file is never cut; it counts as
//! some times its size. All is a function of the files' names and sizes.

use crate::formats::compression::Compression;
use crate::location::{Location, Locations};
use crate::source::{LANE_BYTES, SPLIT_BYTES, SourceError, Split};
use crate::storage::{Object, Stamp, Storage, StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};

/// The most files in one split, so that a split stays small enough to send.
const PACK_FILES: usize = 1024;

/// How a source is cut and read; other sizes than the default are for tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// As [`LANE_BYTES`].
    pub(crate) lane: u64,
    /// As [`SPLIT_BYTES`].
    pub(crate) split: u64,
    /// What is read at a time, in bytes.
    pub(crate) block: usize,
}

impl Default for Sizes {
    fn default() -> Sizes {
        Sizes { lane: LANE_BYTES, split: SPLIT_BYTES, block: 256 << 10 }
    }
}

/// What a [`Split`] of files holds.
#[derive(Debug, Serialize, Deserialize)]
enum Payload {
    /// Bytes `start..end` of one file, in lanes of `lane` bytes.
    Range { file: Object, start: u64, end: u64, lane: u64 },
    /// Whole files: those of each lane.
    Pack(Vec<Vec<Packed>>),
}

/// A file of a pack. Its name is told by what it has not in common with the one before it.
#[derive(Debug, Serialize, Deserialize)]
struct Packed {
    shared: usize,
    rest: String,
    size: u64,
    stamp: Stamp,
}

/// A file, or the part of it, that a lane reads.
#[derive(Debug)]
pub(crate) struct LaneFile {
    pub(crate) object: Object,
    /// The records that begin in this range, in bytes; the whole file for compressed ones.
    pub(crate) range: std::ops::Range<u64>,
}

/// Lists the files and calls `out` with each split. `look` is shown each file, and says how it is compressed; `None`
/// leaves it out.
pub(crate) fn split(
    storage: &Storage,
    locations: &Locations,
    sizes: Sizes,
    look: &dyn Fn(&Object) -> Result<Option<Compression>, SourceError>,
    out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    let mut pack = Pack::default();
    storage.list_each(locations, &mut |object| {
        if object.size == 0 {
            return Ok(());
        }
        let Some(compression) = look(&object)? else { return Ok(()) };
        let size = object.size;
        if compression.may_cut() && size > sizes.lane {
            pack.give(out)?;
            for start in (0..size).step_by(sizes.split as usize) {
                let end = (start + sizes.split).min(size);
                let file = object.clone();
                let range = Payload::Range { file, start, end, lane: sizes.lane };
                out(make(&range, end - start, (end - start).div_ceil(sizes.lane)))?;
            }
        } else {
            let weight = compression.weight(size);
            if pack.files == PACK_FILES || (pack.files > 0 && pack.weight + weight > sizes.split) {
                pack.give(out)?;
            }
            pack.add(&object, weight, sizes.lane);
        }
        Ok(())
    })?;
    pack.give(out)
}

fn make(payload: &Payload, bytes: u64, lanes: u64) -> Split {
    let payload = postcard::to_stdvec(payload).expect("numbers and text can be encoded");
    let lanes = u32::try_from(lanes).expect("a split of fewer than 2^32 lanes");
    Split { payload, bytes, lanes, hosts: Vec::new() }
}

/// A pack in the making.
#[derive(Default)]
struct Pack {
    lanes: Vec<Vec<Packed>>,
    weight: u64,
    lane_weight: u64,
    files: usize,
    previous: String,
}

impl Pack {
    fn add(&mut self, object: &Object, weight: u64, lane: u64) {
        if self.lanes.is_empty() || self.lane_weight + weight > lane {
            self.lanes.push(Vec::new());
            self.lane_weight = 0;
            self.previous.clear();
        }
        let name = object.location.to_string();
        let shared =
            name.char_indices().zip(self.previous.chars()).find(|((_, a), b)| a != b).map_or_else(
                || if name.starts_with(&self.previous) { self.previous.len() } else { name.len() },
                |((at, _), _)| at,
            );
        let rest = name[shared..].to_string();
        if let Some(files) = self.lanes.last_mut() {
            files.push(Packed { shared, rest, size: object.size, stamp: object.stamp });
        }
        self.lane_weight += weight;
        self.weight += weight;
        self.files += 1;
        self.previous = name;
    }

    /// Gives the split, if there is anything in it, and begins another.
    fn give(
        &mut self,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let pack = std::mem::take(self);
        if pack.files == 0 {
            return Ok(());
        }
        let lanes = pack.lanes.len() as u64;
        out(make(&Payload::Pack(pack.lanes), pack.weight, lanes))
    }
}

/// The files that a lane of a split reads, in order.
///
/// # Errors
/// If the split was not made by [`split`].
pub(crate) fn lane_files(split: &Split, lane: u32) -> Result<Vec<LaneFile>, SourceError> {
    let foreign = || SourceError::Input {
        location: format!("lane {lane} of a split of files"),
        reason: "the split is not of this source; all processes must run the same binary"
            .to_string(),
    };
    match postcard::from_bytes(&split.payload).map_err(|_| foreign())? {
        Payload::Range { file, start, end, lane: bytes } => {
            let from = start + u64::from(lane) * bytes;
            if from >= end {
                return Err(foreign());
            }
            Ok(vec![LaneFile { object: file, range: from..(from + bytes).min(end) }])
        }
        Payload::Pack(mut lanes) => {
            if lane as usize >= lanes.len() {
                return Err(foreign());
            }
            let mut name = String::new();
            let mut files = Vec::new();
            for Packed { shared, rest, size, stamp } in lanes.swap_remove(lane as usize) {
                if !name.is_char_boundary(shared) {
                    return Err(foreign());
                }
                name.truncate(shared);
                name.push_str(&rest);
                let location = name.parse().map_err(|_| foreign())?;
                files.push(LaneFile { object: Object { location, size, stamp }, range: 0..size });
            }
            Ok(files)
        }
    }
}

/// The error for a file that ends after `now` bytes, but had `listed` when it was listed.
pub(crate) fn cut_short(location: &Location, listed: u64, now: u64) -> StorageError {
    let reason = format!(
        "had {listed} bytes when it was listed, and ends after {now} now; input must not change while a job runs"
    );
    StorageError::new(location, StorageErrorKind::Corrupt, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splits(folder: &std::path::Path, sizes: Sizes) -> Vec<Split> {
        let mut all = Vec::new();
        let locations = crate::location::IntoLocations::into_locations(folder);
        let look = |object: &Object| Ok(Some(Compression::of(&object.location)));
        split(&Storage::new(), &locations, sizes, &look, &mut |split| {
            all.push(split);
            Ok(())
        })
        .unwrap();
        all
    }

    #[test]
    fn large_files_are_cut_and_small_ones_are_packed() {
        let folder = tempfile::tempdir().unwrap();
        for (name, size) in
            [("a", 3), ("b", 4), ("b1", 7), ("c", 25), ("d.gz", 9), ("é", 1), ("éa", 0), ("ê", 2)]
        {
            std::fs::write(folder.path().join(name), vec![b'x'; size]).unwrap();
        }
        let sizes = Sizes { lane: 10, split: 20, block: 16 };
        let all = splits(folder.path(), sizes);
        let mut seen = Vec::new();
        for split in &all {
            for lane in 0..split.lanes {
                let files = lane_files(split, lane).unwrap();
                let files: Vec<String> = files
                    .iter()
                    .map(|f| {
                        format!("{} {:?}/{}", f.object.location.name(), f.range, f.object.size)
                    })
                    .collect();
                seen.push(files.join(", "));
            }
            assert!(lane_files(split, split.lanes).is_err());
        }
        let expected = [
            "a 0..3/3, b 0..4/4",
            "b1 0..7/7",
            "c 0..10/25",
            "c 10..20/25",
            "c 20..25/25",
            "d.gz 0..9/9",
            "é 0..1/1, ê 0..2/2",
        ];
        assert_eq!(seen, expected);
        let shapes: Vec<(u64, u32)> = all.iter().map(|s| (s.bytes, s.lanes)).collect();
        assert_eq!(shapes, [(14, 2), (20, 2), (5, 1), (36, 1), (3, 1)]);
    }

    #[test]
    fn many_tiny_files_make_several_splits() {
        let folder = tempfile::tempdir().unwrap();
        for i in 0..PACK_FILES + 10 {
            std::fs::write(folder.path().join(format!("{i:05}")), "x").unwrap();
        }
        let all = splits(folder.path(), Sizes::default());
        assert_eq!(all.len(), 2);
        let first = lane_files(&all[0], 0).unwrap();
        assert_eq!(first.len(), PACK_FILES);
        assert_eq!(first[77].object.location.name(), "00077");
        assert!(all[0].payload.len() < PACK_FILES * 14, "{} bytes", all[0].payload.len());
    }
}
