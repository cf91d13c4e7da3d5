//! The names of things: jobs, stages, tasks, attempts, workers, lanes.
//!
//! All are small, `Copy`, ordered and serializable. A task is named by (job, stage, round, partition), an
//! attempt by one number more; an attempt covers a range of the task's lanes.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A job, numbered by its coordinator from 1 on; 0 is a job that runs in one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u64);

/// A stage of a job, numbered in the plan's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StageId(pub u32);

/// A shuffle of a job, numbered in the plan's order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ShuffleId(pub u32);

/// A sink of a job, numbered in the plan's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SinkId(pub u32);

/// A collected dataset of a job, numbered in the plan's order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CollectId(pub u32);

/// A round of a loop; 0 where the stage is in no loop.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Round(pub u32);

/// What a task is for. Every kind runs on a worker; the coordinator itself touches no storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TaskKind {
    /// Lists a stage's source and cuts it into splits. One a source stage, partition 0.
    Split,
    /// Runs a stage's operators over the partition's lanes.
    Compute,
    /// Makes a job's committed output visible. One a job, in stage 0, partition 0.
    Commit,
}

/// A task of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskId {
    /// The job.
    pub job: JobId,
    /// The stage in it.
    pub stage: StageId,
    /// The round of the loop that the stage is in.
    pub round: Round,
    /// What the task is for.
    pub kind: TaskKind,
    /// The partition of the stage, from 0.
    pub partition: u32,
}

/// One run of a task; numbered from 0 within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The task.
    pub task: TaskId,
    /// Which attempt of it.
    pub number: u32,
}

/// A worker, as registered: a worker process that registers again is another worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkerId(pub u64);

/// A half-open range of a task's lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LaneRange {
    /// The first lane.
    pub start: u32,
    /// One past the last lane; `u32::MAX` means all that the task has.
    pub end: u32,
}

impl LaneRange {
    /// All lanes of a task, however many it has.
    pub const ALL: LaneRange = LaneRange { start: 0, end: u32::MAX };
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "j{}", self.0)
    }
}

/// A text is no name of a job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no job; they are named as in j7")]
pub struct NoJobName(String);

impl FromStr for JobId {
    type Err = NoJobName;

    /// Reads a name, as in `j7`, or the number alone.
    fn from_str(text: &str) -> Result<JobId, NoJobName> {
        let number = text.strip_prefix('j').unwrap_or(text).parse();
        number.map(JobId).map_err(|_| NoJobName(text.to_owned()))
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}", self.0)
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.job, self.stage)?;
        if self.round.0 > 0 {
            write!(f, ".{}", self.round.0)?;
        }
        match self.kind {
            TaskKind::Split => write!(f, "/split"),
            TaskKind::Compute => write!(f, "/{}", self.partition),
            TaskKind::Commit => write!(f, "/commit"),
        }
    }
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.task, self.number)
    }
}
