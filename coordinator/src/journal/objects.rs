//! A journal in an object store, where nothing can be appended to, and no file be locked.
//!
//! | object | what |
//! |---|---|
//! | `journal-N` | the records from number N on that were synced together |
//! | `snapshot-N` | as in a folder |
//!
//! An object is written where none is, and never again. So of two writers that both believe to be at number N one learns
//! that the other was there first, and that it is not the journal's writer any more. Who takes over begins with a record of
//! its own, at the number that the one before would write next; such objects stay, however old they are: a writer that
//! wakes up after any time finds one in its way.

use super::files::{OF_SNAPSHOT, SEGMENT, number_in, read_snapshot, snapshot_of};
use super::frame::{Record, Records};
use super::writer::Target;
use super::{EPOCH, Found, JournalError, Place};
use std::collections::BTreeSet;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// So many objects are read at once.
const READ_AT_ONCE: usize = 16;

/// An object costs as much to read as so many bytes, when it is told how much a snapshot would save.
const OBJECT_BYTES: u64 = 64 << 10;

/// What fails is tried again after these pauses, in seconds, beyond what the store tries by itself.
const PAUSES_S: [u64; 4] = [1, 2, 4, 8];

/// A place for objects that several processes may write: a folder in an object store. All calls block.
pub trait Objects: Debug + Send + Sync {
    /// For people: where it is.
    fn name(&self) -> String;

    /// The names of all objects, in no order.
    ///
    /// # Errors
    /// They cannot be listed.
    fn names(&self) -> io::Result<Vec<String>>;

    /// An object, if it is there.
    ///
    /// # Errors
    /// It cannot be read.
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Writes an object where none of this name is, whole or not at all; `false` if there is one, which may have come of a
    /// try of this call.
    ///
    /// # Errors
    /// It cannot be written. It may have been.
    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<bool>;

    /// Writes an object, in place of one that is there.
    ///
    /// # Errors
    /// It cannot be written.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Deletes an object. None there is fine.
    ///
    /// # Errors
    /// It cannot be deleted.
    fn delete(&self, name: &str) -> io::Result<()>;
}

/// The end of a journal in a store.
#[derive(Debug)]
pub(super) struct Tail {
    objects: Arc<dyn Objects>,
    /// Objects that are not deleted, by number: each was the first of somebody who took over, for all that is known.
    firsts: BTreeSet<u64>,
}

/// Where a journal in a store ends.
pub(super) struct End {
    /// The number of the next record.
    pub(super) next: u64,
    pub(super) tail: Tail,
}

fn path(objects: &dyn Objects, name: &str) -> PathBuf {
    Path::new(&objects.name()).join(name)
}

fn failed<'o>(
    objects: &'o dyn Objects,
    name: &'o str,
) -> impl FnOnce(io::Error) -> JournalError + 'o {
    move |error| JournalError::io(&path(objects, name))(error)
}

/// The numbers that names go on with that begin so, ascending.
fn numbered(names: &[String], prefix: &str) -> BTreeSet<u64> {
    names.iter().filter_map(|name| number_in(name, prefix)).collect()
}

