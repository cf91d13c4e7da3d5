//! Replicas of dear map outputs: what took long to make is kept by a second worker too, so that it need not be made again when
//! the first one is lost.
//!
//! A replica is ordered once, when its task is committed, and nothing waits for it. It counts from when the worker that makes it
//! says that it has it, and until that worker is lost, or is to hand over.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::marks::Mark;
use super::outcome::Outcome;
use super::state::State;
use super::task::Status;
use super::worker::Worker;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use windrow_protocol::ids::{AttemptId, TaskId, WorkerId};

/// The replica of a task's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replica {
    /// The number of the attempt that made what is replicated.
    number: u32,
    worker: WorkerId,
    /// Whether the worker has it.
    is_made: bool,
}

/// The replicas of a job, by group and partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Replicas(BTreeMap<(u32, u32), Replica>);

impl Replicas {
    /// A replica is to be made.
    pub(super) fn ordered(&mut self, group: u32, attempt: AttemptId, worker: WorkerId) {
        let replica = Replica { number: attempt.number, worker, is_made: false };
        self.0.insert((group, attempt.task.partition), replica);
    }

    /// A worker has made a replica.
    pub(super) fn made(&mut self, group: u32, attempt: AttemptId, worker: WorkerId) {
        if let Some(replica) = self.0.get_mut(&(group, attempt.task.partition)) {
            replica.is_made |= (replica.number, replica.worker) == (attempt.number, worker);
        }
    }

    /// There is no replica of a task's output any more, or it is none of what the task has now.
    pub(super) fn drop_of(&mut self, group: u32, partition: u32) {
        self.0.remove(&(group, partition));
    }

    /// Drops all replicas that a worker has or makes.
    pub(super) fn drop_on(&mut self, worker: WorkerId) {
        self.0.retain(|_, replica| replica.worker != worker);
    }

    /// Who is to make, or has, a replica of what an attempt wrote.
    fn ordered_of(&self, group: u32, attempt: AttemptId) -> Option<Replica> {
        let replica = self.0.get(&(group, attempt.task.partition))?;
        (replica.number == attempt.number).then_some(*replica)
    }
}

impl Decider<'_> {
    /// An attempt was committed that took so long: if that is long, its output is replicated.
    pub(super) fn order_replica(
        &mut self,
        job: &Job,
        group: u32,
        attempt: AttemptId,
        from: WorkerId,
        took_ms: u64,
    ) {
        let is_dear = self.config.replicate_from_ms.is_some_and(|from_ms| took_ms >= from_ms);
        if !is_dear || !job.is_read(group) {
            return;
        }
        let fits = |(id, worker): &(&WorkerId, &Worker)| {
            **id != from && worker.takes_work() && !self.is_slow(**id)
        };
        let mut others: Vec<_> = self.state.workers.iter().filter(fits).collect();
        // On other hosts, if there are any; by turns.
        let host = self.state.workers.get(&from).map(|worker| worker.host);
        let is_elsewhere = |worker: &Worker| Some(worker.host) != host;
        if others.iter().any(|(_, worker)| is_elsewhere(worker)) {
            others.retain(|(_, worker)| is_elsewhere(worker));
        }
        let turn = attempt.task.partition as usize % others.len().max(1);
        if let Some(&(&to, _)) = others.get(turn) {
            self.marks.mark(Mark::ReplicaOrdered);
            self.out.push(Outcome::ReplicaOrdered { attempt, from, to });
        }
    }

    /// A worker has made a replica, or cannot.
    pub(super) fn replicated(&mut self, worker: WorkerId, attempt: AttemptId, is_whole: bool) {
        let Some((job, group)) = self.state.find(attempt.task) else { return };
        let replica = job.replicas.ordered_of(group, attempt);
        let Some(replica) = replica.filter(|replica| replica.worker == worker) else {
            return self.marks.mark(Mark::LateReport);
        };
        match (replica.is_made, is_whole) {
            (false, true) => self.out.push(Outcome::Replicated { attempt, worker }),
            (_, false) => self.out.push(Outcome::ReplicaGone { attempt, worker }),
            (true, true) => {}
        }
    }

    /// The output of a committed task is gone from the worker that had it: takes the replica in its place, if there is one.
    pub(super) fn use_replica(&mut self, job: &Job, group: u32, task: TaskId) -> bool {
        let found = &job.groups[group as usize].tasks[task.partition as usize];
        let attempt = AttemptId { task, number: found.by_number };
        let unmade = self.planted(Mutation::UseUnmadeReplica);
        let replica = job.replicas.ordered_of(group, attempt);
        let Some(replica) = replica.filter(|replica| replica.is_made || unmade) else {
            return false;
        };
        self.marks.mark(Mark::ReplicaUsed);
        self.out.push(Outcome::ReplicaUsed { attempt, worker: replica.worker });
        true
    }
}

/// From now on a task's output is the replica of it that a worker has.
pub(super) fn used(state: &mut State, attempt: AttemptId, worker: WorkerId) {
    let Some((_, group)) = state.find(attempt.task) else { return };
    let partition = attempt.task.partition;
    state.change_job(attempt.task.job, |job| {
        job.replicas.drop_of(group, partition);
        let found = &mut job.groups[group as usize];
        let task = &mut found.tasks[partition as usize];
        if (task.status, task.by_number) == (Status::Committed, attempt.number) {
            task.by = worker;
            found.gone.remove(&partition);
            found.version += 1;
        }
    });
    if let Some(worker) = state.workers.get_mut(&worker) {
        worker.outputs.entry((attempt.task.job, group)).or_default().insert(partition);
    }
}
