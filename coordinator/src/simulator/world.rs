//! The simulated world: a coordinator, workers, a network, and one queue of what happens.

use super::model::Model;
use super::node::{Item, Node, Planned};
use super::random::Random;
use super::sharing::{self, Account, Ways};
use super::swarm::{Fault, Swarm};
use super::workload;
use super::{LEASE_MS, Options, POLL_MS, Report, TICK_MS};
use crate::scheduler::{
    BackupConfig, Config, Event, HostId, JobRequest, LossReason, Millis, Outcome, Scheduler, State,
    apply,
};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use windrow_protocol::ids::{JobId, WorkerId};

/// Events that are printed on failure.
const TRACE: usize = 40;

/// After so many events it is told how many decisions there were.
const TELL_EVERY: u64 = 4_096;

/// The most restarts of the coordinator in a run: each costs a replica of all that it knows.
const RESTARTS_MAX: u64 = 64;

pub(crate) struct World {
    pub(crate) scheduler: Scheduler,
    pub(crate) config: Config,
    /// A state that knows outcomes only.
    pub(crate) replayed: State,
    pub(crate) model: Model,
    pub(crate) sharing: Account,
    pub(crate) nodes: Vec<Node>,
    /// Where a worker lives, or lived.
    pub(crate) places: BTreeMap<WorkerId, usize>,
    pub(crate) queue: BinaryHeap<Planned>,
    pub(crate) sequence: u64,
    /// Numbers the answers of the coordinator.
    pub(crate) answers: u64,
    pub(crate) now: u64,
    pub(crate) network: Random,
    pub(crate) faults: Random,
    pub(crate) work: Random,
    pub(crate) swarm: Swarm,
    pub(crate) healed: bool,
    pub(crate) requests: BTreeMap<JobId, JobRequest>,
    pub(crate) report: Report,
    pub(crate) trace: VecDeque<String>,
    pub(crate) tracing: bool,
    /// When the coordinator heard each worker, or might have if it had not stood still.
    pub(crate) heard: BTreeMap<WorkerId, u64>,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) poisoned: Option<JobId>,
    /// Until then the coordinator stands still.
    pub(crate) stands_until: u64,
    /// What waits for that.
    held: VecDeque<Item>,
    /// When the next tick should be.
    tick_due: u64,
    next_worker: u64,
    /// What the scheduler was told.
    #[cfg(test)]
    pub(crate) log: crate::explain::EventLog,
}

pub(crate) fn config() -> Config {
    Config {
        lease_ms: LEASE_MS,
        tick_ms: TICK_MS,
        backup: BackupConfig {
            elapsed_ms_min: 1_000,
            twice_below: 20,
            answer_ms: 1_500,
            ..BackupConfig::default()
        },
        aside_ms: 3_000,
        ..Config::default()
    }
}

