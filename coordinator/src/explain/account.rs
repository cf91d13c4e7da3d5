//! What became of a job: put together from the decisions about it, as they are made once more.

use crate::scheduler::{
    Decision, JobEnd, Mark, Millis, Outcome, ReopenReason, RevokeReason, State, Status, Task,
    lists_itself,
};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::failure::{Blame, Failure};
use windrow_protocol::ids::{AttemptId, JobId, TaskId, TaskKind, WorkerId};
use windrow_protocol::shape::JobShape;

/// The most happenings that are told of a job.
const HAPPENINGS_MAX: usize = 2_000;

/// What became of a job.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) job: JobId,
    pub(super) name: String,
    /// From when on it is known what happened: the submission, if that is known.
    pub(super) from: Millis,
    pub(super) is_whole: bool,
    /// When something happened last.
    pub(super) until: Millis,
    pub(super) shape: JobShape,
    pub(super) tasks: BTreeMap<TaskId, TaskAccount>,
    /// When stages had their tasks.
    pub(super) opened: BTreeMap<u32, Millis>,
    pub(super) committing: Option<Millis>,
    pub(super) ended: Option<(Millis, JobEnd)>,
    /// Whether it has ended, also where that is not among what is kept.
    pub(super) has_ended: bool,
    pub(super) happenings: Vec<(Millis, Happening)>,
    /// Those that are too many to be told.
    pub(super) more_happenings: u64,
    pub(super) slots: Slots,
}

/// Slots over time, summed up: slots times milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slots {
    at: Millis,
    pub(super) ms: u64,
    pub(super) own: u64,
    pub(super) others: u64,
    pub(super) all: u64,
}

impl Slots {
    fn since(self, before: Slots) -> Slots {
        Slots {
            at: self.at,
            ms: self.ms - before.ms,
            own: self.own - before.own,
            others: self.others - before.others,
            all: self.all - before.all,
        }
    }

    /// How many on average: own, those of other jobs, all.
    pub(super) fn average(self) -> [f64; 3] {
        [self.own, self.others, self.all].map(|sum| sum as f64 / self.ms.max(1) as f64)
    }
}

/// What became of a task.
#[derive(Debug)]
pub(super) struct TaskAccount {
    /// Since when it could start, if it does not run and is not done.
    waiting: Option<(Millis, Slots)>,
    pub(super) attempts: Vec<AttemptAccount>,
    /// When its output was gone, and why.
    pub(super) reopened: Vec<(Millis, ReopenReason)>,
}

/// What became of an attempt.
#[derive(Debug)]
pub(super) struct AttemptAccount {
    pub(super) attempt: AttemptId,
    pub(super) worker: WorkerId,
    pub(super) at: Millis,
    pub(super) placed: Placed,
    /// For how long it could have started, and who had the slots then.
    pub(super) waited: Option<Slots>,
    pub(super) end: Option<(Millis, End)>,
}

impl AttemptAccount {
    pub(super) fn took_ms(&self) -> Option<u64> {
        self.end.as_ref().map(|(at, _)| at.since(self.at))
    }
}

/// Why an attempt runs where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Placed {
    /// The worker is on a host that has its bytes.
    Near,
    /// The worker was to fetch its blocks ahead.
    AtHome,
    /// It failed on another worker, which it avoids.
    Elsewhere,
    /// It ran before, and comes before what did not.
    Again,
    /// It was the next one, and the worker the least loaded.
    Next,
    /// The other attempt was slow, or its worker silent.
    Backup,
    /// Its job is small, and slots were free: all its tasks run twice.
    Twice,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Committed,
    Failed(Failure, Blame),
    Revoked(RevokeReason),
    /// Nobody knows: it did when no event was kept.
    Unknown,
}

/// Something that is not part of every run.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    Failed(AttemptId, WorkerId, Failure, Blame),
    Backup {
        attempt: AttemptId,
        worker: WorkerId,
        beside: WorkerId,
    },
    Reopened(TaskId, ReopenReason),
    ReplicaUsed(TaskId, WorkerId),
    RestSplitOff {
        task: TaskId,
        from: u32,
        rest: TaskId,
    },
    LookedUp {
        stage: u32,
        table_bytes: u64,
    },
    Lost(WorkerId, &'static str),
    Came(WorkerId, u32),
    Draining(WorkerId),
    SetAside(WorkerId),
    Back(WorkerId),
    /// The coordinator was started again; what happened before that was not kept is unknown.
    Restarted,
}

