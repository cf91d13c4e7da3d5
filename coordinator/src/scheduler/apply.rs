//! From an outcome to the next state: the only way in which durable state changes.
//!
//! Nothing is decided here. An outcome that does not fit the state (of a journal that was written by something else)
//! changes nothing, or as little as makes sense; it never panics.

use super::config::Mutation;
use super::homes::Home;
use super::job::Job;
use super::outcome::{Cause, Outcome, RevokeReason};
use super::replicas::{self, Replicas};
use super::state::{ENDED_JOBS_MAX, Ended, State};
use super::task::{Group, Lease, Status};
use super::time::Volatile;
use super::worker::{Running, Worker};
use std::collections::BTreeMap;
use windrow_protocol::failure::{Blame, Failure};
use windrow_protocol::ids::{AttemptId, JobId, StageId, TaskId, TaskKind, WorkerId};

/// Changes the state as an outcome says.
pub fn apply(state: &mut State, outcome: &Outcome) {
    match outcome {
        Outcome::JobRefused { .. } | Outcome::RestAsked { .. } => {}
        Outcome::RestSplitOff { attempt, worker, from, rest } => {
            let forgets = state.planted(Mutation::ForgetRest);
            change_task(state, attempt.task, |job, group| {
                job.split_off(group, attempt.task.partition, *from, *rest, *worker);
                if forgets {
                    job.groups[group as usize].retries.remove(rest);
                }
            });
        }
        Outcome::JobAdmitted { job, name, weight, shape, claim, waits } => {
            state.last_job = state.last_job.max(*job);
            let mut admitted = Job::new(*job, name.clone(), *weight, shape.clone());
            #[cfg(test)]
            {
                admitted.reads_early = Volatile(state.planted(Mutation::ReadEarly));
            }
            (admitted.claim, admitted.waits) = (claim.clone(), *waits);
            admitted.enter(&mut state.shares.0);
            state.jobs.insert(*job, admitted);
            state.change_job(*job, |_| {});
            state.touched.0.insert(*job);
        }
        Outcome::SplitsAdded { attempt, page, splits } => {
            splits_added(state, *attempt, *page, splits);
        }
        Outcome::StageOpened { job, stage, tasks, cut, parts } => {
            let homes = cut.map(|cut| state.homes(*tasks, cut, parts)).unwrap_or_default();
            stage_opened(state, *job, *stage, *tasks, homes);
        }
        Outcome::Assigned { attempt, worker, backup, .. } => {
            assigned(state, *attempt, *worker, *backup);
        }
        Outcome::JobStarts { job } => {
            state.shares.0.release(*job);
            let starts = !state.planted(Mutation::ForgetWaiting);
            state.change_job(*job, |job| job.waits &= !starts);
        }
        Outcome::Revoked { attempt, worker, why } => {
            let forgets = state.planted(Mutation::ForgetPreempted);
            let requeue = match why {
                RevokeReason::OtherWon => false,
                RevokeReason::JobEnded => true,
                RevokeReason::Preempted => !forgets,
            };
            release(state, *attempt, *worker, requeue, WorkerId(0));
        }
        Outcome::AttemptEnded { attempt, worker, failure, charge } => {
            attempt_ended(state, *attempt, *worker, failure, *charge);
        }
        Outcome::TaskCommitted { attempt, worker, written } => {
            committed(state, *attempt, *worker);
            state.change_job(attempt.task.job, |job| job.add_written(written));
        }
        Outcome::LookedUp { job, lookup } => {
            state.touched.0.insert(*job);
            state.change_job(*job, |job| job.look_up(*lookup));
        }
        Outcome::TaskReopened { task, .. } => reopened(state, *task),
        Outcome::ReplicaOrdered { attempt, to, .. } => {
            change_replicas(state, *attempt, |replicas, group| {
                replicas.ordered(group, *attempt, *to)
            });
        }
        Outcome::Replicated { attempt, worker } => {
            change_replicas(state, *attempt, |replicas, group| {
                replicas.made(group, *attempt, *worker)
            });
        }
        Outcome::ReplicaGone { attempt, .. } => {
            let partition = attempt.task.partition;
            change_replicas(state, *attempt, |replicas, group| replicas.drop_of(group, partition));
        }
        Outcome::ReplicaUsed { attempt, worker } => replicas::used(state, *attempt, *worker),
        Outcome::WorkerJoined { worker, slots, memory, host, build, labels } => {
            let joined = Worker {
                slots: *slots,
                memory: *memory,
                host: *host,
                build: build.clone(),
                draining: false,
                strikes: 0,
                struck_by: None,
                aside_until: None,
                asides: 0,
                pace_percent: Volatile::default(),
                running: Vec::new(),
                used: 0,
                outputs: BTreeMap::new(),
                heard: Volatile::default(),
                labels: labels.clone(),
            };
            worker_joined(state, *worker, joined);
        }
        Outcome::WorkerLost { worker, .. } => worker_lost(state, *worker),
        Outcome::WorkerDraining { worker, hand_over } => {
            state.change_worker(*worker, |worker| worker.draining = true);
            state.draining.insert(*worker);
            state.look_at_draining.0 = true;
            if *hand_over && !state.planted(Mutation::KeepHandedOver) {
                outputs_gone(state, *worker);
            }
        }
        Outcome::WorkerDrained { worker } => worker_lost(state, *worker),
        Outcome::WorkerSetAside { worker, until } => {
            state.change_worker(*worker, |worker| {
                worker.aside_until = Some(*until);
                worker.asides = worker.asides.saturating_add(1);
            });
            state.aside.insert(*worker);
        }
        Outcome::WorkerBack { worker } => {
            state.change_worker(*worker, |worker| {
                worker.aside_until = None;
                worker.strikes = 0;
                worker.struck_by = None;
            });
            state.aside.remove(worker);
        }
        Outcome::CommitDecided { job } => {
            state.change_job(*job, |job| {
                job.committing = true;
                let group = job.commit_group();
                job.groups[group as usize] = Group::opened(1);
                job.refresh(group);
            });
        }
        Outcome::JobEnded { job, end } => {
            job_ended(state, *job);
            let name = state.jobs.remove(job).map_or_else(String::new, |job| job.name);
            state.ended.insert(*job, Ended { name, end: end.clone() });
            if state.ended.len() > ENDED_JOBS_MAX {
                state.ended.pop_first();
            }
        }
    }
}

