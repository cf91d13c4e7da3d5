//! Access to stores: local files by position, object stores by one client a bucket and process.
//!
//! [`Storage::list`] turns locations into [`Object`]s in one order, [`Storage::open`] gives a [`ReadAt`]. All calls
//! block, so they are for compute threads: for remote stores the work itself runs on a tokio runtime (one that was
//! given, or an own one made on first use), and the calling thread waits for its answer on a channel.

mod again;
mod error;
mod http;
mod list;
mod local;
mod options;
mod profiles;
mod remote;
mod remote_list;
mod swap;
mod write;

#[cfg(test)]
mod tests;

pub use error::{StorageError, StorageErrorKind};
pub use http::Traffic;
pub use options::{StoreOption, StoreOptionError, StoreOptions};
pub(crate) use swap::ObjectVersion;
pub(crate) use write::PartUpload;

use self::options::Retries;
use crate::commit::{MANIFEST_NAME, Manifest};
use crate::location::{Location, Locations};
use crate::scan::Scan;
use crate::source::SourceError;
use crate::spent::waiting;
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::fs::Metadata;
use std::future::Future;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tokio::runtime::{Handle, Runtime};

/// The stores that a process has opened, and how it opens more. Cheap to clone; all clones share their clients.
#[derive(Clone, Default)]
pub struct Storage {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    clients: Mutex<HashMap<String, Client>>,
    given: Option<Handle>,
    own: OnceLock<OwnRuntime>,
    meter: Arc<http::Meter>,
    scan: Mutex<Scan>,
    options: OnceLock<StoreOptions>,
}

/// A client of a store.
#[derive(Clone)]
struct Client {
    store: Arc<dyn ObjectStore>,
    /// The same client, where the store has uploads in parts that another process can complete.
    multipart: Option<Arc<dyn MultipartStore>>,
    /// The same client, where the store lists in pages, in the order of the bytes of keys.
    pages: Option<Arc<dyn PaginatedListStore>>,
    /// How requests are tried again.
    retries: Retries,
}

impl Client {
    /// A client that can only be read from, and lists in no order.
    fn reading(store: Arc<dyn ObjectStore>) -> Client {
        Client { store, multipart: None, pages: None, retries: Retries::default() }
    }

    fn with_multipart<S: ObjectStore + MultipartStore>(store: Arc<S>) -> Client {
        Client { multipart: Some(store.clone()), ..Client::reading(store) }
    }
}

/// A runtime that may be dropped anywhere, also on a thread of another one.
struct OwnRuntime(Option<Runtime>);

impl Drop for OwnRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Storage").field("open", &clients.keys().collect::<Vec<_>>()).finish()
    }
}

/// Takes what is listed, one by one.
pub type Each<'e> = dyn FnMut(Object) -> Result<(), SourceError> + 'e;

/// A file or an object that was listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// Where it is; to be taken literally.
    pub location: Location,
    /// Its size in bytes when it was listed.
    pub size: u64,
    /// What it was when it was listed.
    pub stamp: Stamp,
}

impl Object {
    /// One that was named, with its size, and not listed.
    pub(crate) fn named(location: Location, size: u64) -> Object {
        Object { location, size, stamp: Stamp::UNKNOWN }
    }
}

/// What tells one content of a file or object from another: made of an object's ETag, or of the time at which a file was
/// changed last. (Not of its inode: machines that share a file system need not agree on that.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp(u32);

impl Stamp {
    /// Of a store that tells nothing.
    const UNKNOWN: Stamp = Stamp(0);

    fn of_file(metadata: &Metadata) -> Stamp {
        Stamp::of(&[metadata.mtime(), metadata.mtime_nsec()].map(i64::to_le_bytes).concat())
    }

    fn of_etag(etag: Option<&str>) -> Stamp {
        etag.map_or(Stamp::UNKNOWN, |etag| Stamp::of(etag.as_bytes()))
    }

    fn of(bytes: &[u8]) -> Stamp {
        Stamp((rapidhash::v3::rapidhash_v3(bytes) as u32).max(1))
    }

