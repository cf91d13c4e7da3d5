//! Listing on the local file system: files, folders, patterns.
//!
//! Files come in the order of the bytes of their paths, without ever being in one list: the names of one folder are
//! read and sorted, a folder's with the slash that follows it (`a.b` comes before `a/b`), and so for each folder on
//! the way down. A pattern goes along as what is left of it to be matched below the folder; several that braces stand
//! for go along together, so that no file comes twice.

use super::{Each, Object, Stamp, StorageError, StorageErrorKind};
use crate::location::Location;
use crate::location::glob;
use crate::source::SourceError;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Calls `each` with the files that `location`, which is `path`, names.
pub(super) fn local(
    location: &Location,
    path: &Path,
    each: &mut Each<'_>,
) -> Result<(), SourceError> {
    let mut found = false;
    let mut seen = |object| {
        found = true;
        each(object)
    };
    let mut walk = Walk { above: Vec::new(), each: &mut seen };
    match fs::metadata(path) {
        Ok(metadata) => walk.found(path.to_path_buf(), &metadata, &[Left::ALL]),
        Err(error) if error.kind() == ErrorKind::NotFound && location.is_pattern() => {
            let patterns = glob::expand_braces(path.as_os_str().as_bytes());
            let patterns: Vec<Vec<&[u8]>> =
                patterns.iter().map(|pattern| glob::components(pattern)).collect();
            let left: Vec<Left<'_>> = patterns.iter().map(|pattern| Left::of(pattern)).collect();
            walk.below(Path::new("/"), &left)?;
            if !found {
                return Err(SourceError::Input {
                    location: location.to_string(),
                    reason: "the pattern matches no file; quote it if the shell should not touch it, and note that `*` stays within one folder (`**` does not)".to_string(),
                });
            }
            Ok(())
        }
        Err(error) => Err(StorageError::of_io(location, "read", &error).into()),
    }
}

fn location_of(path: PathBuf) -> Location {
    Location::local(path.into_os_string())
}

fn io_error(path: &Path, doing: &str, error: &std::io::Error) -> SourceError {
    StorageError::of_io(&location_of(path.to_path_buf()), doing, error).into()
}

/// What is left of a pattern to be matched below a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Left<'p>(&'p [&'p [u8]]);

impl<'p> Left<'p> {
    /// Nothing: the pattern has named the folder, so all below it that is not hidden.
    const ALL: Left<'static> = Left(&[]);

    fn of(pattern: &'p [&'p [u8]]) -> Left<'p> {
        // Several at the end are as good as one.
        let deep = pattern.iter().rev().take_while(|component| **component == b"**").count();
        Left(&pattern[..pattern.len() - deep.saturating_sub(1)])
    }

    /// Whether all is meant that is below a folder.
    fn is_all_below(&self) -> bool {
        self.0.iter().all(|component| *component == b"**")
    }

    /// The name that comes next, if it must be just that one.
    fn name(self) -> Option<&'p [u8]> {
        self.0.first().copied().filter(|component| !glob::is_wild(component))
    }

    /// Appends what is left below what has this name, if it matches. `**` does not follow links, so that it ends.
    fn step(self, name: &[u8], is_link: bool, to: &mut Vec<Left<'p>>) {
        let mut add = |left| {
            if !to.contains(&left) {
                to.push(left);
            }
        };
        match self.0.split_first() {
            None => {
                if !glob::is_hidden(name) {
                    add(self);
                }
            }
            Some((&component, rest)) if component == b"**" => {
                if !glob::is_hidden(name) && !is_link {
                    add(self);
                }
                Left(rest).step(name, is_link, to);
            }
            Some((component, rest)) => {
                if glob::matches_component(component, name) {
                    add(Left(rest));
                }
            }
        }
    }
}

/// A way down a tree of folders.
struct Walk<'w, 'e> {
    /// The folders that lead here, from the one on that is listed with all below it: a link back to one of them is not
    /// followed, since that is under way already.
    above: Vec<(u64, u64)>,
    each: &'w mut Each<'e>,
}

/// What a folder has.
struct Entry {
    name: OsString,
    is_link: bool,
    metadata: Metadata,
}

