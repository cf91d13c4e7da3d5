//! What the scheduler decided: the only thing that changes its durable state, and all that the journal holds.
//!
//! The state is a fold of outcomes. The driver does its input and output on outcomes alone: it tells workers what is
//! assigned and revoked, and clients how jobs end.

use super::event::{HostId, SplitInfo, Written};
use super::time::Millis;
use serde::{Deserialize, Serialize};
use windrow_protocol::claim::Claim;
use windrow_protocol::failure::{Blame, Failure};
use windrow_protocol::ids::{AttemptId, JobId, LaneRange, StageId, TaskId, WorkerId};
use windrow_protocol::parts::Part;
use windrow_protocol::shape::{Cut, JobShape, LookUp};

/// Something decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A job is taken on.
    JobAdmitted {
        /// The job.
        job: JobId,
        /// What a person reads.
        name: String,
        /// Its share of the slots.
        weight: u32,
        /// The shape of its plan.
        shape: Box<JobShape>,
        /// What it claims of the cluster.
        claim: Claim,
        /// Whether it waits, for its queue or its user has as many jobs that run as may.
        waits: bool,
    },
    /// A job is not taken on. Changes nothing.
    JobRefused {
        /// The job.
        job: JobId,
        /// What is wrong with it.
        why: String,
    },
    /// A split task's page of splits has arrived.
    SplitsAdded {
        /// The attempt that lists them.
        attempt: AttemptId,
        /// Which page of it.
        page: u32,
        /// The splits.
        splits: Vec<SplitInfo>,
    },
    /// One side of a join is small enough: the rows of the other side will be looked up in it as they come.
    LookedUp {
        /// The job.
        job: JobId,
        /// Which rows, and in what.
        lookup: LookUp,
    },
    /// The size of a stage's input is known: it has its tasks.
    StageOpened {
        /// The job.
        job: JobId,
        /// The stage.
        stage: StageId,
        /// The number of its tasks.
        tasks: u32,
        /// How the shuffles that it reads are cut; `None` for a stage that reads a source.
        cut: Option<Cut>,
        /// What of them each task reads; empty where each has a partition of the cut.
        parts: Vec<Part>,
    },
    /// A worker has an attempt to run. It is a lease: it ends with the worker's.
    Assigned {
        /// The attempt.
        attempt: AttemptId,
        /// The worker.
        worker: WorkerId,
        /// The lanes of the task that it covers.
        lanes: LaneRange,
        /// Whether another attempt of the task is running already.
        backup: bool,
    },
    /// An attempt is no longer wanted.
    Revoked {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that runs it.
        worker: WorkerId,
        /// Why.
        why: RevokeReason,
    },
    /// An attempt has ended without a commit.
    AttemptEnded {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that ran it.
        worker: WorkerId,
        /// How it ended.
        failure: Box<Failure>,
        /// Who is charged with it.
        charge: Blame,
    },
    /// An attempt is done, and its output is the task's.
    TaskCommitted {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that ran it, and has its map output.
        worker: WorkerId,
        /// What it wrote into shuffles.
        written: Vec<Written>,
    },
    /// A committed task has to run again, for its output is gone and still needed.
    TaskReopened {
        /// The task.
        task: TaskId,
        /// The number of the attempt whose output is gone.
        number: u32,
        /// Why.
        why: ReopenReason,
    },
    /// A worker is taken on.
    WorkerJoined {
        /// The worker.
        worker: WorkerId,
        /// How many attempts it runs at once.
        slots: u32,
        /// Memory for records, in bytes.
        memory: u64,
        /// The host it is on.
        host: HostId,
        /// The build of its supervisor.
        build: Box<str>,
        /// What is special about it.
        labels: Vec<String>,
    },
    /// A worker is lost, however that was noticed. Its attempts end and its outputs are made again next.
    WorkerLost {
        /// The worker.
        worker: WorkerId,
        /// How it was noticed.
        why: LossReason,
    },
    /// A worker gets no more work.
    WorkerDraining {
        /// The worker.
        worker: WorkerId,
        /// Whether its outputs are made again elsewhere.
        hand_over: bool,
    },
    /// A draining worker is not needed any more and may end.
    WorkerDrained {
        /// The worker.
        worker: WorkerId,
    },
    /// All of a job's tasks are committed: its output becomes visible, whatever happens now.
    CommitDecided {
        /// The job.
        job: JobId,
    },
    /// A job has ended.
    JobEnded {
        /// The job.
        job: JobId,
        /// How.
        end: JobEnd,
    },
    /// Too many tasks have failed on a worker, one after the other: it gets no work for a while.
    WorkerSetAside {
        /// The worker.
        worker: WorkerId,
        /// Until then.
        until: Millis,
    },
    /// A worker that was set aside gets work again.
    WorkerBack {
        /// The worker.
        worker: WorkerId,
    },
    /// A slow attempt is asked to give up lanes that it has not begun. Changes nothing.
    RestAsked {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that runs it.
        worker: WorkerId,
        /// How many of these lanes it keeps, in thousandths.
        keep_permille: u16,
    },
    /// An attempt has given up lanes: its task has no more than the others, and they are a task of their own.
    RestSplitOff {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that runs it.
        worker: WorkerId,
        /// The first lane that it has given up.
        from: u32,
        /// The partition of the new task, which is the last of its stage.
        rest: u32,
    },
    /// What a committed attempt wrote took long to make: another worker is to copy it.
    ReplicaOrdered {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that has it.
        from: WorkerId,
        /// The worker that is to have a replica.
        to: WorkerId,
    },
    /// A worker has made the replica that was ordered.
    Replicated {
        /// The attempt whose output it is.
        attempt: AttemptId,
        /// The worker.
        worker: WorkerId,
    },
    /// A replica cannot be made.
    ReplicaGone {
        /// The attempt.
        attempt: AttemptId,
        /// The worker that was to make it.
        worker: WorkerId,
    },
    /// The output of a task is gone from the worker that had it, and its replica is the task's output from now on.
    ReplicaUsed {
        /// The attempt whose output it is.
        attempt: AttemptId,
        /// The worker that has the replica.
        worker: WorkerId,
    },
    /// A job that waited has a place in its queue.
    JobStarts {
        /// The job.
        job: JobId,
    },
}

/// Why an attempt is no longer wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RevokeReason {
    /// The other attempt of its task was done first.
    OtherWon,
    /// Its job has ended.
    JobEnded,
    /// Its slot is for somebody who had none for long: its task runs again later.
    Preempted,
}

/// Why a committed task has to run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReopenReason {
    /// The worker that had its output is gone.
    WorkerGone,
    /// A reader found a block missing or damaged.
    BlockLost,
}

/// How the loss of a worker was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LossReason {
    /// It was not heard for the length of a lease.
    LeaseEnded,
    /// It said goodbye, or its death was seen.
    Left,
}

impl LossReason {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            LossReason::LeaseEnded => "it was not heard for the length of its lease",
            LossReason::Left => "it has left",
        }
    }
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobEnd {
    /// All is done, and committed.
    Succeeded,
    /// A task could not be done.
    Failed {
        /// The task.
        task: TaskId,
        /// What its attempts ended with, in order.
        causes: Vec<Cause>,
    },
    /// Somebody asked for it.
    Cancelled,
}

/// An attempt that ended without a commit, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cause {
    /// The attempt.
    pub attempt: AttemptId,
    /// The worker that ran it.
    pub worker: WorkerId,
    /// Why it ended.
    pub failure: Failure,
}