fn worker_joined(state: &mut State, id: WorkerId, joined: Worker) {
    state.last_worker = state.last_worker.max(id);
    state.slots += u64::from(joined.slots);
    state.room.0 += 1;
    if joined.is_free() {
        state.free.insert((0, id));
    }
    state.workers.insert(id, joined);
}

/// Changes a task and its group, and then what the job has ready.
fn change_task(state: &mut State, task: TaskId, change: impl FnOnce(&mut Job, u32)) {
    let Some((_, group)) = state.find(task) else { return };
    let mut touched = false;
    state.change_job(task.job, |job| {
        change(job, group);
        job.refresh(group);
        if let Some(stage) = job.stage_of(group) {
            touched = job.note_complete(stage);
        }
    });
    if touched || task.kind != TaskKind::Compute {
        state.touched.0.insert(task.job);
        state.look_at_draining.0 = true;
    }
}

fn change_replicas(state: &mut State, attempt: AttemptId, change: impl FnOnce(&mut Replicas, u32)) {
    let Some((_, group)) = state.find(attempt.task) else { return };
    state.change_job(attempt.task.job, |job| change(&mut job.replicas, group));
}

fn splits_added(
    state: &mut State,
    attempt: AttemptId,
    page: u32,
    splits: &[super::event::SplitInfo],
) {
    let lost = usize::from(state.planted(Mutation::LoseSplit) && splits.len() > 1);
    let splits = &splits[lost..];
    state.change_job(attempt.task.job, |job| {
        let Some(found) = job.splits.get_mut(attempt.task.stage.0 as usize) else { return };
        if page == 0 {
            found.list.clear();
            found.attempt = attempt.number;
        }
        found.pages = page + 1;
        found.list.extend_from_slice(splits);
    });
}

fn stage_opened(state: &mut State, job: JobId, stage: StageId, tasks: u32, homes: Vec<Home>) {
    state.touched.0.insert(job);
    state.change_job(job, |job| {
        let group = stage.0 * 2 + 1;
        let mut opened = Group { homes, ..Group::opened(tasks) };
        for partition in (0..tasks).rev() {
            for &host in job.hosts(stage.0, partition) {
                opened.by_host.entry(host).or_default().push(partition);
            }
        }
        let Some(place) = job.groups.get_mut(group as usize) else { return };
        *place = opened;
        job.unopened.remove(&stage.0);
        job.refresh(group);
        job.note_complete(stage.0);
    });
}