impl Account {
    /// Of a job that is about to be taken on, or is there.
    pub(super) fn new(job: JobId, now: Millis) -> Account {
        Account {
            job,
            name: String::new(),
            from: now,
            is_whole: false,
            until: now,
            shape: JobShape::default(),
            tasks: BTreeMap::new(),
            opened: BTreeMap::new(),
            committing: None,
            ended: None,
            has_ended: false,
            happenings: Vec::new(),
            more_happenings: 0,
            slots: Slots { at: now, ..Slots::default() },
        }
    }

    /// Goes on from a state that was kept whole: what is not known of it happened meanwhile.
    pub(super) fn go_on(&mut self, state: &State, now: Millis) {
        let Some(job) = state.jobs.get(&self.job) else { return };
        self.slots.at = now;
        // What was decided and not kept did not happen.
        self.ended = None;
        if self.name.is_empty() {
            (self.name, self.from, self.until) = (job.name.clone(), now, now);
        }
        self.shape = (*job.shape).clone();
        let mut unknown = false;
        for (number, group) in (0..).zip(&job.groups).filter(|(_, group)| group.open) {
            if let Some(stage) = job.stage_of(number) {
                unknown |= self.opened.insert(stage, now).is_none();
            }
            for (partition, found) in (0..).zip(&group.tasks) {
                let id = job.task_id(number, partition);
                let (slots, task) = (self.slots, self.tasks.entry(id));
                let task = task.or_insert_with(|| TaskAccount::waiting(now, slots));
                unknown |= task.go_on(id, found, now);
            }
        }
        if unknown && self.is_whole {
            self.tell(now, Happening::Restarted);
        }
    }

    fn tell(&mut self, now: Millis, happening: Happening) {
        if self.happenings.len() < HAPPENINGS_MAX {
            self.happenings.push((now, happening));
        } else {
            self.more_happenings += 1;
        }
    }

    /// Time has passed, in which slots were used as they are now.
    pub(super) fn time(&mut self, state: &State, now: Millis) {
        if self.ended.is_some() {
            return;
        }
        let ms = now.since(self.slots.at);
        if ms > 0 {
            let used = |own: bool| {
                let of = state.jobs.iter().filter(|(id, _)| (**id == self.job) == own);
                of.map(|(_, job)| u64::from(job.running)).sum::<u64>()
            };
            let (own, others) = (used(true), used(false));
            let slots = &mut self.slots;
            slots.at = now;
            slots.ms += ms;
            slots.own += own * ms;
            slots.others += others * ms;
            slots.all += state.slots * ms;
        }
    }

    /// A decision is made.
    pub(super) fn decided(&mut self, decision: &Decision<'_>) {
        let now = decision.now;
        let begins = |outcome: &Outcome| matches!(outcome, Outcome::JobAdmitted { job, .. } if *job == self.job);
        let is_there = decision.state.jobs.contains_key(&self.job);
        if !is_there && !decision.outcomes.iter().any(begins) {
            return;
        }
        self.until = now;
        for outcome in decision.outcomes {
            self.one(outcome, decision);
        }
    }

