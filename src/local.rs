//! Runs jobs in this process.

use crate::error::RunError;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;
use windrow_datasets::commit::WriteMode;
use windrow_datasets::memory::{self, Budget};
use windrow_datasets::spill::Spills;
use windrow_datasets::storage::Storage;
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::{Combining, Memory};
use windrow_jobs::{Flow, Job, Outcome};
use windrow_worker::local::{LocalJob, LocalOptions};

/// Runs jobs in this process, on threads of its own. Has no command line, no global state, and ends no process.
///
/// ```
/// use windrow::Local;
///
/// let outcome = Local::new().run_plan("numbers", |flow| {
///     flow.from_iter(1..=100u64).filter(|n| n % 7 == 0).count().collect("sevens")
/// })?;
/// assert_eq!(outcome.rows::<u64>("sevens")?, [14]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Local {
    threads: Option<usize>,
    memory: Option<u64>,
    scratch: Vec<PathBuf>,
    combining: Combining,
    mode: WriteMode,
    bad_records_max: u32,
    storage: Storage,
}

impl Local {
    /// As many threads as the machine has; output that is there already is refused.
    pub fn new() -> Local {
        Local::default()
    }

    /// So many threads.
    #[must_use]
    pub fn threads(self, threads: usize) -> Local {
        Local { threads: Some(threads.max(1)), ..self }
    }

    /// The memory that this process may have, in bytes; three quarters of the machine's, if it is not said. What does not
    /// fit goes to scratch. It is a budget that operators keep to, and no limit that ends a job.
    #[must_use]
    pub fn memory(self, bytes: u64) -> Local {
        Local { memory: Some(bytes), ..self }
    }

    /// The folders for what does not fit the memory, used by turns; that of the system for temporary files, if there are
    /// none.
    #[must_use]
    pub fn scratch(self, folders: impl IntoIterator<Item = PathBuf>) -> Local {
        Local { scratch: folders.into_iter().collect(), ..self }
    }

    /// Whether threads combine rows of a key before exact aggregates add them up; where it pays, if it is not said. The
    /// result is the same: it is for measuring and for tests.
    #[must_use]
    pub fn combining(self, combining: Combining) -> Local {
        Local { combining, ..self }
    }

    /// What is done about output that is there already.
    #[must_use]
    pub fn mode(self, mode: WriteMode) -> Local {
        Local { mode, ..self }
    }

    /// So many records of sources may be left out at which the job's code fails, by a panic or an error, or that cannot be
    /// parsed: rows of CSV and JSON, and lines that are not UTF-8.
    /// They are listed in the manifests of the outputs. A job that leaves out none fails at the first. Where some may be,
    /// sources are read twice.
    #[must_use]
    pub fn skip_bad_records(self, most: u32) -> Local {
        Local { bad_records_max: most, ..self }
    }

    /// Other storage than one of its own: with clients that were set, say.
    #[must_use]
    pub fn storage(self, storage: Storage) -> Local {
        Local { storage, ..self }
    }

    /// Runs a job.
    ///
    /// # Errors
    /// Why it did not succeed; nothing of its output is left then.
    pub fn run<J: Job>(&self, job: &J) -> Result<Outcome, RunError> {
        Ok(self.prepare(Plan::of(job)?).run()?)
    }

    /// Runs the plan that a function makes, which is no job of its own: for tests and small programs.
    ///
    /// # Errors
    /// As for [`Local::run`].
    pub fn run_plan(
        &self,
        name: &str,
        plan: impl FnOnce(&Flow) -> windrow_jobs::Result<()>,
    ) -> Result<Outcome, RunError> {
        Ok(self.prepare(Plan::from_fn(name, plan)?).run()?)
    }

    /// The job of a plan, ready to run.
    pub(crate) fn prepare(&self, plan: Plan) -> LocalJob {
        let threads = self.threads.unwrap_or_else(threads);
        let memory = Memory {
            budget: Budget::of_process(self.memory.unwrap_or_else(memory::of_machine)),
            spills: Spills::to(self.scratch.clone()),
        };
        let (combining, mode) = (self.combining, self.mode);
        let (bad_records_max, short_id) = (self.bad_records_max, short_id());
        let options = LocalOptions { threads, memory, combining, mode, short_id, bad_records_max };
        LocalJob::new(plan, self.storage.clone(), options)
    }
}

/// Threads that compute, if it is not said how many: as many as the machine has.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// A short id that no other job has, in all likelihood: 10 digits of base 32.
pub(crate) fn short_id() -> String {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    hasher.write_u128(now.map_or(0, |now| now.as_nanos()));
    let bits = hasher.finish();
    let digit = |at: u32| {
        const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        char::from(DIGITS[(bits >> (5 * at)) as usize % 32])
    };
    (0..10).map(digit).collect()
}
