//! The histories of ended jobs: the last ones in memory, and those that a folder has room for on the disk, so that they can be
//! looked at after a restart.
//!
//! A file has the history in postcard, and then its CRC-32 in four bytes, little endian. One that is damaged, or of another
//! version, is as none: nothing depends on it but what people see.

use super::History;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::{fs, io};
use windrow_protocol::ids::JobId;

/// The version of the encoding, which names of files end with.
const VERSION: &str = "2";

/// The most bytes in memory, of ended jobs.
const MEMORY_BYTES: usize = 128 << 20;

/// The most bytes in files.
const FILES_BYTES: u64 = 512 << 20;

/// The histories of ended jobs. Its calls may block on the disk.
#[derive(Debug)]
pub(crate) struct Histories {
    folder: Option<PathBuf>,
    last: Mutex<BTreeMap<JobId, Arc<History>>>,
}

impl Histories {
    /// One that has its files in this folder, or memory alone.
    pub(crate) fn new(folder: Option<PathBuf>) -> Histories {
        Histories { folder, last: Mutex::default() }
    }

    fn last(&self) -> std::sync::MutexGuard<'_, BTreeMap<JobId, Arc<History>>> {
        // What a panic may have left is whole: entries are put and taken.
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the history of a job in memory. Does not block on the disk.
    pub(crate) fn put(&self, job: JobId, history: Arc<History>) {
        let mut last = self.last();
        last.insert(job, history);
        let mut bytes: usize = last.values().map(|history| history.bytes()).sum();
        while bytes > MEMORY_BYTES
            && last.len() > 1
            && let Some((_, oldest)) = last.pop_first()
        {
            bytes -= oldest.bytes();
        }
    }

    /// A job is not remembered any more, nor is what became of it, in memory; on the disk it goes when the next one is written.
    pub(crate) fn forget(&self, job: JobId) {
        self.last().remove(&job);
    }

    /// Writes the history of a job to the disk, and removes those of jobs before the `oldest` that is remembered. What cannot be
    /// written is told, and left out.
    pub(crate) fn write(&self, job: JobId, history: &History, oldest: JobId) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = write(folder, job, history, oldest) {
            tracing::warn!(%error, %job, "the history of a job is not kept on the disk");
        }
    }

    /// The history of an ended job, if it is kept.
    pub(crate) fn get(&self, job: JobId) -> Option<Arc<History>> {
        if let Some(history) = self.last().get(&job) {
            return Some(history.clone());
        }
        let bytes = fs::read(file(self.folder.as_ref()?, job)).ok()?;
        let (content, sum) = bytes.split_last_chunk::<4>()?;
        if crc32fast::hash(content) != u32::from_le_bytes(*sum) {
            return None;
        }
        Some(Arc::new(postcard::from_bytes(content).ok()?))
    }
}

fn file(folder: &Path, job: JobId) -> PathBuf {
    folder.join(format!("{job}.{VERSION}"))
}

fn write(folder: &Path, job: JobId, history: &History, oldest: JobId) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut bytes = postcard::to_allocvec(history).map_err(io::Error::other)?;
    bytes.extend(crc32fast::hash(&bytes).to_le_bytes());
    make_room(folder, bytes.len() as u64, oldest)?;
    let made = folder.join(format!("{job}.new"));
    fs::write(&made, &bytes)?;
    fs::rename(made, file(folder, job))
}

/// Removes the histories of jobs that nobody remembers, and of the jobs that came first, until there is room.
fn make_room(folder: &Path, bytes: u64, oldest: JobId) -> io::Result<()> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix('j')?.split('.').next());
        if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
            files.insert((number, entry.path()), entry.metadata()?.len());
        }
    }
    let mut all: u64 = files.values().sum();
    for ((job, path), length) in files {
        if job >= oldest.0 && all + bytes <= FILES_BYTES {
            break;
        }
        fs::remove_file(path)?;
        all -= length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::tests::history;
    use super::*;

    #[test]
    fn what_is_written_is_there_for_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history");
        let store = Histories::new(Some(path.clone()));
        store.write(JobId(3), &history(), JobId(1));
        let other = Histories::new(Some(path.clone()));
        assert_eq!(*other.get(JobId(3)).unwrap(), history());
        assert!(other.get(JobId(4)).is_none());
        let names: Vec<_> = fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["j3.2"]);
        store.write(JobId(9), &history(), JobId(4));
        assert!(other.get(JobId(3)).is_none() && other.get(JobId(9)).is_some());
    }

    #[test]
    fn a_damaged_file_is_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let store = Histories::new(Some(folder.path().to_owned()));
        store.write(JobId(3), &history(), JobId(1));
        let file = file(folder.path(), JobId(3));
        let mut bytes = fs::read(&file).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            fs::write(&file, &bytes).unwrap();
            assert!(store.get(JobId(3)).is_none(), "{at}");
            bytes[at] ^= 1;
        }
        fs::write(&file, &bytes[..2]).unwrap();
        assert!(store.get(JobId(3)).is_none());
    }

    #[test]
    fn without_a_folder_the_last_ones_are_in_memory() {
        let store = Histories::new(None);
        let mut large = history();
        large.changes = vec![0; MEMORY_BYTES / 4 / 3];
        let large = Arc::new(large);
        for job in 1..=4 {
            store.put(JobId(job), large.clone());
            store.write(JobId(job), &large, JobId(1));
        }
        let there: Vec<bool> = (1..=4).map(|job| store.get(JobId(job)).is_some()).collect();
        assert_eq!(there, [false, false, true, true]);
        store.forget(JobId(4));
        assert!(store.get(JobId(4)).is_none());
    }
}
