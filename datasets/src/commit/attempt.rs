//! The part files of one attempt: made one after the other, remembered, and told as one.

use super::part::{PartFile, Staged, Upload};
use super::records::{Records, in_parallel};
use super::{Output, local::LocalFolder, manifest};
use crate::storage::{Storage, StorageError, StorageErrorKind};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

/// The most files that one task may write to one output: their numbers have five digits.
const FILES_MAX: u32 = 99_999;

/// The most files that are listed in messages; a longer list is a record in the output.
const LISTED_HERE: usize = 4;

/// The most parts of uploads that are listed in messages.
const PARTS_HERE: usize = 64;

/// How many files of an attempt are on their way to a store after they were ended.
const ENDING_AT_ONCE: usize = 16;

/// The files that an attempt has staged for one output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StagedFiles {
    /// The part and the attempt's number, as in `part-00000.0`: what its records are named by.
    pub attempt: String,
    /// How many files there are.
    pub files: u64,
    /// Their records.
    pub rows: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Which they are.
    pub list: StagedList,
}

/// Which files an attempt has staged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StagedList {
    /// These few.
    Here(Vec<Staged>),
    /// Those of a list in the output's hidden folder.
    Record,
}

impl StagedFiles {
    /// About how many bytes this has in a message.
    pub fn message_bytes(&self) -> usize {
        let files = match &self.list {
            StagedList::Here(files) => files.as_slice(),
            StagedList::Record => &[],
        };
        64 + self.attempt.len() + files.iter().map(Staged::message_bytes).sum::<usize>()
    }

    /// The files, which may have to be read.
    pub(super) fn listed(
        &self,
        storage: &Storage,
        output: &Output,
    ) -> Result<Vec<Staged>, StorageError> {
        let files = match &self.list {
            StagedList::Here(files) => return Ok(files.clone()),
            StagedList::Record => {
                let records = Records::new(storage, &output.location, &output.job);
                records.read::<Vec<Staged>>(&staged_name(&self.attempt))?
            }
        };
        let right = |files: &Vec<Staged>| {
            files.len() as u64 == self.files
                && files.iter().map(|file| file.bytes).sum::<u64>() == self.bytes
        };
        files.filter(right).ok_or_else(|| {
            let reason = format!(
                "the list of the files that attempt {} staged is gone or was changed; run the job again",
                self.attempt
            );
            output.refused(StorageErrorKind::Corrupt, reason)
        })
    }
}

/// The name of the record that lists an attempt's files.
fn staged_name(attempt: &str) -> String {
    format!("staged-{attempt}")
}

/// What the names of records of uploads begin with.
pub(super) const UPLOADS: &str = "uploads-";

/// Uploads of an attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Uploads {
    /// When they were begun, in milliseconds since 1970.
    pub(super) begun_ms: u64,
    pub(super) uploads: Vec<Upload>,
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_millis() as u64)
}

/// Makes the part files of an attempt: the only one of its task, or several, whose names are in the order in which they
/// were begun. Files that are dropped before they were [ended](AttemptFiles::end) are removed, as well as can be.
#[derive(Debug)]
pub struct AttemptFiles {
    storage: Storage,
    output: Output,
    part: String,
    attempt: u64,
    /// Files begun so far.
    begun: u32,
    /// Records of uploads so far.
    records: u32,
    /// Files that were begun in advance, by folder.
    announced: BTreeMap<String, VecDeque<PartFile>>,
    /// Files with the rest of their upload on its way, and their rows.
    ending: VecDeque<(PartFile, u64)>,
    staged: Vec<Staged>,
}

impl AttemptFiles {
    /// The files of an attempt at a part, as in `part-00000` (see [`super::part_name`]); `attempt` is a number that no
    /// other attempt at this part has.
    pub fn new(
        storage: &Storage,
        output: &Output,
        part: impl Into<String>,
        attempt: u64,
    ) -> AttemptFiles {
        AttemptFiles {
            storage: storage.clone(),
            output: output.clone(),
            part: part.into(),
            attempt,
            begun: 0,
            records: 0,
            announced: BTreeMap::new(),
            ending: VecDeque::new(),
            staged: Vec::new(),
        }
    }

    /// The only file of the task: `part-00000-JOB.EXT`.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be made, and with [`StorageErrorKind::Exists`] if the job has committed already: then
    /// this attempt is a late one.
    pub fn only(&mut self) -> Result<PartFile, StorageError> {
        let part = self.part.clone();
        self.file("", &part)
    }

    /// The next of several files, in a folder inside the output: `FOLDER/part-00000-00000-JOB.EXT`. An empty `folder` is
    /// the output itself.
    ///
    /// # Errors
    /// As for [`AttemptFiles::only`], and if the task has 99,999 files already.
    pub fn next(&mut self, folder: &str) -> Result<PartFile, StorageError> {
        if let Some(file) = self.announced.get_mut(folder).and_then(VecDeque::pop_front) {
            return Ok(file);
        }
        let part = self.number()?;
        self.file(folder, &part)
    }

