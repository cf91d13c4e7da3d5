//! Why a job did what it did: the events that its scheduler was told are told to another one once more, and each decision
//! is looked at as it is made.

mod account;
mod log;
mod spans;
mod text;

pub(crate) use log::{EventLog, Kept};

use crate::scheduler::{Config, Decision, Scheduler};
pub(crate) use account::Account;
use log::Entry;
use std::collections::BTreeMap;
use windrow_protocol::ids::{JobId, TaskId};

/// Why a job cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExplainError {
    /// Its events are not kept, or no more.
    #[error(
        "what happened to job {0} is not kept any more: the events of the jobs that ran last are, as far as there is room"
    )]
    NotKept(JobId),
    /// There is no such task.
    #[error("job {job} had no task {task} by then; `explain {job}` tells of its stages")]
    NoTask {
        /// The job.
        job: JobId,
        /// The task.
        task: TaskId,
    },
    /// The scheduler decides something else than it did.
    #[error(
        "what happened to job {0} cannot be told: the scheduler decides {1} outcomes now where it decided {2} then, a defect of the engine"
    )]
    Differs(JobId, usize, u32),
}

/// Why a job, or one task of it, did what it did; `has_ended` says whether the job has by now. Blocks on the disk, and computes for a while.
///
/// # Errors
/// [`ExplainError`].
pub(crate) fn explain(
    kept: Kept,
    job: JobId,
    task: Option<TaskId>,
    has_ended: bool,
) -> Result<String, ExplainError> {
    let mut account = account_of(kept, job)?;
    account.has_ended = has_ended;
    match task {
        None => Ok(text::of_job(&account)),
        Some(task) => text::of_task(&account, task).ok_or(ExplainError::NoTask { job, task }),
    }
}

pub(crate) fn account_of(kept: Kept, job: JobId) -> Result<Account, ExplainError> {
    let mut again = Again {
        config: Config::default(),
        schedulers: BTreeMap::new(),
        account: None,
        job,
        differs: None,
    };
    kept.read(|entry| again.entry(entry));
    match (again.differs, again.account) {
        (Some(error), _) => Err(error),
        (None, Some(account)) if !account.name.is_empty() => Ok(account),
        _ => Err(ExplainError::NotKept(job)),
    }
}

/// The schedulers, as they are told everything once more.
struct Again {
    config: Config,
    schedulers: BTreeMap<String, Scheduler>,
    account: Option<Account>,
    job: JobId,
    differs: Option<ExplainError>,
}

impl Again {
    fn entry(&mut self, entry: Entry) {
        match entry {
            _ if self.differs.is_some() => {}
            Entry::Start(start) => {
                self.config = start.config;
                for (state, ..) in start.schedulers.values() {
                    let account =
                        self.account.get_or_insert_with(|| Account::new(self.job, start.now));
                    if state.jobs.contains_key(&self.job) {
                        account.go_on(state, start.now);
                    }
                }
                let resumed = start.schedulers.into_iter().map(|(build, known)| {
                    let (state, (later, claims), measured) = known;
                    let state = state.with(later).with_claims(claims);
                    (build, Scheduler::resumed(self.config.clone(), state, measured))
                });
                self.schedulers = resumed.collect();
            }
            // It may have been decided by a process that did not keep it: the next start tells.
            _ if self.account.as_ref().is_some_and(|of| of.ended.is_some()) => {}
            Entry::Closed(build) => drop(self.schedulers.remove(&build)),
            Entry::Told { build, now, event, outcomes } => {
                let fresh = || Scheduler::new(self.config.clone());
                let scheduler = self.schedulers.entry(build).or_insert_with(fresh);
                let account = self.account.get_or_insert_with(|| Account::new(self.job, now));
                if scheduler.state().jobs.contains_key(&self.job) {
                    account.time(scheduler.state(), now);
                }
                let mut decided = Vec::new();
                let mut watch = |decision: &Decision<'_>| account.decided(decision);
                scheduler.handle_watched(&event, now, &mut decided, &mut Some(&mut watch));
                if decided.len() != outcomes as usize {
                    self.differs = Some(ExplainError::Differs(self.job, decided.len(), outcomes));
                }
            }
        }
    }
}