    /// Whether `now` may be of the same object, which it becomes known by if it was not.
    fn seen(&mut self, now: Stamp) -> bool {
        let may = now.may_be(*self);
        if *self == Stamp::UNKNOWN {
            *self = now;
        }
        may
    }

    /// Whether an object with this stamp may be one with another: stamps that are known differ.
    fn may_be(self, other: Stamp) -> bool {
        self == other || self == Stamp::UNKNOWN || other == Stamp::UNKNOWN
    }
}

/// An open file or object, read by position.
pub trait ReadAt: Send + Sync {
    /// Where it is.
    fn location(&self) -> &Location;

    /// Its size in bytes now.
    ///
    /// # Errors
    /// What the storage says.
    fn size(&self) -> Result<u64, StorageError>;

    /// Fills `buffer` with the bytes from `offset` on; returns how many there were: fewer only at the end.
    ///
    /// # Errors
    /// What the storage says.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, StorageError>;

    /// The bytes at these ranges, which ascend; fewer than a range has only at the end of the file. Object stores are
    /// asked for all of them at once.
    ///
    /// # Errors
    /// What the storage says.
    fn read_ranges(&self, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StorageError> {
        let read = |range: &Range<u64>| {
            let length = range.end.saturating_sub(range.start);
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            let count = self.read_at(range.start, &mut bytes)?;
            bytes.truncate(count);
            Ok(Bytes::from(bytes))
        };
        ranges.iter().map(read).collect()
    }

    /// Asks for the bytes at these ranges, which ascend, without waiting for them; `None` where reading takes no waiting,
    /// or a range is not within the file.
    ///
    /// # Errors
    /// What the storage says.
    fn begin_ranges(&self, _ranges: &[Range<u64>]) -> Result<Option<Begun>, StorageError> {
        Ok(None)
    }
}

/// Bytes that are on their way.
pub struct Begun(Receiver<Result<Vec<Bytes>, StorageError>>);

impl Begun {
    /// Waits for them.
    ///
    /// # Errors
    /// What the storage says; `location` is for the error alone.
    pub fn wait(self, location: &Location) -> Result<Vec<Bytes>, StorageError> {
        received(location, &self.0)?
    }
}

impl Storage {
    /// Storage without open clients; remote stores will be waited for by a runtime of its own.
    pub fn new() -> Storage {
        Storage::default()
    }

    /// Storage whose remote stores are waited for on this runtime.
    pub fn on_runtime(handle: Handle) -> Storage {
        Storage { shared: Arc::new(Shared { given: Some(handle), ..Shared::default() }) }
    }

    /// Storage whose clients are made with these options, beyond what the environment says.
    pub fn with_options(options: StoreOptions) -> Storage {
        let storage = Storage::new();
        storage.configure(options);
        storage
    }

    /// Says with which options clients are made from now on, if that was not said before.
    pub fn configure(&self, options: StoreOptions) {
        // What was said first holds: clients may have been made by it.
        let _ = self.shared.options.set(options);
    }

    /// Uses `client` for all locations below `root`, as in `s3://bucket`, instead of one made of the environment.
    /// It can be read from; [`Storage::set_multipart_client`] is for output too.
    pub fn set_client(&self, root: &str, client: Arc<dyn ObjectStore>) {
        self.clients().insert(root.to_string(), Client::reading(client));
    }

    /// As [`Storage::set_client`], with a client that uploads in parts, which output needs.
    pub fn set_multipart_client<S: ObjectStore + MultipartStore>(
        &self,
        root: &str,
        client: Arc<S>,
    ) {
        self.clients().insert(root.to_string(), Client::with_multipart(client));
    }

    /// The files that locations name, in the order of the locations; the files of one folder or pattern are in the
    /// order of the bytes of their paths. Hidden files and folders (names that begin with `.` or `_`) are left out
    /// unless a location itself names them. A file that is named twice is there twice. A folder that a job of ours has
    /// written (its `_SUCCESS` is our manifest), or that `_SUCCESS` itself, stands for the files that the manifest
    /// lists, in its order; what else is in the folder is left out.
    ///
    /// # Errors
    /// [`SourceError`] for text that is no location, and a location that does not exist, matches nothing or cannot be
    /// listed. An empty folder is no error.
    pub fn list(&self, locations: &Locations) -> Result<Vec<Object>, SourceError> {
        let mut objects = Vec::new();
        self.list_each(locations, &mut |object| {
            objects.push(object);
            Ok(())
        })?;
        Ok(objects)
    }