    /// Begins files in these folders, at most 64, together: less is waited for where the output is in an object store.
    /// [`AttemptFiles::next`] gives them.
    ///
    /// # Errors
    /// As for [`AttemptFiles::next`].
    pub fn announce(&mut self, folders: &[&str]) -> Result<(), StorageError> {
        if self.output.location.is_local() {
            return Ok(());
        }
        let mut names = Vec::new();
        for folder in folders {
            let part = self.number()?;
            names.push(self.name(folder, &part)?);
        }
        for (folder, file) in folders.iter().zip(self.upload(names)?) {
            self.announced.entry(folder.to_string()).or_default().push_back(file);
        }
        Ok(())
    }

    /// Whether files can be written by position.
    pub fn writes_at(&self) -> bool {
        self.output.location.is_local()
    }

    /// Ends a file of `rows` records that was written from its beginning to its end. In an object store some may still be
    /// on their way.
    ///
    /// # Errors
    /// [`StorageError`] for this file, or one that was ended before.
    pub fn end(&mut self, mut file: PartFile, rows: u64) -> Result<(), StorageError> {
        if file.writes_at() {
            return self.ended(file, rows);
        }
        file.send_rest()?;
        self.ending.push_back((file, rows));
        if self.ending.len() > ENDING_AT_ONCE { self.end_oldest() } else { Ok(()) }
    }

    fn end_oldest(&mut self) -> Result<(), StorageError> {
        match self.ending.pop_front() {
            Some((file, rows)) => self.ended(file, rows),
            None => Ok(()),
        }
    }

    fn ended(&mut self, file: PartFile, rows: u64) -> Result<(), StorageError> {
        let (bytes, crc32) = file.written();
        self.staged.push(file.finish(rows, crc32, bytes)?);
        Ok(())
    }

    /// Ends a file that was written by position: `rows` records, `bytes` bytes with the CRC-32 `crc32`.
    ///
    /// # Errors
    /// [`StorageError`] if the file does not have that many bytes.
    pub fn end_written_at(
        &mut self,
        file: PartFile,
        rows: u64,
        crc32: u32,
        bytes: u64,
    ) -> Result<(), StorageError> {
        self.staged.push(file.finish(rows, crc32, bytes)?);
        Ok(())
    }

    /// All files were ended: what is to be committed.
    ///
    /// # Errors
    /// [`StorageError`] for a file that was on its way, or the list of them.
    pub fn finish(mut self) -> Result<StagedFiles, StorageError> {
        while !self.ending.is_empty() {
            self.end_oldest()?;
        }
        self.announced.clear();
        let staged = std::mem::take(&mut self.staged);
        let parts = staged.iter().map(Staged::parts).sum::<usize>();
        let (files, attempt) = (staged.len() as u64, format!("{}.{}", self.part, self.attempt));
        let rows = staged.iter().map(|file| file.rows).sum();
        let bytes = staged.iter().map(|file| file.bytes).sum();
        let list = if staged.len() <= LISTED_HERE && parts <= PARTS_HERE {
            StagedList::Here(staged)
        } else {
            self.records().write(&staged_name(&attempt), &staged)?;
            StagedList::Record
        };
        Ok(StagedFiles { attempt, files, rows, bytes, list })
    }

    fn records(&self) -> Records<'_> {
        Records::new(&self.storage, &self.output.location, &self.output.job)
    }

    /// The name of the next of several files, without job and extension.
    fn number(&mut self) -> Result<String, StorageError> {
        if self.begun == FILES_MAX {
            let reason = format!(
                "a task may write {FILES_MAX} files, and this one would write more; write larger files, or sort by what the folders are named after first"
            );
            return Err(self.output.refused(StorageErrorKind::Unsupported, reason));
        }
        self.begun += 1;
        Ok(format!("{}-{:05}", self.part, self.begun - 1))
    }

    /// The name of a file within the output.
    fn name(&self, folder: &str, part: &str) -> Result<String, StorageError> {
        self.output.check_names()?;
        let file = self.output.file_name(part);
        let name = if folder.is_empty() { file } else { format!("{folder}/{file}") };
        if manifest::is_file_name(&name) {
            return Ok(name);
        }
        let reason = format!("`{name}` cannot be the name of a part file");
        Err(self.output.refused(StorageErrorKind::Unsupported, reason))
    }

    fn file(&mut self, folder: &str, part: &str) -> Result<PartFile, StorageError> {
        let name = self.name(folder, part)?;
        if let Some(path) = self.output.location.as_path() {
            let staged = format!("{}.{}", self.output.file_name(part), self.attempt);
            return LocalFolder::new(&self.output, path).create_part(&self.storage, name, staged);
        }
        let mut files = self.upload(vec![name])?;
        let missing = || self.output.refused(StorageErrorKind::Other, "an upload was not begun");
        files.pop().ok_or_else(missing)
    }

    /// Begins uploads, and writes them down before anything is uploaded.
    fn upload(&mut self, names: Vec<String>) -> Result<Vec<PartFile>, StorageError> {
        let begin = |name: &String| PartFile::upload_to(&self.storage, &self.output, name.clone());
        let files = in_parallel(&names, begin)?;
        let uploads = files.iter().filter_map(PartFile::upload).collect();
        let record = format!("{UPLOADS}{}.{}.{}", self.part, self.attempt, self.records);
        self.records().write(&record, &Uploads { begun_ms: now_ms(), uploads })?;
        self.records += 1;
        Ok(files)
    }
}
