//! What the driver does on outcomes: tells workers, keeps outputs, writes notes, wakes those who wait.

use super::core::Core;
use super::job::{Job, Reads};
use super::outbox::Item;
use super::worker::{Standing, Worker};
use crate::history::{Amounts, How, tell};
use crate::scheduler::{Cause, JobEnd, Millis, Outcome, RevokeReason};
use std::collections::BTreeSet;
use std::sync::Arc;
use windrow_protocol::control::{JobOver, JobState};
use windrow_protocol::events::{End, What};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, JobId, StageId, TaskId, WorkerId};
use windrow_protocol::shape::{RootShape, pack};
use windrow_protocol::task::{LeftOut, TaskOutput};

impl Core {
    pub(crate) fn apply(
        &mut self,
        build: &str,
        outcome: Outcome,
        arrived: &mut Option<(AttemptId, TaskOutput)>,
        now: Millis,
    ) {
        self.keep(build, &outcome, arrived, now);
        match outcome {
            Outcome::JobAdmitted { job, name, .. } => {
                self.publish(What::JobStarted { job, name }, now);
            }
            Outcome::JobRefused { why, .. } => self.refused = Some(why),
            Outcome::SplitsAdded { .. } | Outcome::CommitDecided { .. } => {}
            Outcome::StageOpened { job, stage, tasks, cut, parts } => {
                self.stage_opened(job, stage, tasks, Reads { cut, parts }, now);
            }
            Outcome::Assigned { attempt, worker, lanes, backup } => {
                if let Some(job) = self.jobs.get_mut(&attempt.task.job) {
                    job.begun(attempt, worker, now);
                    job.history.begun(attempt, worker, backup, now.since(job.submitted));
                    if let JobState::Running { waiting } = &mut job.state {
                        *waiting = None;
                    }
                    job.news.add();
                }
                if let Some(to) = self.workers.get_mut(&worker) {
                    to.running.insert(attempt);
                    to.outbox.push(Item::Assign(attempt, lanes));
                    to.wake();
                }
                self.publish(What::Assigned(attempt, worker), now);
            }
            Outcome::RestAsked { attempt, worker, keep_permille } => {
                if let Some(to) = self.workers.get_mut(&worker) {
                    to.outbox.push(Item::GiveUp(attempt, keep_permille));
                    to.wake();
                }
            }
            Outcome::RestSplitOff { attempt, from, rest, .. } => {
                if let Some(job) = self.jobs.get_mut(&attempt.task.job) {
                    job.split_off(attempt.task, from, rest);
                    job.news.add();
                }
            }
            Outcome::ReplicaOrdered { attempt, from, to } => {
                if let Some(to) = self.workers.get_mut(&to) {
                    to.outbox.push(Item::Replicate(attempt, from));
                    to.wake();
                }
            }
            Outcome::Replicated { .. }
            | Outcome::ReplicaGone { .. }
            | Outcome::JobStarts { .. } => {}
            Outcome::ReplicaUsed { attempt, worker } => {
                if let Some(job) = self.jobs.get_mut(&attempt.task.job) {
                    job.moved(attempt, worker);
                    job.news.add();
                }
            }
            Outcome::Revoked { attempt, worker, why } => {
                self.stopped(attempt, worker);
                if let Some(to) = self.workers.get_mut(&worker)
                    && to.outbox.take_back(attempt)
                {
                    to.outbox.push(Item::Cancel(attempt));
                    to.wake();
                }
                if let Some(job) = self.jobs.get_mut(&attempt.task.job) {
                    let at_ms = now.since(job.submitted);
                    let is_preempted = why == RevokeReason::Preempted;
                    let how = if is_preempted { How::Preempted } else { How::Revoked };
                    job.history.ended(attempt, how, Amounts::default(), at_ms);
                    if is_preempted {
                        job.note(format!(
                            "attempt {attempt} on {worker} made room for another job"
                        ));
                    }
                }
                self.publish(What::AttemptRevoked(attempt, worker), now);
            }
            Outcome::AttemptEnded { attempt, worker, failure, .. } => {
                self.stopped(attempt, worker);
                let host = self.host_of(worker);
                if let Some(job) = self.jobs.get_mut(&attempt.task.job) {
                    job.retries += 1;
                    let at_ms = now.since(job.submitted);
                    job.history.failed(attempt, &failure.to_string(), at_ms);
                    job.note(format!("attempt {attempt} on {worker} ({host}): {failure}"));
                    job.news.add();
                }
                self.publish(What::AttemptFailed(attempt, worker, failure), now);
            }
            Outcome::LookedUp { job, lookup } => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    Arc::make_mut(&mut job.shape).look_up(lookup);
                }
            }
            Outcome::TaskCommitted { attempt, worker, .. } => {
                self.task_committed(attempt, worker, arrived, now);
            }
            Outcome::TaskReopened { task, .. } => self.task_reopened(task, now),
            Outcome::WorkerJoined { worker, .. } => self.publish(What::WorkerJoined(worker), now),
            Outcome::WorkerLost { worker, why } => {
                self.worker_gone(build, worker, Standing::Lost(why));
                self.publish(What::WorkerLost(worker, why.text().to_owned()), now);
            }
            Outcome::WorkerDraining { worker, .. } => {
                if let Some(of) = self.workers.get_mut(&worker) {
                    of.standing = Standing::Draining;
                }
                self.publish(What::WorkerDraining(worker), now);
            }
            Outcome::WorkerDrained { worker } => {
                self.worker_gone(build, worker, Standing::Drained);
                self.publish(What::WorkerDrained(worker), now);
            }
            Outcome::WorkerSetAside { worker, until } => {
                let seconds = until.since(now).div_ceil(1000);
                let host = self.host_of(worker);
                self.note_all(build, &format!(
                    "worker {worker} ({host}) gets no work for {seconds} s: one task after the other failed there"
                ));
                if let Some(of) = self.workers.get_mut(&worker) {
                    of.standing = Standing::Aside;
                }
                self.publish(What::WorkerSetAside(worker), now);
            }
            Outcome::WorkerBack { worker } => {
                if let Some(of) = self.workers.get_mut(&worker)
                    && of.standing == Standing::Aside
                {
                    of.standing = Standing::Ready;
                }
                self.publish(What::WorkerBack(worker), now);
            }
            Outcome::JobEnded { job, end } => self.job_ended(build, job, end, now),
        }
    }

    fn host_of(&self, worker: WorkerId) -> String {
        self.workers.get(&worker).map_or_else(String::new, |worker| worker.hello.host.clone())
    }

    /// An attempt runs no more.
    fn stopped(&mut self, attempt: AttemptId, worker: WorkerId) {
        if let Some(of) = self.workers.get_mut(&worker)
            && of.no_longer(attempt)
            && let Some(job) = self.jobs.get_mut(&attempt.task.job)
        {
            job.stopped(attempt);
        }
    }

    fn stage_opened(&mut self, id: JobId, stage: StageId, tasks: u32, reads: Reads, now: Millis) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let shape = &job.shape.stages[stage.0 as usize];
        let ranges = match (&shape.root, job.splits_of(stage)) {
            (RootShape::Source { .. }, Some(splits)) if !shape.sample => {
                pack(splits.iter().map(|split| split.bytes))
            }
            _ => Vec::new(),
        };
        job.opened(stage, tasks, reads, ranges);
        job.news.add();
        self.publish(What::StageOpened(id, stage, tasks), now);
    }

    fn task_committed(
        &mut self,
        attempt: AttemptId,
        worker: WorkerId,
        arrived: &mut Option<(AttemptId, TaskOutput)>,
        now: Millis,
    ) {
        self.stopped(attempt, worker);
        let mut give_up = None;
        if let Some((_, output)) = arrived.take_if(|(of, _)| *of == attempt)
            && let Some(job) = self.jobs.get_mut(&attempt.task.job)
        {
            let leaves_out = !output.left_out.is_empty();
            let amounts = Amounts::of(&output);
            job.history.ended(attempt, How::Done, amounts, now.since(job.submitted));
            let other_rows = job.committed(attempt, worker, output, now);
            let (bytes, most) = (job.collected_bytes, self.config.collected_bytes);
            if bytes > most {
                let text = format!(
                    "the job collects more than {most} bytes ({bytes} by now): write such a dataset to a sink instead"
                );
                give_up = Some(Failure::new(FailureClass::BadInput, text));
            }
            let most = job.submission.options.bad_records_max;
            if leaves_out && job.left_out().nth(most as usize).is_some() {
                let first: Vec<LeftOut> = job.left_out().take(1).cloned().collect();
                give_up.get_or_insert(Failure::too_many_left_out(most, &first));
            }
            if other_rows {
                let text = other_rows_of(job, attempt);
                tracing::warn!(job = %attempt.task.job, "{text}");
                if job.is_read(attempt.task.stage) {
                    let text = format!("{text}, and rows of both may have been read");
                    give_up.get_or_insert(Failure::new(FailureClass::UserCode, text));
                } else {
                    job.note(text);
                }
            }
            job.news.add();
        }
        if let Some(why) = give_up {
            self.give_up(attempt.task.job, why, now);
        }
        self.publish(What::TaskDone(attempt, worker), now);
    }

    fn task_reopened(&mut self, task: TaskId, now: Millis) {
        if let Some(job) = self.jobs.get_mut(&task.job) {
            job.reopened(task);
            job.note(format!("task {task} runs again: its output is gone"));
            job.news.add();
        }
        self.publish(What::TaskReopened(task), now);
    }

    /// A worker gets no more work, for it is lost or not needed any more.
    fn worker_gone(&mut self, build: &str, worker: WorkerId, standing: Standing) {
        if let Some(pool) = self.pools.get_mut(build) {
            pool.alive.remove(&worker);
        }
        let Some(of) = self.workers.get_mut(&worker) else { return };
        if of.is_alive() {
            self.gone.push_back(worker);
        }
        of.standing = standing;
        of.wake();
        if let Standing::Lost(why) = standing {
            let text = format!("worker {worker} ({}) is lost: {}", of.hello.host, why.text());
            self.note_all(build, &text);
        }
    }

    /// Tells all jobs of a build something.
    fn note_all(&mut self, build: &str, text: &str) {
        let jobs = self.pools.get(build).map(|pool| pool.jobs.clone()).unwrap_or_default();
        for job in jobs {
            if let Some(job) = self.jobs.get_mut(&job) {
                job.note(text.to_owned());
                job.news.add();
            }
        }
    }

    fn job_ended(&mut self, build: &str, id: JobId, end: JobEnd, now: Millis) {
        let Some(pool) = self.pools.get_mut(build) else { return };
        pool.jobs.remove(&id);
        let aborters = match (&end, self.jobs.get(&id)) {
            (JobEnd::Failed { .. } | JobEnd::Cancelled, Some(job)) => job.aborters(&pool.alive),
            _ => BTreeSet::new(),
        };
        for worker in &pool.alive {
            if let Some(to) = self.workers.get_mut(worker) {
                let abort = aborters.contains(worker);
                to.outbox.push(Item::JobOver(JobOver { job: id, abort }));
                to.wake();
            }
        }
        if let Some(job) = self.jobs.get_mut(&id) {
            let state = match (end, job.given_up.take()) {
                (JobEnd::Succeeded, _) => JobState::Succeeded,
                (_, Some(failure)) => JobState::Failed(failure),
                (JobEnd::Failed { task, causes }, None) => JobState::Failed(failed(task, causes)),
                (JobEnd::Cancelled, None) => JobState::Cancelled,
            };
            let end = match &state {
                JobState::Failed(failure) => End::Failed(failure.clone()),
                JobState::Cancelled => End::Cancelled,
                JobState::Succeeded | JobState::Running { .. } => End::Succeeded,
            };
            let name = job.submission.name.clone();
            let history = Arc::new(std::mem::take(&mut job.history));
            job.end(state, now);
            tell(&job.submission.options.short_id, || job.status(now, false), &history);
            job.news.alert();
            self.ended.push_back(id);
            self.histories.put(id, history.clone());
            self.ended_histories.push((id, history));
            self.publish(What::JobEnded { job: id, name, end }, now);
        }
        self.log.flush();
        self.forget_jobs();
    }
}

