//! Where a coordinator keeps its state: a folder on a disk, or one in an object store.

use std::io;
use std::sync::Arc;
use windrow_coordinator::journal::{Home, Objects};
use windrow_datasets::location::Location;
use windrow_datasets::storage::{Storage, StorageError};

/// So often it is tried again whether a store checks the conditions of writes, where it seems not to.
const TRIES: usize = 3;

/// What the state of a coordinator is at a location. In a store it is tried out whether that checks the conditions of
/// writes. Blocks on the network.
///
/// # Errors
/// The store cannot be used.
pub(crate) fn home(storage: Storage, location: Location) -> Result<Home, StateError> {
    if let Some(path) = location.as_path() {
        return Ok(Home::Folder(path.to_path_buf()));
    }
    // Another coordinator that tries it out at the same moment may be in the way.
    let mut tries = 0..TRIES;
    while !storage.checks_conditions(&location)? {
        if tries.next().is_none() {
            return Err(StateError::NoConditions(location));
        }
    }
    Ok(Home::Objects(Arc::new(StoreFolder { storage, location })))
}

/// Why a location cannot have a coordinator's state.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// The store says no.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Two coordinators could not be told apart.
    #[error(
        "the store of {0} overwrites objects that must not be there yet (it does not know If-None-Match): two coordinators could both decide; use another store, or a folder on a disk"
    )]
    NoConditions(Location),
}

/// A folder in an object store.
#[derive(Debug)]
struct StoreFolder {
    storage: Storage,
    location: Location,
}

impl Objects for StoreFolder {
    fn name(&self) -> String {
        self.location.to_string()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        self.storage.names_in(&self.location).map_err(io::Error::other)
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        let found = self.storage.get_object(&self.location.join(name));
        Ok(found.map_err(io::Error::other)?.map(|bytes| bytes.to_vec()))
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let created = self.storage.create_object(&self.location.join(name), bytes.to_vec());
        created.map_err(io::Error::other)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let put = self.storage.put_object(&self.location.join(name), bytes.to_vec());
        put.map_err(io::Error::other)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.storage.delete_object(&self.location.join(name)).map_err(io::Error::other)
    }
}
