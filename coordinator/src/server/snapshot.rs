//! Snapshots: all that the coordinator knows in one piece, so that the records before it can go, and a restart need not read
//! them.

use super::binaries::JobBinary;
use super::core::Core;
use super::job::Job;
use super::worker::Worker;
use crate::scheduler::{Claims, HostId, Later, Millis, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use windrow_protocol::claim::Claim;
use windrow_protocol::ids::{JobId, WorkerId};
use windrow_protocol::rests::Rests;

/// The version of the encoding. A later one is not read: a coordinator of the release that wrote it has to bring its jobs to
/// their end first. Version 1 has no [`More`], version 2 no [`Binaries`], version 3 no
/// [`Events`], and version 4 no [`Claimed`].
const VERSION: u32 = 5;

/// The most bytes of a snapshot; what would be longer is not written.
const BYTES_MAX: usize = 1 << 29;

/// What it has beside the version, the time and the states of schedulers.
type Tables = (
    BTreeMap<JobId, Job>,
    VecDeque<JobId>,
    BTreeMap<WorkerId, Worker>,
    VecDeque<WorkerId>,
    BTreeMap<String, HostId>,
    (u64, u64),
);

/// The states of the schedulers, by build.
pub(super) type States = BTreeMap<String, State>;

/// What is written beside states and jobs.
#[derive(Default, Serialize, Deserialize)]
struct More {
    /// By build.
    states: BTreeMap<String, Later>,
    /// By stage, of jobs that have any.
    rests: BTreeMap<JobId, Vec<Rests>>,
}

/// What is written behind it: the binaries of jobs that any worker runs.
type Binaries = BTreeMap<JobId, JobBinary>;

/// What is written behind that: how many events there were.
type Events = u64;

/// What is written behind that: what jobs claim.
#[derive(Default, Serialize, Deserialize)]
struct Claimed {
    /// By build.
    states: BTreeMap<String, Claims>,
    /// Of jobs that claim anything, also of those that have ended.
    jobs: BTreeMap<JobId, Claim>,
    /// Of workers that have any.
    labels: BTreeMap<WorkerId, Vec<String>>,
}

impl Core {
    /// Makes a snapshot, if the journal has grown so much that one pays.
    pub(super) fn snapshot_if_due(&mut self, now: Millis) {
        let Some(journal) = self.journal.clone() else { return };
        // What is written, and what is read again, is then no more than twice what it would be at least.
        if journal.bytes_since_snapshot() < self.config.snapshot_bytes.max(self.snapshot) {
            return;
        }
        let states = self.pools.iter().map(|(build, pool)| (build, pool.scheduler.state()));
        let states: BTreeMap<_, _> = states.collect();
        let (jobs, ended) = (&self.jobs, &self.ended);
        let (workers, gone, hosts) = (&self.workers, &self.gone, &self.hosts);
        let next = (self.next_job, self.next_worker);
        let tables = (jobs, ended, workers, gone, hosts, next);
        let more = More {
            states: states.iter().map(|(build, state)| ((*build).clone(), state.later())).collect(),
            rests: jobs.iter().filter_map(|(&id, job)| Some((id, job.rests()?))).collect(),
        };
        let binaries = jobs.iter().filter_map(|(&id, job)| Some((id, job.binary.clone()?)));
        let binaries: Binaries = binaries.collect();
        let events: Events = self.bus.cursor().number;
        let claims = |(build, state): (&&String, &&State)| ((*build).clone(), state.claims());
        let of_jobs = jobs.iter().filter(|(_, job)| job.claim != Claim::default());
        let labels = workers.iter().filter(|(_, worker)| !worker.labels.is_empty());
        let claimed = Claimed {
            states: states.iter().map(claims).collect(),
            jobs: of_jobs.map(|(&id, job)| (id, job.claim.clone())).collect(),
            labels: labels.map(|(&id, worker)| (id, worker.labels.clone())).collect(),
        };
        let all = (VERSION, now, states, tables, more, binaries, events, claimed);
        match postcard::to_allocvec(&all) {
            Ok(bytes) if bytes.len() <= BYTES_MAX => {
                tracing::debug!(bytes = bytes.len(), "a snapshot");
                self.snapshot = bytes.len() as u64;
                journal.snapshot(&bytes);
            }
            Ok(bytes) => {
                tracing::warn!(bytes = bytes.len(), "too much for a snapshot: the journal grows");
                self.snapshot = journal.bytes_since_snapshot();
            }
            // There is nothing in it that cannot be encoded.
            Err(error) => tracing::error!(%error, "a snapshot cannot be encoded: a defect"),
        }
    }

    /// Knows what a snapshot says. Gives its time, and the states of the schedulers.
    ///
    /// # Errors
    /// What is not understood.
    pub(super) fn restore(&mut self, bytes: &[u8]) -> Result<(Millis, States), String> {
        let failed = |error| format!("a snapshot: {error}");
        let (version, rest): (u32, _) = postcard::take_from_bytes(bytes).map_err(failed)?;
        if !(1..=VERSION).contains(&version) {
            return Err(format!(
                "a snapshot of version {version}, and this release reads up to {VERSION}: start the release that wrote it, and let its jobs end"
            ));
        }
        let ((now, states, tables), rest): ((Millis, States, Tables), &[u8]) =
            postcard::take_from_bytes(rest).map_err(failed)?;
        let (mut more, rest) = match version {
            1 => (More::default(), rest),
            _ => postcard::take_from_bytes(rest).map_err(failed)?,
        };
        let (mut binaries, rest) = match version {
            1 | 2 => (Binaries::new(), rest),
            _ => postcard::take_from_bytes(rest).map_err(failed)?,
        };
        let (events, rest): (Events, _) = match version {
            1..=3 => (0, rest),
            _ => postcard::take_from_bytes(rest).map_err(failed)?,
        };
        let mut claimed = match version {
            1..=4 => Claimed::default(),
            _ => postcard::from_bytes(rest).map_err(failed)?,
        };
        self.bus.goes_on_after(events);
        let with_later = |(build, state): (String, State)| {
            let later = more.states.remove(&build).unwrap_or_default();
            let claims = claimed.states.remove(&build).unwrap_or_default();
            (build, state.with(later).with_claims(claims))
        };
        let states = states.into_iter().map(with_later).collect();
        let (jobs, workers);
        (jobs, self.ended, workers, self.gone, self.hosts, (self.next_job, self.next_worker)) =
            tables;
        self.snapshot = bytes.len() as u64;
        for (id, mut job) in jobs {
            job.with_rests(more.rests.remove(&id).unwrap_or_default());
            job.binary = binaries.remove(&id);
            job.claim = claimed.jobs.remove(&id).unwrap_or_default();
            job.history.begins_late(job.attempts_so_far());
            self.has_job(id, job);
        }
        for (id, mut worker) in workers {
            worker.labels = claimed.labels.remove(&id).unwrap_or_default();
            self.has_worker(id, worker);
        }
        Ok((now, states))
    }

    /// Has a job in all tables.
    pub(super) fn has_job(&mut self, id: JobId, mut job: Job) {
        job.measure_details();
        self.job_tokens.insert(job.submission.token, id);
        if job.is_running() {
            self.pool(&job.pool()).jobs.insert(id);
        }
        self.jobs.insert(id, job);
    }

    /// Has a worker in all tables.
    pub(super) fn has_worker(&mut self, id: WorkerId, worker: Worker) {
        self.worker_tokens.insert(worker.hello.token, id);
        if worker.is_alive() {
            self.pool(&worker.hello.binary.build).alive.insert(id);
        }
        self.workers.insert(id, worker);
    }
}
