//! Outputs in object stores: uploads in parts, completed by the commit.

use super::attempt::{UPLOADS, Uploads};
use super::manifest::is_file_name;
use super::part::Upload;
use super::records::{Records, in_parallel};
use super::{
    Committed, Folder, Found, MANIFEST_NAME, Manifest, Output, Place, QUARANTINE_NAME, Staged,
    Survey, Swap, Version,
};
use crate::location::Location;
use crate::storage::{Storage, StorageError, StorageErrorKind};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long a manifest is left to itself where a store does not check conditions, before it is looked whether another
/// job has written over it.
const SETTLE: Duration = Duration::from_millis(1500);

pub(super) struct RemoteFolder<'a> {
    pub(super) storage: &'a Storage,
    pub(super) output: &'a Output,
}

impl RemoteFolder<'_> {
    fn file(&self, name: &str) -> Location {
        self.output.location.join(name)
    }

    fn records(&self) -> Records<'_> {
        Records::new(self.storage, &self.output.location, &self.output.job)
    }

    /// The uploads that the job has written down, but those of these attempts.
    fn uploads(&self, except: &[String]) -> Result<Vec<Upload>, StorageError> {
        let mut names = self.records().names()?;
        names.retain(|name| {
            let of = |attempt: &String| {
                let rest = name.strip_prefix(UPLOADS).and_then(|name| name.strip_prefix(attempt));
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            name.starts_with(UPLOADS) && !except.iter().any(of)
        });
        let records = in_parallel(&names, |name| self.records().read::<Uploads>(name))?;
        let mut uploads: Vec<Upload> =
            records.into_iter().flatten().flat_map(|record| record.uploads).collect();
        uploads.retain(|upload| is_file_name(&upload.name) && self.output.is_own(&upload.name));
        Ok(uploads)
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

    fn find(&self, storage: &Storage) -> Result<Found, StorageError> {
        let file = self.file(MANIFEST_NAME);
        let Some((bytes, version)) = storage.get_version(&file)? else {
            return Ok(Found { manifest: None, version: None });
        };
        let manifest = Manifest::parse(&file, &bytes)?;
        Ok(Found { manifest, version: Some(Version::Object(version)) })
    }

    fn publish(&self, storage: &Storage, staged: &[Staged]) -> Result<(), StorageError> {
        let complete = |file: &Staged| {
            let location = self.file(&file.name);
            let Place::Upload { id, parts } = &file.place else {
                let reason = "was not staged in this store";
                return Err(StorageError::new(&location, StorageErrorKind::Corrupt, reason));
            };
            storage.complete_upload(&location, id, parts, file.bytes)
        };
        in_parallel(staged, complete).map(|_| ())
    }

    fn write_manifest(
        &self,
        storage: &Storage,
        json: Vec<u8>,
        found: &Found,
    ) -> Result<Swap, StorageError> {
        let file = self.file(MANIFEST_NAME);
        let version = match &found.version {
            Some(Version::Object(version)) => Some(version),
            _ => None,
        };
        // A store may ignore conditions and say nothing of it: so nothing rests on them alone.
        let checks = storage.checks_conditions(
            &self.output.location.join(super::records::hidden_name(&self.output.job)),
        )?;
        if !checks && self.find(storage)?.version != found.version {
            return Ok(Swap::Conflict);
        }
        if !storage.swap_object(&file, json, version, checks)? {
            return Ok(Swap::Conflict);
        }
        if !checks {
            std::thread::sleep(SETTLE);
        }
        let now = Manifest::find(storage, &self.output.location)?;
        let there = now.is_some_and(|now| now.has(&self.output.job));
        Ok(if there { Swap::Done } else { Swap::Conflict })
    }

    fn write(&self, storage: &Storage, name: &str, bytes: Vec<u8>) -> Result<(), StorageError> {
        storage.put_object(&self.file(name), bytes)
    }

    fn quarantined(&self, storage: &Storage) -> Result<Vec<String>, StorageError> {
        storage.names_in(&self.file(QUARANTINE_NAME))
    }

    fn delete(&self, storage: &Storage, names: &[String]) -> Result<(), StorageError> {
        in_parallel(names, |name| storage.delete_object(&self.file(name))).map(|_| ())
    }

    fn unpublish(&self, storage: &Storage, listed: &BTreeSet<String>) -> Result<(), StorageError> {
        let uploads = self.uploads(&[])?;
        let names: BTreeSet<String> = uploads.into_iter().map(|upload| upload.name).collect();
        let names: Vec<String> = names.difference(listed).cloned().collect();
        self.delete(storage, &names)
    }

    fn clean(&self, storage: &Storage, committed: &Committed) -> Result<(), StorageError> {
        let attempts = match committed {
            Committed::Nothing => &[],
            Committed::Attempts(attempts) => attempts.as_slice(),
        };
        let uploads = self.uploads(attempts)?;
        let give_up = |upload: &Upload| {
            match storage.abort_upload(&self.file(&upload.name), &upload.id) {
                // Some stores say so of an upload that is complete or gone, as one is that a commit which was stopped
                // halfway has completed. Who has begun an upload may give it up.
                Err(error) if error.kind == StorageErrorKind::Permission => Ok(()),
                done => done,
            }
        };
        in_parallel(&uploads, give_up)?;
        self.records().remove_all()
    }
}
