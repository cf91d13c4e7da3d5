//! The manifest of an output: which files it consists of.

use super::Output;
use crate::location::Location;
use crate::storage::{Storage, StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// The name of the manifest within its output.
pub const MANIFEST_NAME: &str = "_SUCCESS";

/// What tells a manifest of ours from other files `_SUCCESS`.
const FORMAT: &str = "windrow-manifest";

/// The newest version that is known.
const VERSION: u32 = 1;

/// The files of an output, in the order of its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `windrow-manifest`.
    pub format: String,
    /// The version of the format: 1.
    pub version: u32,
    /// The short id of the job that wrote last.
    pub job: String,
    /// That job's name.
    pub job_name: String,
    /// The part files. Those that were appended come after those that were there.
    pub files: Vec<ManifestFile>,
    /// The records in all files.
    pub rows: u64,
    /// The bytes in all files.
    pub bytes: u64,
    /// The counters of the job that wrote last.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// The names of files that were overwritten; they are deleted once this manifest is there.
    #[serde(default)]
    pub removed: Vec<String>,
}

/// A part file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name within the output.
    pub name: String,
    /// Its records.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
}

/// What a manifest says of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInfo {
    /// The job's name, as in `wordcount`.
    pub name: String,
    /// What it counted, in total.
    pub counters: BTreeMap<String, u64>,
}

impl Manifest {
    pub(super) fn new(
        output: &Output,
        job: &JobInfo,
        files: Vec<ManifestFile>,
        removed: Vec<String>,
    ) -> Manifest {
        Manifest {
            format: FORMAT.to_string(),
            version: VERSION,
            job: output.job.clone(),
            job_name: job.name.clone(),
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            files,
            counters: job.counters.clone(),
            removed,
        }
    }

    /// The manifest of the output at `location`.
    ///
    /// # Errors
    /// [`StorageErrorKind::NotFound`] if there is none, also where another engine's `_SUCCESS` is; else as for
    /// [`Manifest::find`].
    pub fn read(storage: &Storage, location: &Location) -> Result<Manifest, StorageError> {
        Manifest::find(storage, location)?.ok_or_else(|| {
            let reason = format!(
                "has no manifest ({MANIFEST_NAME}): no job has committed output there, or another engine wrote it"
            );
            StorageError::new(location, StorageErrorKind::NotFound, reason)
        })
    }

    /// The manifest of the output at `location`, if there is one. A `_SUCCESS` of another engine (empty, or JSON that
    /// does not name our format) is none.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be read, is damaged, or of a newer version.
    pub fn find(storage: &Storage, location: &Location) -> Result<Option<Manifest>, StorageError> {
        let file = location.join(MANIFEST_NAME);
        let bytes = match file.as_path() {
            Some(path) => match std::fs::read(path) {
                Ok(bytes) => Some(bytes.into()),
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
                {
                    None
                }
                Err(error) => return Err(StorageError::of_io(&file, "read", &error)),
            },
            None => storage.get_object(&file)?,
        };
        match bytes {
            Some(bytes) => Manifest::parse(&file, &bytes),
            None => Ok(None),
        }
    }

    fn parse(file: &Location, bytes: &[u8]) -> Result<Option<Manifest>, StorageError> {
        let damaged = |why: String| {
            let reason = format!(
                "is a damaged manifest ({why}); remove it together with the files beside it, or write to another location"
            );
            StorageError::new(file, StorageErrorKind::Corrupt, reason)
        };
        if bytes.is_empty() {
            return Ok(None);
        }
        let json: serde_json::Value =
            serde_json::from_slice(bytes).map_err(|e| damaged(e.to_string()))?;
        if json.get("format").and_then(|format| format.as_str()) != Some(FORMAT) {
            return Ok(None);
        }
        let version = json.get("version").and_then(|version| version.as_u64()).unwrap_or(0);
        if version > u64::from(VERSION) {
            let reason = format!(
                "is a manifest of version {version}, of which this program knows {VERSION}; use a newer one"
            );
            return Err(StorageError::new(file, StorageErrorKind::Unsupported, reason));
        }
        let manifest: Manifest =
            serde_json::from_value(json).map_err(|e| damaged(e.to_string()))?;
        let names = manifest.files.iter().map(|file| &file.name).chain(&manifest.removed);
        match names.into_iter().find(|name| !is_file_name(name)) {
            Some(name) => Err(damaged(format!("`{name}` is no name of a part file"))),
            None => Ok(Some(manifest)),
        }
    }

    /// The manifest as text.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("numbers and text can be encoded");
        json.push(b'\n');
        json
    }
}

/// Whether this can be the name of a part file: one component, visible.
pub(super) fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['.', '_'])
        && name.len() < 200
        && !name.contains(|c: char| c == '/' || c.is_control())
}