    fn one(&mut self, outcome: &Outcome, decision: &Decision<'_>) {
        let (now, own) = (decision.now, self.job);
        match outcome {
            Outcome::JobAdmitted { job, name, shape, .. } if *job == own => {
                self.name.clone_from(name);
                self.shape = (**shape).clone();
                (self.from, self.is_whole) = (now, true);
                self.slots = Slots { at: now, ..Slots::default() };
                for stage in 0..shape.stages.len() {
                    if lists_itself(shape, stage) {
                        self.ready(self.task(stage as u32, TaskKind::Split, 0), now);
                    }
                }
            }
            Outcome::StageOpened { job, stage, tasks, .. } if *job == own => {
                self.opened.insert(stage.0, now);
                (0..*tasks)
                    .for_each(|at| self.ready(self.task(stage.0, TaskKind::Compute, at), now));
            }
            Outcome::CommitDecided { job } if *job == own => {
                self.committing = Some(now);
                self.ready(self.task(0, TaskKind::Commit, 0), now);
            }
            Outcome::LookedUp { job, lookup } if *job == own => {
                let of = decision.state.jobs.get(job);
                let table = of.and_then(|of| of.written.get(lookup.table.0 as usize));
                let table_bytes = table.copied().unwrap_or_default();
                self.tell(now, Happening::LookedUp { stage: lookup.stage.0, table_bytes });
                self.shape.look_up(*lookup);
            }
            Outcome::Assigned { attempt, worker, backup, .. } if attempt.task.job == own => {
                self.assigned(*attempt, *worker, *backup, decision);
            }
            Outcome::Revoked { attempt, why, .. } => self.ends(*attempt, End::Revoked(*why), now),
            Outcome::AttemptEnded { attempt, worker, failure, charge }
                if attempt.task.job == own =>
            {
                self.ends(*attempt, End::Failed((**failure).clone(), *charge), now);
                let failed = Happening::Failed(*attempt, *worker, (**failure).clone(), *charge);
                self.tell(now, failed);
            }
            Outcome::TaskCommitted { attempt, .. } => self.ends(*attempt, End::Committed, now),
            Outcome::ReplicaUsed { attempt, worker } if attempt.task.job == own => {
                self.tell(now, Happening::ReplicaUsed(attempt.task, *worker));
            }
            Outcome::RestSplitOff { attempt, from, rest, .. } if attempt.task.job == own => {
                let (task, from) = (attempt.task, *from);
                let rest = TaskId { partition: *rest, ..task };
                self.ready(rest, now);
                self.tell(now, Happening::RestSplitOff { task, from, rest });
            }
            Outcome::TaskReopened { task, why, .. } if task.job == own => {
                self.ready(*task, now);
                if let Some(of) = self.tasks.get_mut(task) {
                    of.reopened.push((now, *why));
                }
                self.tell(now, Happening::Reopened(*task, *why));
            }
            Outcome::WorkerLost { worker, why } => {
                self.tell(now, Happening::Lost(*worker, why.text()));
            }
            Outcome::WorkerJoined { worker, slots, .. } => {
                self.tell(now, Happening::Came(*worker, *slots));
            }
            Outcome::WorkerDraining { worker, .. } => self.tell(now, Happening::Draining(*worker)),
            Outcome::WorkerSetAside { worker, .. } => self.tell(now, Happening::SetAside(*worker)),
            Outcome::WorkerBack { worker } => self.tell(now, Happening::Back(*worker)),
            Outcome::JobEnded { job, end } if *job == own => self.ended = Some((now, end.clone())),
            _ => {}
        }
    }

    fn task(&self, stage: u32, kind: TaskKind, partition: u32) -> TaskId {
        use windrow_protocol::ids::{Round, StageId};
        let (job, stage, round) = (self.job, StageId(stage), Round::default());
        TaskId { job, stage, round, kind, partition }
    }

    /// A task may start.
    fn ready(&mut self, task: TaskId, now: Millis) {
        let slots = self.slots;
        let of = self.tasks.entry(task).or_insert_with(|| TaskAccount::waiting(now, slots));
        of.waiting.get_or_insert((now, slots));
    }

    fn assigned(
        &mut self,
        attempt: AttemptId,
        worker: WorkerId,
        backup: bool,
        decision: &Decision<'_>,
    ) {
        let (now, slots) = (decision.now, self.slots);
        let took = |mark: Mark| decision.marks.count(mark) > 0;
        let of = self.tasks.entry(attempt.task);
        let of = of.or_insert_with(|| TaskAccount::waiting(now, slots));
        let placed = match () {
            () if took(Mark::Doubled) => Placed::Twice,
            () if backup => Placed::Backup,
            () if took(Mark::Local) => Placed::Near,
            () if took(Mark::AtHome) => Placed::AtHome,
            () if of.attempts.is_empty() && of.reopened.is_empty() => Placed::Next,
            () if of.attempts.last().is_some_and(|last| {
                last.worker != worker && matches!(last.end, Some((_, End::Failed(_, Blame::Task))))
            }) =>
            {
                Placed::Elsewhere
            }
            () => Placed::Again,
        };
        let waited = of.waiting.take().map(|(_, since)| slots.since(since));
        let beside = of.attempts.iter().rev().find(|of| of.end.is_none()).map(|of| of.worker);
        let (at, end) = (now, None);
        of.attempts.push(AttemptAccount { attempt, worker, at, placed, waited, end });
        if let (Placed::Backup, Some(beside)) = (placed, beside) {
            self.tell(now, Happening::Backup { attempt, worker, beside });
        }
    }

