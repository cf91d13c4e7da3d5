//! How output becomes visible: part files are staged, then committed all at once, then listed in a manifest.
//!
//! An output is a folder of part files `part-00000-JOB.EXT`, JOB being the job's short id, and `_SUCCESS`, a
//! [`Manifest`] in JSON that lists them and is written last. Part files may be in folders `COLUMN=VALUE/`. Records that were
//! left out are in `_quarantine/` ([`Quarantined`]).
//!
//! | step | who | what |
//! |---|---|---|
//! | [`begin`] | before the job starts | sweeps what dead jobs left, refuses an output that must not or cannot be written, writes down who runs the job |
//! | [`AttemptFiles`] | each attempt of a task that writes | staged part files, which nobody sees: [`StagedFiles`] |
//! | [`commit`] | once the job's decision to commit is journalled | makes the staged part files visible, writes the manifest, deletes what was overwritten |
//! | [`abort`] | in place of [`commit`] | leaves nothing |
//! | [`sweep`] | whoever finds what a dead job left | the same, for that job |
//!
//! *Local folders:* parts are staged in `.windrow-JOB/` inside the output, under names with the attempt's number, and
//! renamed. *Object stores:* a part is an upload in parts, completed by the commit; nothing is copied or renamed. So
//! the store needs such uploads (s3, gs and az have them, http has not), and a part can have 496 GiB at most. A store
//! lists no unfinished uploads: each is written down in the hidden folder before anything is uploaded to it.
//!
//! All of it may run twice, at once, or after it was stopped halfway, and then gives the same. Of two different jobs
//! that write to one output at the same time the one that comes second looks again at what is there: then it appends
//! to it too, or replaces it, or is refused. For that a manifest is only written over the one that was seen: local
//! folders are locked for the moment, stores are asked to check its ETag. Whether a store does is tried out; where it
//! does not, a job looks a while later whether its manifest is still there, and two jobs should not be run at once.
//!
//! *Overwriting* deletes just the files that the old manifest lists, after the new manifest is there. Who reads by the
//! manifest sees the old or the new output, whole, at any moment; who lists the folder may for a short time see both.
//! Without a manifest of ours, but only where the folder holds nothing else than files `part-…`, it is those that are
//! replaced: such a folder is what another engine or a commit that was stopped halfway leaves. Anything else is
//! refused, and never deleted.

mod attempt;
mod begin;
mod job;
mod leftovers;
mod local;
mod manifest;
mod part;
mod quarantine;
mod records;
mod remote;
#[cfg(test)]
mod tests;

pub use attempt::{AttemptFiles, StagedFiles, StagedList};
pub use begin::{begin, check};
pub use job::{abort, commit};
pub use leftovers::{Leftover, Runner, State, leftovers, sweep};
pub use manifest::{JobInfo, LeftOut, MANIFEST_NAME, Manifest, ManifestFile};
pub use part::{PartFile, Place, Staged};
pub use quarantine::{QUARANTINE_NAME, Quarantined};

use self::local::LocalFolder;
use self::remote::RemoteFolder;
use crate::location::{Location, glob};
use crate::storage::{ObjectVersion, Storage, StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is done about output that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteMode {
    /// The job is refused.
    #[default]
    Error,
    /// The new output takes its place.
    Overwrite,
    /// The new part files come beside the old ones, and the manifest lists both.
    Append,
    /// The new part files take the place of the old ones in those folders that they are in; other folders stay. Of an
    /// output whose files are in folders `COLUMN=VALUE/` alone.
    OverwritePartitions,
}

/// Where a job writes, and how. Travels to all tasks that write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// The folder.
    pub location: Location,
    /// What is done about output that is there already.
    pub mode: WriteMode,
    /// The job's short id, which file names contain: ASCII letters, digits and `_`.
    pub job: String,
    /// The extension of part files, without a dot before it, as in `parquet`.
    pub extension: String,
    /// The columns by whose values files are put in folders, the outermost first; none if files are not in folders.
    pub partitioned_by: Vec<String>,
    /// Whether the commit waits until local files are on the disk, so that they survive a loss of power. Object stores
    /// do so always.
    pub durable: bool,
}

impl Output {
    /// A durable output that must not be there already.
    pub fn new(location: Location, job: impl Into<String>, extension: impl Into<String>) -> Output {
        let (job, extension) = (job.into(), extension.into());
        let partitioned_by = Vec::new();
        Output { location, mode: WriteMode::Error, job, extension, partitioned_by, durable: true }
    }

    /// The name of the file of a part, as in `part-00000-JOB.EXT`.
    pub fn file_name(&self, part: &str) -> String {
        format!("{part}-{}.{}", self.job, self.extension)
    }

