//! Snapshots: all that the coordinator knows in one piece, so that the records before it can go, and a restart need not read
//! them.

use super::core::Core;
use super::job::Job;
use super::worker::Worker;
use crate::scheduler::{HostId, Millis, State};
use std::collections::{BTreeMap, VecDeque};
use windrow_protocol::ids::{JobId, WorkerId};

/// The version of the encoding. Another one is not read: a coordinator of the release that wrote it has to bring its jobs to
/// their end first.
const VERSION: u32 = 1;

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
        match postcard::to_allocvec(&(VERSION, now, states, tables)) {
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
        if version != VERSION {
            return Err(format!(
                "a snapshot of version {version}, and this release reads {VERSION}: start the release that wrote it, and let its jobs end"
            ));
        }
        let (now, states, tables): (Millis, States, Tables) =
            postcard::from_bytes(rest).map_err(failed)?;
        let (jobs, workers);
        (jobs, self.ended, workers, self.gone, self.hosts, (self.next_job, self.next_worker)) =
            tables;
        self.snapshot = bytes.len() as u64;
        for (id, job) in jobs {
            self.has_job(id, job);
        }
        for (id, worker) in workers {
            self.has_worker(id, worker);
        }
        Ok((now, states))
    }

    /// Has a job in all tables.
    pub(super) fn has_job(&mut self, id: JobId, mut job: Job) {
        job.measure_details();
        self.job_tokens.insert(job.submission.token, id);
        if job.is_running() {
            self.pool(&job.submission.binary.build).jobs.insert(id);
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
