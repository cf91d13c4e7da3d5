//! Attempts of which one may have killed its executor, in a job that may leave records out: they run once more, each alone and
//! with care, and the record of which the process dies is left out of the next run. The coordinator does not see any of it.

use crate::executor_process::read_note;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use windrow_protocol::executor::Fatal;
use windrow_protocol::ids::AttemptId;
use windrow_protocol::task::TaskOrder;

/// What is known of the attempts of an executor; it outlives the process.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    /// Whether the job may leave records out; if not, nothing is kept.
    leaves_out: bool,
    /// Attempts that were begun and have not ended, and those that wait for suspects.
    orders: BTreeMap<AttemptId, TaskOrder>,
    /// Those that run, as far as one sees from here.
    begun: BTreeSet<AttemptId>,
    /// Those that are to run alone, the first now.
    alone: VecDeque<AttemptId>,
    /// The records of which they are known to kill the process.
    fatal: BTreeMap<AttemptId, Vec<Fatal>>,
    note: PathBuf,
}

impl Suspects {
    /// A process is there for the job; `folder` is its own.
    pub(super) fn starts(&mut self, leaves_out: bool, folder: Option<&PathBuf>) {
        self.leaves_out = leaves_out && folder.is_some();
        self.note = folder.map_or_else(PathBuf::new, |folder| folder.join("record-at-hand"));
    }

    /// An order has come. Whether it may be taken up now.
    pub(super) fn may_begin(&mut self, order: &TaskOrder) -> bool {
        if !self.leaves_out {
            return true;
        }
        self.orders.insert(order.attempt, order.clone());
        self.alone.front().is_none_or(|first| *first == order.attempt)
    }

    /// An attempt begins. With what it has to be careful about, if it is a suspect.
    pub(super) fn begins(&mut self, attempt: AttemptId) -> Option<(&Path, Vec<Fatal>)> {
        if self.leaves_out {
            self.begun.insert(attempt);
        }
        (self.alone.front() == Some(&attempt))
            .then(|| (&*self.note, self.fatal.get(&attempt).cloned().unwrap_or_default()))
    }

    /// An attempt waits for others. It is cancelled, and forgotten.
    pub(super) fn cancel_waiting(&mut self, attempt: AttemptId) -> bool {
        let waits = !self.alone.is_empty() && !self.begun.contains(&attempt);
        waits && self.forget(attempt)
    }

    /// An attempt has ended. What may be taken up now that waited for it.
    pub(super) fn ended(&mut self, attempt: AttemptId) -> Vec<TaskOrder> {
        let was_alone = self.alone.front() == Some(&attempt);
        self.forget(attempt);
        if was_alone { self.next() } else { Vec::new() }
    }

    fn forget(&mut self, attempt: AttemptId) -> bool {
        self.begun.remove(&attempt);
        self.fatal.remove(&attempt);
        self.alone.retain(|other| *other != attempt);
        self.orders.remove(&attempt).is_some()
    }

    /// What is to be taken up when all that was begun is over: the next suspect, or all that waits.
    pub(super) fn next(&self) -> Vec<TaskOrder> {
        match self.alone.front() {
            Some(first) => self.orders.get(first).cloned().into_iter().collect(),
            None => {
                self.orders.values().filter(|o| !self.begun.contains(&o.attempt)).cloned().collect()
            }
        }
    }

    /// The process has died. Whether another one is to find out why, or go on without what is to blame.
    pub(super) fn died(&mut self) -> bool {
        if !self.leaves_out {
            return false;
        }
        let begun = std::mem::take(&mut self.begun);
        let Some(&suspect) = self.alone.front() else {
            self.alone = begun.into_iter().collect();
            return !self.alone.is_empty();
        };
        // Alone, and not at a record: it dies of something else.
        let Some(fatal) = read_note(&self.note).filter(|_| begun.contains(&suspect)) else {
            return false;
        };
        tracing::warn!(attempt = %suspect, lane = fatal.lane, record = fatal.record, "the process died at a record, which is left out");
        let known = self.fatal.entry(suspect).or_default();
        let is_new = !known.contains(&fatal);
        known.push(fatal);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor_process::Careful;
    use windrow_protocol::ids::{JobId, LaneRange, Round, StageId, TaskId, TaskKind};
    use windrow_protocol::task::Work;

    fn order(partition: u32) -> TaskOrder {
        let (job, stage, round) = (JobId(1), StageId(0), Round::default());
        let task = TaskId { job, stage, round, kind: TaskKind::Compute, partition };
        TaskOrder {
            attempt: AttemptId { task, number: 0 },
            lanes: LaneRange::ALL,
            work: Work::Split,
        }
    }

    fn orders(all: &[TaskOrder]) -> Vec<u32> {
        all.iter().map(|order| order.attempt.task.partition).collect()
    }

    #[test]
    fn suspects_run_alone_until_each_fatal_record_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let mut suspects = Suspects::default();
        suspects.starts(true, Some(&folder.path().to_path_buf()));
        for partition in [0, 1] {
            assert!(suspects.may_begin(&order(partition)));
            assert!(suspects.begins(order(partition).attempt).is_none());
        }
        assert!(suspects.died());
        assert_eq!(orders(&suspects.next()), [0]);
        assert!(!suspects.may_begin(&order(2)), "others wait");
        // The first is innocent.
        assert!(suspects.begins(order(0).attempt).is_some_and(|(_, fatal)| fatal.is_empty()));
        assert_eq!(orders(&suspects.ended(order(0).attempt)), [1]);
        for record in [7, 9] {
            let (note, fatal) = suspects.begins(order(1).attempt).unwrap();
            let careful = Careful::new(note, &fatal).unwrap();
            careful.in_lane(2).note(Some(record));
            assert!(suspects.died());
        }
        let (_, fatal) = suspects.begins(order(1).attempt).unwrap();
        assert_eq!(fatal, [7, 9].map(|record| Fatal { lane: 2, record }));
        assert_eq!(orders(&suspects.ended(order(1).attempt)), [2], "all goes on");
        assert!(suspects.begins(order(2).attempt).is_none());
    }

    #[test]
    fn what_dies_of_no_record_is_not_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let mut suspects = Suspects::default();
        suspects.starts(true, Some(&folder.path().to_path_buf()));
        assert!(!suspects.died(), "nothing ran");
        suspects.may_begin(&order(0));
        suspects.begins(order(0).attempt);
        assert!(suspects.died());
        suspects.begins(order(0).attempt);
        assert!(!suspects.died());
        // And nothing is, where no record may be left out.
        let mut suspects = Suspects::default();
        suspects.starts(false, Some(&folder.path().to_path_buf()));
        assert!(suspects.may_begin(&order(0)) && suspects.begins(order(0).attempt).is_none());
        assert!(!suspects.died() && suspects.next().is_empty());
    }

    #[test]
    fn what_waits_can_be_cancelled() {
        let folder = tempfile::tempdir().unwrap();
        let mut suspects = Suspects::default();
        suspects.starts(true, Some(&folder.path().to_path_buf()));
        suspects.may_begin(&order(0));
        suspects.begins(order(0).attempt);
        assert!(!suspects.cancel_waiting(order(0).attempt), "it runs");
        assert!(suspects.died());
        suspects.may_begin(&order(1));
        assert!(
            suspects.cancel_waiting(order(1).attempt) && !suspects.cancel_waiting(order(1).attempt)
        );
        suspects.begins(order(0).attempt);
        assert!(suspects.ended(order(0).attempt).is_empty());
    }
}
