//! The shape of a plan: all that the coordinator knows of a job.
//!
//! Stages in the order in which the plan made them (a stage comes after all that it reads), with what each
//! reads and writes. No closure, no location and no secret is in it.

use crate::ids::{ShuffleId, StageId};
use serde::{Deserialize, Serialize};

/// The stages of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobShape {
    /// In the plan's order: `stages[i]` is `StageId(i)`.
    pub stages: Vec<StageShape>,
    /// In the plan's order: `shuffles[i]` is `ShuffleId(i)`.
    pub shuffles: Vec<ShuffleShape>,
}

/// One stage: a chain (or tree) of narrow operators from one root to its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageShape {
    /// What a person reads: the operators, joined by ` > `.
    pub name: String,
    /// What the stage reads.
    pub root: RootShape,
    /// Stages whose output every task of this stage reads whole (broadcasts, the bounds of a sort); they
    /// must be complete before the first task starts.
    pub whole_inputs: Vec<StageId>,
    /// Where the rows go.
    pub outputs: Vec<OutputShape>,
}

/// What a stage reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootShape {
    /// A source, cut into splits by a split task.
    Source,
    /// Partition `i` of each of these shuffles is read by task `i`.
    Shuffles(Vec<ShuffleId>),
}

/// Where a stage's rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputShape {
    /// Into a shuffle.
    Shuffle(ShuffleId),
    /// Into the sink of this number: staged files, visible after the job's commit.
    Sink(u32),
    /// To whoever ran the job, or to later stages that read it whole (`whole_inputs`).
    Collect(u32),
}

/// One shuffle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShuffleShape {
    /// The stages that write it, in the order in which their rows count.
    pub producers: Vec<StageId>,
    /// The number of partitions where the job says it; else a function of the input's logical bytes.
    pub partitions: Option<u32>,
}

/// The least size of a task made of small splits, and the size that large ones are cut to, in logical bytes.
pub const TASK_BYTES: u64 = 64 << 20;

/// The most partitions that a shuffle gets by itself.
pub const PARTITIONS_MAX: u32 = 4096;

/// The number of partitions of a shuffle below which lie `logical_bytes` of source input. A function of
/// the input alone, so that an output has the same files wherever the job runs.
pub fn partitions_for(logical_bytes: u64) -> u32 {
    logical_bytes.div_ceil(TASK_BYTES).clamp(1, u64::from(PARTITIONS_MAX)) as u32
}