    /// Whether a file of this name, with or without folders, is of this job.
    fn is_own(&self, name: &str) -> bool {
        let file = name.rsplit('/').next().unwrap_or(name);
        let stem = file.split('.').next().unwrap_or(file);
        stem.strip_suffix(&self.job)
            .is_some_and(|part| part.starts_with("part-") && part.ends_with('-'))
    }

    /// Whether the names that files are given can be file names.
    fn check_names(&self) -> Result<(), StorageError> {
        let word = |text: &str, more: char| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == more)
        };
        let reason = if !word(&self.job, '_') {
            format!("the job's short id `{}` must be ASCII letters, digits and `_`", self.job)
        } else if !word(&self.extension, '.') {
            format!("the extension `{}` must be ASCII letters, digits and dots", self.extension)
        } else {
            return Ok(());
        };
        Err(StorageError::new(&self.location, StorageErrorKind::Unsupported, reason))
    }

    fn refused(&self, kind: StorageErrorKind, reason: impl Into<String>) -> StorageError {
        StorageError::new(&self.location, kind, reason)
    }
}

/// The name of part `index` of `count`: `part-00000`, with so many digits that names are in the order of parts.
pub fn part_name(index: u64, count: u64) -> String {
    let digits = count.saturating_sub(1).checked_ilog10().map_or(1, |log| log as usize + 1);
    format!("part-{index:0width$}", width = digits.max(5))
}

/// What is at an output's location.
enum Survey {
    Nothing,
    File,
    Folder {
        /// The names of visible files `part-…`.
        parts: Vec<String>,
        /// The name of some other visible file or folder.
        other: Option<String>,
        /// Whether there is a `_SUCCESS`, of whomever.
        success: bool,
    },
}

impl Survey {
    /// Sorts out what is in a folder: names, and whether they are files.
    fn of_folder(entries: impl IntoIterator<Item = (String, bool)>) -> Survey {
        let (mut parts, mut other, mut success) = (Vec::new(), None, false);
        for (name, is_file) in entries {
            if name == MANIFEST_NAME {
                success = true;
            } else if glob::is_hidden(name.as_bytes()) {
            } else if is_file && name.starts_with("part-") {
                parts.push(name);
            } else {
                other.get_or_insert(name);
            }
        }
        parts.sort_unstable();
        Survey::Folder { parts, other, success }
    }
}

/// What tells a manifest from what it was or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Version {
    /// All of it.
    Bytes(Vec<u8>),
    /// What a store says.
    Object(ObjectVersion),
}

/// The manifest that was found.
#[derive(Clone, Debug)]
struct Found {
    /// `None` also where `_SUCCESS` is another engine's.
    manifest: Option<Manifest>,
    /// Of `_SUCCESS`, whosever it is; `None` where there is none.
    version: Option<Version>,
}

/// Whether a manifest was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swap {
    Done,
    /// Another one was there than was found.
    Conflict,
}

/// What of a job stays when it is cleaned up.
enum Committed {
    /// Nothing: it is aborted.
    Nothing,
    /// What these attempts have staged.
    Attempts(Vec<String>),
}

/// An output's folder, wherever it is. Each call may be made twice.
trait Folder {
    /// What is there.
    fn survey(&self) -> Result<Survey, StorageError>;
    /// Whether it can be written.
    fn check_access(&self) -> Result<(), StorageError>;
    /// The manifest.
    fn find(&self, storage: &Storage) -> Result<Found, StorageError>;
    /// Makes part files visible.
    fn publish(&self, storage: &Storage, staged: &[Staged]) -> Result<(), StorageError>;
    /// Writes the manifest, in place of the one that was found, in one step.
    fn write_manifest(
        &self,
        storage: &Storage,
        json: Vec<u8>,
        found: &Found,
    ) -> Result<Swap, StorageError>;
    /// Writes a small file, whole or not at all, in place of what is there.
    fn write(&self, storage: &Storage, name: &str, bytes: Vec<u8>) -> Result<(), StorageError>;
    /// The names of the files in the quarantine.
    fn quarantined(&self, storage: &Storage) -> Result<Vec<String>, StorageError>;
    /// Deletes files, as far as they are there, and local folders inside the output that are empty then.
    fn delete(&self, storage: &Storage, names: &[String]) -> Result<(), StorageError>;
    /// Deletes the files that the job has made visible, by its own records, but those that a manifest lists.
    fn unpublish(&self, storage: &Storage, listed: &BTreeSet<String>) -> Result<(), StorageError>;
    /// Removes what was staged and not published, and the job's records.
    fn clean(&self, storage: &Storage, committed: &Committed) -> Result<(), StorageError>;
}

fn folder<'a>(storage: &'a Storage, output: &'a Output) -> Box<dyn Folder + 'a> {
    match output.location.as_path() {
        Some(path) => Box::new(LocalFolder::new(output, path)),
        None => Box::new(RemoteFolder { storage, output }),
    }
}
