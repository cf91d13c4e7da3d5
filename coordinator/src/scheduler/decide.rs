//! From an event to outcomes. What follows from the outcomes alone is in `follow`.

use super::config::{Config, Mutation};
use super::event::{Event, JobRequest, Written};
use super::job::Job;
use super::links;
use super::marks::{Mark, Marks};
use super::outcome::{Cause, JobEnd, LossReason, Outcome, ReopenReason, RevokeReason};
use super::sharing::KindSet;
use super::state::State;
use super::task::{Group, Lease, Status};
use super::time::Millis;
use windrow_protocol::failure::{Blame, Failure};
use windrow_protocol::ids::{AttemptId, TaskId, TaskKind, WorkerId};

/// What a decision looks at, and where it goes.
pub(crate) struct Decider<'s> {
    pub(crate) state: &'s State,
    pub(crate) config: &'s Config,
    pub(crate) now: Millis,
    pub(crate) marks: &'s mut Marks,
    /// Kinds that no worker has room for.
    pub(crate) blocked: &'s mut KindSet,
    pub(crate) out: &'s mut Vec<Outcome>,
}

/// What an event means in a state. Apply it before the next event, and then what follows from it.
pub(crate) fn decide(decider: &mut Decider<'_>, event: &Event) {
    match event {
        Event::SubmitJob(request) => decider.submit(request),
        Event::WorkerJoined { worker, slots, memory, host, build, labels } => {
            if *worker <= decider.state.last_worker {
                return decider.marks.mark(Mark::KnownAlready);
            }
            decider.out.push(Outcome::WorkerJoined {
                worker: *worker,
                slots: *slots,
                memory: *memory,
                host: *host,
                build: build.clone(),
                labels: labels.clone(),
            });
        }
        Event::Heartbeat { .. } | Event::Progress { .. } => {}
        Event::LanesGivenUp { worker, attempt, from } => {
            decider.gave_up(*worker, *attempt, *from);
        }
        Event::SplitsListed { worker, attempt, page, splits } => {
            if decider.lease(*worker, *attempt).is_none() || attempt.task.kind != TaskKind::Split {
                return decider.marks.mark(Mark::LateReport);
            }
            if decider.state.pages_of(*attempt) != *page {
                return decider.marks.mark(Mark::OddPage);
            }
            let splits = splits.clone();
            decider.out.push(Outcome::SplitsAdded { attempt: *attempt, page: *page, splits });
        }
        Event::AttemptDone { worker, attempt, pages, written, given_up } => {
            decider.done(*worker, *attempt, *pages, written, *given_up);
        }
        Event::AttemptFailed { worker, attempt, failure } => {
            decider.failed(*worker, *attempt, failure);
        }
        Event::Replicated { worker, attempt, is_whole } => {
            decider.replicated(*worker, *attempt, *is_whole)
        }
        Event::WorkerLeft { worker } => decider.lose(*worker, LossReason::Left),
        Event::Drain { worker, hand_over } => {
            let alive = decider.state.workers.get(worker);
            if alive.is_some_and(|alive| !alive.draining || *hand_over) {
                decider.marks.mark(Mark::Draining);
                decider
                    .out
                    .push(Outcome::WorkerDraining { worker: *worker, hand_over: *hand_over });
            }
        }
        Event::Cancel { job } => match decider.state.jobs.get(job) {
            Some(found) if !found.committing || decider.planted(Mutation::CancelLate) => {
                decider.marks.mark(Mark::Cancelled);
                decider.end_job(found, JobEnd::Cancelled, None);
            }
            _ => decider.marks.mark(Mark::CancelledLate),
        },
        Event::Tick => decider.tick(),
    }
}

