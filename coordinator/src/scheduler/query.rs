//! What the driver, the pages and the tests ask.

use super::Ended;
use super::sharing::QueueView;
use super::state::State;
use super::task::Status;
use super::time::Millis;
use std::ops::Range;
use windrow_protocol::ids::{
    AttemptId, JobId, LaneRange, ShuffleId, StageId, TaskId, TaskKind, WorkerId,
};
use windrow_protocol::shape::{Cut, JobShape};

/// How far a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageProgress {
    /// The stage.
    pub stage: StageId,
    /// Whether its tasks are known.
    pub open: bool,
    /// The number of its tasks.
    pub tasks: u32,
    /// Those that are committed.
    pub committed: u32,
    /// Attempts that run.
    pub running: u32,
}

/// A worker, as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkerView {
    /// The worker.
    pub worker: WorkerId,
    /// How many attempts it runs at once.
    pub slots: u32,
    /// How many of them its attempts take now.
    pub running: u32,
    /// Whether it gets no more work.
    pub draining: bool,
    /// When it was heard last.
    pub heard: Millis,
}

/// An attempt that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// The attempt.
    pub attempt: AttemptId,
    /// When it started.
    pub started: Millis,
    /// How much of it is done, in thousandths, as it says.
    pub permille: u16,
}

impl State {
    /// The jobs that have not ended.
    pub fn jobs(&self) -> impl Iterator<Item = JobId> {
        self.jobs.keys().copied()
    }

    /// How a job ended, if it is remembered.
    pub fn ended(&self, job: JobId) -> Option<&Ended> {
        self.ended.get(&job)
    }

    /// The shape of a job that has not ended.
    pub fn shape(&self, job: JobId) -> Option<&JobShape> {
        self.jobs.get(&job).map(|job| &*job.shape)
    }

    /// Whether a job's commit is decided, while it has not ended.
    pub fn is_committing(&self, job: JobId) -> bool {
        self.jobs.get(&job).is_some_and(|job| job.committing)
    }

    /// How far the stages of a job are.
    pub fn progress(&self, job: JobId) -> Vec<StageProgress> {
        let Some(job) = self.jobs.get(&job) else { return Vec::new() };
        let of = |stage: u32| {
            let group = job.compute(stage);
            StageProgress {
                stage: StageId(stage),
                open: group.open,
                tasks: group.tasks.len() as u32,
                committed: group.committed,
                running: group.running,
            }
        };
        (0..job.shape.stages.len() as u32).map(of).collect()
    }

    /// The queue in which a job waits for a place, and how many jobs are before it there; `None` if it does not wait.
    pub fn place_in_queue(&self, job: JobId) -> Option<(&str, usize)> {
        let before = self.shares.0.position(job)?;
        Some((self.jobs.get(&job)?.claim.queue(), before))
    }

    /// What a job lacks of which nothing runs, for people.
    pub fn lacks(&self, job: JobId) -> String {
        let free = || "a free slot".to_owned();
        let Some(job) = self.jobs.get(&job) else { return free() };
        let mut groups = job.ready_retries.iter().chain(&job.ready_fresh);
        let Some(needs) = groups.next().map(|&group| job.needs_of(group)) else { return free() };
        let mut workers = self.workers.values();
        if !workers.any(|worker| worker.slots_for(&needs).is_some()) {
            return format!("a worker that has {}: none that is connected has", needs.text());
        }
        let slots =
            if needs.is_ordinary() { free() } else { format!("free room: {}", needs.text()) };
        if !self.shares.0.may_have(job.id, needs.slots.max(1)) {
            return format!("slots: user `{}` has as many as they may", job.claim.user);
        }
        slots
    }

    /// The queues, and who is in them.
    pub fn queues(&self) -> Vec<QueueView> {
        self.shares.0.queue_views()
    }

    /// All workers that are not lost.
    pub fn workers(&self) -> impl Iterator<Item = WorkerView> {
        self.workers.iter().map(|(&worker, found)| WorkerView {
            worker,
            slots: found.slots,
            running: found.used,
            draining: found.draining,
            heard: found.heard.0,
        })
    }