    /// Calls `each` with the files that [`Storage::list`] gives, in its order, while more are listed: memory does not
    /// grow with their number, but for the names in one folder of a local file system. (Azure and other stores that
    /// promise no order are listed whole first.)
    ///
    /// # Errors
    /// As for [`Storage::list`], and what `each` says, which ends the listing. Files may have been given before.
    pub fn list_each(&self, locations: &Locations, each: &mut Each<'_>) -> Result<(), SourceError> {
        let locations = locations.get().map_err(|error| SourceError::Input {
            location: "a location of the input".to_string(),
            reason: error.to_string(),
        })?;
        for location in locations {
            match location.as_path() {
                Some(path) if !self.of_manifest(location, path, each)? => {
                    list::local(location, path, each)?;
                }
                Some(_) => {}
                None => remote_list::list(self, location, true, each)?,
            }
        }
        Ok(())
    }

    /// The first file of [`Storage::list`] that is wanted, without listing what comes behind.
    ///
    /// # Errors
    /// As for [`Storage::list`], but for what is behind.
    pub fn first(
        &self,
        locations: &Locations,
        wanted: impl Fn(&Object) -> bool,
    ) -> Result<Option<Object>, SourceError> {
        let mut first = None;
        let listed = self.list_each(locations, &mut |object| {
            if !wanted(&object) {
                return Ok(());
            }
            // An error ends the listing; nobody sees it.
            let enough = StorageError::other(&object.location, "is enough");
            first = Some(object);
            Err(enough.into())
        });
        match first {
            Some(first) => Ok(Some(first)),
            None => listed.map(|()| None),
        }
    }

    /// As [`Storage::list`] of one location, but for manifests: all files that are there.
    pub(crate) fn list_all(&self, location: &Location) -> Result<Vec<Object>, SourceError> {
        let mut objects = Vec::new();
        let mut each = |object| {
            objects.push(object);
            Ok(())
        };
        match location.as_path() {
            Some(path) => list::local(location, path, &mut each)?,
            None => remote_list::list(self, location, false, &mut each)?,
        }
        Ok(objects)
    }

    /// Calls `each` with the files of a local output of ours, if that or its manifest is at the location. Whether it is.
    fn of_manifest(
        &self,
        location: &Location,
        path: &Path,
        each: &mut Each<'_>,
    ) -> Result<bool, SourceError> {
        let named = path.file_name() == Some(OsStr::new(MANIFEST_NAME));
        match path.parent() {
            Some(folder) if named && path.is_file() => {
                self.files_of(&Location::local(folder.as_os_str().to_os_string()), each)
            }
            _ if path.is_dir() => self.files_of(location, each),
            _ => Ok(false),
        }
    }

    /// Calls `each` with the files that the manifest in a folder lists, in its order, if there is one of ours. Whether
    /// there is. None of them is looked at: one that is gone or has another size is noticed when it is opened.
    fn files_of(&self, folder: &Location, each: &mut Each<'_>) -> Result<bool, SourceError> {
        let Some(manifest) = Manifest::find(self, folder)? else { return Ok(false) };
        for file in manifest.files {
            each(Object::named(folder.join(&file.name), file.bytes))?;
        }
        Ok(true)
    }

    /// Opens one file or object for reading. The location is taken literally.
    ///
    /// # Errors
    /// [`StorageError`], also if it is a folder.
    pub fn open(&self, location: &Location) -> Result<Box<dyn ReadAt>, StorageError> {
        match location.as_path() {
            Some(path) => Ok(Box::new(local::LocalFile::open(location.clone(), path)?)),
            None => Ok(Box::new(remote::RemoteFile::open(self, location)?)),
        }
    }

