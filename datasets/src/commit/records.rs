//! What a job writes down inside its output while it runs: small files in the hidden folder `.windrow-JOB/`.
//!
//! | record | of | what |
//! |---|---|---|
//! | `job` | the job | which process runs it, and since when |
//! | `uploads-ATTEMPT.N` | an attempt, in object stores | uploads, each written down before anything is uploaded to it |
//! | `staged-ATTEMPT` | an attempt with many files | the list of them |
//! | `publishing` | the commit, in local folders | the files that it makes visible |

use crate::location::Location;
use crate::storage::{Storage, StorageError, StorageErrorKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// The name of the record of who runs a job. It is written first, and removed last.
pub(super) const JOB: &str = "job";

/// What the names of the hidden folders begin with.
const PREFIX: &str = ".windrow-";

/// How many requests to a store are under way at once.
const REQUESTS_AT_ONCE: usize = 32;

/// The name of the job's hidden folder inside its output.
pub(super) fn hidden_name(job: &str) -> String {
    format!("{PREFIX}{job}")
}

/// The records of one job in one output.
pub(super) struct Records<'a> {
    storage: &'a Storage,
    folder: Location,
}

impl<'a> Records<'a> {
    pub(super) fn new(storage: &'a Storage, output: &Location, job: &str) -> Records<'a> {
        Records { storage, folder: output.join(hidden_name(job)) }
    }

    /// The jobs that have records in this output, or other files in their hidden folder.
    pub(super) fn jobs(storage: &Storage, output: &Location) -> Result<Vec<String>, StorageError> {
        let names = match output.as_path() {
            Some(path) => names_in(output, path)?,
            None => storage.look(output)?.folders,
        };
        let job = |name: String| name.strip_prefix(PREFIX).map(str::to_string);
        Ok(names.into_iter().filter_map(job).collect())
    }

    /// Writes a record, in place of an old one. A local folder must be there.
    pub(super) fn write(&self, name: &str, record: &impl Serialize) -> Result<(), StorageError> {
        let location = self.folder.join(name);
        let json = serde_json::to_vec(record).map_err(|error| {
            StorageError::other(&location, format!("the record cannot be written: {error}"))
        })?;
        let Some(path) = location.as_path() else {
            return self.storage.put_object(&location, json);
        };
        // Under another name first: who reads it sees all of it, or none. A name of its own, since the same record may
        // be written twice at once.
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let begun = path.with_file_name(format!("{name}.new-{}-{number}", std::process::id()));
        let write = || {
            fs::write(&begun, &json)?;
            fs::rename(&begun, path)
        };
        write().map_err(|error| StorageError::of_io(&location, "write", &error))
    }

    /// Reads a record; `None` if there is none.
    pub(super) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StorageError> {
        let location = self.folder.join(name);
        let bytes = match location.as_path() {
            Some(path) => match fs::read(path) {
                Ok(bytes) => bytes,
                Err(error) if is_absent(error.kind()) => return Ok(None),
                Err(error) => return Err(StorageError::of_io(&location, "read", &error)),
            },
            None => match self.storage.get_object(&location)? {
                Some(bytes) => bytes.to_vec(),
                None => return Ok(None),
            },
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            let reason = format!("is a damaged record of a job ({error}); remove it");
            StorageError::new(&location, StorageErrorKind::Corrupt, reason)
        })
    }

    /// The names of all that is there, in order.
    pub(super) fn names(&self) -> Result<Vec<String>, StorageError> {
        let mut names = match self.folder.as_path() {
            Some(path) => names_in(&self.folder, path)?,
            None => self.storage.look(&self.folder)?.objects,
        };
        names.sort_unstable();
        Ok(names)
    }

    /// Removes all that is there, the record of who runs the job last: of a clean-up that is stopped halfway it stays
    /// known whose it was.
    pub(super) fn remove_all(&self) -> Result<(), StorageError> {
        let (job, others): (Vec<_>, Vec<_>) =
            self.names()?.into_iter().partition(|name| name == JOB);
        self.remove(&others)?;
        self.remove(&job)
    }

    /// Removes records. Those that are not there are fine.
    fn remove(&self, names: &[String]) -> Result<(), StorageError> {
        in_parallel(names, |name| {
            let location = self.folder.join(name);
            match location.as_path() {
                Some(path) => match fs::remove_file(path) {
                    Err(error) if !is_absent(error.kind()) => {
                        Err(StorageError::of_io(&location, "remove", &error))
                    }
                    _ => Ok(()),
                },
                None => self.storage.delete_object(&location),
            }
        })
        .map(|_| ())
    }
}

fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn names_in(location: &Location, path: &std::path::Path) -> Result<Vec<String>, StorageError> {
    let error = |error: &std::io::Error| StorageError::of_io(location, "list", error);
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(absent) if is_absent(absent.kind()) => return Ok(Vec::new()),
        Err(other) => return Err(error(&other)),
    };
    let name = |entry: std::io::Result<fs::DirEntry>| {
        entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
    };
    entries.map(name).collect::<std::io::Result<_>>().map_err(|other| error(&other))
}

/// Calls `each` for all items, some at a time, since it waits for a store; what it gives is in the order of the items.
///
/// # Errors
/// The first error, in no order; what was not begun by then is not.
pub(super) fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    each: impl Fn(&T) -> Result<R, StorageError> + Sync,
) -> Result<Vec<R>, StorageError> {
    if items.len() <= 1 {
        return items.iter().map(each).collect();
    }
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    let made: Mutex<Vec<(usize, R)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..REQUESTS_AT_ONCE.min(items.len()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    match each(item) {
                        Ok(one) => {
                            made.lock().unwrap_or_else(PoisonError::into_inner).push((at, one));
                        }
                        Err(error) => {
                            next.store(items.len(), Ordering::Relaxed);
                            failed
                                .lock()
                                .unwrap_or_else(PoisonError::into_inner)
                                .get_or_insert(error);
                        }
                    }
                }
            });
        }
    });
    if let Some(error) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    made.sort_unstable_by_key(|(at, _)| *at);
    Ok(made.into_iter().map(|(_, one)| one).collect())
}