fn assigned(state: &mut State, attempt: AttemptId, worker: WorkerId, backup: bool) {
    let reuse = state.planted(Mutation::ReuseNumber);
    change_task(state, attempt.task, |job, group| {
        let partition = attempt.task.partition;
        job.running += 1;
        let was_fresh;
        {
            let found = &mut job.groups[group as usize];
            found.running += 1;
            found.retries.remove(&partition);
            let task = &mut found.tasks[partition as usize];
            was_fresh = task.status == Status::Fresh;
            task.status = Status::Running;
            if !reuse {
                task.next = task.next.max(attempt.number + 1);
            }
            let lease = Lease { worker, number: attempt.number, backup };
            if let Some(slot) = task.leases.iter_mut().find(|slot| slot.is_none()) {
                *slot = Some(lease);
            }
        }
        if was_fresh {
            if job.groups[group as usize].by_host.is_empty() {
                job.groups[group as usize].skip_used(partition, &[]);
            } else {
                let hosts = job.hosts(group / 2, partition).to_vec();
                job.groups[group as usize].skip_used(partition, &hosts);
            }
        }
    });
    state.backups += u64::from(backup);
    let slots = state.slots_of(attempt.task, worker);
    state.shares.0.begun(attempt.task.job, slots);
    state.change_worker(worker, |worker| {
        worker.used += slots;
        worker.running.push(Running {
            attempt,
            started: Volatile::default(),
            permille: Volatile::default(),
            advanced: Volatile::default(),
            asked: Volatile::default(),
        });
    });
}

/// Ends a lease on both sides. A task that has no other and is not committed is queued again, if it is wanted.
fn release(
    state: &mut State,
    attempt: AttemptId,
    worker: WorkerId,
    requeue: bool,
    avoid: WorkerId,
) {
    let keep_slot = state.planted(Mutation::LeakSlot) && requeue;
    let slots = state.slots_of(attempt.task, worker);
    if let Some(lost) = state.lost.get_mut(&worker) {
        lost.running.retain(|running| running.attempt != attempt);
        if lost.running.is_empty() {
            state.lost.remove(&worker);
        }
    } else {
        let mut draining = false;
        state.change_worker(worker, |worker| {
            if let Some(at) = worker.running.iter().position(|r| r.attempt == attempt) {
                worker.running.swap_remove(at);
                worker.used -= if keep_slot { 0 } else { slots.min(worker.used) };
            }
            draining = worker.draining;
        });
        state.look_at_draining.0 |= draining;
    }
    let (mut backup, mut was_there) = (false, false);
    change_task(state, attempt.task, |job, group| {
        let found = &mut job.groups[group as usize];
        let task = &mut found.tasks[attempt.task.partition as usize];
        backup = task.lease(attempt.number).is_some_and(|lease| lease.backup);
        if !task.end(attempt.number) {
            return;
        }
        was_there = true;
        found.running -= 1;
        job.running -= 1;
        if requeue && task.running() == 0 && task.status == Status::Running {
            task.status = Status::Queued;
            found.retries.insert(attempt.task.partition, avoid);
        }
    });
    state.backups -= u64::from(backup);
    if was_there && !state.planted(Mutation::LeakShare) {
        state.shares.0.ended(attempt.task.job, slots);
    }
}

fn attempt_ended(
    state: &mut State,
    attempt: AttemptId,
    worker: WorkerId,
    failure: &Failure,
    charge: Blame,
) {
    let requeue = !state.planted(Mutation::ForgetRequeue);
    let avoid = if charge == Blame::Task { worker } else { WorkerId(0) };
    release(state, attempt, worker, requeue, avoid);
    if charge == Blame::Task
        && let Some(of) = state.workers.get_mut(&worker)
        && of.struck_by != Some(attempt.task)
    {
        of.struck_by = Some(attempt.task);
        of.strikes = of.strikes.saturating_add(1);
        state.struck.0.insert(worker);
    }
    let Some((_, group)) = state.find(attempt.task) else { return };
    let Some(job) = state.jobs.get_mut(&attempt.task.job) else { return };
    let task = &mut job.groups[group as usize].tasks[attempt.task.partition as usize];
    match charge {
        Blame::Task => task.failures = task.failures.saturating_add(1),
        Blame::Worker => task.losses = task.losses.saturating_add(1),
        Blame::Producer | Blame::Nobody => task.misses = task.misses.saturating_add(1),
        Blame::Job => {}
    }
    if !matches!(charge, Blame::Producer | Blame::Nobody) {
        let cause = Cause { attempt, worker, failure: failure.clone() };
        job.causes.entry((group, attempt.task.partition)).or_default().push(cause);
    }
}

