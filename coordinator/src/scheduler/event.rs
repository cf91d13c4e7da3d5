//! What happens to the scheduler.
//!
//! Events may be late, doubled or out of order: a report of an attempt that is not running, or from a worker that is
//! lost, changes nothing.

use serde::{Deserialize, Serialize};
use windrow_protocol::claim::Claim;
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, JobId, ShuffleId, WorkerId};
use windrow_protocol::parts::BucketSizes;
use windrow_protocol::shape::JobShape;

/// A host, numbered by the driver: workers on one host share it, and splits name the hosts that have their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HostId(pub u32);

/// What the scheduler knows of a split. The driver keeps what a worker needs to read it, by (job, stage, index).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitInfo {
    /// Its logical bytes.
    pub bytes: u64,
    /// The number of its lanes.
    pub lanes: u32,
    /// The hosts near its bytes, the best first; mostly none.
    pub hosts: Box<[HostId]>,
}

/// What an attempt wrote into a shuffle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The bytes in all buckets, before they were compressed.
    pub bytes: u64,
    /// About how many of them are in each.
    pub buckets: BucketSizes,
}

/// A job that somebody submits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    /// Its number, given by the driver: above those of all jobs before.
    pub job: JobId,
    /// What a person reads.
    pub name: String,
    /// Its share of the slots, against the other jobs; 0 counts as 1.
    pub weight: u32,
    /// The shape of its plan.
    pub shape: JobShape,
    /// What it claims of the cluster.
    pub claim: Claim,
}

/// What happens to the scheduler.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A job arrives.
    SubmitJob(Box<JobRequest>),
    /// A worker has registered.
    WorkerJoined {
        /// Its number, given by the driver: above those of all workers before.
        worker: WorkerId,
        /// How many attempts it runs at once.
        slots: u32,
        /// Memory for records, in bytes.
        memory: u64,
        /// The host it is on.
        host: HostId,
        /// The build of its supervisor, for people.
        build: Box<str>,
        /// What is special about it: attempts that need a label run on workers that have it.
        labels: Vec<String>,
    },
    /// A worker was heard. Every other event that names a worker as its sender says so too.
    Heartbeat {
        /// The worker.
        worker: WorkerId,
    },
    /// An attempt has done a part of its work.
    Progress {
        /// Who says so.
        worker: WorkerId,
        /// The attempt.
        attempt: AttemptId,
        /// How much of it is done, in thousandths.
        permille: u16,
    },
    /// An attempt that was [asked](super::Outcome::RestAsked) has given up lanes that it had not begun. It may be told many
    /// times.
    LanesGivenUp {
        /// Who says so.
        worker: WorkerId,
        /// The attempt.
        attempt: AttemptId,
        /// The first of them; it has run, or runs, all before.
        from: u32,
    },
    /// A split task has listed some splits.
    SplitsListed {
        /// Who says so.
        worker: WorkerId,
        /// The attempt that lists.
        attempt: AttemptId,
        /// Which page of the attempt's listing this is, from 0. A page other than the next one is ignored.
        page: u32,
        /// The next splits.
        splits: Vec<SplitInfo>,
    },
    /// An attempt is done, and its output is where a commit needs it.
    AttemptDone {
        /// Who says so.
        worker: WorkerId,
        /// The attempt.
        attempt: AttemptId,
        /// The pages that a split task has sent; 0 for other kinds. Ignored until all of them have arrived.
        pages: u32,
        /// What it wrote into shuffles.
        written: Vec<Written>,
        /// The first of the lanes that it has given up, if it has.
        given_up: Option<u32>,
    },
    /// An attempt has failed.
    AttemptFailed {
        /// Who says so.
        worker: WorkerId,
        /// The attempt.
        attempt: AttemptId,
        /// Why.
        failure: Box<Failure>,
    },
    /// A worker that was [told](super::Outcome::ReplicaOrdered) to copy what an attempt wrote has done so, or cannot. It may be
    /// told many times.
    Replicated {
        /// The worker.
        worker: WorkerId,
        /// The attempt.
        attempt: AttemptId,
        /// Whether it has the whole.
        is_whole: bool,
    },
    /// A worker says goodbye, or is known to be dead.
    WorkerLeft {
        /// The worker.
        worker: WorkerId,
    },
    /// Somebody wants a worker to end in good order.
    Drain {
        /// The worker.
        worker: WorkerId,
        /// Whether its map outputs are made again elsewhere at once, rather than served until they are read.
        hand_over: bool,
    },
    /// Somebody wants a job to end.
    Cancel {
        /// The job.
        job: JobId,
    },
    /// Time has passed.
    Tick,
}

impl Event {
    /// The worker that sent it, if one did.
    pub fn sender(&self) -> Option<WorkerId> {
        match self {
            Event::Heartbeat { worker }
            | Event::Progress { worker, .. }
            | Event::LanesGivenUp { worker, .. }
            | Event::Replicated { worker, .. }
            | Event::SplitsListed { worker, .. }
            | Event::AttemptDone { worker, .. }
            | Event::AttemptFailed { worker, .. } => Some(*worker),
            _ => None,
        }
    }
}
