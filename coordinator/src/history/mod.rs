//! What became of the attempts of a job, for those who look on: where each ran, from when to when, how it ended, and what it
//! read and wrote.
//!
//! It follows from outcomes and what attempts brought, as all that the driver keeps, and nothing is decided by it. A job's
//! attempts are rows in the order in which they began; a reader that has seen some [changes](History::changes) is told those
//! that changed since. [`Histories`] keeps what ended jobs had.

mod store;

pub(crate) use store::Histories;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::ids::{AttemptId, TaskKind, WorkerId};
use windrow_protocol::task::TaskOutput;

/// The most attempts that are kept of one job.
const ATTEMPTS_MAX: usize = 1_500_000;

/// The most texts of failures that are kept of one job, and the most bytes of each.
const CAUSES_MAX: usize = 500;
const CAUSE_BYTES_MAX: usize = 1_000;

/// How an attempt stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
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

/// What an attempt read and wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Amounts {
    /// Records that its root gave.
    pub(crate) records: u64,
    /// Bytes of splits and blocks.
    pub(crate) read_bytes: u64,
    /// Bytes that went into shuffles.
    pub(crate) shuffle_bytes: u64,
    /// Bytes that went into outputs.
    pub(crate) written_bytes: u64,
    /// Bytes that did not fit the memory.
    pub(crate) spilled_bytes: u64,
}

impl Amounts {
    /// What an attempt's output says.
    pub(crate) fn of(output: &TaskOutput) -> Amounts {
        Amounts {
            records: output.counts.records_read,
            read_bytes: output.counts.bytes_read,
            shuffle_bytes: output.shuffles.iter().map(|made| made.bytes).sum(),
            written_bytes: output.counts.bytes_written,
            spilled_bytes: output.counts.spilled_bytes,
        }
    }
}

/// An attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) kind: TaskKind,
    pub(crate) stage: u32,
    pub(crate) partition: u32,
    pub(crate) number: u32,
    pub(crate) worker: WorkerId,
    /// Whether another attempt of its task ran already.
    pub(crate) is_backup: bool,
    /// When it began and ended, in milliseconds since the job was submitted.
    pub(crate) begun_ms: u32,
    pub(crate) ended_ms: Option<u32>,
    pub(crate) how: How,
    pub(crate) amounts: Amounts,
}

/// What became of the attempts of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct History {
    rows: Vec<Row>,
    /// The rows of attempts that run.
    running: BTreeMap<AttemptId, u32>,
    /// The rows that changed, in order.
    changes: Vec<u32>,
    /// Why attempts failed, by row.
    causes: BTreeMap<u32, String>,
    /// Attempts that are not among the rows.
    left_out: u64,
}

impl History {
    /// An attempt has begun.
    pub(crate) fn begun(
        &mut self,
        attempt: AttemptId,
        worker: WorkerId,
        is_backup: bool,
        at_ms: u64,
    ) {
        if self.rows.len() == ATTEMPTS_MAX {
            self.left_out += 1;
            return;
        }
        let row = self.rows.len() as u32;
        let task = attempt.task;
        self.rows.push(Row {
            kind: task.kind,
            stage: task.stage.0,
            partition: task.partition,
            number: attempt.number,
            worker,
            is_backup,
            begun_ms: narrow(at_ms),
            ended_ms: None,
            how: How::Running,
            amounts: Amounts::default(),
        });
        self.running.insert(attempt, row);
        self.changes.push(row);
    }

    /// So many attempts have begun that are not known.
    pub(crate) fn begins_late(&mut self, attempts: u64) {
        self.left_out += attempts;
    }

    /// An attempt has ended.
    pub(crate) fn ended(&mut self, attempt: AttemptId, how: How, amounts: Amounts, at_ms: u64) {
        let Some(at) = self.running.remove(&attempt) else { return };
        let row = &mut self.rows[at as usize];
        (row.ended_ms, row.how, row.amounts) = (Some(narrow(at_ms)), how, amounts);
        self.changes.push(at);
    }