    /// Opens a file or object that was listed; asks an object store for nothing.
    ///
    /// # Errors
    /// [`StorageError`], also if it has changed since: here for a file, with the first read for an object.
    pub fn open_listed(&self, object: &Object) -> Result<Box<dyn ReadAt>, StorageError> {
        match object.location.as_path() {
            Some(path) => Ok(Box::new(local::LocalFile::open_listed(object, path)?)),
            None => Ok(Box::new(remote::RemoteFile::open_listed(self, object)?)),
        }
    }

    /// What went to and from object stores so far; not by clients that were [set](Storage::set_client).
    pub fn traffic(&self) -> Traffic {
        self.shared.meter.traffic()
    }

    /// What sources that prune have read by this storage so far, and left out.
    pub fn scan(&self) -> Scan {
        *self.shared.scan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what a source has read or left out.
    pub fn scanned(&self, more: Scan) {
        self.shared.scan.lock().unwrap_or_else(PoisonError::into_inner).add(more);
    }

    fn clients(&self) -> std::sync::MutexGuard<'_, HashMap<String, Client>> {
        self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client for a location in an object store, and the path in it.
    fn client(
        &self,
        location: &Location,
    ) -> Result<(Client, object_store::path::Path), StorageError> {
        let Some((root, path)) = location.as_remote() else {
            unreachable!("{location} is in no object store")
        };
        let path = remote::object_path(location, root, path)?;
        let mut clients = self.clients();
        if let Some(client) = clients.get(root) {
            return Ok((client.clone(), path));
        }
        let options = self.shared.options.get_or_init(StoreOptions::default);
        let client = remote::connect(location, root, options, &self.shared.meter)?;
        clients.insert(root.to_string(), client.clone());
        Ok((client, path))
    }

    /// Runs `future` on the runtime, and waits for what it gives. `location` is for the error alone.
    fn wait<T: Send + 'static>(
        &self,
        location: &Location,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StorageError> {
        received(location, &self.start(location, future)?)
    }

    /// Runs `future` on the runtime; what it gives can be [`received`]. `location` is for the error alone.
    fn start<T: Send + 'static>(
        &self,
        location: &Location,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<Receiver<T>, StorageError> {
        let (answer, wait) = std::sync::mpsc::sync_channel(1);
        let task = async move {
            // The caller waits; should it be gone, nobody wants the answer.
            let _ = answer.send(future.await);
        };
        match &self.shared.given {
            Some(handle) => drop(handle.spawn(task)),
            None => {
                let own = self.shared.own.get_or_init(|| OwnRuntime(own_runtime().ok()));
                match &own.0 {
                    Some(runtime) => drop(runtime.spawn(task)),
                    None => {
                        let reason = "no threads could be started to wait for it; raise the limit on processes (ulimit -u)";
                        return Err(StorageError::other(location, reason));
                    }
                }
            }
        }
        Ok(wait)
    }
}

/// The error for what is not what was listed.
fn changed(location: &Location, listed: u64, now: u64) -> StorageError {
    let reason = if listed == now {
        "has changed since it was listed; input must not change while a job runs".to_string()
    } else {
        format!(
            "had {listed} bytes when it was listed{BY_MANIFEST}, and has {now} now; input must not change while a job runs"
        )
    };
    StorageError::new(location, StorageErrorKind::Corrupt, reason)
}

/// Who else lists files: said where one is not as it was listed.
const BY_MANIFEST: &str = " (those of an output are listed by its _SUCCESS)";

/// The error for a file that was listed, where there may be none now.
fn of_listed(error: StorageError) -> StorageError {
    if error.kind != StorageErrorKind::NotFound {
        return error;
    }
    let reason = format!(
        "does not exist any more, though it was listed{BY_MANIFEST}; input must not change while a job runs"
    );
    StorageError { reason, ..error }
}

/// Waits for what a future gives.
fn received<T>(location: &Location, answer: &Receiver<T>) -> Result<T, StorageError> {
    waiting(|| answer.recv()).map_err(|_| {
        StorageError::other(location, "the runtime that waits for the store was shut down")
    })
}

fn own_runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("windrow-storage")
        .enable_all()
        .build()
}
