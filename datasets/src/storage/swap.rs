//! Small objects that several processes write: an object is replaced only if it is still what the writer has seen.

use super::again::again;
use super::remote::store_error;
use super::{Storage, StorageError};
use crate::location::Location;
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};

/// What a store says of an object so as to tell it from what it was or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectVersion {
    etag: Option<String>,
    version: Option<String>,
}

impl Storage {
    /// The bytes of a small object with their version; `None` if there is none.
    pub(crate) fn get_version(
        &self,
        location: &Location,
    ) -> Result<Option<(Bytes, ObjectVersion)>, StorageError> {
        let (client, path) = self.client(location)?;
        let get = async move {
            let result = client.store.get(&path).await?;
            let (etag, version) = (result.meta.e_tag.clone(), result.meta.version.clone());
            Ok((result.bytes().await?, ObjectVersion { etag, version }))
        };
        match self.wait(location, get)? {
            Ok(found) => Ok(Some(found)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(location, &error)),
        }
    }

    /// Writes a small object in place of the version that was `found`, or where none was; `false` if another is there
    /// now. Where the store does not check that (`checks`), whatever is there is replaced.
    pub(crate) fn swap_object(
        &self,
        location: &Location,
        data: Vec<u8>,
        found: Option<&ObjectVersion>,
        checks: bool,
    ) -> Result<bool, StorageError> {
        use object_store::Error;
        let mode = match found {
            _ if !checks => PutMode::Overwrite,
            None => PutMode::Create,
            // Without an ETag there is no condition to give.
            Some(ObjectVersion { etag: None, .. }) => PutMode::Overwrite,
            Some(ObjectVersion { etag, version }) => {
                PutMode::Update(UpdateVersion { e_tag: etag.clone(), version: version.clone() })
            }
        };
        match self.put_if(location, data, mode)? {
            Ok(()) => Ok(true),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
            // What was to be replaced is gone.
            Err(Error::NotFound { .. }) if found.is_some() => Ok(false),
            Err(error) => Err(store_error(location, &error)),
        }
    }

    /// Writes a small object where none is; `false` if there is one. Blocks on the network. That a try was answered with an
    /// error does not say that nothing was written: the object that is there then may be this one.
    ///
    /// # Errors
    /// What the store says, after some tries.
    pub fn create_object(&self, location: &Location, data: Vec<u8>) -> Result<bool, StorageError> {
        self.swap_object(location, data, None, true)
    }

    /// Whether the store checks conditions of writes: tried out on an object `probe` in this folder, which is removed again.
    /// Blocks on the network.
    ///
    /// # Errors
    /// What the store says, after some tries.
    pub fn checks_conditions(&self, folder: &Location) -> Result<bool, StorageError> {
        use object_store::Error;
        let probe = folder.join("probe");
        // Stores look at one of the two.
        let other =
            UpdateVersion { e_tag: Some("\"none\"".to_string()), version: Some("1".to_string()) };
        let bytes = b"probe".to_vec();
        self.put_object(&probe, bytes.clone())?;
        let create = self.put_if(&probe, bytes.clone(), PutMode::Create)?;
        let update = self.put_if(&probe, bytes, PutMode::Update(other))?;
        let checks =
            matches!(create, Err(Error::AlreadyExists { .. } | Error::Precondition { .. }))
                && matches!(update, Err(Error::Precondition { .. } | Error::AlreadyExists { .. }));
        self.delete_object(&probe)?;
        Ok(checks)
    }

    fn put_if(
        &self,
        location: &Location,
        data: Vec<u8>,
        mode: PutMode,
    ) -> Result<object_store::Result<()>, StorageError> {
        let (client, path) = self.client(location)?;
        let (data, options) = (PutPayload::from(data), PutOptions::from(mode));
        let put = async move {
            let put = || client.store.put_opts(&path, data.clone(), options.clone());
            again(client.retries, put).await.map(|_| ())
        };
        self.wait(location, put)
    }
}
