//! All that the scheduler knows.

use super::config::Mutation;
use super::job::Job;
use super::outcome::JobEnd;
use super::replicas::Replicas;
use super::rests::RestsOfStages;
use super::sharing::Shares;
use super::time::{Millis, Volatile};
use super::worker::Worker;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::claim::{Claim, Needs};
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
    /// Who shares the slots, and who is next. In its place the first releases wrote the jobs that may start a task.
    #[serde(serialize_with = "no_ready", deserialize_with = "ready_of_old")]
    pub(crate) shares: Volatile<Shares>,
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
    /// Grows whenever a worker has room for more than before.
    pub(crate) room: Volatile<u64>,
    #[cfg(test)]
    pub(crate) planted: Volatile<Option<Mutation>>,
}

/// What of a state is written beside it, for its own encoding is that of the first release; by job.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Later(BTreeMap<JobId, (RestsOfStages, Replicas)>);

/// What of a state is written behind that: what jobs claim, of those that claim anything, and whether they wait; and the
/// labels of workers that have any.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Claims {
    jobs: BTreeMap<JobId, (Claim, bool)>,
    workers: BTreeMap<WorkerId, Vec<String>>,
}

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
            shares: Volatile::default(),
            draining: BTreeSet::new(),
            aside: BTreeSet::new(),
            last_job: JobId(0),
            last_worker: WorkerId(0),
            slots: 0,
            backups: 0,
            touched: Volatile::default(),
            struck: Volatile::default(),
            look_at_draining: Volatile::default(),
            room: Volatile::default(),
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

    /// What is to be written behind that.
    pub(crate) fn claims(&self) -> Claims {
        let claims = |job: &Job| job.claim != Claim::default() || job.waits;
        let jobs = self.jobs.iter().filter(|(_, job)| claims(job));
        let workers = self.workers.iter().chain(&self.lost);
        let labelled = workers.filter(|(_, worker)| !worker.labels.is_empty());
        Claims {
            jobs: jobs.map(|(&id, job)| (id, (job.claim.clone(), job.waits))).collect(),
            workers: labelled.map(|(&id, worker)| (id, worker.labels.clone())).collect(),
        }
    }

    /// With what was written behind that.
    pub(crate) fn with_claims(mut self, claims: Claims) -> State {
        for (id, (claim, waits)) in claims.jobs {
            if let Some(job) = self.jobs.get_mut(&id) {
                (job.claim, job.waits) = (claim, waits);
            }
        }
        for (id, labels) in claims.workers {
            let worker = self.workers.get_mut(&id).or_else(|| self.lost.get_mut(&id));
            if let Some(worker) = worker {
                worker.labels = labels;
            }
        }
        self
    }

    /// Counts anew who has what: of a state that was read, or made by other settings.
    pub(crate) fn count_shares(&mut self, mut shares: Shares) {
        for job in self.jobs.values_mut() {
            job.enter(&mut shares);
        }
        for (&id, worker) in self.workers.iter().chain(&self.lost) {
            for running in &worker.running {
                let task = running.attempt.task;
                shares.begun(task.job, self.slots_of(task, id));
            }
        }
        for (&id, job) in &self.jobs {
            shares.set_ready(id, job.ready());
        }
        self.shares = Volatile(shares);
    }

    /// Counts anew who has what, by the settings of another one.
    pub(crate) fn count_shares_of(&mut self, other: &State) {
        let policy = other.shares.0.policy().clone();
        self.count_shares(Shares::new(policy, Millis(0)));
    }

    /// By job: the slots that it has, what it has to start, and whether it waits. That follows from the rest.
    pub(crate) fn standing(&self) -> Vec<(JobId, u64, Vec<Needs>, bool)> {
        self.shares.0.standing()
    }

    /// The slots that an attempt of a task takes of a worker.
    pub(crate) fn slots_of(&self, task: TaskId, worker: WorkerId) -> u32 {
        let Some(job) = self.jobs.get(&task.job) else { return 1 };
        if job.claim.needs.is_empty() || self.planted(Mutation::CountWideAsOne) {
            return 1;
        }
        let worker = self.workers.get(&worker).or_else(|| self.lost.get(&worker));
        let needs = job.group_of(task).map(|group| job.needs_of(group));
        let slots = worker.and_then(|worker| worker.slots_for(&needs.unwrap_or_default()));
        slots.unwrap_or(1)
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
            let has_more = match (before, after) {
                (None, Some(_)) => true,
                (Some(before), Some(after)) => after < before,
                _ => false,
            };
            self.room.0 += u64::from(has_more);
            if let Some(used) = before {
                self.free.remove(&(used, id));
            }
            if let Some(used) = after {
                self.free.insert((used, id));
            }
        }
    }

    /// Changes a job, and notes what it may start then.
    pub(crate) fn change_job(&mut self, id: JobId, change: impl FnOnce(&mut Job)) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        change(job);
        let ready = job.ready();
        if ready != self.shares.0.ready_of(id) {
            self.shares.0.set_ready(id, ready);
        }
    }
}

/// An empty list, where there were once the jobs that may start a task.
fn no_ready<S: Serializer>(_: &Volatile<Shares>, serializer: S) -> Result<S::Ok, S::Error> {
    BTreeSet::<(u64, JobId)>::new().serialize(serializer)
}

/// Passes over the jobs that may start a task: that follows from the rest.
fn ready_of_old<'de, D: Deserializer<'de>>(from: D) -> Result<Volatile<Shares>, D::Error> {
    BTreeSet::<(u64, JobId)>::deserialize(from).map(|_| Volatile::default())
}
