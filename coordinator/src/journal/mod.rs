//! The journal: what the coordinator has decided, in a folder, so that it can go on after its process has died.
//!
//! | file | what |
//! |---|---|
//! | `lock` | locked by the coordinator that writes |
//! | `journal-N` | the records from number N on, each in a frame with a checksum |
//! | `snapshot-N` | one record: what the writer's state was after all records before number N |
//!
//! Records are numbered from 0 on, those of all files together. A record counts once it is on the disk: whoever acts on it
//! waits [for that](Journal::synced). They are written and synced in groups, by a thread of its own: all that were added
//! while the disk was busy go there at once.
//!
//! Each time a folder is opened, its *epoch* grows by one: what an earlier writer says can be told apart from what this one
//! does. A number that was drawn when it was made tells it from other folders.

mod error;
mod files;
mod frame;
mod writer;

pub use error::JournalError;

use files::Folder;
use std::fs::File;
use std::path::Path;
use windrow_protocol::link::draw_token;
use writer::Writer;

/// What is found in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'f> {
    /// A state, with which all begins; at most one, and the first.
    Snapshot(&'f [u8]),
    /// A record.
    Record {
        /// Its kind.
        kind: &'f str,
        /// Its content.
        content: &'f [u8],
    },
}

/// A journal that is written to. Dropped, it [ends](Journal::end).
#[derive(Debug)]
pub struct Journal {
    writer: Writer,
    opening: Opening,
    /// That of the folder.
    lock: File,
}

/// The kind of the record that an opened folder begins with: its content is the epoch (u64) and the journal's number (u128),
/// little endian.
const EPOCH: &str = "epoch";

/// The kind of the record of a snapshot: the same, and the state.
const SNAPSHOT: &str = "snapshot";

impl Journal {
    /// Opens a folder, which is made if it is not there, and tells all that is found in it, in order.
    ///
    /// Records at the end that were not on the disk for sure, and are not whole, are cut off, with a warning in the log:
    /// nobody has acted on them.
    ///
    /// # Errors
    /// [`JournalError`]: if another coordinator has the folder, it cannot be read or written, is damaged anywhere but at
    /// its end, or `each` does not know what to do with what it was told.
    pub fn open(
        folder: &Path,
        mut each: impl FnMut(Found<'_>) -> Result<(), String>,
    ) -> Result<Journal, JournalError> {
        let folder = Folder::make(folder)?;
        let lock = folder.lock()?;
        let mut before = None;
        let end = folder.recover(&mut |found, place| {
            let told = match found {
                Found::Record { kind: EPOCH, content } => {
                    Opening::read(content).map(|(of, _)| before = Some(of))
                }
                Found::Snapshot(content) => Opening::read(content).and_then(|(of, state)| {
                    before = Some(of);
                    each(Found::Snapshot(state))
                }),
                found => each(found),
            };
            told.map_err(|what| place.refused(what))
        })?;
        let opening = match before {
            Some(before) => Opening { epoch: before.epoch + 1, ..before },
            None => Opening { epoch: 1, id: draw_token() },
        };
        let writer = Writer::start(folder, end, (EPOCH, &opening.bytes()))?;
        Ok(Journal { writer, opening, lock })
    }

    /// How often the folder was opened, this time included.
    pub fn epoch(&self) -> u64 {
        self.opening.epoch
    }

    /// The number of the journal, which is never 0.
    pub fn id(&self) -> u128 {
        self.opening.id
    }

    /// Adds a record. Returns the number that [`synced`](Journal::synced) waits for. Does not wait. A record of over 1 GiB,
    /// or with a kind's name of over 255 bytes, cannot be written: it ends the journal.
    pub fn add(&self, kind: &str, content: &[u8]) -> u64 {
        self.writer.add(kind, content)
    }

    /// The number of the last record that was added.
    pub fn number(&self) -> u64 {
        self.writer.number()
    }

    /// Adds a snapshot: the state after all records so far. What is before it is deleted once it is on the disk. As a record,
    /// it has 1 GiB at most.
    pub fn snapshot(&self, state: &[u8]) {
        self.writer.snapshot([&self.opening.bytes(), state].concat());
    }

    /// The records since the last snapshot, in bytes as they lie in files.
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.writer.bytes_since_snapshot()
    }

    /// Waits until the records up to a number are on the disk. Cancel safe.
    ///
    /// # Errors
    /// [`JournalError::Io`], from the first on that could not be written: nobody must act on what was decided since.
    /// [`JournalError::Stopped`] for what was added after the [end](Journal::end).
    pub async fn synced(&self, number: u64) -> Result<(), JournalError> {
        self.writer.synced(number).await
    }

    /// Writes what was added, and gives the folder free. What is added from now on is not written. Blocks on the disk.
    pub fn end(&self) {
        self.writer.end();
        // Closing the file would do as well.
        let _ = self.lock.unlock();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.end();
    }
}

/// One opening of a folder.
#[derive(Clone, Copy, Debug)]
struct Opening {
    epoch: u64,
    id: u128,
}

impl Opening {
    fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[8..].copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    /// What is at the start of a record, and what follows it.
    fn read(content: &[u8]) -> Result<(Opening, &[u8]), String> {
        let split = content.split_first_chunk().and_then(|(epoch, rest)| {
            let (id, rest) = rest.split_first_chunk()?;
            let (epoch, id) = (u64::from_le_bytes(*epoch), u128::from_le_bytes(*id));
            Some((Opening { epoch, id }, rest))
        });
        split.ok_or_else(|| format!("an epoch of {} bytes", content.len()))
    }
}

#[cfg(test)]
mod tests;