impl World {
    pub(crate) fn new(seed: u64, options: &Options, mut config: Config, tracing: bool) -> World {
        if seed.is_multiple_of(2) {
            config.backup.twice_below = options.tasks / 2;
        }
        // Attempts take 200 to 2,000.
        config.replicate_from_ms = (seed % 4 < 2).then_some(1_000);
        let mut sharing = Random::new(seed, 4);
        let ways = Ways::draw(&mut sharing);
        config.sharing = ways.policy.clone();
        let mut work = Random::new(seed, 1);
        let mut faults = Random::new(seed, 2);
        let swarm = Swarm::draw(&mut faults, options.faults, options.tasks);
        let mut world = World {
            scheduler: Scheduler::new(config.clone()),
            model: Model::new(config.attempts_max),
            sharing: Account::new(config.sharing.clone()),
            replayed: State::default(),
            config,
            nodes: Vec::new(),
            places: BTreeMap::new(),
            queue: BinaryHeap::new(),
            sequence: 0,
            answers: 0,
            now: 0,
            network: Random::new(seed, 3),
            healed: !options.faults,
            requests: BTreeMap::new(),
            report: Report { seeds: 1, ..Report::default() },
            trace: VecDeque::new(),
            tracing,
            heard: BTreeMap::new(),
            outcomes: Vec::new(),
            poisoned: None,
            stands_until: 0,
            held: VecDeque::new(),
            tick_due: TICK_MS,
            next_worker: 1,
            #[cfg(test)]
            log: crate::explain::EventLog::default(),
            work: work.clone(),
            faults,
            swarm,
        };
        for at in 0..options.workers as usize {
            let host = HostId(at as u32 / 2);
            world.nodes.push(Node::new(
                WorkerId(0),
                host,
                (work.between(1, 4) as u32).min(ways.slots_max),
            ));
            world.nodes[at].slow = (at as u64) < world.swarm.slow_workers;
            world.plan(at as u64 % 500, Item::Rejoin(at));
        }
        for job in 1..=world.swarm.jobs {
            let share = (options.tasks / world.swarm.jobs as u32).max(1);
            let plan = workload::plan(&mut work, share);
            let (shape, weight) = (plan.shape.clone(), plan.weight);
            let slots: Vec<u32> = world.nodes.iter().map(|node| node.slots).collect();
            let stages = shape.stages.len();
            let claim = sharing::claim(&mut sharing, &ways, stages, &slots);
            let (job, name) = (JobId(job), "simulated".to_owned());
            world.requests.insert(job, JobRequest { job, name, weight, shape, claim });
            world.model.plan(job, plan);
            world.plan(job.0 * 500, Item::Submit(job));
        }
        if options.faults && world.faults.chance(1_000) {
            world.poisoned = Some(JobId(world.faults.between(1, world.swarm.jobs)));
        }
        for (at, fault, place) in world.swarm.planned.clone() {
            world.plan(at, Item::Fault(fault, place));
        }
        if options.faults {
            world.plan(world.swarm.heal_ms, Item::Heal);
        }
        world.plan(TICK_MS, Item::Tick);
        world.work = work;
        world
    }

    /// Plans an item, so many milliseconds from now.
    pub(crate) fn plan(&mut self, in_ms: u64, item: Item) {
        self.sequence += 1;
        let item = Box::new(item);
        self.queue.push(Planned { at: self.now + in_ms, sequence: self.sequence, item });
    }

    pub(crate) fn fired(&mut self, fault: Fault) {
        self.report.faults[fault as usize] += 1;
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.tracing {
            if self.trace.len() == TRACE {
                self.trace.pop_front();
            }
            self.trace.push_back(format!("{:>7} {}", self.now, what()));
        }
    }

    /// Runs until all jobs have ended, or something is wrong.
    pub(crate) fn run(&mut self, limit_ms: u64, decisions: &AtomicU64) -> Result<(), String> {
        let jobs = self.requests.len();
        let mut told = 0;
        while self.model.ended.len() < jobs {
            let Some(planned) = self.queue.pop() else {
                return Err("nothing happens any more".to_owned());
            };
            self.now = planned.at;
            if self.now > limit_ms {
                return Err(self.stuck());
            }
            self.report.events += 1;
            if self.report.events.is_multiple_of(TELL_EVERY) {
                decisions.fetch_add(self.report.decisions - told, Ordering::Relaxed);
                told = self.report.decisions;
            }
            self.step(*planned.item)?;
        }
        if self.replayed != *self.scheduler.state() {
            return Err("the replayed state is another one at the end".to_owned());
        }
        decisions.fetch_add(self.report.decisions - told, Ordering::Relaxed);
        self.report.virtual_ms += self.now;
        self.report.marks.add(self.scheduler.marks());
        Ok(())
    }

