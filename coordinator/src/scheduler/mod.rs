//! The scheduler: a pure state machine that decides what runs where.
//!
//! [`Event`]s come in, [`Outcome`]s come out; the durable state is a fold of outcomes ([`State::of`]), so that a
//! journal of outcomes is all that a restarted coordinator needs. There is no I/O here, no clock, no randomness and no
//! iteration in the order of a hash. Decisions are made one at a time, each in a state that has all before it:
//! `decide` says what an event means, `follow` and `dispatch` what follows from that, and [`apply`] changes the state.

mod apply;
mod aside;
mod backup;
mod config;
mod decide;
mod dispatch;
mod event;
mod follow;
mod homes;
mod job;
mod joins;
mod links;
mod marks;
mod measured;
mod outcome;
mod parts;
mod query;
mod replicas;
mod rests;
mod sharing;
mod state;
mod task;
#[cfg(test)]
mod tests;
mod time;
mod worker;

pub use apply::apply;
pub(crate) use config::Mutation;
pub use config::{BackupConfig, Config};
pub use event::{Event, HostId, JobRequest, SplitInfo, Written};
pub use marks::{Mark, Marks};
pub use outcome::{Cause, JobEnd, LossReason, Outcome, ReopenReason, RevokeReason};
pub use query::{AttemptView, StageProgress, WorkerView};
pub use sharing::{Policy, QueuePolicy, QueueView, UserPolicy};
pub(crate) use state::{Claims, Later};
pub use state::{Ended, State};
pub use time::Millis;

pub(crate) use links::{Links, lists_itself};
pub(crate) use measured::Measured;
pub(crate) use task::{Status, Task};
pub(crate) use time::Durations;

use decide::Decider;
use sharing::{KindSet, Shares};
use time::Volatile;
use windrow_protocol::failure::Blame;
use windrow_protocol::ids::{AttemptId, TaskKind, WorkerId};
use worker::Running;

/// A decision, as one sees it who watches.
pub(crate) struct Decision<'d> {
    /// The state in which it was made.
    pub(crate) state: &'d State,
    pub(crate) now: Millis,
    pub(crate) outcomes: &'d [Outcome],
    /// The odd branches that were taken to it.
    pub(crate) marks: Marks,
}

