//! What storage says when it fails, with the location and a remedy.

use crate::location::Location;
use crate::source::SourceError;
use std::io;

/// Why storage could not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {reason}")]
pub struct StorageError {
    /// The file, object or folder.
    pub location: String,
    /// The class of the failure.
    pub kind: StorageErrorKind,
    /// What the storage said, and what to do.
    pub reason: String,
}

/// The class of a failure of storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// There is nothing there.
    NotFound,
    /// It must not be read or written.
    Permission,
    /// There is something already.
    Exists,
    /// The disk or the quota is full.
    Full,
    /// The store or the kind of file cannot do this.
    Unsupported,
    /// What is there is not what was expected; trying again gives the same.
    Corrupt,
    /// Anything else; trying again may help.
    Other,
}

impl StorageError {
    /// The error of a system call on `location`, while `doing` it, as in `read`.
    pub fn of_io(location: &Location, doing: &str, error: &io::Error) -> StorageError {
        use io::ErrorKind;
        let (kind, reason) = match error.kind() {
            ErrorKind::NotFound => {
                (StorageErrorKind::NotFound, "does not exist; check the path".to_string())
            }
            ErrorKind::PermissionDenied => (
                StorageErrorKind::Permission,
                format!("permission to {doing} it is denied; check its owner and mode (ls -ld)"),
            ),
            ErrorKind::ReadOnlyFilesystem => (
                StorageErrorKind::Permission,
                "the file system is read-only; write to another location".to_string(),
            ),
            ErrorKind::AlreadyExists => (StorageErrorKind::Exists, "exists already".to_string()),
            ErrorKind::StorageFull => (
                StorageErrorKind::Full,
                format!(
                    "the disk is full, so that it cannot {doing}; free space or use another location"
                ),
            ),
            ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => (
                StorageErrorKind::Full,
                format!(
                    "a limit on size forbids to {doing} it ({error}); raise the quota or use another location"
                ),
            ),
            _ => (StorageErrorKind::Other, format!("cannot {doing} it: {error}")),
        };
        StorageError { location: location.to_string(), kind, reason }
    }

    pub(crate) fn new(
        location: &Location,
        kind: StorageErrorKind,
        reason: impl Into<String>,
    ) -> StorageError {
        StorageError { location: location.to_string(), kind, reason: reason.into() }
    }

    pub(crate) fn other(location: &Location, reason: impl Into<String>) -> StorageError {
        StorageError::new(location, StorageErrorKind::Other, reason)
    }
}

/// An error of a writer: its kind as near as can be, and the [`StorageError`] inside.
impl From<StorageError> for io::Error {
    fn from(error: StorageError) -> io::Error {
        let kind = match error.kind {
            StorageErrorKind::NotFound => io::ErrorKind::NotFound,
            StorageErrorKind::Permission => io::ErrorKind::PermissionDenied,
            StorageErrorKind::Exists => io::ErrorKind::AlreadyExists,
            StorageErrorKind::Full => io::ErrorKind::StorageFull,
            StorageErrorKind::Unsupported => io::ErrorKind::Unsupported,
            StorageErrorKind::Corrupt => io::ErrorKind::InvalidData,
            StorageErrorKind::Other => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

impl From<StorageError> for SourceError {
    fn from(error: StorageError) -> SourceError {
        let StorageError { location, kind, reason } = error;
        match kind {
            StorageErrorKind::Other | StorageErrorKind::Full => {
                SourceError::Storage { location, reason }
            }
            _ => SourceError::Input { location, reason },
        }
    }
}