impl Entry {
    /// Its name as it stands in the paths of files.
    fn key(&self) -> impl Iterator<Item = u8> + '_ {
        let slash = self.metadata.is_dir().then_some(b'/');
        self.name.as_bytes().iter().copied().chain(slash)
    }
}

impl Walk<'_, '_> {
    /// A file or a folder has been found, which matches `left`, or below which something may.
    fn found(
        &mut self,
        path: PathBuf,
        metadata: &Metadata,
        left: &[Left<'_>],
    ) -> Result<(), SourceError> {
        if metadata.is_dir() {
            if !left.iter().any(Left::is_all_below) {
                return self.below(&path, left);
            }
            let identity = (metadata.dev(), metadata.ino());
            if self.above.contains(&identity) {
                return Ok(());
            }
            self.above.push(identity);
            self.below(&path, left)?;
            self.above.pop();
            return Ok(());
        }
        if !left.contains(&Left::ALL) {
            return Ok(());
        }
        let location = location_of(path);
        if !metadata.is_file() {
            let reason = "is neither a file nor a folder; pipes and devices cannot be read";
            return Err(StorageError::new(&location, StorageErrorKind::Unsupported, reason).into());
        }
        let (size, stamp) = (metadata.len(), Stamp::of_file(metadata));
        (self.each)(Object { location, size, stamp })
    }

    /// Goes through a folder in order.
    fn below(&mut self, folder: &Path, left: &[Left<'_>]) -> Result<(), SourceError> {
        if left.is_empty() {
            return Ok(());
        }
        let names: Option<Vec<&[u8]>> = left.iter().map(|left| left.name()).collect();
        let mut entries = match names {
            // Others need not be looked at, nor the folder be readable.
            Some(mut names) => {
                names.sort_unstable();
                names.dedup();
                named(folder, &names)?
            }
            None => {
                // Whether it is reached by a pattern, so that it may be gone or be a file.
                let by_pattern = !left.iter().any(Left::is_all_below);
                self.all(folder, by_pattern, left)?
            }
        };
        entries.sort_by(|a, b| a.key().cmp(b.key()));
        let mut next = Vec::new();
        for entry in entries {
            next.clear();
            let name = entry.name.as_bytes();
            left.iter().for_each(|left| left.step(name, entry.is_link, &mut next));
            self.found(folder.join(&entry.name), &entry.metadata, &next)?;
        }
        Ok(())
    }

    /// What is in a folder and matches, or may match below.
    fn all(
        &self,
        folder: &Path,
        by_pattern: bool,
        left: &[Left<'_>],
    ) -> Result<Vec<Entry>, SourceError> {
        let listed = match fs::read_dir(folder) {
            Ok(listed) => listed,
            Err(error) if by_pattern && is_absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(io_error(folder, "list", &error)),
        };
        let mut entries = Vec::new();
        let mut next = Vec::new();
        for entry in listed {
            let entry = entry.map_err(|error| io_error(folder, "list", &error))?;
            let name = entry.file_name();
            next.clear();
            let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
            left.iter().for_each(|left| left.step(name.as_bytes(), is_link, &mut next));
            if next.is_empty() {
                continue;
            }
            match fs::metadata(entry.path()) {
                Ok(metadata) => entries.push(Entry { name, is_link, metadata }),
                Err(error) if error.kind() == ErrorKind::NotFound && is_link && !by_pattern => {
                    return Err(SourceError::Input {
                        location: entry.path().display().to_string(),
                        reason:
                            "is a symbolic link to nothing; remove it, or leave it out by a pattern"
                                .to_string(),
                    });
                }
                // Removed since the folder was read: as if it never was there.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(io_error(&entry.path(), "read", &error)),
            }
        }
        Ok(entries)
    }
}

/// What is in a folder under these names.
fn named(folder: &Path, names: &[&[u8]]) -> Result<Vec<Entry>, SourceError> {
    let mut entries = Vec::new();
    for name in names {
        let name = OsStr::from_bytes(name);
        let path = folder.join(name);
        match fs::metadata(&path) {
            Ok(metadata) => {
                // Whoever writes its name wants what it leads to.
                entries.push(Entry { name: name.to_os_string(), is_link: false, metadata });
            }
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(io_error(&path, "read", &error)),
        }
    }
    Ok(entries)
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
