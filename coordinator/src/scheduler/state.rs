//! All that the scheduler knows.

use super::config::Mutation;
use super::job::Job;
use super::outcome::JobEnd;
use super::replicas::Replicas;
use super::rests::RestsOfStages;
use super::time::Volatile;
use super::worker::Worker;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::ids::{JobId, TaskId, WorkerId};

/// Ended jobs that are remembered. It is no setting, for a recovered state is to be the same.
pub(crate) const ENDED_JOBS_MAX: usize = 1_000;

/// All that the scheduler knows: a fold of outcomes, and beside it what no outcome carries, which equality does not
/// look at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) ended: BTreeMap<JobId, Ended>,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    /// Lost workers whose attempts have not all ended yet.
    pub(crate) lost: BTreeMap<WorkerId, Worker>,
    /// Workers with a free slot, the least loaded first.
    pub(crate) free: BTreeSet<(u32, WorkerId)>,
    /// Jobs that may start a task, the least served first.
    pub(crate) ready: BTreeSet<(u64, JobId)>,
    pub(crate) draining: BTreeSet<WorkerId>,
    /// Workers that are set aside.
    pub(crate) aside: BTreeSet<WorkerId>,
    pub(crate) last_job: JobId,
    pub(crate) last_worker: WorkerId,
    pub(crate) slots: u64,
    pub(crate) backups: u64,
    /// Jobs of which something may follow.
    pub(crate) touched: Volatile<BTreeSet<JobId>>,
    /// Workers on which a task has failed since that was looked at.
    pub(crate) struck: Volatile<BTreeSet<WorkerId>>,
    /// Whether a draining worker may be done.
    pub(crate) look_at_draining: Volatile<bool>,
    #[cfg(test)]
    pub(crate) planted: Volatile<Option<Mutation>>,
}

/// What of a state is written beside it, for its own encoding is that of the first release; by job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Later(BTreeMap<JobId, (RestsOfStages, Replicas)>);

/// A job that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// What a person reads.
    pub name: String,
    /// How it ended.
    pub end: JobEnd,
}

impl Default for State {
    fn default() -> State {
        State {
            jobs: BTreeMap::new(),
            ended: BTreeMap::new(),
            workers: BTreeMap::new(),
            lost: BTreeMap::new(),
            free: BTreeSet::new(),
            ready: BTreeSet::new(),
            draining: BTreeSet::new(),
            aside: BTreeSet::new(),
            last_job: JobId(0),
            last_worker: WorkerId(0),
            slots: 0,
            backups: 0,
            touched: Volatile::default(),
            struck: Volatile::default(),
            look_at_draining: Volatile::default(),
            #[cfg(test)]
            planted: Volatile::default(),
        }
    }
}

impl State {
    /// The fold of outcomes.
    pub fn of(outcomes: &[super::Outcome]) -> State {
        let mut state = State::default();
        for outcome in outcomes {
            super::apply(&mut state, outcome);
        }
        state
    }

    /// What is to be written beside it.
    pub(crate) fn later(&self) -> Later {
        let of = |job: &Job| (job.rests.clone(), job.replicas.clone());
        Later(self.jobs.iter().map(|(&id, job)| (id, of(job))).collect())
    }

    /// With what was written beside it.
    pub(crate) fn with(mut self, later: Later) -> State {
        for (id, (rests, replicas)) in later.0 {
            if let Some(job) = self.jobs.get_mut(&id) {
                (job.rests, job.replicas) = (rests, replicas);
            }
        }
        self
    }

    /// Whether a defect is planted.
    pub(crate) fn planted(&self, mutation: Mutation) -> bool {
        #[cfg(test)]
        let planted = self.planted.0 == Some(mutation);
        #[cfg(not(test))]
        let planted = {
            let _ = mutation;
            false
        };
        planted
    }

    /// How many workers take work.
    pub(crate) fn takers(&self) -> usize {
        let neither = self.workers.len() - self.draining.len();
        neither - self.aside.difference(&self.draining).count()
    }

    /// The job and the group of a task of a job that has not ended, if it is there.
    pub(crate) fn find(&self, task: TaskId) -> Option<(&Job, u32)> {
        let job = self.jobs.get(&task.job)?;
        let group = job.group_of(task)?;
        job.groups[group as usize].tasks.get(task.partition as usize)?;
        Some((job, group))
    }

    /// Changes a worker, and notes whether it has a free slot then.
    pub(crate) fn change_worker(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker)) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let before = worker.is_free().then_some(worker.used);
        change(worker);
        let after = worker.is_free().then_some(worker.used);
        if before != after {
            if let Some(used) = before {
                self.free.remove(&(used, id));
            }
            if let Some(used) = after {
                self.free.insert((used, id));
            }
        }
    }

    /// Changes a job, and notes whether it may start a task then, and how much of the slots it has.
    pub(crate) fn change_job(&mut self, id: JobId, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let before = job.ready().then(|| share(job));
        change(job);
        let after = job.ready().then(|| share(job));
        if before != after {
            if let Some(share) = before {
                self.ready.remove(&(share, id));
            }
            if let Some(share) = after {
                self.ready.insert((share, id));
            }
        }
    }
}

/// The slots that a job has, against its weight.
pub(crate) fn share(job: &Job) -> u64 {
    (u64::from(job.running) << 20) / u64::from(job.weight)
}