    fn stuck(&self) -> String {
        let state = self.scheduler.state();
        let mut text = format!("{} ms have passed; stuck:", self.now);
        for job in state.jobs() {
            text += &format!("\n  {job}, committing {}:", state.is_committing(job));
            for stage in state.progress(job) {
                text += &format!("\n    {stage:?}");
            }
        }
        for worker in state.workers() {
            let running: Vec<String> =
                state.running(worker.worker).map(|a| a.attempt.to_string()).collect();
            text += &format!("\n  {worker:?} runs {running:?}");
        }
        text
    }

    fn step(&mut self, item: Item) -> Result<(), String> {
        if self.now < self.stands_until && item.is_for_coordinator() {
            self.held.push_back(item);
            return Ok(());
        }
        while self.now >= self.stands_until
            && let Some(held) = self.held.pop_front()
        {
            self.take_item(held)?;
        }
        self.take_item(item)
    }

    fn take_item(&mut self, item: Item) -> Result<(), String> {
        match item {
            Item::Wake => Ok(()),
            Item::ToCoordinator(node, worker, message) => {
                self.at_coordinator(node, worker, message)
            }
            Item::ToNode(node, worker, message) => {
                self.at_node(node, worker, message);
                Ok(())
            }
            Item::Ask(node, worker) => {
                self.ask(node, worker);
                Ok(())
            }
            Item::Finish(node, worker, attempt) => self.finish(node, worker, attempt),
            Item::Replicated(node, worker, attempt, from) => {
                self.replicated(node, worker, attempt, from);
                Ok(())
            }
            Item::Rejoin(node) => self.rejoin(node),
            Item::Tick => {
                self.plan(TICK_MS, Item::Tick);
                let late_ms = self.now.saturating_sub(self.tick_due);
                self.tick_due = self.now + TICK_MS;
                for heard in self.heard.values_mut() {
                    *heard = self.now.min(*heard + late_ms);
                }
                self.tell(Event::Tick)?;
                self.check_leases()
            }
            Item::Submit(job) => {
                let request = self.requests[&job].clone();
                self.tell(Event::SubmitJob(Box::new(request)))
            }
            Item::Fault(fault, place) => self.fault(fault, place),
            Item::Heal => {
                self.heal();
                Ok(())
            }
        }
    }

    /// A lease ends only if its worker was not heard for so long while the coordinator could hear.
    fn check_lost(&self, outcomes: &[Outcome]) -> Result<(), String> {
        for outcome in outcomes {
            let Outcome::WorkerLost { worker, why: LossReason::LeaseEnded } = outcome else {
                continue;
            };
            let heard = self.heard.get(worker).copied().unwrap_or(0);
            if self.now < heard + LEASE_MS {
                return Err(format!("the lease of {worker} ended, though it was heard at {heard}"));
            }
        }
        Ok(())
    }

    fn check_leases(&self) -> Result<(), String> {
        for worker in self.scheduler.state().workers() {
            let heard = self.heard.get(&worker.worker).copied().unwrap_or(0);
            // A restarted coordinator counts each worker as heard.
            if self.now - heard > LEASE_MS + 2 * TICK_MS {
                return Err(format!(
                    "{} has a lease, but was not heard since {heard}",
                    worker.worker
                ));
            }
        }
        Ok(())
    }

    fn rejoin(&mut self, at: usize) -> Result<(), String> {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let old = &self.nodes[at];
        let mut fresh = Node::new(id, old.host, old.slots);
        fresh.slow = old.slow;
        (fresh.cut_in_until, fresh.cut_out_until) = (old.cut_in_until, old.cut_out_until);
        fresh.sick_until = old.sick_until;
        let (slots, host) = (fresh.slots, fresh.host);
        self.nodes[at] = fresh;
        self.places.insert(id, at);
        self.heard.insert(id, self.now);
        self.plan(POLL_MS, Item::Ask(at, id));
        let (memory, build, labels) = (1 << 30, "simulated".into(), sharing::labels_at(at));
        self.tell(Event::WorkerJoined { worker: id, slots, memory, host, build, labels })
    }