impl Decider<'_> {
    /// Whether a defect is planted.
    pub(crate) fn planted(&self, mutation: Mutation) -> bool {
        self.state.planted(mutation)
    }

    fn submit(&mut self, request: &JobRequest) {
        let job = request.job;
        if job <= self.state.last_job {
            return self.marks.mark(Mark::KnownAlready);
        }
        let why = links::check(&request.shape).err().or_else(|| self.refused_by_queue(request));
        if let Some(why) = why {
            self.marks.mark(Mark::Refused);
            return self.out.push(Outcome::JobRefused { job, why });
        }
        self.out.push(Outcome::JobAdmitted {
            job,
            name: request.name.clone(),
            weight: request.weight,
            shape: Box::new(request.shape.clone()),
            claim: request.claim.clone(),
            waits: self.must_wait(request),
        });
    }

    /// The lease of an attempt, if it runs on this worker, and the worker is not lost.
    pub(super) fn lease(&self, worker: WorkerId, attempt: AttemptId) -> Option<Lease> {
        self.state.workers.get(&worker)?;
        let (job, _) = self.state.find(attempt.task)?;
        let lease = job.task(attempt.task)?.lease(attempt.number)?;
        (lease.worker == worker).then_some(lease)
    }

    fn done(
        &mut self,
        worker: WorkerId,
        attempt: AttemptId,
        pages: u32,
        written: &[Written],
        given_up: Option<u32>,
    ) {
        let Some((job, group)) = self.state.find(attempt.task) else {
            return self.marks.mark(Mark::LateReport);
        };
        let task = &job.groups[group as usize].tasks[attempt.task.partition as usize];
        let Some(lease) = self.lease(worker, attempt) else {
            if self.planted(Mutation::CommitRevoked) && attempt.number < task.next {
                self.out.push(Outcome::TaskCommitted {
                    attempt,
                    worker,
                    written: written.to_vec(),
                });
            }
            return self.marks.mark(Mark::LateReport);
        };
        if attempt.task.kind == TaskKind::Split && self.state.pages_of(attempt) != pages {
            return self.marks.mark(Mark::OddPage);
        }
        if given_up.is_some_and(|from| !self.gave_up(worker, attempt, from)) {
            return;
        }
        if lease.backup {
            self.marks.mark(Mark::BackupWon);
        }
        // The other one goes first: wherever a journal ends, no attempt runs beside a commit.
        let others = task.leases.iter().flatten().filter(|other| other.number != attempt.number);
        let twice = self.planted(Mutation::CommitTwice);
        for other in others.filter(|_| !twice) {
            self.marks.mark(Mark::OtherRevoked);
            let attempt = AttemptId { task: attempt.task, number: other.number };
            let (worker, why) = (other.worker, RevokeReason::OtherWon);
            self.out.push(Outcome::Revoked { attempt, worker, why });
        }
        self.out.push(Outcome::TaskCommitted { attempt, worker, written: written.to_vec() });
        let running = self.state.workers.get(&worker).and_then(|by| by.running(attempt));
        let took_ms = running.map_or(0, |running| self.now.since(running.started.0));
        self.order_replica(job, group, attempt, worker, took_ms);
    }

    fn failed(&mut self, worker: WorkerId, attempt: AttemptId, failure: &Failure) {
        if self.lease(worker, attempt).is_none() {
            self.marks.mark(Mark::LateReport);
            let known = self.state.find(attempt.task).is_some();
            if !(known && self.planted(Mutation::CountTwice)) {
                return;
            }
        }
        self.end_attempt(worker, attempt, failure);
        if failure.class.blame() == Blame::Producer {
            for at in 0..failure.lost.len() {
                let (producer, by) = failure.lost[at];
                if !failure.lost[..at].iter().any(|(earlier, _)| *earlier == producer) {
                    self.reopen(attempt.task, producer, by);
                }
            }
        }
    }

    /// Ends an attempt without a commit, and its job with it where no other attempt may be made.
    pub(crate) fn end_attempt(&mut self, worker: WorkerId, attempt: AttemptId, failure: &Failure) {
        let Some((job, group)) = self.state.find(attempt.task) else { return };
        let charge = failure.class.blame();
        let ended =
            Outcome::AttemptEnded { attempt, worker, failure: Box::new(failure.clone()), charge };
        self.out.push(ended);
        let task = &job.groups[group as usize].tasks[attempt.task.partition as usize];
        let config = self.config;
        let (over, mark) = match charge {
            Blame::Task => {
                let at_once = self.planted(Mutation::FailAtOnce);
                (task.failures + 1 >= config.attempts_max || at_once, Mark::Retried)
            }
            Blame::Worker => (task.losses + 1 >= config.losses_max, Mark::AttemptLost),
            Blame::Producer | Blame::Nobody => {
                (task.misses + 1 >= config.misses_max, Mark::Requeued)
            }
            Blame::Job => (true, Mark::JobAtFault),
        };
        self.marks.mark(mark);
        if !over {
            if attempt.task.kind == TaskKind::Commit && charge == Blame::Task {
                self.marks.mark(Mark::CommitDelayed);
            }
            return;
        }
        self.marks.mark(Mark::JobFailed);
        let key = (group, attempt.task.partition);
        let mut causes = job.causes.get(&key).cloned().unwrap_or_default();
        causes.push(Cause { attempt, worker, failure: failure.clone() });
        self.end_job(job, JobEnd::Failed { task: attempt.task, causes }, Some(attempt));
    }

    /// A reader misses a block that `by` should have: its replica is taken instead, or its task runs again, unless it does
    /// already.
    fn reopen(&mut self, reader: TaskId, producer: AttemptId, by: WorkerId) {
        let Some((job, group)) = self.state.find(producer.task) else { return };
        let reads = reader.job == producer.task.job
            && job
                .stage_of(group)
                .is_some_and(|stage| job.links.producers[reader.stage.0 as usize].contains(&stage));
        let task = &job.groups[group as usize].tasks[producer.task.partition as usize];
        let current = task.status == Status::Committed
            && (task.by_number == producer.number || self.planted(Mutation::ReopenOld))
            && (task.by == by || self.planted(Mutation::ReopenOld));
        if !reads || !current {
            return self.marks.mark(Mark::BlockKnown);
        }
        if self.use_replica(job, group, producer.task) {
            return;
        }
        self.marks.mark(Mark::BlockReopened);
        let mut id = producer.task;
        if self.planted(Mutation::ReopenNeighbour) {
            let count = job.groups[group as usize].tasks.len() as u32;
            id.partition = (id.partition + 1) % count;
        }
        let why = ReopenReason::BlockLost;
        self.out.push(Outcome::TaskReopened { task: id, number: producer.number, why });
    }

    /// A worker is lost, however that was noticed.
    fn lose(&mut self, worker: WorkerId, why: LossReason) {
        if !self.state.workers.contains_key(&worker) {
            return self.marks.mark(Mark::LateReport);
        }
        assert!(!self.planted(Mutation::PanicAtLoss), "a planted defect");
        self.marks.mark(match why {
            LossReason::LeaseEnded => Mark::LeaseEnded,
            LossReason::Left => Mark::WorkerLeft,
        });
        self.out.push(Outcome::WorkerLost { worker, why });
    }

    /// Revokes all that runs of a job but `ended`, and ends it.
    pub(crate) fn end_job(&mut self, job: &Job, end: JobEnd, ended: Option<AttemptId>) {
        let leaves = self.planted(Mutation::LeaveRunning);
        let running = |(_, group): &(usize, &Group)| group.running > 0 && !leaves;
        for (number, group) in job.groups.iter().enumerate().filter(running) {
            for (partition, task) in group.tasks.iter().enumerate() {
                for lease in task.leases.iter().flatten() {
                    let task = job.task_id(number as u32, partition as u32);
                    let attempt = AttemptId { task, number: lease.number };
                    if Some(attempt) != ended {
                        let (worker, why) = (lease.worker, RevokeReason::JobEnded);
                        self.out.push(Outcome::Revoked { attempt, worker, why });
                    }
                }
            }
        }
        self.out.push(Outcome::JobEnded { job: job.id, end });
    }

    fn tick(&mut self) {
        if self.planted(Mutation::EndlessLease) {
            return;
        }
        for (&id, worker) in &self.state.workers {
            if self.now.since(worker.heard.0) >= self.config.lease_ms {
                self.lose(id, LossReason::LeaseEnded);
            }
        }
    }
}