/// Tells all that there is, in order.
pub(super) fn recover(
    objects: &Arc<dyn Objects>,
    each: &mut dyn FnMut(Found<'_>, &Place<'_>) -> Result<(), JournalError>,
) -> Result<End, JournalError> {
    let names = objects.names().map_err(failed(&**objects, ""))?;
    let mut next = 0;
    if let Some(number) = numbered(&names, OF_SNAPSHOT).pop_last() {
        let name = format!("{OF_SNAPSHOT}{number:020}");
        let bytes = read(&**objects, &name)?;
        read_snapshot(&path(&**objects, &name), &bytes, each)?;
        next = number;
    }
    let mut firsts = numbered(&names, SEGMENT);
    let later = firsts.split_off(&next);
    let later: Vec<String> = later.iter().map(|first| format!("{SEGMENT}{first:020}")).collect();
    for names in later.chunks(READ_AT_ONCE) {
        let all = std::thread::scope(|scope| {
            let readers: Vec<_> =
                names.iter().map(|name| scope.spawn(|| read(&**objects, name))).collect();
            let read = readers.into_iter().map(|reader| {
                reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            });
            read.collect::<Result<Vec<_>, _>>()
        });
        for (name, bytes) in names.iter().zip(all?) {
            let path = path(&**objects, name);
            let wanted = format!("{SEGMENT}{next:020}");
            if *name != wanted {
                let place = Place { path: &path, at: 0 };
                return Err(place.damaged(format!("{wanted} is missing before it")));
            }
            let mut records = Records::new(&bytes);
            let mut at = records.at();
            while let Some(Record { kind, content }) = records.next() {
                if kind == EPOCH {
                    firsts.insert(next);
                }
                each(Found::Record { kind, content }, &Place { path: &path, at })?;
                at = records.at();
                next += 1;
            }
            if !records.rest().is_empty() {
                let place = Place { path: &path, at };
                return Err(place.damaged("a record that is not whole, in an object that was"));
            }
        }
    }
    Ok(End { next, tail: Tail { objects: objects.clone(), firsts } })
}

/// An object that was listed. One that is gone by now was replaced by a snapshot: somebody writes.
fn read(objects: &dyn Objects, name: &str) -> Result<Vec<u8>, JournalError> {
    let found = objects.get(name).map_err(failed(objects, name))?;
    found.ok_or_else(|| JournalError::TakenOver { place: objects.name() })
}

impl Tail {
    /// Writes an object, unless another one is there: says whether it is this one. Tries again for a while.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<bool, JournalError> {
        let mut pauses = PAUSES_S.iter();
        loop {
            let created = match self.objects.create(name, bytes) {
                // Of an earlier try that was not answered, if it is the same.
                Ok(false) => self.objects.get(name).map(|found| found.as_deref() == Some(bytes)),
                created => created,
            };
            match (created, pauses.next()) {
                (Ok(is_this), _) => return Ok(is_this),
                (Err(error), None) => return Err(failed(&*self.objects, name)(error)),
                (Err(error), Some(pause)) => {
                    tracing::warn!(%error, name, "a part of the journal is written again");
                    #[allow(clippy::disallowed_methods, reason = "a thread of its own waits here")]
                    std::thread::sleep(Duration::from_secs(*pause));
                }
            }
        }
    }

    /// Deletes what a snapshot makes superfluous. What cannot be deleted is in nobody's way.
    fn delete_before(&self, number: u64) {
        let Ok(names) = self.objects.names() else { return };
        for prefix in [SEGMENT, OF_SNAPSHOT] {
            let stays = |of: &u64| prefix == SEGMENT && self.firsts.contains(of);
            let before = numbered(&names, prefix).into_iter().take_while(|of| *of < number);
            for of in before.filter(|of| !stays(of)) {
                if let Err(error) = self.objects.delete(&format!("{prefix}{of:020}")) {
                    tracing::debug!(%error, "a part of the journal that is of no use stays");
                }
            }
        }
    }
}

impl Target for Tail {
    fn name(&self) -> PathBuf {
        PathBuf::from(self.objects.name())
    }

    fn on_disk(&self) -> u64 {
        0
    }

    fn begin(&mut self, first: u64) {
        self.firsts.insert(first);
    }

    fn append(&mut self, first: u64, frames: &[u8]) -> Result<u64, JournalError> {
        match self.create(&format!("{SEGMENT}{first:020}"), frames)? {
            true => Ok(OBJECT_BYTES),
            false => Err(JournalError::TakenOver { place: self.objects.name() }),
        }
    }

    fn snapshot(&mut self, number: u64, state: &[u8]) -> Result<(), JournalError> {
        let bytes = snapshot_of(state);
        // Another one at this number says the same.
        self.create(&format!("{OF_SNAPSHOT}{number:020}"), &bytes)?;
        self.delete_before(number);
        Ok(())
    }
}

#[cfg(test)]
#[path = "objects_tests.rs"]
mod tests;
