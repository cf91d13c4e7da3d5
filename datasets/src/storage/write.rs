//! What output needs of object stores: uploads in parts, small objects, and what is in a folder.
//!
//! An upload in parts is begun and filled by one process and completed by another. Until then nothing of it is
//! visible. All calls here may be made twice: what is done already is no error.

use super::again::again;
use super::remote::store_error;
use super::{Client, Storage, StorageError, StorageErrorKind, received};
use crate::location::Location;
use bytes::Bytes;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};

/// What is at a location of an object store.
pub(crate) struct Found {
    /// Whether there is an object of that very name.
    pub(crate) object: bool,
    /// The names of the objects right in the folder of that name.
    pub(crate) objects: Vec<String>,
    /// The names of the folders right in it.
    pub(crate) folders: Vec<String>,
}

/// A part of an upload that is under way.
pub(crate) struct PartUpload {
    location: Location,
    /// Behind a lock only so that who holds it can be shared among threads.
    answer: Mutex<Receiver<object_store::Result<PartId>>>,
}

impl PartUpload {
    /// Waits for the part's id.
    pub(crate) fn id(self) -> Result<String, StorageError> {
        let answer = self.answer.into_inner().unwrap_or_else(PoisonError::into_inner);
        received(&self.location, &answer)?
            .map(|part| part.content_id)
            .map_err(|e| store_error(&self.location, &e))
    }
}

impl Storage {
    fn uploads(
        &self,
        location: &Location,
    ) -> Result<(Client, Arc<dyn MultipartStore>, Path), StorageError> {
        let (client, path) = self.client(location)?;
        match client.multipart.clone() {
            Some(multipart) => Ok((client, multipart, path)),
            None => {
                let reason = "the store has no uploads in parts that another process can complete, so that output to it cannot be committed as a whole; write to a local folder, s3, gs or az";
                Err(StorageError::new(location, StorageErrorKind::Unsupported, reason))
            }
        }
    }

    /// Fails if output cannot be written to the store.
    pub(crate) fn check_uploads(&self, location: &Location) -> Result<(), StorageError> {
        self.uploads(location).map(|_| ())
    }

    /// Begins an upload; gives its id.
    pub(crate) fn begin_upload(&self, location: &Location) -> Result<String, StorageError> {
        let (_, multipart, path) = self.uploads(location)?;
        self.wait(location, async move { multipart.create_multipart(&path).await })?
            .map_err(|e| store_error(location, &e))
    }

    /// Starts to upload part `index`, from 0 on.
    pub(crate) fn start_part(
        &self,
        location: &Location,
        upload: &str,
        index: usize,
        data: Vec<u8>,
    ) -> Result<PartUpload, StorageError> {
        let (_, multipart, path) = self.uploads(location)?;
        let (id, data) = (upload.to_string(), PutPayload::from(data));
        let part = async move { multipart.put_part(&path, &id, index, data).await };
        let answer = Mutex::new(self.start(location, part)?);
        Ok(PartUpload { location: location.clone(), answer })
    }

    /// Completes an upload, which makes the object of `bytes` bytes visible. Done already is fine.
    pub(crate) fn complete_upload(
        &self,
        location: &Location,
        upload: &str,
        parts: &[String],
        bytes: u64,
    ) -> Result<(), StorageError> {
        let (_, multipart, path) = self.uploads(location)?;
        let id = upload.to_string();
        let parts = parts.iter().map(|id| PartId { content_id: id.clone() }).collect();
        let done = self
            .wait(location, async move { multipart.complete_multipart(&path, &id, parts).await })?;
        match done {
            Ok(_) => Ok(()),
            // Stores say all kinds of things of an upload that was completed before: what counts is the object.
            Err(error) => match self.object_size(location)? {
                Some(size) if size == bytes => Ok(()),
                Some(size) => {
                    let reason = format!(
                        "has {size} bytes where {bytes} were uploaded, so something else wrote to this name; remove it and run the job again ({error})"
                    );
                    Err(StorageError::new(location, StorageErrorKind::Corrupt, reason))
                }
                None => Err(store_error(location, &error)),
            },
        }
    }

    /// Gives an upload up. One that is not there any more is fine.
    pub(crate) fn abort_upload(
        &self,
        location: &Location,
        upload: &str,
    ) -> Result<(), StorageError> {
        let (_, multipart, path) = self.uploads(location)?;
        let id = upload.to_string();
        match self.wait(location, async move { multipart.abort_multipart(&path, &id).await })? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            // Stores tell an upload that is gone from other trouble in no common way; a retry cannot make it worse,
            // and cannot help where the upload is gone.
            Err(object_store::Error::Generic { .. }) => Ok(()),
            Err(error) => Err(store_error(location, &error)),
        }
    }

    /// The size of an object; `None` if there is none.
    pub(crate) fn object_size(&self, location: &Location) -> Result<Option<u64>, StorageError> {
        let (client, path) = self.client(location)?;
        match self.wait(location, async move { client.store.head(&path).await })? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(location, &error)),
        }
    }

    /// The bytes of a small object; `None` if there is none. Blocks on the network.
    ///
    /// # Errors
    /// What the store says, after some tries.
    pub fn get_object(&self, location: &Location) -> Result<Option<Bytes>, StorageError> {
        let (client, path) = self.client(location)?;
        let get = async move { client.store.get(&path).await?.bytes().await };
        match self.wait(location, get)? {
            Ok(bytes) => Ok(Some(bytes)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(store_error(location, &error)),
        }
    }

    /// Writes a small object, in place of what is there. Blocks on the network.
    ///
    /// # Errors
    /// What the store says, after some tries.
    pub fn put_object(&self, location: &Location, data: Vec<u8>) -> Result<(), StorageError> {
        let (client, path) = self.client(location)?;
        let data = PutPayload::from(data);
        self.wait(location, async move { client.store.put(&path, data).await })?
            .map(|_| ())
            .map_err(|e| store_error(location, &e))
    }

    /// Deletes an object. None there is fine. Blocks on the network.
    ///
    /// # Errors
    /// What the store says, after some tries.
    pub fn delete_object(&self, location: &Location) -> Result<(), StorageError> {
        let (client, path) = self.client(location)?;
        let delete = async move { again(client.retries, || client.store.delete(&path)).await };
        match self.wait(location, delete)? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(store_error(location, &error)),
        }
    }

    /// The names of the objects right in a folder, in no order. Blocks on the network.
    ///
    /// # Errors
    /// What the store says, after some tries.
    pub fn names_in(&self, folder: &Location) -> Result<Vec<String>, StorageError> {
        Ok(self.look(folder)?.objects)
    }

    /// What is at a location: an object, and what is right in the folder of that name, hidden or not.
    pub(crate) fn look(&self, location: &Location) -> Result<Found, StorageError> {
        let is_root = location.as_remote().is_some_and(|(_, path)| path.is_empty());
        let object = !is_root && self.object_size(location)?.is_some();
        let (client, path) = self.client(location)?;
        let listed = self
            .wait(location, async move { client.store.list_with_delimiter(Some(&path)).await })?
            .map_err(|e| store_error(location, &e))?;
        let name = |path: &Path| path.filename().unwrap_or_default().to_string();
        // Stores list "folders" as empty objects whose names end with a slash, so that they have no name here.
        let objects = listed.objects.iter().map(|meta| name(&meta.location));
        Ok(Found {
            object,
            objects: objects.filter(|name| !name.is_empty()).collect(),
            folders: listed.common_prefixes.iter().map(name).collect(),
        })
    }
}
