//! The rest of a slow attempt: it is asked to give up lanes that it has not begun, and those become a task of their own, which
//! another worker runs. Nothing is done twice then, as it is by a backup attempt.
//!
//! The worker says which lanes it gives up, so that nobody runs what it has begun. As long as it says nothing, nothing has
//! changed, and after a while there is a backup attempt after all.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::marks::Mark;
use super::outcome::{Outcome, RevokeReason};
use super::task::Task;
use super::{backup, worker::Running};
use std::collections::BTreeMap;
use windrow_protocol::ids::{AttemptId, LaneRange, WorkerId};
use windrow_protocol::rests::Rests;
use windrow_protocol::shape::OutputShape;

impl Decider<'_> {
    /// Sees to it that others run the rest of a slow attempt, if that can be. Whether it is asked for that, or was, and there
    /// may still be an answer.
    pub(super) fn ask_for_rest(
        &mut self,
        job: &Job,
        group: u32,
        worker: WorkerId,
        slow: &Running,
    ) -> bool {
        let attempt = slow.attempt;
        if let Some(asked) = slow.asked.0 {
            return self.now.since(asked) < self.config.backup.answer_ms;
        }
        let elapsed_ms = self.now.since(slow.started.0);
        let left_ms = backup::left_ms(slow, elapsed_ms);
        let Some(median_ms) = self.median_ms(job, group) else { return false };
        // Before the first lane nobody knows, and after the last there is none to give up.
        if matches!(slow.permille.0, 0 | 1000..) || !may_be_cut(job, group, attempt.task.partition)
        {
            return false;
        }
        // Both are then done at about the same time.
        let by_other_ms = median_ms * u64::from(1000 - slow.permille.0.min(1000)) / 1000;
        let keep = by_other_ms * 1000 / (by_other_ms + left_ms).max(1);
        self.marks.mark(Mark::RestAsked);
        let keep_permille = keep.min(1000) as u16;
        self.out.push(Outcome::RestAsked { attempt, worker, keep_permille });
        true
    }

    /// An attempt has given up its lanes from `from` on. Whether what it still runs is all that its task has then.
    pub(super) fn gave_up(&mut self, worker: WorkerId, attempt: AttemptId, from: u32) -> bool {
        let found = self.state.find(attempt.task);
        let (Some(_), Some((job, group))) = (self.lease(worker, attempt), found) else {
            self.marks.mark(Mark::LateReport);
            return false;
        };
        let tasks = &job.groups[group as usize].tasks;
        let partition = attempt.task.partition;
        let lanes = job.lanes(group, partition);
        if lanes.end == from {
            return true;
        }
        if from > lanes.end {
            // It has given up more since, and that was told first.
            self.marks.mark(Mark::LateReport);
            return false;
        }
        let alone = tasks[partition as usize].running() == 1 || self.planted(Mutation::CutBeside);
        if !alone || from <= lanes.start {
            // By now another one runs all of them.
            self.marks.mark(Mark::GivenUpLate);
            let why = RevokeReason::OtherWon;
            self.out.push(Outcome::Revoked { attempt, worker, why });
            return false;
        }
        self.marks.mark(Mark::RestSplitOff);
        let rest = tasks.len() as u32;
        self.out.push(Outcome::RestSplitOff { attempt, worker, from, rest });
        true
    }
}

/// Whether some lanes of a task may become a task of their own: what it writes is shuffles alone, whose rows count in the order
/// of the lanes, and nobody can have read any of it.
fn may_be_cut(job: &Job, group: u32, partition: u32) -> bool {
    let Some(stage) = job.stage_of(group) else { return false };
    let shape = &job.shape.stages[stage as usize];
    let is_shuffle = |output: &OutputShape| matches!(output, OutputShape::Shuffle(_));
    let was_done = job.groups[group as usize].tasks[partition as usize].was_done();
    !shape.sample && !was_done && shape.outputs.iter().all(is_shuffle)
}

impl Job {
    /// The lanes that a task has.
    pub(crate) fn lanes(&self, group: u32, partition: u32) -> LaneRange {
        self.stage_of(group).map_or(LaneRange::ALL, |stage| self.rests.lanes(stage, partition))
    }

    /// The task of an attempt has no lanes from `from` on any more: those are the task `rest`, which does not run on `avoid`
    /// if others can.
    pub(super) fn split_off(
        &mut self,
        group: u32,
        partition: u32,
        from: u32,
        rest: u32,
        avoid: WorkerId,
    ) {
        let Some(stage) = self.stage_of(group) else { return };
        let found = &mut self.groups[group as usize];
        if found.tasks.len() != rest as usize {
            return;
        }
        let all_begun = !found.has_fresh();
        if self.rests.split_off(stage, partition, from, rest) {
            found.tasks.push(Task::QUEUED);
            found.fresh += u32::from(all_begun);
            found.retries.insert(rest, avoid);
        }
    }
}

/// The rests of all stages of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct RestsOfStages(BTreeMap<u32, Rests>);

impl RestsOfStages {
    /// Those of a stage, if it has any.
    pub(crate) fn of(&self, stage: u32) -> Option<&Rests> {
        self.0.get(&stage)
    }

    /// The lanes that a task has.
    pub(crate) fn lanes(&self, stage: u32, partition: u32) -> LaneRange {
        self.of(stage).map_or(LaneRange::ALL, |rests| rests.lanes(partition))
    }

    /// The task whose input and lanes a task has some of.
    pub(crate) fn first_of(&self, stage: u32, partition: u32) -> u32 {
        self.of(stage).map_or(partition, |rests| rests.first_of(partition))
    }

    /// Whether a task has not all lanes of what was one task.
    pub(crate) fn has(&self, stage: u32, partition: u32) -> bool {
        self.of(stage).is_some_and(|rests| rests.has(partition))
    }

    /// As [`Rests::split_off`].
    pub(crate) fn split_off(&mut self, stage: u32, partition: u32, from: u32, rest: u32) -> bool {
        self.0.entry(stage).or_default().split_off(partition, from, rest)
    }

    /// The partitions of a stage that has so many tasks, in the order in which their rows count.
    pub(crate) fn in_order(&self, stage: u32, tasks: u32) -> impl Iterator<Item = u32> + use<> {
        match self.of(stage) {
            Some(rests) => rests.in_order(tasks),
            None => Rests::default().in_order(tasks),
        }
    }
}