    /// An attempt has failed.
    pub(crate) fn failed(&mut self, attempt: AttemptId, why: &str, at_ms: u64) {
        if let Some(&at) = self.running.get(&attempt)
            && self.causes.len() < CAUSES_MAX
        {
            let end = why.floor_char_boundary(CAUSE_BYTES_MAX);
            self.causes.insert(at, why[..end].to_owned());
        }
        self.ended(attempt, How::Failed, Amounts::default(), at_ms);
    }

    /// The attempts.
    pub(crate) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many changes there were.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.len() as u64
    }

    /// Attempts that are not among the rows.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The rows that changed since there were `seen` changes: up to `most` changes further, which is told as well.
    pub(crate) fn changed(&self, seen: u64, most: usize) -> (Vec<u32>, u64) {
        let from = usize::try_from(seen).unwrap_or(usize::MAX).min(self.changes.len());
        let to = from.saturating_add(most).min(self.changes.len());
        let rows: BTreeSet<u32> = self.changes[from..to].iter().copied().collect();
        (rows.into_iter().collect(), to as u64)
    }

    /// Why the attempt of a row failed, as far as that is kept.
    pub(crate) fn cause(&self, row: u32) -> Option<&str> {
        self.causes.get(&row).map(String::as_str)
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>() + self.changes.len() * 4 + self.causes.len() * 200
    }
}

fn narrow(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use windrow_protocol::ids::{JobId, Round, StageId, TaskId};

    pub(crate) fn attempt(partition: u32, number: u32) -> AttemptId {
        let (job, stage, kind) = (JobId(1), StageId(2), TaskKind::Compute);
        AttemptId { task: TaskId { job, stage, round: Round(0), kind, partition }, number }
    }

    /// Three attempts: one is done, one has failed, one runs.
    pub(crate) fn history() -> History {
        let mut history = History::default();
        history.begun(attempt(0, 0), WorkerId(1), false, 10);
        history.begun(attempt(1, 0), WorkerId(2), false, 11);
        history.failed(attempt(1, 0), "it broke", 20);
        history.begun(attempt(1, 1), WorkerId(1), false, 21);
        let amounts = Amounts { records: 5, ..Amounts::default() };
        history.ended(attempt(0, 0), How::Done, amounts, 30);
        history
    }

    #[test]
    fn a_reader_is_told_what_changed_since() {
        let history = history();
        assert_eq!(history.changed(0, 2), (vec![0, 1], 2));
        assert_eq!(history.changed(2, 100), (vec![0, 1, 2], 5));
        assert_eq!(history.changed(4, 100), (vec![0], 5));
        assert_eq!(history.changed(5, 100), (vec![], 5));
        assert_eq!(history.changed(99, 100), (vec![], 5));
        let row = history.rows()[0];
        let seen = (row.begun_ms, row.ended_ms, row.how, row.amounts.records, row.worker);
        assert_eq!(seen, (10, Some(30), How::Done, 5, WorkerId(1)));
        assert_eq!((history.rows()[1].how, history.cause(1)), (How::Failed, Some("it broke")));
        assert_eq!((history.rows()[2].how, history.cause(2)), (How::Running, None));
    }

    #[test]
    fn an_end_that_is_told_twice_changes_nothing() {
        let mut history = history();
        let before = history.clone();
        history.ended(attempt(0, 0), How::Revoked, Amounts::default(), 99);
        history.failed(attempt(7, 0), "of nobody", 99);
        assert_eq!(history, before);
    }

    #[test]
    fn long_causes_are_cut_between_characters() {
        let mut history = History::default();
        history.begun(attempt(0, 0), WorkerId(1), false, 0);
        history.failed(attempt(0, 0), &"ä".repeat(CAUSE_BYTES_MAX), 1);
        assert_eq!(history.cause(0).unwrap().len(), CAUSE_BYTES_MAX);
    }
}
