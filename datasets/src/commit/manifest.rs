//! The manifest of an output: which files it consists of.

use super::Output;
use crate::location::Location;
use crate::location::glob;
use crate::storage::{Storage, StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;

/// The name of the manifest within its output.
pub const MANIFEST_NAME: &str = "_SUCCESS";

/// What tells a manifest of ours from other files `_SUCCESS`.
const FORMAT: &str = "windrow-manifest";

/// The newest version that is known.
const VERSION: u32 = 2;

/// The longest name of a file or a folder, in bytes; a staged file has some more.
const COMPONENT_MAX: usize = 240;

/// The longest name of a file within its output, in bytes: stores take 1,024 with the output's own.
const NAME_MAX: usize = 800;

/// How many of the last jobs a manifest names.
const JOBS: usize = 64;

/// The files of an output, in the order of its records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// `windrow-manifest`.
    pub format: String,
    /// The version of the format: 2. Version 1 had no folders.
    pub version: u32,
    /// The short id of the job that wrote last.
    pub job: String,
    /// That job's name.
    pub job_name: String,
    /// The last jobs that committed to this output, the last one last; 64 at most.
    #[serde(default)]
    pub jobs: Vec<String>,
    /// The columns by whose values files are in folders `COLUMN=VALUE/`, the outermost first.
    #[serde(default)]
    pub partitioned_by: Vec<String>,
    /// The part files. Those that were appended come after those that were there.
    pub files: Vec<ManifestFile>,
    /// The records in all files.
    pub rows: u64,
    /// The bytes in all files.
    pub bytes: u64,
    /// The counters of the job that wrote last.
    #[serde(default)]
    pub counters: BTreeMap<String, u64>,
    /// The records that the job that wrote last has left out, since its code failed at them: those of all its sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// The names of files that were overwritten; they are deleted once this manifest is there.
    #[serde(default)]
    pub removed: Vec<String>,
}

/// A part file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its name within the output, with the folders in which it is: `year=2024/part-00000-00000-JOB.parquet`.
    pub name: String,
    /// Its records.
    pub rows: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
}

impl ManifestFile {
    /// The folder within the output in which it is; empty for the output itself.
    pub fn folder(&self) -> &str {
        folder_of(&self.name)
    }
}

/// A record that a job has left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Where it lies, as in `/data/a.txt, byte 1033`.
    pub place: String,
    /// The stage whose code failed at it.
    pub stage: String,
    /// How.
    pub message: String,
}

/// What a manifest says of the job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobInfo {
    /// The job's name, as in `wordcount`.
    pub name: String,
    /// What it counted, in total.
    pub counters: BTreeMap<String, u64>,
    /// The records that it has left out.
    pub left_out: Vec<LeftOut>,
}

impl Manifest {
    pub(super) fn new(
        output: &Output,
        job: &JobInfo,
        found: Option<&Manifest>,
        files: Vec<ManifestFile>,
        removed: Vec<String>,
    ) -> Manifest {
        let mut jobs = found.map_or_else(Vec::new, |found| found.jobs.clone());
        jobs.push(output.job.clone());
        jobs.drain(..jobs.len().saturating_sub(JOBS));
        Manifest {
            jobs,
            partitioned_by: output.partitioned_by.clone(),
            format: FORMAT.to_string(),
            version: VERSION,
            job: output.job.clone(),
            job_name: job.name.clone(),
            rows: files.iter().map(|file| file.rows).sum(),
            bytes: files.iter().map(|file| file.bytes).sum(),
            files,
            counters: job.counters.clone(),
            left_out: job.left_out.clone(),
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
            Some(path) => read_local(&file, path)?.map(Into::into),
            None => storage.get_object(&file)?,
        };
        match bytes {
            Some(bytes) => Manifest::parse(&file, &bytes),
            None => Ok(None),
        }
    }

    pub(super) fn parse(file: &Location, bytes: &[u8]) -> Result<Option<Manifest>, StorageError> {
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

    /// Whether this job has committed to the output, as far as is remembered.
    pub(super) fn has(&self, job: &str) -> bool {
        self.job == job || self.jobs.iter().any(|its| its == job)
    }

    /// The manifest as text.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut json = serde_json::to_vec_pretty(self).expect("numbers and text can be encoded");
        json.push(b'\n');
        json
    }
}

/// The bytes of a local manifest; `None` if there is none.
pub(super) fn read_local(
    file: &Location,
    path: &std::path::Path,
) -> Result<Option<Vec<u8>>, StorageError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(StorageError::of_io(file, "read", &error)),
    }
}

/// The folder of a file's name; empty if it has none.
pub(super) fn folder_of(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Whether this can be the name of a part file: visible, with or without folders.
pub(super) fn is_file_name(name: &str) -> bool {
    let component = |name: &str| {
        !name.is_empty() && !glob::is_hidden(name.as_bytes()) && name.len() <= COMPONENT_MAX
    };
    name.len() <= NAME_MAX
        && name.split('/').all(component)
        && !name.contains(|c: char| c.is_control())
}
