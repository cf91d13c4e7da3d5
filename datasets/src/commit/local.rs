//! Outputs in local folders: staged beside, renamed by the commit.

use super::manifest::{folder_of, is_file_name, read_local};
use super::records::{Records, hidden_name};
use super::{
    Committed, Folder, Found, MANIFEST_NAME, Manifest, Output, PartFile, Place, QUARANTINE_NAME,
    Staged, Survey, Swap,
};
use crate::location::Location;
use crate::storage::{Storage, StorageError, StorageErrorKind};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// In the staging folder: how many folders, from the output upward, the job had to make.
const MADE: &str = "made";

/// The record of what a commit makes visible.
pub(super) const PUBLISHING: &str = "publishing";

/// Numbers the files of this process that are written aside.
static ASIDE: AtomicU64 = AtomicU64::new(0);

pub(super) struct LocalFolder<'a> {
    output: &'a Output,
    path: &'a Path,
    staging: PathBuf,
}

fn location(path: &Path) -> Location {
    Location::local(path.as_os_str().to_os_string())
}

fn io_error<'a>(path: &'a Path, doing: &'a str) -> impl Fn(io::Error) -> StorageError + 'a {
    move |error| StorageError::of_io(&location(path), doing, &error)
}

/// Takes it as done where there is nothing.
fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

impl<'a> LocalFolder<'a> {
    pub(super) fn new(output: &'a Output, path: &'a Path) -> LocalFolder<'a> {
        LocalFolder { output, path, staging: path.join(hidden_name(&output.job)) }
    }

    pub(super) fn create_part(
        &self,
        storage: &Storage,
        name: String,
        staged: String,
    ) -> Result<PartFile, StorageError> {
        let path = self.staging.join(&staged);
        let open = || {
            // Another one under this name, of an attempt that was thought to be dead, goes on in a file without a name.
            absent_is_fine(fs::remove_file(&path))?;
            OpenOptions::new().read(true).write(true).create_new(true).open(&path)
        };
        let opened = match open() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let found = Manifest::find(storage, &self.output.location)?;
                if found.is_some_and(|manifest| manifest.has(&self.output.job)) {
                    let reason = format!(
                        "job {} has committed its output already; this attempt comes too late",
                        self.output.job
                    );
                    return Err(self.output.refused(StorageErrorKind::Exists, reason));
                }
                self.make_folders()?;
                open()
            }
            opened => opened,
        };
        let file = opened.map_err(io_error(&path, "write"))?;
        Ok(PartFile::local(name, staged, path, file))
    }

    /// Makes the staging folder and those above it, and notes how many the job had to make.
    pub(super) fn make_folders(&self) -> Result<(), StorageError> {
        let missing = self.path.ancestors().take_while(|folder| !folder.exists()).count();
        fs::create_dir_all(&self.staging).map_err(io_error(&self.staging, "create"))?;
        if missing > 0 {
            let path = self.staging.join(MADE);
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(mut file) => {
                    write!(file, "{missing}").map_err(io_error(&path, "write"))?;
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io_error(&path, "write")(error)),
            }
        }
        Ok(())
    }

    /// Gives a staged file its name.
    fn publish_one(&self, file: &Staged) -> Result<(), StorageError> {
        let corrupt = |path: &Path, reason: String| {
            Err(StorageError::new(&location(path), StorageErrorKind::Corrupt, reason))
        };
        let Place::File { staged } = &file.place else {
            return corrupt(self.path, format!("`{}` was not staged in this folder", file.name));
        };
        let (from, to) = (self.staging.join(staged), self.path.join(&file.name));
        if self.output.durable {
            match File::open(&from) {
                Ok(open) => open.sync_all().map_err(io_error(&from, "write"))?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io_error(&from, "read")(error)),
            }
        }
        match fs::metadata(&from) {
            Ok(metadata) if metadata.len() != file.bytes => {
                let reason = format!(
                    "has {} bytes, but had {} when it was staged; run the job again",
                    metadata.len(),
                    file.bytes
                );
                return corrupt(&from, reason);
            }
            Ok(_) => self.rename(&file.name, &from, &to).map_err(io_error(&to, "create"))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&from, "read")(error)),
        }
        // Renamed now or before: its size tells.
        match fs::metadata(&to) {
            Ok(metadata) if metadata.len() == file.bytes => Ok(()),
            Ok(_) => corrupt(&to, "was changed by something else; run the job again".to_string()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let reason = "was staged and is gone: something else removed it; run the job again";
                corrupt(&from, reason.to_string())
            }
            Err(error) => Err(io_error(&to, "read")(error)),
        }
    }

    /// Renames a staged file, which may have been renamed already. The folder that it goes to may not be there, or be
    /// removed just now by another job which has emptied it.
    fn rename(&self, name: &str, from: &Path, to: &Path) -> io::Result<()> {
        for _ in 0..3 {
            match fs::rename(from, to) {
                Err(error) if error.kind() == ErrorKind::NotFound && from.exists() => {
                    fs::create_dir_all(self.path.join(folder_of(name)))?;
                }
                done => return absent_is_fine(done),
            }
        }
        fs::rename(from, to)
    }

    /// Writes a small file to the staging folder, from where it is renamed.
    fn write_aside(&self, bytes: &[u8]) -> Result<PathBuf, StorageError> {
        let number = ASIDE.fetch_add(1, Ordering::Relaxed);
        let path = self.staging.join(format!("aside.{}.{number}", std::process::id()));
        let write = || {
            let mut file = File::create(&path)?;
            file.write_all(bytes)?;
            if self.output.durable { file.sync_all() } else { Ok(()) }
        };
        write().map_err(io_error(&path, "write"))?;
        Ok(path)
    }

    /// Waits until what a folder lists is on the disk.
    fn sync_folder(&self, path: &Path) -> Result<(), StorageError> {
        if !self.output.durable {
            return Ok(());
        }
        let synced = File::open(path).and_then(|folder| folder.sync_all());
        synced.map_err(io_error(path, "write"))
    }

    /// The files of the job that may be visible, by its own record.
    fn published(&self, storage: &Storage) -> Result<Vec<String>, StorageError> {
        let records = Records::new(storage, &self.output.location, &self.output.job);
        let mut names = records.read::<Vec<String>>(PUBLISHING)?.unwrap_or_default();
        names.retain(|name| is_file_name(name) && self.output.is_own(name));
        Ok(names)
    }
}

