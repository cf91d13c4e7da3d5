//! Which blocks a worker has, and the files that are open.

use super::{BlockError, BlockFile, BlockFolders};
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use windrow_protocol::ids::{AttemptId, JobId, ShuffleId};

type ByJob = HashMap<JobId, HashMap<(AttemptId, ShuffleId), PathBuf>>;

/// The block files of a supervisor, by attempt and shuffle. A job's are dropped when it is over.
pub struct Blocks {
    /// Those of all jobs.
    roots: Vec<PathBuf>,
    jobs: Mutex<ByJob>,
    open: OpenFiles,
}

impl Blocks {
    /// None as yet; those of a job will be in folders of its own, one in each of `roots`.
    pub fn new(roots: impl IntoIterator<Item = PathBuf>) -> Blocks {
        let roots = roots.into_iter().collect();
        Blocks { roots, jobs: Mutex::default(), open: OpenFiles::new(256) }
    }

    fn lock(&self) -> MutexGuard<'_, ByJob> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folders for a job's block files.
    pub fn folders(&self, job: JobId) -> BlockFolders {
        BlockFolders::new(self.roots.iter().map(|root| root.join(job.to_string())))
    }

    /// An attempt has written this file.
    pub fn add(&self, attempt: AttemptId, shuffle: ShuffleId, path: PathBuf) {
        self.lock().entry(attempt.task.job).or_default().insert((attempt, shuffle), path);
    }

    /// The file with an attempt's blocks of a shuffle, if the worker has it.
    pub fn path(&self, attempt: AttemptId, shuffle: ShuffleId) -> Option<PathBuf> {
        self.lock().get(&attempt.task.job)?.get(&(attempt, shuffle)).cloned()
    }

    /// The same, open. Blocks on the disk.
    ///
    /// # Errors
    /// If the file cannot be opened or is damaged.
    pub fn open(
        &self,
        attempt: AttemptId,
        shuffle: ShuffleId,
    ) -> Result<Option<Arc<BlockFile>>, BlockError> {
        self.path(attempt, shuffle).map(|path| self.open.open(&path)).transpose()
    }

    /// The same, if it is open already.
    pub(crate) fn opened(&self, attempt: AttemptId, shuffle: ShuffleId) -> Option<Arc<BlockFile>> {
        self.open.opened(&self.path(attempt, shuffle)?)
    }

    /// The number of files, of all jobs.
    pub fn len(&self) -> usize {
        self.lock().values().map(HashMap::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A job is over: forgets its files and removes them. Blocks on the disk.
    pub fn drop_job(&self, job: JobId) {
        self.lock().remove(&job);
        for folder in self.folders(job).paths() {
            self.open.forget(folder);
            // What cannot be removed now goes with the scratch folder.
            let _ = std::fs::remove_dir_all(folder);
        }
    }

    /// Forgets and removes the files of all jobs. Blocks on the disk.
    pub fn drop_all(&self) {
        let jobs: Vec<JobId> = self.lock().keys().copied().collect();
        for job in jobs {
            self.drop_job(job);
        }
    }
}

/// Block files that are open, so that they need not be opened for each request; a bounded number.
pub struct OpenFiles {
    most: usize,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    by_path: HashMap<PathBuf, Arc<BlockFile>>,
    /// The paths, in the order in which they were opened.
    order: VecDeque<PathBuf>,
}

impl OpenFiles {
    /// At most so many stay open while nobody reads them.
    pub fn new(most: usize) -> OpenFiles {
        OpenFiles { most, files: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a file, or gives it as it was opened before. Blocks on the disk.
    ///
    /// # Errors
    /// If the file cannot be opened or is damaged.
    pub fn open(&self, path: &Path) -> Result<Arc<BlockFile>, BlockError> {
        if let Some(file) = self.opened(path) {
            return Ok(file);
        }
        let file = Arc::new(BlockFile::open(path)?);
        let mut files = self.lock();
        if files.by_path.insert(path.to_path_buf(), file.clone()).is_none() {
            files.order.push_back(path.to_path_buf());
        }
        while files.order.len() > self.most {
            if let Some(oldest) = files.order.pop_front() {
                files.by_path.remove(&oldest);
            }
        }
        Ok(file)
    }

    /// A file that is open.
    pub(crate) fn opened(&self, path: &Path) -> Option<Arc<BlockFile>> {
        self.lock().by_path.get(path).cloned()
    }

    /// Closes the files in a folder.
    pub fn forget(&self, folder: &Path) {
        let mut files = self.lock();
        files.by_path.retain(|path, _| !path.starts_with(folder));
        files.order.retain(|path| !path.starts_with(folder));
    }
}
