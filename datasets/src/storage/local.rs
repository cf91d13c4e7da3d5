//! Local files, read by position: no seek, no copy but the kernel's own.

use super::{Object, ReadAt, Stamp, StorageError, StorageErrorKind, changed};
use crate::location::Location;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(super) struct LocalFile {
    location: Location,
    file: File,
}

impl LocalFile {
    pub(super) fn open(location: Location, path: &Path) -> Result<LocalFile, StorageError> {
        match File::open(path) {
            Ok(file) => Ok(LocalFile { location, file }),
            Err(error) => Err(StorageError::of_io(&location, "read", &error)),
        }
    }
}

impl LocalFile {
    pub(super) fn open_listed(object: &Object, path: &Path) -> Result<LocalFile, StorageError> {
        let opened = LocalFile::open(object.location.clone(), path)?;
        let metadata = opened.metadata()?;
        if metadata.len() != object.size || !Stamp::of_file(&metadata).may_be(object.stamp) {
            return Err(changed(&object.location, object.size, metadata.len()));
        }
        Ok(opened)
    }

    fn metadata(&self) -> Result<Metadata, StorageError> {
        self.file.metadata().map_err(|error| StorageError::of_io(&self.location, "read", &error))
    }
}

impl ReadAt for LocalFile {
    fn location(&self) -> &Location {
        &self.location
    }

    fn size(&self) -> Result<u64, StorageError> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StorageError> {
        let mut done = 0;
        while done < buffer.len() {
            match self.file.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(more) => done += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::IsADirectory => {
                    let reason = "is a folder where a file is needed";
                    return Err(StorageError::new(
                        &self.location,
                        StorageErrorKind::Unsupported,
                        reason,
                    ));
                }
                Err(error) => return Err(StorageError::of_io(&self.location, "read", &error)),
            }
        }
        Ok(done)
    }
}