/// Who watches decisions, if anybody does.
type Watch<'w> = Option<&'w mut dyn FnMut(&Decision<'_>)>;

/// A state and how to go on from it.
#[derive(Clone, Debug)]
pub struct Scheduler {
    config: Config,
    state: State,
    marks: Marks,
    ticked: Millis,
    slow: Vec<AttemptId>,
    step: Vec<Outcome>,
    /// Kinds of needs that no worker had room for, when so many times a worker had got room for more.
    blocked: (u64, KindSet),
    /// Whether what is assigned now was taken from others.
    is_preempting: bool,
}

impl Scheduler {
    /// A scheduler that knows nothing yet.
    pub fn new(config: Config) -> Scheduler {
        Scheduler::recovered(config, State::default(), Millis(0))
    }

    /// A scheduler that goes on from a state. Each worker and attempt counts as heard and begun now.
    pub fn recovered(config: Config, mut state: State, now: Millis) -> Scheduler {
        #[cfg(test)]
        {
            state.planted = Volatile(config.mutation);
        }
        for worker in state.workers.values_mut() {
            worker.heard = Volatile(now);
            for running in &mut worker.running {
                (running.started, running.advanced) = (Volatile(now), Volatile(now));
            }
        }
        state.count_shares(Shares::new(config.sharing.clone(), now));
        state.touched = Volatile(state.jobs.keys().copied().collect());
        state.struck = Volatile(state.workers.keys().copied().collect());
        state.look_at_draining = Volatile(true);
        let (marks, slow, step) = (Marks::default(), Vec::new(), Vec::new());
        let blocked = (0, KindSet::default());
        Scheduler { config, state, marks, ticked: now, slow, step, blocked, is_preempting: false }
    }

    /// Its state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// How often each odd branch was taken.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Its settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// When [`Event::Tick`] is wanted next, if ever.
    pub fn next_timer(&self) -> Option<Millis> {
        let idle = self.state.workers.is_empty() && self.state.jobs.is_empty();
        (!idle).then(|| self.ticked.plus(self.config.tick_ms))
    }

    /// Decides what an event means, and all that follows from it. Outcomes are appended in their order, and are
    /// applied already. `now` must not go back.
    pub fn handle(&mut self, event: &Event, now: Millis, outcomes: &mut Vec<Outcome>) {
        self.handle_watched(event, now, outcomes, &mut None);
    }

    /// The same; each decision is shown to who watches.
    pub(crate) fn handle_watched(
        &mut self,
        event: &Event,
        now: Millis,
        outcomes: &mut Vec<Outcome>,
        watch: &mut Watch<'_>,
    ) {
        self.state.shares.0.at(now);
        self.observe(event, now);
        let stood_ms = if *event == Event::Tick { self.pass_time(now) } else { 0 };
        self.take_step(now, outcomes, watch, |decider| decide::decide(decider, event));
        if *event == Event::Tick {
            let slots = self.state.slots;
            self.state.shares.0.tick(slots);
            self.state.look_at_draining.0 = true;
            // How far attempts are is not known after a time in which nobody was heard.
            if stood_ms <= self.config.tick_ms {
                let mut none = Vec::new();
                self.slow = self.decider(now, &mut none, |decider| decider.slow_attempts());
            }
        }
        self.follow_watched(now, outcomes, watch);
        if *event == Event::Tick && stood_ms <= self.config.tick_ms {
            self.preempt(now, outcomes, watch);
        }
    }

    /// Slots are taken back for who has had none for long, at most a tenth of all at once.
    fn preempt(&mut self, now: Millis, outcomes: &mut Vec<Outcome>, watch: &mut Watch<'_>) {
        let (begun, most) = (outcomes.len(), self.state.slots.div_ceil(10) as usize);
        let is_one =
            |of: &&Outcome| matches!(of, Outcome::Revoked { why: RevokeReason::Preempted, .. });
        while outcomes[begun..].iter().filter(is_one).count() < most
            && self.take_step(now, outcomes, watch, |decider| decider.preempt())
        {
            self.is_preempting = true;
            self.follow_watched(now, outcomes, watch);
            self.is_preempting = false;
        }
    }

    /// Decides what follows from the state alone: after recovery, say.
    pub fn follow(&mut self, now: Millis, outcomes: &mut Vec<Outcome>) {
        self.state.shares.0.at(now);
        self.follow_watched(now, outcomes, &mut None);
    }

    fn follow_watched(&mut self, now: Millis, outcomes: &mut Vec<Outcome>, watch: &mut Watch<'_>) {
        loop {
            if self.take_step(now, outcomes, watch, |decider| decider.follow_lost()) {
                continue;
            }
            if let Some(struck) = self.state.struck.0.pop_first() {
                self.take_step(now, outcomes, watch, |decider| decider.follow_struck(struck));
                continue;
            }
            if self.take_step(now, outcomes, watch, |decider| decider.follow_aside()) {
                continue;
            }
            if let Some(&job) = self.state.touched.0.first() {
                if !self.take_step(now, outcomes, watch, |decider| decider.follow_job(job)) {
                    self.state.touched.0.remove(&job);
                }
                continue;
            }
            if std::mem::take(&mut self.state.shares.0.look_at_waiting)
                && self.take_step(now, outcomes, watch, |decider| decider.follow_waiting())
            {
                self.state.shares.0.look_at_waiting = true;
                continue;
            }
            if std::mem::take(&mut self.state.look_at_draining.0)
                && self.take_step(now, outcomes, watch, |decider| decider.follow_draining())
            {
                continue;
            }
            if self.take_step(now, outcomes, watch, |decider| decider.dispatch()) {
                continue;
            }
            if let Some(slow) = self.slow.pop() {
                self.take_step(now, outcomes, watch, |decider| decider.back_up(slow));
                continue;
            }
            if !self.take_step(now, outcomes, watch, |decider| decider.double()) {
                return;
            }
        }
    }

    fn decider<T>(
        &mut self,
        now: Millis,
        out: &mut Vec<Outcome>,
        decide: impl FnOnce(&mut Decider<'_>) -> T,
    ) -> T {
        let Scheduler { config, state, marks, blocked: (room, blocked), .. } = self;
        if *room != state.room.0 {
            (*room, *blocked) = (state.room.0, KindSet::default());
        }
        decide(&mut Decider { state, config, now, marks, blocked, out })
    }

    /// One decision and its application. Returns whether anything was decided.
    fn take_step(
        &mut self,
        now: Millis,
        outcomes: &mut Vec<Outcome>,
        watch: &mut Watch<'_>,
        decide: impl FnOnce(&mut Decider<'_>),
    ) -> bool {
        let mut step = std::mem::take(&mut self.step);
        let before = watch.is_some().then_some(self.marks);
        self.decider(now, &mut step, decide);
        if let (Some(watch), Some(before)) = (watch, before) {
            let marks = self.marks.since(&before);
            watch(&Decision { state: &self.state, now, outcomes: &step, marks });
        }
        for outcome in &step {
            self.note_before(outcome, now);
            apply(&mut self.state, outcome);
            self.note_after(outcome, now);
        }
        let any = !step.is_empty();
        outcomes.append(&mut step);
        self.step = step;
        any
    }

    /// Notes what no outcome carries: who was heard, and what is done.
    fn observe(&mut self, event: &Event, now: Millis) {
        let Some(sender) = event.sender() else { return };
        let Some(worker) = self.state.workers.get_mut(&sender) else { return };
        worker.heard = Volatile(now);
        if let Event::Progress { attempt, permille, .. } = event
            && let Some(running) = worker.running.iter_mut().find(|r| r.attempt == *attempt)
        {
            if *permille > running.permille.0 {
                running.advanced = Volatile(now);
            }
            running.permille = Volatile(*permille);
        }
    }

    /// A tick. One that comes late shows that the coordinator stood still (a process that was stopped, a machine that was
    /// paused) and heard nobody: that time says nothing about workers and attempts. Returns how long it was.
    fn pass_time(&mut self, now: Millis) -> u64 {
        let stood_ms = now.since(self.ticked).saturating_sub(self.config.tick_ms);
        self.ticked = now;
        if stood_ms > self.config.tick_ms {
            self.marks.mark(Mark::StoodStill);
        }
        if stood_ms > 0 && !self.state.planted(Mutation::JudgeLate) {
            let later = |point: &mut Volatile<Millis>| point.0 = point.0.plus(stood_ms).min(now);
            for worker in self.state.workers.values_mut() {
                later(&mut worker.heard);
                for running in &mut worker.running {
                    later(&mut running.advanced);
                }
            }
        }
        stood_ms
    }

    fn running_mut(&mut self, worker: WorkerId, attempt: AttemptId) -> Option<&mut Running> {
        let running = &mut self.state.workers.get_mut(&worker)?.running;
        running.iter_mut().rev().find(|running| running.attempt == attempt)
    }

    fn note_before(&mut self, outcome: &Outcome, now: Millis) {
        let Outcome::TaskCommitted { attempt, worker, .. } = outcome else { return };
        let Some(worker) = self.state.workers.get_mut(worker) else { return };
        let Some(running) = worker.running(*attempt) else { return };
        let elapsed = now.since(running.started.0);
        self.state.shares.0.took(attempt.task.job, elapsed);
        let is_compute = attempt.task.kind == TaskKind::Compute;
        let Some(job) = self.state.jobs.get_mut(&attempt.task.job) else { return };
        // What takes a part of a task says nothing about others.
        let is_part = job.rests.has(attempt.task.stage.0, attempt.task.partition) && is_compute;
        if let Some(group) = job.group_of(attempt.task).filter(|_| !is_part) {
            let of_groups = &mut job.durations.0;
            of_groups.resize_with(of_groups.len().max(group as usize + 1), Durations::default);
            let of_group = &mut of_groups[group as usize];
            if let Some(median_ms) = of_group.median_ms().filter(|_| is_compute) {
                worker.took(elapsed * 100 / median_ms.max(1));
            }
            of_group.add(elapsed);
        }
    }

    fn note_after(&mut self, outcome: &Outcome, now: Millis) {
        match outcome {
            Outcome::WorkerJoined { worker, .. } => {
                if let Some(worker) = self.state.workers.get_mut(worker) {
                    worker.heard = Volatile(now);
                }
            }
            Outcome::Assigned { attempt, worker, .. } => {
                if let Some(running) = self.running_mut(*worker, *attempt) {
                    (running.started, running.advanced) = (Volatile(now), Volatile(now));
                }
                if !self.is_preempting {
                    self.state.shares.0.was_served(attempt.task.job);
                }
            }
            Outcome::RestAsked { attempt, worker, .. } => {
                if let Some(running) = self.running_mut(*worker, *attempt) {
                    running.asked = Volatile(Some(now));
                }
            }
            Outcome::AttemptEnded { attempt, charge: Blame::Task, .. }
                if attempt.task.kind == TaskKind::Commit =>
            {
                let config = &self.config;
                if let Some(job) = self.state.jobs.get_mut(&attempt.task.job) {
                    let failures = job.task(attempt.task).map_or(0, |task| task.failures);
                    let doubled = config.commit_delay_ms << u32::from(failures.min(21) - 1).min(20);
                    job.commit_at = Volatile(now.plus(doubled.min(config.commit_delay_ms_max)));
                }
            }
            _ => {}
        }
    }
}
