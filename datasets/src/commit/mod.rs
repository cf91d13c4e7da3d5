//! How output becomes visible: part files are staged, then committed all at once, then listed in a manifest.
//!
//! An output is a folder of part files `part-00000-JOB.EXT`, JOB being the job's short id, and `_SUCCESS`, a
//! [`Manifest`] in JSON that lists them and is written last.
//!
//! | step | who | what |
//! |---|---|---|
//! | [`check`] | before the job starts | refuses an output that must not or cannot be written |
//! | [`create_part`], [`PartFile::finish`] | each attempt of a task that writes | a staged part file, which nobody sees: [`Staged`] |
//! | [`commit`] | once the job's decision to commit is journalled | makes the staged part files visible, writes the manifest, deletes what was overwritten |
//! | [`abort`] | in place of [`commit`] | leaves nothing |
//!
//! *Local folders:* parts are staged in `.windrow-JOB/` inside the output, under names with the attempt's number, and
//! renamed. *Object stores:* a part is an upload in parts, completed by the commit; nothing is copied or renamed. So
//! the store needs such uploads (s3, gs and az have them, http has not), and a part can have 496 GiB at most. A store
//! lists no unfinished uploads: [`PartFile::upload`] is to be journalled before the part is written, and given to
//! [`abort`].
//!
//! All of it may run twice, at once, or after it was stopped halfway, and then gives the same. Of two different jobs
//! that write to one output at the same time the later commit is refused, or takes the place of the earlier one if it
//! overwrites; nothing better is promised, since a store may have no lock.
//!
//! *Overwriting* deletes just the files that the old manifest lists, after the new manifest is there. Who reads by the
//! manifest sees the old or the new output, whole, at any moment; who lists the folder may for a short time see both.
//! Without a manifest of ours, but only where the folder holds nothing else than files `part-…`, it is those that are
//! replaced: such a folder is what another engine or a commit that was stopped halfway leaves. Anything else is
//! refused, and never deleted.

mod local;
mod manifest;
mod part;
mod remote;
#[cfg(test)]
mod tests;

pub use manifest::{JobInfo, MANIFEST_NAME, Manifest, ManifestFile};
pub use part::{PartFile, Place, Staged, Upload};

use self::local::LocalFolder;
use self::remote::RemoteFolder;
use crate::location::{Location, glob};
use crate::storage::{Storage, StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};

/// What is done about output that is there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WriteMode {
    /// The job is refused.
    #[default]
    Error,
    /// The new output takes its place.
    Overwrite,
    /// The new part files come beside the old ones, and the manifest lists both.
    Append,
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
    /// Whether the commit waits until local files are on the disk, so that they survive a loss of power. Object stores
    /// do so always.
    pub durable: bool,
}

impl Output {
    /// A durable output that must not be there already.
    pub fn new(location: Location, job: impl Into<String>, extension: impl Into<String>) -> Output {
        let (job, extension) = (job.into(), extension.into());
        Output { location, mode: WriteMode::Error, job, extension, durable: true }
    }

    /// The name of the file of a part, as in `part-00000-JOB.EXT`.
    pub fn file_name(&self, part: &str) -> String {
        format!("{part}-{}.{}", self.job, self.extension)
    }