    /// The slots in use of a worker that is not lost.
    pub fn slots_used(&self, worker: WorkerId) -> Option<u32> {
        self.workers.get(&worker).map(|worker| worker.used)
    }

    /// Whether a worker is known and not lost.
    pub fn is_alive(&self, worker: WorkerId) -> bool {
        self.workers.contains_key(&worker)
    }

    /// The attempts that run on a worker.
    pub fn running(&self, worker: WorkerId) -> impl Iterator<Item = AttemptView> {
        self.workers.get(&worker).into_iter().flat_map(|worker| &worker.running).map(|running| {
            AttemptView {
                attempt: running.attempt,
                started: running.started.0,
                permille: running.permille.0,
            }
        })
    }

    /// The attempts whose output is the input of those that read a shuffle, and the workers that have it: in the order
    /// of the producers, then of their partitions.
    pub fn outputs_of(
        &self,
        job: JobId,
        shuffle: ShuffleId,
    ) -> impl Iterator<Item = (AttemptId, WorkerId)> {
        let job = self.jobs.get(&job);
        let producers = job
            .and_then(|job| job.shape.shuffles.get(shuffle.0 as usize))
            .map_or(&[][..], |shuffle| &shuffle.producers);
        job.into_iter().flat_map(move |job| {
            producers.iter().flat_map(move |stage| {
                let group = stage.0 * 2 + 1;
                let tasks = &job.groups[group as usize].tasks;
                let tasks = job
                    .rests
                    .in_order(stage.0, tasks.len() as u32)
                    .map(move |at| (at, &tasks[at as usize]));
                tasks.filter(|(_, task)| task.status == Status::Committed).map(move |(at, task)| {
                    let id = job.task_id(group, at);
                    (AttemptId { task: id, number: task.by_number }, task.by)
                })
            })
        })
    }

    /// A number that grows whenever [`State::outputs_of`] changes.
    pub fn outputs_version(&self, job: JobId, shuffle: ShuffleId) -> u64 {
        let Some(job) = self.jobs.get(&job) else { return 0 };
        let Some(shuffle) = job.shape.shuffles.get(shuffle.0 as usize) else { return 0 };
        shuffle.producers.iter().map(|stage| job.compute(stage.0).version).sum()
    }

    /// Which splits a compute task has, of the stage that lists its source. A sample's are those at its positions in
    /// the range, which is the whole listing then.
    pub fn splits_of(&self, task: TaskId) -> Option<Range<usize>> {
        let job = self.jobs.get(&task.job)?;
        (task.kind == TaskKind::Compute).then(|| job.range(task.stage.0, task.partition))?
    }

    /// The lanes that a task has.
    pub fn lanes_of(&self, task: TaskId) -> LaneRange {
        let job = self.jobs.get(&task.job).filter(|_| task.kind == TaskKind::Compute);
        job.map_or(LaneRange::ALL, |job| job.rests.lanes(task.stage.0, task.partition))
    }

    /// How a shuffle is cut, once all sources below it are listed.
    pub fn cut_of(&self, job: JobId, shuffle: ShuffleId) -> Option<Cut> {
        let job = self.jobs.get(&job)?;
        let producers = &job.shape.shuffles.get(shuffle.0 as usize)?.producers;
        producers.iter().all(|stage| job.is_listed(stage.0)).then(|| job.cut(shuffle))
    }

    /// How many pages of splits an attempt of a split task has sent.
    pub fn pages_of(&self, attempt: AttemptId) -> u32 {
        let job = self.jobs.get(&attempt.task.job);
        let splits = job.and_then(|job| job.splits.get(attempt.task.stage.0 as usize));
        splits.filter(|splits| splits.attempt == attempt.number).map_or(0, |splits| splits.pages)
    }

    /// The attempt whose output is a task's, and the worker that ran it.
    pub fn committed(&self, task: TaskId) -> Option<(AttemptId, WorkerId)> {
        let found = self.jobs.get(&task.job)?.task(task)?;
        (found.status == Status::Committed)
            .then_some((AttemptId { task, number: found.by_number }, found.by))
    }
}