    fn ends(&mut self, attempt: AttemptId, end: End, now: Millis) {
        if attempt.task.job != self.job {
            return;
        }
        let slots = self.slots;
        let Some(task) = self.tasks.get_mut(&attempt.task) else { return };
        let failed = matches!(end, End::Failed(..));
        let of = task.attempts.iter_mut().rev().find(|of| of.attempt == attempt);
        if let Some(of) = of.filter(|of| of.end.is_none()) {
            of.end = Some((now, end));
        }
        if failed && task.attempts.iter().all(|of| of.end.is_some()) {
            task.waiting.get_or_insert((now, slots));
        }
    }

    /// How it ended.
    #[cfg(test)]
    pub(crate) fn end(&self) -> Option<&JobEnd> {
        self.ended.as_ref().map(|(_, end)| end)
    }

    /// Its tasks that were never done, as far as is known.
    #[cfg(test)]
    pub(crate) fn undone(&self) -> impl Iterator<Item = &TaskId> {
        let known = |task: &TaskAccount| {
            task.attempts
                .iter()
                .any(|of| matches!(of.end, Some((_, End::Committed | End::Unknown))))
        };
        self.tasks.iter().filter(move |(_, task)| !known(task)).map(|(id, _)| id)
    }

    /// The job, and some of its tasks.
    #[cfg(test)]
    pub(crate) fn task_ids(&self) -> impl Iterator<Item = Option<TaskId>> {
        std::iter::once(None).chain(self.tasks.keys().step_by(7).copied().map(Some))
    }

    /// The workers that its attempts ran on.
    pub(super) fn workers(&self) -> BTreeSet<WorkerId> {
        self.tasks.values().flat_map(|task| task.attempts.iter().map(|of| of.worker)).collect()
    }
}

impl TaskAccount {
    fn waiting(now: Millis, slots: Slots) -> TaskAccount {
        let (attempts, reopened) = (Vec::new(), Vec::new());
        TaskAccount { waiting: Some((now, slots)), attempts, reopened }
    }

    /// Goes on from how the task stands. Whether something had happened that is not known.
    fn go_on(&mut self, id: TaskId, found: &Task, now: Millis) -> bool {
        let mut unknown = false;
        for of in &mut self.attempts {
            let runs = found.lease(of.attempt.number).is_some();
            if runs == of.end.is_some() {
                unknown = true;
                of.end = (!runs).then_some((now, End::Unknown));
            }
        }
        for lease in found.leases.iter().flatten() {
            if self.attempts.iter().all(|of| of.attempt.number != lease.number) {
                unknown = true;
                let attempt = AttemptId { task: id, number: lease.number };
                let placed = if lease.backup { Placed::Backup } else { Placed::Next };
                let (worker, at, waited, end) = (lease.worker, now, None, None);
                self.attempts.push(AttemptAccount { attempt, worker, at, placed, waited, end });
            }
        }
        if matches!(found.status, Status::Running | Status::Committed) {
            self.waiting = None;
        }
        unknown
    }

    /// Since when it waits to start, if it does.
    pub(super) fn waits_since(&self) -> Option<Millis> {
        self.waiting.map(|(since, _)| since)
    }

    /// The attempt that was committed, and when; the last, if there were several.
    pub(super) fn committed(&self) -> Option<(&AttemptAccount, Millis)> {
        self.attempts.iter().rev().find_map(|of| match of.end {
            Some((at, End::Committed)) => Some((of, at)),
            _ => None,
        })
    }
}
