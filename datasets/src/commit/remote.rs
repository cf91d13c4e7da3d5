//! Outputs in object stores: uploads in parts, completed by the commit.

use super::{Folder, MANIFEST_NAME, Output, Place, Staged, Survey};
use crate::location::Location;
use crate::storage::{Storage, StorageError, StorageErrorKind};

pub(super) struct RemoteFolder<'a> {
    pub(super) storage: &'a Storage,
    pub(super) output: &'a Output,
}

impl RemoteFolder<'_> {
    fn file(&self, name: &str) -> Location {
        self.output.location.join(name)
    }
}

impl Folder for RemoteFolder<'_> {
    fn survey(&self) -> Result<Survey, StorageError> {
        let found = self.storage.look(&self.output.location)?;
        if found.object {
            return Ok(Survey::File);
        }
        if found.objects.is_empty() && found.folders.is_empty() {
            return Ok(Survey::Nothing);
        }
        let objects = found.objects.into_iter().map(|name| (name, true));
        Ok(Survey::of_folder(objects.chain(found.folders.into_iter().map(|name| (name, false)))))
    }

    fn check_access(&self) -> Result<(), StorageError> {
        self.storage.check_uploads(&self.output.location)
    }

    fn publish(&self, staged: &[Staged]) -> Result<(), StorageError> {
        staged.iter().try_for_each(|file| {
            let location = self.file(&file.name);
            let Place::Upload { id, parts } = &file.place else {
                let reason = "was not staged in this store";
                return Err(StorageError::new(&location, StorageErrorKind::Corrupt, reason));
            };
            self.storage.complete_upload(&location, id, parts, file.bytes)
        })
    }

    fn write_manifest(&self, json: Vec<u8>) -> Result<(), StorageError> {
        self.storage.put_object(&self.file(MANIFEST_NAME), json)
    }

    fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.storage.delete_object(&self.file(name))
    }

    /// Nothing: what is not completed lies in no folder.
    fn clean(&self, _aborted: bool) -> Result<(), StorageError> {
        Ok(())
    }
}
