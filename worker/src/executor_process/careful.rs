//! Attempts that are run with care, since a process has died of one: each record of a source is written down before the job's
//! code sees it, so that the supervisor finds of which the process died.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use windrow_jobs::checked;
use windrow_protocol::executor::Fatal;

/// The bytes of a note: whether there is a record (u32), its lane (u32) and its number (u64), little endian.
const BYTES: usize = 16;

/// What is written down while an attempt runs with care, and the records of which the process is known to die.
#[derive(Debug)]
pub struct Careful {
    note: File,
    fatal: BTreeMap<u32, BTreeSet<u64>>,
}

impl Careful {
    /// Notes go to this file; these records are left out.
    ///
    /// # Errors
    /// If the file cannot be made.
    pub fn new(note: &Path, fatal: &[Fatal]) -> io::Result<Careful> {
        let note = File::create(note)?;
        let mut by_lane: BTreeMap<u32, BTreeSet<u64>> = BTreeMap::new();
        for Fatal { lane, record } in fatal {
            by_lane.entry(*lane).or_default().insert(*record);
        }
        Ok(Careful { note, fatal: by_lane })
    }

    /// Care in one lane.
    pub fn in_lane(&self, lane: u32) -> CarefulLane<'_> {
        CarefulLane { of: self, lane }
    }
}

/// The record that was at hand when the process died, if a note says so.
pub(crate) fn read_note(note: &Path) -> Option<Fatal> {
    let mut bytes = [0; BYTES];
    File::open(note).ok()?.read_exact_at(&mut bytes, 0).ok()?;
    let word =
        |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let record = u64::from(word(8)) | u64::from(word(12)) << 32;
    (word(0) == 1).then(|| Fatal { lane: word(4), record })
}

/// See [`Careful::in_lane`].
#[derive(Debug)]
pub struct CarefulLane<'c> {
    of: &'c Careful,
    lane: u32,
}

impl CarefulLane<'_> {
    /// Writes down which record is at hand, if one is.
    pub(crate) fn note(&self, number: Option<u64>) {
        let mut bytes = [0; BYTES];
        bytes[0] = u8::from(number.is_some());
        bytes[4..8].copy_from_slice(&self.lane.to_le_bytes());
        bytes[8..].copy_from_slice(&number.unwrap_or_default().to_le_bytes());
        // What cannot be written down is not found, and the job fails as it would without.
        let _ = self.of.note.write_all_at(&bytes, 0);
    }
}

impl checked::Careful for CarefulLane<'_> {
    fn at(&self, number: Option<u64>) {
        self.note(number);
    }

    fn is_fatal(&self, number: u64) -> bool {
        self.of.fatal.get(&self.lane).is_some_and(|records| records.contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_jobs::checked::Careful as _;

    #[test]
    fn a_note_says_which_record_is_at_hand() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("note");
        assert_eq!(read_note(&note), None);
        let careful = Careful::new(&note, &[Fatal { lane: 3, record: 1 << 40 }]).unwrap();
        assert_eq!(read_note(&note), None);
        let lane = careful.in_lane(3);
        for record in [0, 7, u64::MAX - 1] {
            lane.at(Some(record));
            assert_eq!(read_note(&note), Some(Fatal { lane: 3, record }));
        }
        lane.at(None);
        assert_eq!(read_note(&note), None);
        assert!(
            lane.is_fatal(1 << 40) && !lane.is_fatal(1) && !careful.in_lane(2).is_fatal(1 << 40)
        );
    }
}
