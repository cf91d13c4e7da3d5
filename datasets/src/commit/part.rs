//! Part files in the making.

use super::{ManifestFile, Output};
use crate::location::Location;
use crate::storage::{PartUpload, Storage, StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

/// The size of the first parts of an upload, in bytes; stores want 5 MiB at least.
const UPLOAD_PART_BYTES: usize = 8 << 20;

/// After so many parts of an upload the size of a part doubles, since stores take 10,000 of them at most.
const UPLOAD_PARTS_OF_A_SIZE: usize = 2000;

/// How many parts of an upload are under way while the next one is filled.
const UPLOADS_AT_ONCE: usize = 3;

/// A part file that is staged: written in full, and visible to nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staged {
    /// The name that the commit gives it.
    pub name: String,
    /// Where it is until then.
    pub place: Place,
    /// Its records.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
}

/// Where a staged part file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// In the staging folder of a local output.
    File {
        /// Its name there.
        staged: String,
    },
    /// In an object store, as an upload that only has to be completed.
    Upload {
        /// The id of the upload.
        id: String,
        /// The ids of its parts, in order.
        parts: Vec<String>,
    },
}

impl Staged {
    /// The number of parts of its upload.
    pub(super) fn parts(&self) -> usize {
        match &self.place {
            Place::File { .. } => 1,
            Place::Upload { parts, .. } => parts.len(),
        }
    }

    /// About how many bytes this has in a message.
    pub(super) fn message_bytes(&self) -> usize {
        let place = match &self.place {
            Place::File { staged } => staged.len(),
            Place::Upload { id, parts } => {
                id.len() + parts.iter().map(|part| part.len() + 4).sum::<usize>()
            }
        };
        48 + self.name.len() + place
    }

    pub(super) fn listed(&self) -> ManifestFile {
        let Staged { name, rows, bytes, crc32, .. } = self;
        ManifestFile { name: name.clone(), rows: *rows, bytes: *bytes, crc32: *crc32 }
    }
}

/// An upload that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Upload {
    /// The name of the part file.
    pub(super) name: String,
    /// The store's id of the upload; empty in stores that have none.
    pub(super) id: String,
}

/// A part file that an attempt writes. One that is dropped unfinished is removed, as well as can be.
///
/// It can be [written](Write) from its beginning to its end, and local ones by position too, from several threads.
/// Writes are not buffered for local files: write large pieces. An error of a write names the file, and is a
/// [`StorageError`] inside an [`io::Error`].
#[derive(Debug)]
pub struct PartFile {
    name: String,
    inner: Option<Inner>,
    /// What was written from the beginning on.
    written: u64,
    crc: crc32fast::Hasher,
}

#[derive(Debug)]
enum Inner {
    File(LocalPart),
    Upload(Box<RemotePart>),
}

#[derive(Debug)]
struct LocalPart {
    file: File,
    path: PathBuf,
    location: Location,
    staged: String,
}

struct RemotePart {
    storage: Storage,
    location: Location,
    id: String,
    buffer: Vec<u8>,
    pending: VecDeque<PartUpload>,
    /// The ids of the parts that are there.
    parts: Vec<String>,
}

impl fmt::Debug for RemotePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemotePart").field("location", &self.location).finish_non_exhaustive()
    }
}

impl PartFile {
    pub(super) fn local(name: String, staged: String, path: PathBuf, file: File) -> PartFile {
        let location = Location::local(path.clone().into_os_string());
        PartFile::of(name, Inner::File(LocalPart { file, path, location, staged }))
    }

    pub(super) fn upload_to(
        storage: &Storage,
        output: &Output,
        name: String,
    ) -> Result<PartFile, StorageError> {
        let location = output.location.join(&name);
        let id = storage.begin_upload(&location)?;
        let part = RemotePart {
            storage: storage.clone(),
            location,
            id,
            buffer: Vec::new(),
            pending: VecDeque::new(),
            parts: Vec::new(),
        };
        Ok(PartFile::of(name, Inner::Upload(Box::new(part))))
    }

    fn of(name: String, inner: Inner) -> PartFile {
        PartFile { name, inner: Some(inner), written: 0, crc: crc32fast::Hasher::new() }
    }

    /// The upload behind this part file; `None` for a local file.
    pub(super) fn upload(&self) -> Option<Upload> {
        match self.inner() {
            Inner::File(_) => None,
            Inner::Upload(part) => Some(Upload { name: self.name.clone(), id: part.id.clone() }),
        }
    }

    /// Whether [`PartFile::write_at`] works.
    pub fn writes_at(&self) -> bool {
        matches!(self.inner(), Inner::File(_))
    }