    /// Tells the scheduler, checks what it decides, and sends what follows from it.
    pub(crate) fn tell(&mut self, event: Event) -> Result<(), String> {
        self.note(|| {
            let text = format!("{event:?}");
            text.chars().take(300).collect()
        });
        if let Some(worker) = event.sender() {
            self.heard.insert(worker, self.now);
        }
        let mut outcomes = std::mem::take(&mut self.outcomes);
        outcomes.clear();
        let now = Millis(self.now);
        // Now and then a start is in the midst of it.
        #[cfg(test)]
        if self.log.wants_start() || self.report.events.is_multiple_of(64) {
            self.log.start(now, &self.config, std::iter::once(("", &self.scheduler)));
        }
        self.scheduler.handle(&event, now, &mut outcomes);
        #[cfg(test)]
        self.log.told("", now, &event, outcomes.len());
        self.check_lost(&outcomes)?;
        self.report.decisions += outcomes.len() as u64;
        let torn = event.sender().is_some() || event == Event::Tick;
        let restarts = torn
            && !self.healed
            && self.faults.chance(self.swarm.restart)
            && self.report.faults[Fault::Restart as usize] < RESTARTS_MAX;
        if restarts {
            let kept = self.faults.below(outcomes.len() as u64 + 1) as usize;
            outcomes.truncate(kept);
        }
        let result = self.take(&mut outcomes, restarts);
        self.outcomes = outcomes;
        result
    }

    fn take(&mut self, outcomes: &mut Vec<Outcome>, restarts: bool) -> Result<(), String> {
        for outcome in outcomes.iter() {
            apply(&mut self.replayed, outcome);
        }
        if restarts {
            self.fired(Fault::Restart);
            self.report.marks.add(self.scheduler.marks());
            let now = Millis(self.now);
            let kept = outcomes.len();
            let recovered = self.kept();
            self.scheduler = Scheduler::recovered(self.config.clone(), recovered, now);
            self.scheduler.follow(now, outcomes);
            #[cfg(test)]
            self.log.pause();
            for outcome in &outcomes[kept..] {
                apply(&mut self.replayed, outcome);
            }
            self.note(|| format!("the coordinator restarts after {kept} outcomes"));
            for heard in self.heard.values_mut() {
                *heard = self.now;
            }
            self.tick_due = self.now + TICK_MS;
        }
        let mut lost = Vec::new();
        for outcome in outcomes.iter() {
            self.note(|| {
                format!("    {}", format!("{outcome:?}").chars().take(300).collect::<String>())
            });
            self.model.take(outcome)?;
            self.sharing.take(outcome)?;
            self.send_outcome(outcome, &mut lost)?;
        }
        self.model.settled(&lost)?;
        self.sharing.settled()?;
        let sampled = !outcomes.is_empty() && self.report.events.is_multiple_of(97);
        if sampled && self.small() && self.replayed != *self.scheduler.state() {
            return Err("the replayed state is another one".to_owned());
        }
        if sampled && self.small() {
            self.check_shares()?;
        }
        Ok(())
    }

    /// Who has what is what the durable state says.
    fn check_shares(&self) -> Result<(), String> {
        let state = self.scheduler.state();
        let counted = state.standing();
        let mut again = self.kept();
        again.count_shares_of(state);
        if again.standing() == counted {
            return Ok(());
        }
        Err(format!("shares are {counted:?}, and should be {:?}", again.standing()))
    }

    /// What a restarted coordinator knows: the replayed state, as a snapshot keeps it.
    fn kept(&self) -> State {
        let of = &self.replayed;
        let kept = postcard::to_allocvec(&(of, of.later(), of.claims()));
        let kept = kept.expect("a state can be written");
        let (state, later, claims): (State, _, _) =
            postcard::from_bytes(&kept).expect("what was written can be read");
        state.with(later).with_claims(claims)
    }

    pub(crate) fn small(&self) -> bool {
        self.nodes.len() <= 100
    }
}
