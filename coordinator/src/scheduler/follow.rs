//! What follows from the state alone, one step at a time until nothing does: the end of a lost worker's attempts,
//! outputs that are made again, stages that open, jobs that end, workers that are drained, tasks that start.
//!
//! A journal may end between an outcome and what follows from it: a recovered scheduler goes on here.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::joins::Sizes;
use super::marks::Mark;
use super::outcome::{JobEnd, Outcome, ReopenReason};
use super::task::Status;
use super::worker::Worker;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{JobId, StageId, WorkerId};
use windrow_protocol::shape::{RootShape, StageShape};

impl Decider<'_> {
    /// The next attempt of a lost worker ends.
    pub(crate) fn follow_lost(&mut self) {
        if self.planted(Mutation::ForgetAttempts) {
            return;
        }
        let Some((&id, worker)) = self.state.lost.first_key_value() else { return };
        let Some(running) = worker.running.first() else { return };
        let failure = Failure::new(FailureClass::LostWorker, format!("worker {id} is lost"));
        self.end_attempt(id, running.attempt, &failure);
    }

    /// What follows in one job: nothing once the job has what it needs.
    pub(crate) fn follow_job(&mut self, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        if job.committing {
            if job.groups[job.commit_group() as usize].complete() {
                self.end_job(job, JobEnd::Succeeded, None);
            }
            return;
        }
        for group in (0..job.groups.len() as u32).rev() {
            let gone = &job.groups[group as usize].gone;
            if gone.is_empty() || !job.needed(group) {
                continue;
            }
            for &partition in gone {
                let number = job.groups[group as usize].tasks[partition as usize].by_number;
                let (task, why) = (job.task_id(group, partition), ReopenReason::WorkerGone);
                if self.use_replica(job, group, task) {
                    continue;
                }
                self.marks.mark(Mark::OutputReopened);
                self.out.push(Outcome::TaskReopened { task, number, why });
            }
            return;
        }
        let sizes = Sizes::of(job);
        if let Some(lookup) = self.looked_up(job, &sizes) {
            self.marks.mark(Mark::LookedUp);
            self.out.push(Outcome::LookedUp { job: id, lookup });
            return;
        }
        for &stage in &job.unopened {
            self.open(job, stage, Some(&sizes));
        }
        if self.out.is_empty() && job.is_idle() {
            // Stages that wait for one another's tables.
            for &stage in &job.unopened {
                self.open(job, stage, None);
            }
        }
        if self.out.is_empty() && self.is_done(job) {
            if job.shape.sinks > 0 {
                self.out.push(Outcome::CommitDecided { job: id });
            } else {
                self.end_job(job, JobEnd::Succeeded, None);
            }
        }
    }

    fn is_done(&self, job: &Job) -> bool {
        if self.planted(Mutation::CommitEarly) && job.incomplete.len() == 1 {
            let last = job.incomplete.iter().next().map(|&stage| job.compute(stage));
            return last.is_some_and(|g| g.open && g.committed as usize + 1 >= g.tasks.len());
        }
        job.incomplete.is_empty()
    }

    /// Opens a stage if all that its size depends on is known, and all that it reads is there; where sizes are told, unless
    /// it had better wait for a table.
    fn open(&mut self, job: &Job, stage: u32, sizes: Option<&Sizes>) {
        let shape = &job.shape.stages[stage as usize];
        if !job.is_listed(stage) || !job.has_inputs(stage) {
            return;
        }
        if sizes.is_some_and(|sizes| self.waits_for_table(job, stage, sizes)) {
            return self.marks.mark(Mark::WaitsForTable);
        }
        let mut parts = Vec::new();
        let (tasks, cut) = match &shape.root {
            RootShape::Source { listed_by } => {
                (job.splits[listed_by.0 as usize].ranges.len() as u32, None)
            }
            RootShape::Shuffles(shuffles) => {
                let cut = job.cut(shuffles[0]);
                parts = self.parts(job, StageId(stage), cut);
                let by_size = (!parts.is_empty()).then_some(parts.len() as u32);
                (by_size.unwrap_or(cut.partitions), Some(cut))
            }
        };
        let tasks = match shape {
            StageShape { dissolved: true, .. } => 0,
            StageShape { sample: true, .. } => 1,
            _ => tasks,
        };
        if tasks == 0 {
            self.marks.mark(Mark::EmptyStage);
        }
        let stage = StageId(stage);
        self.out.push(Outcome::StageOpened { job: job.id, stage, tasks, cut, parts });
    }

    /// Draining workers that nobody needs any more.
    pub(crate) fn follow_draining(&mut self) {
        for &id in &self.state.draining {
            let Some(worker) = self.state.workers.get(&id) else { continue };
            let early = self.planted(Mutation::DrainEarly);
            if (worker.running.is_empty() || early) && !self.is_needed(id, worker) {
                self.marks.mark(Mark::Drained);
                self.out.push(Outcome::WorkerDrained { worker: id });
            }
        }
    }

    fn is_needed(&self, id: WorkerId, worker: &Worker) -> bool {
        worker.outputs.iter().any(|((job, group), partitions)| {
            let Some(job) = self.state.jobs.get(job) else { return false };
            job.needed(*group)
                && partitions.iter().any(|&partition| {
                    let task = &job.groups[*group as usize].tasks[partition as usize];
                    task.status == Status::Committed && task.by == id
                })
        })
    }
}