    /// Whether a file of this name is of this job.
    fn is_own(&self, name: &str) -> bool {
        name.strip_suffix(&self.extension)
            .and_then(|name| name.strip_suffix('.'))
            .and_then(|name| name.strip_suffix(&self.job))
            .is_some_and(|name| name.ends_with('-'))
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

/// An output's folder, wherever it is. Each call may be made twice.
trait Folder {
    /// What is there.
    fn survey(&self) -> Result<Survey, StorageError>;
    /// Whether it can be written.
    fn check_access(&self) -> Result<(), StorageError>;
    /// Makes part files visible.
    fn publish(&self, staged: &[Staged]) -> Result<(), StorageError>;
    /// Writes the manifest, in place of an old one, in one step.
    fn write_manifest(&self, json: Vec<u8>) -> Result<(), StorageError>;
    /// Deletes a file, if it is there.
    fn delete(&self, name: &str) -> Result<(), StorageError>;
    /// Removes what was staged and not published; all that the job left in the output if it is `aborted`.
    fn clean(&self, aborted: bool) -> Result<(), StorageError>;
}

fn folder<'a>(storage: &'a Storage, output: &'a Output) -> Box<dyn Folder + 'a> {
    match output.location.as_path() {
        Some(path) => Box::new(LocalFolder::new(output, path)),
        None => Box::new(RemoteFolder { storage, output }),
    }
}

/// Looks whether a job may and can write this output. Changes nothing.
///
/// # Errors
/// [`StorageError`] if there is output already and the mode is [`WriteMode::Error`]; if what is there was not written
/// by this engine, and so can be neither overwritten nor appended to; if the location is a file, or must not be
/// written; if the store cannot take output.
pub fn check(storage: &Storage, output: &Output) -> Result<(), StorageError> {
    use StorageErrorKind::{Exists, Unsupported};
    output.check_names()?;
    let folder = folder(storage, output);
    folder.check_access()?;
    let (parts, other, success) = match folder.survey()? {
        Survey::Nothing => return Ok(()),
        Survey::File => {
            let reason =
                "is a file, but an output is a folder of part files; write to another location";
            return Err(output.refused(Unsupported, reason));
        }
        Survey::Folder { parts, other, success } => (parts, other, success),
    };
    if parts.is_empty() && other.is_none() && !success {
        return Ok(());
    }
    let manifest = Manifest::find(storage, &output.location)?;
    match output.mode {
        WriteMode::Error => {
            let reason = "holds files already; replace them with --overwrite, add to them with --mode append, or write to another location";
            Err(output.refused(Exists, reason))
        }
        WriteMode::Overwrite => match other {
            Some(other) if manifest.is_none() => {
                let reason = format!(
                    "is no output of a job: it holds `{other}`, and nothing is deleted that no job wrote; remove it yourself, or write to another location"
                );
                Err(output.refused(Exists, reason))
            }
            _ => Ok(()),
        },
        WriteMode::Append if manifest.is_none() && !(parts.is_empty() && other.is_none()) => {
            Err(output.refused(Exists, no_manifest_to_append_to()))
        }
        WriteMode::Append => Ok(()),
    }
}

fn no_manifest_to_append_to() -> String {
    format!(
        "holds files, but no {MANIFEST_NAME} that lists them, so that nothing can be appended; write to another location"
    )
}

/// Begins a part file of an attempt: `part` as in `part-00000` (see [`part_name`]), `attempt` a number that no other
/// attempt at this part has.
///
/// # Errors
/// [`StorageError`] if the file cannot be made, and with [`StorageErrorKind::Exists`] if the job has committed already:
/// then this attempt is a late one.
pub fn create_part(
    storage: &Storage,
    output: &Output,
    part: &str,
    attempt: u64,
) -> Result<PartFile, StorageError> {
    output.check_names()?;
    let name = output.file_name(part);
    if !manifest::is_file_name(&name) {
        let reason = format!("`{part}` cannot be the name of a part");
        return Err(output.refused(StorageErrorKind::Unsupported, reason));
    }
    match output.location.as_path() {
        Some(path) => {
            let folder = LocalFolder::new(output, path);
            folder.create_part(storage, name, attempt)
        }
        None => PartFile::upload_to(storage, output, name),
    }
}

/// Makes the output visible: `staged` part files, one for each part, then the manifest; then deletes what was
/// overwritten, and all that is left of other attempts in a local folder.
///
/// To be called once the decision to commit is certain, and again until it succeeds; a job that has committed gets the
/// manifest that it wrote. Files are put on the disk on the threads of the rayon pool.
///
/// # Errors
/// [`StorageError`], after which some part files may be visible, without the new manifest: call it again.
/// [`StorageErrorKind::Exists`] if another job has written to the output meanwhile, and
/// [`StorageErrorKind::Corrupt`] if a staged file is gone or has another size: then it is of no use.
pub fn commit(
    storage: &Storage,
    output: &Output,
    job: &JobInfo,
    staged: &[Staged],
) -> Result<Manifest, StorageError> {
    output.check_names()?;
    let folder = folder(storage, output);
    let found = Manifest::find(storage, &output.location)?;
    let manifest = match found {
        Some(manifest) if manifest.job == output.job => manifest,
        found => {
            let mut staged = staged.to_vec();
            staged.sort_by(|a, b| a.name.cmp(&b.name));
            check_staged(output, &staged)?;
            let manifest = plan(output, folder.as_ref(), job, found, &staged)?;
            let published =
                folder.publish(&staged).and_then(|()| folder.write_manifest(manifest.to_json()));
            match published {
                Ok(()) => manifest,
                // Another commit of this job, at the same time, may have finished: then what it wrote counts.
                Err(error) => match Manifest::find(storage, &output.location)? {
                    Some(manifest) if manifest.job == output.job => manifest,
                    _ => return Err(error),
                },
            }
        }
    };
    for name in &manifest.removed {
        folder.delete(name)?;
    }
    folder.clean(false)?;
    Ok(manifest)
}

/// Fails unless each staged file is one of this output, and no two are of one part.
fn check_staged(output: &Output, staged: &[Staged]) -> Result<(), StorageError> {
    let bad = |reason: String| Err(output.refused(StorageErrorKind::Unsupported, reason));
    for file in staged {
        if !manifest::is_file_name(&file.name) || !output.is_own(&file.name) {
            return bad(format!("`{}` is no part file of job {}", file.name, output.job));
        }
    }
    match staged.windows(2).find(|pair| pair[0].name == pair[1].name) {
        Some(pair) => bad(format!("`{}` was to be committed twice", pair[0].name)),
        None => Ok(()),
    }
}

/// The manifest to be written, given the one that was `found`.
fn plan(
    output: &Output,
    folder: &dyn Folder,
    job: &JobInfo,
    found: Option<Manifest>,
    staged: &[Staged],
) -> Result<Manifest, StorageError> {
    let foreign = || -> Result<Vec<String>, StorageError> {
        Ok(match folder.survey()? {
            Survey::Folder { parts, .. } => {
                parts.into_iter().filter(|name| !output.is_own(name)).collect()
            }
            _ => Vec::new(),
        })
    };
    let mut files: Vec<ManifestFile> = staged.iter().map(Staged::listed).collect();
    let mut removed = Vec::new();
    match (output.mode, found) {
        (WriteMode::Error, found) => {
            if found.is_some() || !foreign()?.is_empty() {
                let reason = "another job has written to it since this one began; run the job again, with another location";
                return Err(output.refused(StorageErrorKind::Exists, reason));
            }
        }
        (WriteMode::Append, Some(old)) => {
            files.splice(0..0, old.files);
        }
        (WriteMode::Append, None) => {
            if !foreign()?.is_empty() {
                let reason = no_manifest_to_append_to();
                return Err(output.refused(StorageErrorKind::Exists, reason));
            }
        }
        (WriteMode::Overwrite, Some(old)) => {
            removed = old.files.into_iter().map(|file| file.name).collect();
        }
        (WriteMode::Overwrite, None) => removed = foreign()?,
    }
    Ok(Manifest::new(output, job, files, removed))
}

/// Gives back what an attempt has staged that is not to be committed, since another attempt at its part is. In a local
/// folder [`commit`] and [`abort`] would do it too, in the end.
///
/// # Errors
/// What the storage says. What is gone already is no error.
pub fn discard(storage: &Storage, output: &Output, staged: &[Staged]) -> Result<(), StorageError> {
    staged.iter().try_for_each(|file| match (&file.place, output.location.as_path()) {
        (Place::File { staged }, Some(path)) => LocalFolder::new(output, path).discard(staged),
        (Place::Upload { id, .. }, None) => {
            storage.abort_upload(&output.location.join(&file.name), id)
        }
        _ => Ok(()),
    })
}

/// Removes all that a job without a decision to commit has staged: `uploads` are those that it began. Folders that the
/// job made and that are empty go too. Must not be called once the decision to commit is made.
///
/// # Errors
/// What the storage says. What is gone already is no error.
pub fn abort(storage: &Storage, output: &Output, uploads: &[Upload]) -> Result<(), StorageError> {
    output.check_names()?;
    if !output.location.is_local() {
        for upload in uploads {
            storage.abort_upload(&output.location.join(&upload.name), &upload.id)?;
        }
    }
    folder(storage, output).clean(true)
}
