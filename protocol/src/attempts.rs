//! What became of the attempts of a job, for those who look on.

use crate::ids::{AttemptId, JobId, Round, StageId, TaskId, TaskKind, WorkerId};
use crate::task::{Spent, TaskOutput};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum How {
    /// It runs.
    Running,
    /// Its output is its task's.
    Done,
    /// It ended without output.
    Failed,
    /// It was not wanted any more.
    Revoked,
    /// Its slot was for another job that had none for long.
    Preempted,
}

impl How {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            How::Running => "running",
            How::Done => "done",
            How::Failed => "failed",
            How::Revoked => "revoked",
            How::Preempted => "preempted",
        }
    }
}

/// What an attempt read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amounts {
    /// Records that its root gave.
    pub records: u64,
    /// Bytes of splits and blocks.
    pub read_bytes: u64,
    /// Bytes that went into shuffles.
    pub shuffle_bytes: u64,
    /// Bytes that went into outputs.
    pub written_bytes: u64,
    /// Bytes that did not fit the memory.
    pub spilled_bytes: u64,
}

impl Amounts {
    /// What an attempt's output says.
    pub fn of(output: &TaskOutput) -> Amounts {
        Amounts {
            records: output.counts.records_read,
            read_bytes: output.counts.bytes_read,
            shuffle_bytes: output.shuffles.iter().map(|made| made.bytes).sum(),
            written_bytes: output.counts.bytes_written,
            spilled_bytes: output.counts.spilled_bytes,
        }
    }
}

/// An attempt, and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRow {
    /// What kind of task it was at.
    pub kind: TaskKind,
    /// The number of the stage.
    pub stage: u32,
    /// The task's number in it.
    pub partition: u32,
    /// The attempt's number at the task.
    pub number: u32,
    /// Where it ran.
    pub worker: WorkerId,
    /// Whether another attempt of its task ran already.
    pub is_backup: bool,
    /// When it began, in milliseconds since the job was submitted.
    pub begun_ms: u32,
    /// When it ended, in milliseconds since the job was submitted.
    pub ended_ms: Option<u32>,
    /// How it stands.
    pub how: How,
    /// What it read and wrote.
    pub amounts: Amounts,
    /// What its time went to, where that is known.
    pub spent: Spent,
}

impl AttemptRow {
    /// When it ended, in milliseconds since the job was submitted; of one that runs, `until_ms`.
    pub fn end_ms(&self, until_ms: u64) -> u64 {
        self.ended_ms.map_or(until_ms, u64::from)
    }

    /// Which attempt of a job it is. Rounds are not kept: it is named as in the first one.
    pub fn attempt(&self, job: JobId) -> AttemptId {
        let (stage, round) = (StageId(self.stage), Round::default());
        let task = TaskId { job, stage, round, kind: self.kind, partition: self.partition };
        AttemptId { task, number: self.number }
    }
}

/// From when to when each stage had attempts at its compute tasks, in milliseconds since the job was submitted; those that
/// run count until `until_ms`.
pub fn stage_times(rows: &[AttemptRow], until_ms: u64) -> BTreeMap<u32, (u64, u64)> {
    let mut stages: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.kind == TaskKind::Compute) {
        let (from, to) = (u64::from(row.begun_ms), row.end_ms(until_ms));
        let of = stages.entry(row.stage).or_insert((from, to));
        *of = (of.0.min(from), of.1.max(to));
    }
    stages
}

/// The longest log of an attempt, in bytes.
pub const LOG_BYTES_MAX: usize = 8 << 10;

/// What the code of a job logged in an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLog {
    /// The attempt.
    pub attempt: AttemptId,
    /// Where it ran.
    pub worker: WorkerId,
    /// How it stands.
    pub how: How,
    /// Its lines.
    pub text: String,
}

/// The most logs in one page: less than half a megabyte.
pub const LOGS_PAGE: usize = 50;

/// Some logs of a job's attempts, in the order in which those began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogsPage {
    /// The logs, from the attempt on that was asked for.
    pub logs: Vec<AttemptLog>,
    /// From where on there are more.
    pub next: Option<u64>,
    /// Attempts that logged something that is not kept.
    pub left_out: u64,
}

/// The most attempts in one page: some hundred kilobytes.
pub const ROWS_PAGE: usize = 4_000;

/// Some attempts of a job, in the order in which they began.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AttemptsPage {
    /// When the job was submitted, in milliseconds since 1970.
    pub submitted_unix_ms: u64,
    /// For how long the job has run by now, or until it ended, in milliseconds.
    pub elapsed_ms: u64,
    /// How many attempts are known.
    pub known: u64,
    /// How many are not.
    pub left_out: u64,
    /// The attempts, from the one on that was asked for.
    pub rows: Vec<AttemptRow>,
}