impl Folder for LocalFolder<'_> {
    fn survey(&self) -> Result<Survey, StorageError> {
        match fs::metadata(self.path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Ok(Survey::File),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Survey::Nothing),
            Err(error) => return Err(io_error(self.path, "read")(error)),
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(self.path).map_err(io_error(self.path, "list"))? {
            let entry = entry.map_err(io_error(self.path, "list"))?;
            let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
            entries.push((entry.file_name().to_string_lossy().into_owned(), is_file));
        }
        Ok(Survey::of_folder(entries))
    }

    fn check_access(&self) -> Result<(), StorageError> {
        // The folder itself, or the one in which it would be made.
        let Some(there) = self.path.ancestors().find(|folder| folder.exists()) else {
            return Ok(());
        };
        if !there.is_dir() {
            if there == self.path {
                return Ok(());
            }
            let reason = "is a file, where a folder is needed; write to another location";
            return Err(StorageError::new(&location(there), StorageErrorKind::Unsupported, reason));
        }
        let Ok(text) = std::ffi::CString::new(there.as_os_str().as_bytes()) else {
            return Ok(());
        };
        // SAFETY: `text` is a C string that lives until the call is over.
        if unsafe { libc::access(text.as_ptr(), libc::W_OK | libc::X_OK) } != 0 {
            return Err(io_error(there, "write")(io::Error::last_os_error()));
        }
        Ok(())
    }

    fn find(&self, _storage: &Storage) -> Result<Found, StorageError> {
        let file = self.output.location.join(MANIFEST_NAME);
        let bytes = read_local(&file, &self.path.join(MANIFEST_NAME))?;
        let manifest = match &bytes {
            Some(bytes) => Manifest::parse(&file, bytes)?,
            None => None,
        };
        Ok(Found { manifest, version: bytes.map(super::Version::Bytes) })
    }

    fn publish(&self, storage: &Storage, staged: &[Staged]) -> Result<(), StorageError> {
        self.make_folders()?;
        let names: Vec<&String> = staged.iter().map(|file| &file.name).collect();
        Records::new(storage, &self.output.location, &self.output.job).write(PUBLISHING, &names)?;
        staged.par_iter().try_for_each(|file| self.publish_one(file))?;
        let mut folders: BTreeSet<&Path> = BTreeSet::from([self.path]);
        for name in names {
            let folders_of = Path::new(name).ancestors().skip(1);
            folders.extend(folders_of);
        }
        let folders: Vec<&Path> = folders.into_iter().collect();
        folders.par_iter().try_for_each(|folder| self.sync_folder(&self.path.join(folder)))
    }

    fn write_manifest(
        &self,
        _storage: &Storage,
        json: Vec<u8>,
        found: &Found,
    ) -> Result<Swap, StorageError> {
        let (from, to) = (self.write_aside(&json)?, self.path.join(MANIFEST_NAME));
        // Other jobs wait meanwhile, on this machine and where the file system says so to others. Without locks there is
        // only the look at what is there.
        let locked = File::open(self.path).map_err(io_error(self.path, "read"))?;
        let _ = locked.lock();
        let now = read_local(&self.output.location.join(MANIFEST_NAME), &to)?;
        if now.map(super::Version::Bytes) != found.version {
            let _ = fs::remove_file(&from);
            return Ok(Swap::Conflict);
        }
        fs::rename(&from, &to).map_err(io_error(&to, "write"))?;
        self.sync_folder(self.path)?;
        Ok(Swap::Done)
    }

    fn write(&self, _storage: &Storage, name: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        let (from, to) = (self.write_aside(&bytes)?, self.path.join(name));
        self.rename(name, &from, &to).map_err(io_error(&to, "create"))?;
        self.sync_folder(&self.path.join(folder_of(name)))?;
        self.sync_folder(self.path)
    }

    fn quarantined(&self, _storage: &Storage) -> Result<Vec<String>, StorageError> {
        let path = self.path.join(QUARANTINE_NAME);
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            Err(error) => return Err(io_error(&path, "list")(error)),
        };
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
        };
        entries.map(name).collect::<io::Result<_>>().map_err(io_error(&path, "list"))
    }

    fn delete(&self, _storage: &Storage, names: &[String]) -> Result<(), StorageError> {
        for name in names {
            let path = self.path.join(name);
            absent_is_fine(fs::remove_file(&path)).map_err(io_error(&path, "remove"))?;
            for folder in Path::new(folder_of(name)).ancestors() {
                // Only an empty folder can be removed so.
                if folder.as_os_str().is_empty() || fs::remove_dir(self.path.join(folder)).is_err()
                {
                    break;
                }
            }
        }
        Ok(())
    }

    fn unpublish(&self, storage: &Storage, listed: &BTreeSet<String>) -> Result<(), StorageError> {
        let mut names = self.published(storage)?;
        names.retain(|name| !listed.contains(name));
        self.delete(storage, &names)
    }

    fn clean(&self, storage: &Storage, committed: &Committed) -> Result<(), StorageError> {
        let made = fs::read_to_string(self.staging.join(MADE)).unwrap_or_default();
        // What cannot be removed so is told below.
        let _ = Records::new(storage, &self.output.location, &self.output.job).remove_all();
        let mut removed = fs::remove_dir_all(&self.staging);
        for _ in 0..3 {
            // A late attempt may make files while the folder is being emptied.
            if !matches!(&removed, Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty) {
                break;
            }
            removed = fs::remove_dir_all(&self.staging);
        }
        absent_is_fine(removed).map_err(io_error(&self.staging, "remove"))?;
        if matches!(committed, Committed::Nothing) {
            let made: usize = made.parse().unwrap_or(0);
            for folder in self.path.ancestors().take(made) {
                // Only an empty folder can be removed so; one that is not empty stays, and those above it too.
                if fs::remove_dir(folder).is_err() {
                    break;
                }
            }
        }
        Ok(())
    }
}
