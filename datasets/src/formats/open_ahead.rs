//! Opens the files of a lane one after the other.
//!
//! A small object of a store takes one request, which is nearly all waiting: so those of the next files are under way
//! while one is read, as many and as large as the bounds say.

use super::files::LaneFile;
use crate::location::Location;
use crate::storage::{Begun, ReadAt, Storage, StorageError};
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

/// The most files that are under way.
const FILES: usize = 32;

/// No more are asked for while so many bytes are under way.
const BYTES: u64 = 8 << 20;

/// The largest file that is asked for as a whole, in bytes.
const SMALL: u64 = 1 << 20;

type Open = Result<Box<dyn ReadAt>, StorageError>;

/// The files of a lane that are not read yet.
pub(crate) struct OpenAhead<'f> {
    storage: &'f Storage,
    files: std::slice::Iter<'f, LaneFile>,
    /// Each with the bytes that are under way.
    opened: VecDeque<(Open, u64)>,
    bytes: u64,
}

impl<'f> OpenAhead<'f> {
    pub(crate) fn new(storage: &'f Storage, files: &'f [LaneFile]) -> OpenAhead<'f> {
        OpenAhead { storage, files: files.iter(), opened: VecDeque::new(), bytes: 0 }
    }

    /// Opens the next file; `None` behind the last.
    ///
    /// # Errors
    /// What the storage says of this file.
    pub(crate) fn next(&mut self) -> Option<Open> {
        while self.opened.is_empty() || self.opened.len() < FILES && self.bytes < BYTES {
            // A local file has nothing to wait for.
            let may = |file: &LaneFile| self.opened.is_empty() || !file.object.location.is_local();
            let Some(file) = self.files.as_slice().first().filter(|file| may(file)) else { break };
            self.files.next();
            let whole = file.range == (0..file.object.size) && file.object.size <= SMALL;
            let open = self.storage.open_listed(&file.object);
            let (open, bytes) = match open {
                Ok(open) if whole => begin(open, file.object.size),
                open => (open, 0),
            };
            self.opened.push_back((open, bytes));
            self.bytes += bytes;
        }
        let (open, bytes) = self.opened.pop_front()?;
        self.bytes -= bytes;
        Some(open)
    }
}

/// Asks for a whole file, if there is something to wait for.
fn begin(file: Box<dyn ReadAt>, size: u64) -> (Open, u64) {
    let all = 0..size;
    match file.begin_ranges(std::slice::from_ref(&all)) {
        Ok(Some(begun)) => {
            let whole = Whole { file, begun: Mutex::new(Some(begun)), bytes: OnceLock::new() };
            (Ok(Box::new(whole)), size)
        }
        Ok(None) => (Ok(file), 0),
        Err(error) => (Err(error), 0),
    }
}

/// A file that was asked for as a whole.
struct Whole {
    file: Box<dyn ReadAt>,
    begun: Mutex<Option<Begun>>,
    bytes: OnceLock<Bytes>,
}

impl Whole {
    fn bytes(&self) -> Result<&Bytes, StorageError> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner).take();
        let read = match begun {
            Some(begun) => begun.wait(self.location())?,
            // It was waited for before, and failed.
            None => {
                let all = 0..self.file.size()?;
                self.file.read_ranges(std::slice::from_ref(&all))?
            }
        };
        Ok(self.bytes.get_or_init(|| read.into_iter().next().unwrap_or_default()))
    }
}

impl ReadAt for Whole {
    fn location(&self) -> &Location {
        self.file.location()
    }

    fn size(&self) -> Result<u64, StorageError> {
        self.file.size()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StorageError> {
        let bytes = self.bytes()?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Object;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt, PutPayload};
    use std::sync::Arc;

    #[test]
    fn files_come_in_order_with_their_bytes_and_a_missing_one_is_an_error_of_its_own() {
        let (store, storage) = (Arc::new(InMemory::new()), Storage::new());
        let text = |n: usize| format!("object {n}").repeat(if n == 7 { 200_000 } else { 1 });
        for n in 0..100 {
            let path = object_store::path::Path::from(format!("{n:03}"));
            futures::executor::block_on(store.put(&path, PutPayload::from(text(n)))).unwrap();
        }
        storage.set_client("s3://b", store.clone());
        let location: Location = "s3://b/*".parse().unwrap();
        let locations = crate::location::IntoLocations::into_locations(location);
        let objects: Vec<Object> = storage.list(&locations).unwrap();
        let files: Vec<LaneFile> =
            objects.into_iter().map(|object| LaneFile { range: 0..object.size, object }).collect();
        futures::executor::block_on(store.delete(&"050".into())).unwrap();
        let mut ahead = OpenAhead::new(&storage, &files);
        for (n, listed) in files.iter().enumerate() {
            let file = ahead.next().unwrap().unwrap();
            assert!(ahead.opened.len() < FILES);
            let mut read = vec![0; listed.object.size as usize + 1];
            match file.read_at(0, &mut read) {
                Ok(count) => assert_eq!(&read[..count], text(n).as_bytes()),
                Err(error) => {
                    assert_eq!(n, 50, "{error}");
                    assert!(error.to_string().contains("s3://b/050"), "{error}");
                    continue;
                }
            }
            assert_eq!(file.read_at(7, &mut read[..1]).unwrap(), 1);
            assert_eq!(read[0], text(n).as_bytes()[7]);
            assert_eq!(file.read_at(1 << 40, &mut read).unwrap(), 0);
        }
        assert!(ahead.next().is_none());
        assert_eq!(ahead.bytes, 0);
    }
}
