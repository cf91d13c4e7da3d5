//! The journal: what the coordinator has decided, in a folder or an object store, so that it, or another one, can go on
//! after its process has died.
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
//! In an object store it is much the same: see [`Objects`].
//!
//! Each time a folder is opened, its *epoch* grows by one: what an earlier writer says can be told apart from what this one
//! does. A number that was drawn when it was made tells it from other folders.

mod error;
mod files;
mod frame;
mod objects;
mod writer;

pub use error::JournalError;
pub(crate) use files::number_in;
pub use objects::Objects;

use files::{Folder, Segment};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use windrow_protocol::link::draw_token;
use writer::{Target, Writer};

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

/// Where a journal lies.
#[derive(Clone, Debug)]
pub enum Home {
    /// A folder on a disk.
    Folder(PathBuf),
    /// An object store.
    Objects(Arc<dyn Objects>),
}

impl From<PathBuf> for Home {
    fn from(folder: PathBuf) -> Home {
        Home::Folder(folder)
    }
}

impl From<&Path> for Home {
    fn from(folder: &Path) -> Home {
        Home::Folder(folder.to_path_buf())
    }
}

/// Where something was found.
struct Place<'p> {
    path: &'p Path,
    at: usize,
}

impl Place<'_> {
    fn refused(&self, what: String) -> JournalError {
        JournalError::Refused { path: self.path.to_path_buf(), at: self.at as u64, what }
    }

    fn damaged(&self, what: impl Into<String>) -> JournalError {
        let (path, at) = (self.path.to_path_buf(), self.at as u64);
        JournalError::Damaged { path, at, what: what.into() }
    }
}

/// A journal that is written to. Dropped, it [ends](Journal::end).
#[derive(Debug)]
pub struct Journal {
    writer: Writer,
    opening: Opening,
    /// That of the folder, if it is in one.
    lock: Option<File>,
}

/// The kind of the record that an opened folder begins with: its content is the epoch (u64) and the journal's number (u128),
/// little endian.
const EPOCH: &str = "epoch";

/// The kind of the record of a snapshot: the same, and the state.
const SNAPSHOT: &str = "snapshot";

impl Journal {
    /// Opens a journal, which is made if it is not there, and tells all that is found in it, in order.
    ///
    /// Records at the end of a file that were not on the disk for sure, and are not whole, are cut off, with a warning in the
    /// log: nobody has acted on them. Of a journal in a store another coordinator may be the writer by now: it is the writer
    /// no more then, and learns it. Blocks on the disk or the network.
    ///
    /// # Errors
    /// [`JournalError`]: if another coordinator has the folder, or has become the writer meanwhile, it cannot be read or
    /// written, is damaged anywhere but at its end, or `each` does not know what to do with what it was told.
    pub fn open(
        home: impl Into<Home>,
        mut each: impl FnMut(Found<'_>) -> Result<(), String>,
    ) -> Result<Journal, JournalError> {
        let mut before = None;
        let mut told = |found: Found<'_>, place: &Place<'_>| {
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
        };
        let (lock, next, target): (_, _, Box<dyn Target>) = match home.into() {
            Home::Folder(folder) => {
                let folder = Folder::make(&folder)?;
                let lock = folder.lock()?;
                let end = folder.recover(&mut told)?;
                (Some(lock), end.next, Box::new(Segment::open(folder, end)?))
            }
            Home::Objects(objects) => {
                let end = objects::recover(&objects, &mut told)?;
                (None, end.next, Box::new(end.tail))
            }
        };
        let opening = match before {
            Some(before) => Opening { epoch: before.epoch + 1, ..before },
            None => Opening { epoch: 1, id: draw_token() },
        };
        // Of several that take over at the same time no two write the same.
        let first = [&opening.bytes()[..], &draw_token().to_le_bytes()].concat();
        let writer = Writer::start(target, next, (EPOCH, &first))?;
        Ok(Journal { writer, opening, lock })
    }

    /// Whether no journal has this folder: it can be opened, or is not there yet.
    pub(crate) fn is_free(folder: &Path) -> Result<bool, JournalError> {
        match Folder::make(folder)?.lock() {
            Ok(_unlocked) => Ok(true),
            Err(JournalError::InUse { .. }) => Ok(false),
            Err(error) => Err(error),
        }
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
        let _ = self.lock.as_ref().map(File::unlock);
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
