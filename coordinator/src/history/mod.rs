//! What became of the attempts of a job, for those who look on: where each ran, from when to when, how it ended, and what it
//! read and wrote.
//!
//! It follows from outcomes and what attempts brought, as all that the driver keeps, and nothing is decided by it. A job's
//! attempts are rows in the order in which they began; a reader that has seen some [changes](History::changes) is told those
//! that changed since. [`Histories`] keeps what ended jobs had.

mod spans;
mod store;

pub(crate) use spans::tell;
pub(crate) use store::Histories;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
pub(crate) use windrow_protocol::attempts::{Amounts, AttemptRow as Row, How};
use windrow_protocol::attempts::{AttemptLog, LOG_BYTES_MAX, LOGS_PAGE, LogsPage, ROWS_PAGE};
use windrow_protocol::ids::{AttemptId, JobId, WorkerId};
use windrow_protocol::task::Spent;

/// The most attempts that are kept of one job.
const ATTEMPTS_MAX: usize = 1_500_000;

/// The most texts of failures that are kept of one job, and the most bytes of each.
const CAUSES_MAX: usize = 500;
const CAUSE_BYTES_MAX: usize = 1_000;

/// The most bytes that are kept of what the attempts of one job log.
const LOGS_BYTES: usize = 8 << 20;

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
    /// What attempts logged, by row.
    logs: BTreeMap<u32, String>,
    logs_bytes: usize,
    logs_left_out: u64,
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
            spent: Spent::default(),
        });
        self.running.insert(attempt, row);
        self.changes.push(row);
    }

    /// So many attempts have begun that are not known.
    pub(crate) fn begins_late(&mut self, attempts: u64) {
        self.left_out += attempts;
    }

    /// What the time of an attempt went to that is about to end, and what it logged.
    pub(crate) fn told(&mut self, attempt: AttemptId, spent: Spent, mut log: String) {
        let Some(&at) = self.running.get(&attempt) else { return };
        self.rows[at as usize].spent = spent;
        log.truncate(log.floor_char_boundary(LOG_BYTES_MAX));
        if self.logs_bytes + log.len() > LOGS_BYTES {
            self.logs_left_out += 1;
        } else if !log.is_empty() {
            self.logs_bytes += log.len();
            self.logs.insert(at, log);
        }
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

    /// The attempts from the one of this number on, as many as fit a message, how many there are, and how many are not known.
    pub(crate) fn page(&self, from: usize) -> (Vec<Row>, u64, u64) {
        let from = from.min(self.rows.len());
        let to = from.saturating_add(ROWS_PAGE).min(self.rows.len());
        (self.rows[from..to].to_vec(), self.rows.len() as u64, self.left_out)
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

    /// What the attempt of a row has logged.
    pub(crate) fn log(&self, row: u32) -> Option<&str> {
        self.logs.get(&row).map(String::as_str)
    }

    /// What attempts of a job have logged, from this row on, as much as fits a message.
    pub(crate) fn logs_page(&self, job: JobId, from: u64) -> LogsPage {
        let mut logs = self.logs.range(u32::try_from(from).unwrap_or(u32::MAX)..);
        let page = logs.by_ref().take(LOGS_PAGE).map(|(&at, text)| {
            let row = &self.rows[at as usize];
            AttemptLog {
                attempt: row.attempt(job),
                worker: row.worker,
                how: row.how,
                text: text.clone(),
            }
        });
        let page = page.collect();
        let next = logs.next().map(|(&at, _)| u64::from(at));
        LogsPage { logs: page, next, left_out: self.logs_left_out }
    }

    /// About how many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.rows.len() * size_of::<Row>()
            + self.changes.len() * 4
            + self.causes.len() * 200
            + self.logs_bytes
    }
}

fn narrow(ms: u64) -> u32 {
    u32::try_from(ms).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use windrow_protocol::ids::{Round, StageId, TaskId, TaskKind};

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
    fn logs_are_kept_by_attempt_up_to_a_bound() {
        let mut history = History::default();
        let long = "ä".repeat(LOG_BYTES_MAX);
        let attempts = LOGS_BYTES / LOG_BYTES_MAX + 3;
        for partition in 0..attempts as u32 {
            history.begun(attempt(partition, 0), WorkerId(1), false, 0);
            let text = if partition == 1 { String::new() } else { long.clone() };
            history.told(attempt(partition, 0), Spent::default(), text);
        }
        assert_eq!(history.log(0).map(str::len), Some(LOG_BYTES_MAX));
        assert_eq!((history.log(1), history.logs_left_out), (None, 2));
        let mut next = Some(0);
        let mut seen = Vec::new();
        while let Some(from) = next {
            let page = history.logs_page(JobId(1), from);
            assert!(page.logs.len() <= LOGS_PAGE);
            seen.extend(page.logs.into_iter().map(|log| log.attempt.task.partition));
            next = page.next;
        }
        assert_eq!(seen.len(), LOGS_BYTES / LOG_BYTES_MAX);
        assert_eq!(seen[..3], [0, 2, 3]);
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