    /// Writes all of `bytes` from `offset` on. Several threads may do so at once.
    ///
    /// # Errors
    /// [`StorageError`] that names the file; [`StorageErrorKind::Unsupported`] unless it [can](PartFile::writes_at).
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        match self.inner() {
            Inner::File(LocalPart { file, location, .. }) => file
                .write_all_at(bytes, offset)
                .map_err(|e| StorageError::of_io(location, "write", &e)),
            Inner::Upload(part) => {
                let reason = "objects cannot be written by position; write from the beginning on";
                Err(StorageError::new(&part.location, StorageErrorKind::Unsupported, reason))
            }
        }
    }

    /// Starts to upload what was not yet; nothing is to be written after that.
    pub(super) fn send_rest(&mut self) -> Result<(), StorageError> {
        match self.inner_mut() {
            Inner::File(_) => Ok(()),
            Inner::Upload(part) => part.send_rest(),
        }
    }

    /// The number of bytes that were written from the beginning on, and their CRC-32; for [`PartFile::finish`] of a
    /// part that was not written by position.
    pub fn written(&self) -> (u64, u32) {
        (self.written, self.crc.clone().finalize())
    }

    /// Ends the part file, which has `rows` records, and `bytes` bytes with the CRC-32 `crc32`.
    ///
    /// # Errors
    /// [`StorageError`] if the file does not have that many bytes, or the rest of an upload fails.
    pub fn finish(mut self, rows: u64, crc32: u32, bytes: u64) -> Result<Staged, StorageError> {
        let name = self.name.clone();
        let staged = |place| Staged { name, place, rows, bytes, crc32 };
        let (location, size, place) = match self.inner_mut() {
            Inner::File(LocalPart { file, location, staged, .. }) => {
                let metadata = file.metadata();
                let size = metadata.map_err(|e| StorageError::of_io(location, "read", &e))?.len();
                (location.clone(), size, Place::File { staged: staged.clone() })
            }
            Inner::Upload(part) => {
                let parts = part.finish()?;
                let place = Place::Upload { id: part.id.clone(), parts };
                (part.location.clone(), self.written, place)
            }
        };
        if size != bytes {
            let reason = format!("has {size} bytes, but {bytes} were written");
            return Err(StorageError::new(&location, StorageErrorKind::Corrupt, reason));
        }
        self.inner = None;
        Ok(staged(place))
    }

    fn inner(&self) -> &Inner {
        self.inner.as_ref().expect("only `finish` and `drop` take it, and end the part file")
    }

    fn inner_mut(&mut self) -> &mut Inner {
        self.inner.as_mut().expect("only `finish` and `drop` take it, and end the part file")
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = match self.inner_mut() {
            Inner::File(LocalPart { file, location, .. }) => match file.write(bytes) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                Err(error) => return Err(StorageError::of_io(location, "write", &error).into()),
            },
            Inner::Upload(part) => part.write(bytes)?,
        };
        self.written += count as u64;
        self.crc.update(&bytes[..count]);
        Ok(count)
    }

    /// Does nothing: [`PartFile::finish`] sees to what is left.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        match self.inner.take() {
            None => {}
            // What is left all the same is removed by the job's commit or abort.
            Some(Inner::File(part)) => drop(std::fs::remove_file(&part.path)),
            Some(Inner::Upload(part)) => part.give_up(),
        }
    }
}

impl RemotePart {
    /// Gives the upload up, and waits for it: the process may end right after.
    fn give_up(mut self) {
        // A part that comes after the end of its upload may stay in the store for ever.
        while let Some(pending) = self.pending.pop_front() {
            let _ = pending.id();
        }
        // Its failure is not what the caller is told: that is what led here.
        let _ = self.storage.abort_upload(&self.location, &self.id);
    }

    /// Takes some of the bytes: what the buffer has room for.
    fn write(&mut self, bytes: &[u8]) -> Result<usize, StorageError> {
        let number = self.parts.len() + self.pending.len();
        let size = UPLOAD_PART_BYTES << (number / UPLOAD_PARTS_OF_A_SIZE).min(4);
        let count = bytes.len().min(size - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        if self.buffer.len() == size {
            self.send()?;
        }
        Ok(count)
    }

    /// Starts to upload what is in the buffer.
    fn send(&mut self) -> Result<(), StorageError> {
        if self.pending.len() == UPLOADS_AT_ONCE {
            self.receive()?;
        }
        let number = self.parts.len() + self.pending.len();
        let data = std::mem::take(&mut self.buffer);
        self.pending.push_back(self.storage.start_part(&self.location, &self.id, number, data)?);
        Ok(())
    }

    /// Waits for the oldest part that is under way.
    fn receive(&mut self) -> Result<(), StorageError> {
        if let Some(oldest) = self.pending.pop_front() {
            self.parts.push(oldest.id()?);
        }
        Ok(())
    }

    fn send_rest(&mut self) -> Result<(), StorageError> {
        // An upload of no part cannot be completed everywhere; one of an empty part can.
        if !self.buffer.is_empty() || self.parts.len() + self.pending.len() == 0 {
            self.send()?;
        }
        Ok(())
    }

    /// Uploads the rest; gives the ids of all parts.
    fn finish(&mut self) -> Result<Vec<String>, StorageError> {
        self.send_rest()?;
        while !self.pending.is_empty() {
            self.receive()?;
        }
        Ok(std::mem::take(&mut self.parts))
    }
}