fn committed(state: &mut State, attempt: AttemptId, worker: WorkerId) {
    release(state, attempt, worker, false, WorkerId(0));
    if let Some(of) = state.workers.get_mut(&worker) {
        of.strikes = 0;
        of.struck_by = None;
    }
    let mut is_read = None;
    change_task(state, attempt.task, |job, group| {
        let partition = attempt.task.partition;
        job.replicas.drop_of(group, partition);
        let found = &mut job.groups[group as usize];
        found.retries.remove(&partition);
        found.gone.remove(&partition);
        found.version += 1;
        let task = &mut found.tasks[partition as usize];
        if task.status != Status::Committed {
            found.committed += 1;
        }
        task.status = Status::Committed;
        task.by = worker;
        task.by_number = attempt.number;
        if attempt.task.kind == TaskKind::Split {
            let splits = &mut job.splits[attempt.task.stage.0 as usize];
            if splits.attempt != attempt.number {
                splits.list.clear();
            }
            splits.pack();
        }
        is_read = job.is_read(group).then_some(group);
    });
    if let (Some(group), Some(worker)) = (is_read, state.workers.get_mut(&worker)) {
        let outputs = worker.outputs.entry((attempt.task.job, group)).or_default();
        outputs.insert(attempt.task.partition);
    }
}

fn reopened(state: &mut State, task: TaskId) {
    change_task(state, task, |job, group| {
        job.replicas.drop_of(group, task.partition);
        let found = &mut job.groups[group as usize];
        let reopened = &mut found.tasks[task.partition as usize];
        found.gone.remove(&task.partition);
        if reopened.status != Status::Committed {
            return;
        }
        reopened.status = Status::Queued;
        found.committed -= 1;
        found.version += 1;
        found.retries.insert(task.partition, WorkerId(0));
    });
}

fn worker_lost(state: &mut State, id: WorkerId) {
    if !state.planted(Mutation::KeepLostOutputs) {
        outputs_gone(state, id);
    }
    let Some(worker) = state.workers.remove(&id) else { return };
    if worker.is_free() && !state.planted(Mutation::KeepLostFree) {
        state.free.remove(&(worker.used, id));
    }
    state.slots -= u64::from(worker.slots);
    state.draining.remove(&id);
    state.aside.remove(&id);
    if !worker.running.is_empty() {
        state.lost.insert(id, worker);
    }
}

/// Notes that the outputs of a worker are gone: who needs them, now or later, has them made again.
fn outputs_gone(state: &mut State, id: WorkerId) {
    if !state.planted(Mutation::KeepLostReplicas) {
        state.jobs.values_mut().for_each(|job| job.replicas.drop_on(id));
    }
    let Some(worker) = state.workers.get_mut(&id) else { return };
    for ((job, group), partitions) in std::mem::take(&mut worker.outputs) {
        let Some(job) = state.jobs.get_mut(&job) else { continue };
        state.touched.0.insert(job.id);
        let found = &mut job.groups[group as usize];
        for partition in partitions {
            let task = &found.tasks[partition as usize];
            if task.status == Status::Committed && task.by == id {
                found.gone.insert(partition);
            }
        }
    }
}

/// Takes a job's traces from the workers.
fn job_ended(state: &mut State, id: JobId) {
    state.look_at_draining.0 = true;
    state.shares.0.leave(id);
    for worker in state.workers.values_mut() {
        if !worker.outputs.is_empty() {
            let mut own = worker.outputs.split_off(&(id, 0));
            let mut later = own.split_off(&(JobId(id.0 + 1), 0));
            worker.outputs.append(&mut later);
        }
    }
}