/// What people are told when two attempts of a task wrote different rows.
fn other_rows_of(job: &Job, attempt: AttemptId) -> String {
    let stage = attempt.task.stage;
    format!(
        "stage {} ({}) is not deterministic: task {} made other rows when it ran again. What its closures give must \
         depend on their records alone: not on the time, on random numbers without a fixed seed, or on the order of a \
         HashMap",
        stage.0,
        job.operators(stage),
        attempt.task
    )
}

/// The failure of a job whose task could not be done: its class is that of the last attempt.
fn failed(task: TaskId, causes: Vec<Cause>) -> Failure {
    let Some(last) = causes.last() else {
        return Failure::new(FailureClass::Internal, format!("task {task} could not be done"));
    };
    let mut text = match causes.len() {
        1 => format!("task {task}: {}", last.failure.message),
        several => {
            format!("task {task} failed {several} times, the last time: {}", last.failure.message)
        }
    };
    let different = |cause: &&Cause| cause.failure.message != last.failure.message;
    for cause in causes.iter().rev().filter(different).take(3) {
        text.push_str(&format!(
            "; attempt {} on {}: {}",
            cause.attempt, cause.worker, cause.failure
        ));
    }
    Failure::new(last.failure.class, text)
}

impl Worker {
    /// Whether a poll has to be answered at once.
    pub(crate) fn has_news(&self, stopping: bool) -> bool {
        !self.is_known()
            || stopping
            || self.standing == Standing::Drained
            || !self.outbox.is_empty()
    }
}
