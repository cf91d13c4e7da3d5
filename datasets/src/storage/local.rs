//! Local files, read by position: no seek, no copy but the kernel's own.

use super::{Object, ReadAt, Stamp, StorageError, StorageErrorKind, changed, of_listed};
use crate::location::Location;
use crate::memory::ReadBuffer;
use crate::spent::waiting;
use bytes::Bytes;
use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// From so many bytes on, what is read lies in memory that was used before: fresh pages cost as much as the reading.
const LARGE_BYTES: usize = 64 << 10;

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
        let opened = LocalFile::open(object.location.clone(), path).map_err(of_listed)?;
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
            match waiting(|| self.file.read_at(&mut buffer[done..], offset + done as u64)) {
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

    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        let read = |range: &Range<u64>| {
            let length = usize::try_from(range.end.saturating_sub(range.start));
            let length = length.unwrap_or(usize::MAX);
            if length < LARGE_BYTES {
                let mut bytes = vec![0; length];
                let count = self.read_at(range.start, &mut bytes)?;
                bytes.truncate(count);
                return Ok(Bytes::from(bytes));
            }
            let mut buffer = ReadBuffer::new(length);
            let count = self.read_at(range.start, buffer.bytes_mut())?;
            Ok(buffer.into_bytes(count))
        };
        ranges.iter().map(read).collect()
    }
}
