//! Listing on the local file system: files, folders, patterns.

use super::{Object, Stamp, StorageError, StorageErrorKind};
use crate::location::Location;
use crate::location::glob;
use crate::source::SourceError;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Appends the files that `location`, which is `path`, names.
pub(super) fn local(
    location: &Location,
    path: &Path,
    objects: &mut Vec<Object>,
) -> Result<(), SourceError> {
    let mut found = Vec::new();
    match fs::metadata(path) {
        Ok(metadata) => walk(path.to_path_buf(), &metadata, &mut Vec::new(), &mut found)?,
        Err(error) if error.kind() == ErrorKind::NotFound && location.is_pattern() => {
            for pattern in glob::expand_braces(path.as_os_str().as_bytes()) {
                let components = glob::components(&pattern);
                match_below(PathBuf::from("/"), &components, &mut found)?;
            }
            if found.is_empty() {
                return Err(SourceError::Input {
                    location: location.to_string(),
                    reason: "the pattern matches no file; quote it if the shell should not touch it, and note that `*` stays within one folder (`**` does not)".to_string(),
                });
            }
        }
        Err(error) => return Err(StorageError::of_io(location, "read", &error).into()),
    }
    found.sort_by(|a, b| a.location.cmp(&b.location));
    // Alternatives in braces may name a file twice.
    found.dedup_by(|a, b| a.location == b.location);
    objects.append(&mut found);
    Ok(())
}

fn location_of(path: PathBuf) -> Location {
    Location::local(path.into_os_string())
}

fn io_error(path: &Path, doing: &str, error: &std::io::Error) -> SourceError {
    StorageError::of_io(&location_of(path.to_path_buf()), doing, error).into()
}

/// Appends a file, or all files below a folder. `above` are the folders that lead here: a link back to one of them
/// is not followed, since all below it is being listed already.
fn walk(
    path: PathBuf,
    metadata: &Metadata,
    above: &mut Vec<(u64, u64)>,
    found: &mut Vec<Object>,
) -> Result<(), SourceError> {
    if metadata.is_file() {
        found.push(Object {
            location: location_of(path),
            size: metadata.len(),
            stamp: Stamp::of_file(metadata),
        });
        return Ok(());
    }
    if !metadata.is_dir() {
        let location = location_of(path);
        let reason = "is neither a file nor a folder; pipes and devices cannot be read";
        return Err(StorageError::new(&location, StorageErrorKind::Unsupported, reason).into());
    }
    let identity = (metadata.dev(), metadata.ino());
    if above.contains(&identity) {
        return Ok(());
    }
    above.push(identity);
    for entry in fs::read_dir(&path).map_err(|e| io_error(&path, "list", &e))? {
        let entry = entry.map_err(|e| io_error(&path, "list", &e))?;
        if glob::is_hidden(entry.file_name().as_bytes()) {
            continue;
        }
        let below = entry.path();
        match fs::metadata(&below) {
            Ok(metadata) => walk(below, &metadata, above, found)?,
            Err(error) if error.kind() == ErrorKind::NotFound && is_link(&entry) => {
                return Err(SourceError::Input {
                    location: below.display().to_string(),
                    reason:
                        "is a symbolic link to nothing; remove it, or leave it out by a pattern"
                            .to_string(),
                });
            }
            // Removed since the folder was read: as if it never was there.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(io_error(&below, "read", &error)),
        }
    }
    above.pop();
    Ok(())
}

fn is_link(entry: &fs::DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_symlink())
}

/// Appends what the rest of a pattern matches below `folder`.
fn match_below(
    mut folder: PathBuf,
    pattern: &[&[u8]],
    found: &mut Vec<Object>,
) -> Result<(), SourceError> {
    let literal = pattern.iter().take_while(|c| !glob::is_wild(c)).count();
    for component in &pattern[..literal] {
        folder.push(OsStr::from_bytes(component));
    }
    let Some((&wild, rest)) = pattern[literal..].split_first() else {
        return match fs::metadata(&folder) {
            Ok(metadata) => walk(folder, &metadata, &mut Vec::new(), found),
            Err(error) if is_absent(&error) => Ok(()),
            Err(error) => Err(io_error(&folder, "read", &error)),
        };
    };
    let deep = wild == b"**".as_slice();
    if deep {
        if rest.iter().all(|&c| c == b"**") {
            return match_below(folder, &[], found);
        }
        match_below(folder.clone(), rest, found)?;
    }
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok(()),
        Err(error) => return Err(io_error(&folder, "list", &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|e| io_error(&folder, "list", &e))?;
        let name = entry.file_name();
        if deep {
            // A link to a folder is not followed by `**`, so that it ends.
            if entry.file_type().is_ok_and(|kind| kind.is_dir())
                && !glob::is_hidden(name.as_bytes())
            {
                match_below(entry.path(), pattern_from(pattern, literal), found)?;
            }
        } else if glob::matches_component(wild, name.as_bytes()) {
            match_below(entry.path(), rest, found)?;
        }
    }
    Ok(())
}

/// A pattern from its first wild component on.
fn pattern_from<'p, 'c>(pattern: &'p [&'c [u8]], literal: usize) -> &'p [&'c [u8]] {
    &pattern[literal..]
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}
