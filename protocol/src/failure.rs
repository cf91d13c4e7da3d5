//! Why an attempt failed: a class that travels as such, and what a person reads.
//!
//! The class decides what the scheduler does (who is to blame, whether another attempt can help); nothing is ever
//! parsed from text.

use crate::ids::{AttemptId, WorkerId};
use crate::task::LeftOut;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailureClass {
    /// The job's own code: a closure that panicked or returned an error.
    UserCode,
    /// The input is not what it should be; another attempt reads the same.
    BadInput,
    /// A shuffle block is gone or its checksum is wrong; see [`Failure::lost`].
    LostBlock,
    /// The worker that ran the attempt died, or its lease ended.
    LostWorker,
    /// The executor that ran the attempt died: an abort, a stack overflow, memory, a kill.
    LostExecutor,
    /// The executor was killed because of another attempt in it, or the worker gave the attempt back for a reason that
    /// is not the attempt's own; it runs again, uncharged.
    Collateral,
    /// Storage erred or stalled; another attempt may succeed.
    Storage,
    /// Memory or scratch space ran out.
    Memory,
    /// The worker's binary is not the one of the job.
    WrongBinary,
    /// Somebody asked for it.
    Cancelled,
    /// A defect of the engine.
    Internal,
    /// The executor died as in [`LostExecutor`](FailureClass::LostExecutor), with other attempts in it: nobody knows
    /// whose fault it was.
    LostExecutorOfSeveral,
}

/// Who is to blame for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Blame {
    /// The task: counts towards the attempts that it has.
    Task,
    /// The worker, or another attempt in the same executor: the task is run again, and its failures of this kind count
    /// apart.
    Worker,
    /// The map task whose block is gone: it runs again; nothing is charged to the reader.
    Producer,
    /// The job as a whole: no other attempt can help.
    Job,
    /// Nobody.
    Nobody,
}

impl FailureClass {
    /// Who is to blame.
    pub fn blame(self) -> Blame {
        match self {
            FailureClass::UserCode
            | FailureClass::Storage
            | FailureClass::Memory
            | FailureClass::LostExecutor
            | FailureClass::Internal => Blame::Task,
            FailureClass::LostWorker | FailureClass::LostExecutorOfSeveral => Blame::Worker,
            FailureClass::LostBlock => Blame::Producer,
            FailureClass::BadInput | FailureClass::WrongBinary => Blame::Job,
            FailureClass::Cancelled | FailureClass::Collateral => Blame::Nobody,
        }
    }
}

impl fmt::Display for FailureClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FailureClass::UserCode => "the job's code failed",
            FailureClass::BadInput => "the input is bad",
            FailureClass::LostBlock => "a shuffle block is lost",
            FailureClass::LostWorker => "the worker is lost",
            FailureClass::LostExecutor | FailureClass::LostExecutorOfSeveral => "the executor died",
            FailureClass::Collateral => "given back",
            FailureClass::Storage => "storage failed",
            FailureClass::Memory => "memory ran out",
            FailureClass::WrongBinary => "the worker runs other code",
            FailureClass::Cancelled => "cancelled",
            FailureClass::Internal => "a defect of the engine",
        })
    }
}

/// Why an attempt failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{class}: {message}")]
pub struct Failure {
    /// What kind of failure it was.
    pub class: FailureClass,
    /// What a person reads: the thing, what went wrong, what to do.
    pub message: String,
    /// The blocks that are gone, for [`FailureClass::LostBlock`]: the attempts that made them, and the worker that
    /// should have had them.
    pub lost: Vec<(AttemptId, WorkerId)>,
}

impl Failure {
    /// A failure without lost blocks.
    pub fn new(class: FailureClass, message: impl Into<String>) -> Failure {
        Failure { class, message: message.into(), lost: Vec::new() }
    }

    /// The job's code fails at more than the `most` records that may be left out; some of them, the first first.
    pub fn too_many_left_out(most: u32, left_out: &[LeftOut]) -> Failure {
        let first: Vec<String> = left_out
            .iter()
            .take(3)
            .map(|LeftOut { place, stage, message }| {
                format!("{message} (at the record of {place}; stage {stage})")
            })
            .collect();
        let text = format!(
            "the job's code fails at more than {most} records, which are those that may be left out (--skip-bad-records); the first: {}",
            first.join("; ")
        );
        // Another attempt would find the same.
        Failure::new(FailureClass::BadInput, text)
    }

    /// The block of `producer` is gone from `worker`.
    pub fn lost_block(
        producer: AttemptId,
        worker: WorkerId,
        message: impl Into<String>,
    ) -> Failure {
        let lost = vec![(producer, worker)];
        Failure { class: FailureClass::LostBlock, message: message.into(), lost }
    }
}
