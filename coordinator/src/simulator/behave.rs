//! How workers, the network and the faults behave.

use super::node::{Item, LANES, Message, Run};
use super::random::join;
use super::swarm::Fault;
use super::workload::{of_inputs, of_splits, written_by};
use super::world::World;
use super::{LEASE_MS, POLL_MS};
use crate::scheduler::{Event, Outcome, SplitInfo};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, LaneRange, Round, TaskId, TaskKind, WorkerId};
use windrow_protocol::shape::RootShape;

/// Splits on a page.
const PAGE: usize = 64;

/// A task that reads more outputs than that looks at a sample of them.
const READ_MAX: u32 = 64;

impl World {
    /// Sends a message through the network, which may lose it, delay it or double it.
    fn send(&mut self, node: usize, item: Item, out: bool) {
        let until =
            if out { self.nodes[node].cut_out_until } else { self.nodes[node].cut_in_until };
        if self.now < until {
            return self.fired(Fault::Cut);
        }
        let mut delay_ms = self.network.between(1, 20);
        if !self.healed {
            if self.network.chance(self.swarm.loss) {
                return self.fired(Fault::Loss);
            }
            if self.network.chance(self.swarm.delay) {
                self.fired(Fault::Delay);
                delay_ms += self.network.below(self.swarm.delay_ms_max);
            }
            if self.network.chance(self.swarm.duplicate) {
                self.fired(Fault::Duplicate);
                let again_ms = delay_ms + self.network.below(200);
                self.plan(again_ms, item.clone());
            }
        }
        self.plan(delay_ms, item);
    }

    fn send_to(&mut self, node: usize, worker: WorkerId, message: Message) {
        self.send(node, Item::ToNode(node, worker, message), false);
    }

    /// What the driver does with an outcome.
    pub(crate) fn send_outcome(
        &mut self,
        outcome: &Outcome,
        lost: &mut Vec<WorkerId>,
    ) -> Result<(), String> {
        match outcome {
            Outcome::Assigned { attempt, worker, lanes, .. } => {
                self.answers += 1;
                let message = Message::Start(self.answers, *attempt, *lanes);
                self.send_to(self.places[worker], *worker, message);
            }
            Outcome::RestAsked { attempt, worker, keep_permille } => {
                let message = Message::GiveUp(*attempt, *keep_permille);
                self.send_to(self.places[worker], *worker, message);
            }
            Outcome::ReplicaOrdered { attempt, from, to } => {
                self.send_to(self.places[to], *to, Message::Replicate(*attempt, *from));
            }
            Outcome::TaskCommitted { attempt, worker, .. }
                if attempt.task.kind == TaskKind::Compute =>
            {
                let node = &self.nodes[self.places[worker]];
                if node.id != *worker {
                    return Ok(());
                }
                let (made, wanted) = (node.blocks.get(attempt), self.model.value(attempt.task));
                if made.is_some_and(|made| Some(*made) != wanted) {
                    return Err(format!("{attempt} made {made:?} and should make {wanted:?}"));
                }
            }
            // Sometimes a job is cancelled just when that is too late.
            Outcome::CommitDecided { job } if !self.healed && self.faults.chance(500) => {
                let in_ms = self.faults.between(1, 500);
                self.plan(in_ms, Item::Fault(Fault::Cancel, job.0 - 1));
            }
            Outcome::WorkerLost { worker, .. } => {
                lost.push(*worker);
                self.heard.remove(worker);
            }
            Outcome::WorkerDrained { worker } => {
                lost.push(*worker);
                self.heard.remove(worker);
            }
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn at_coordinator(
        &mut self,
        node: usize,
        worker: WorkerId,
        message: Message,
    ) -> Result<(), String> {
        if !self.scheduler.state().is_alive(worker) {
            if let Message::Report(_, events) = message {
                for event in events {
                    self.tell(event)?;
                }
            }
            self.send_to(node, worker, Message::Unknown);
            return Ok(());
        }
        match message {
            Message::Poll(progress, replicated) => {
                self.tell(Event::Heartbeat { worker })?;
                for (attempt, permille, given_up) in progress {
                    self.tell(Event::Progress { worker, attempt, permille })?;
                    if let Some(from) = given_up {
                        self.tell(Event::LanesGivenUp { worker, attempt, from })?;
                    }
                }
                for (attempt, is_whole) in replicated {
                    self.tell(Event::Replicated { worker, attempt, is_whole })?;
                }
                self.answers += 1;
                let state = self.scheduler.state();
                let run =
                    state.running(worker).map(|a| (a.attempt, state.lanes_of(a.attempt.task)));
                let run = run.collect();
                self.send_to(node, worker, Message::Run(self.answers, run));
            }
            Message::Report(attempt, events) => {
                for event in events {
                    self.tell(event)?;
                }
                self.answers += 1;
                self.send_to(node, worker, Message::Heard(self.answers, attempt));
            }
            _ => {}
        }
        Ok(())
    }

    /// A node sees a message, once it is not paused any more.
    pub(crate) fn at_node(&mut self, at: usize, worker: WorkerId, message: Message) {
        let node = &mut self.nodes[at];
        if node.dead || node.id != worker {
            return;
        }
        if self.now < node.paused_until {
            let wait_ms = node.paused_until - self.now;
            return self.plan(wait_ms, Item::ToNode(at, worker, message));
        }
        match message {
            Message::Start(number, attempt, lanes) => {
                // A list from before it would end what begins here; what else began since is in the next one.
                if number > node.seen {
                    node.seen = number;
                    self.start(at, attempt, lanes);
                }
            }
            Message::Replicate(attempt, from) => {
                let in_ms = self.network.between(10, 1_500);
                self.plan(in_ms, Item::Replicated(at, worker, attempt, from));
            }
            Message::GiveUp(attempt, keep_permille) => {
                let now = self.now;
                if let Some(run) = node.running.get_mut(&attempt)
                    && run.give_up(keep_permille, now)
                {
                    let in_ms = (run.begun + run.takes).saturating_sub(now);
                    self.plan(in_ms, Item::Finish(at, worker, attempt));
                }
            }
            Message::Run(number, attempts) => {
                if number <= node.seen {
                    return;
                }
                node.seen = number;
                let wanted = |attempt: &AttemptId| attempts.iter().any(|(it, _)| it == attempt);
                node.running.retain(|attempt, _| wanted(attempt));
                node.reports.retain(|attempt, _| wanted(attempt));
                for (attempt, lanes) in attempts {
                    self.start(at, attempt, lanes);
                }
            }
            Message::Heard(number, attempt) => {
                node.seen = node.seen.max(number);
                // A coordinator that restarted may have forgotten it: the next list says so.
                if number >= node.seen {
                    node.reports.remove(&attempt);
                }
            }
            Message::Unknown => {
                node.dead = true;
                self.plan(50, Item::Rejoin(at));
            }
            Message::Poll(..) | Message::Report(..) => {}
        }
    }

    fn start(&mut self, at: usize, attempt: AttemptId, lanes: LaneRange) {
        let node = &mut self.nodes[at];
        if node.reports.contains_key(&attempt) || node.running.contains_key(&attempt) {
            return;
        }
        // What has ended is told again, and never run again: it may have been committed by now.
        if let Some(events) = node.ended.get(&attempt) {
            node.reports.insert(attempt, events.clone());
            return;
        }
        let (worker, slow) = (node.id, node.slow);
        let lanes_of_all = u64::from(lanes.end.min(LANES) - lanes.start.min(LANES));
        let mut duration_ms = self.work.between(200, 2_000) * lanes_of_all / u64::from(LANES);
        if slow && !self.healed {
            self.fired(Fault::Slow);
            duration_ms *= 8;
        }
        if !self.healed && self.faults.chance(self.swarm.stuck) {
            self.fired(Fault::Stuck);
            duration_ms += self.swarm.heal_ms.saturating_sub(self.now);
        }
        let run = Run { begun: self.now, takes: duration_ms, lanes, given_up: None };
        self.nodes[at].running.insert(attempt, run);
        self.plan(duration_ms, Item::Finish(at, worker, attempt));
    }

    /// A node asks what it should run, and reports again what was not answered.
    pub(crate) fn ask(&mut self, at: usize, worker: WorkerId) {
        let node = &self.nodes[at];
        if node.dead || node.id != worker {
            return;
        }
        if self.now < node.paused_until {
            let wait_ms = node.paused_until - self.now;
            return self.plan(wait_ms, Item::Ask(at, worker));
        }
        let reports: Vec<Message> = node
            .reports
            .iter()
            .map(|(&attempt, events)| Message::Report(attempt, events.clone()))
            .collect();
        for message in reports {
            self.send(at, Item::ToCoordinator(at, worker, message), true);
        }
        let replicated =
            self.nodes[at].replicated.iter().map(|(of, is_whole)| (*of, *is_whole)).collect();
        let poll = Message::Poll(self.progress(at), replicated);
        self.send(at, Item::ToCoordinator(at, worker, poll), true);
        self.plan(POLL_MS, Item::Ask(at, worker));
    }

    /// A node has copied what it should, unless the worker that had it is gone or has it no more.
    pub(crate) fn replicated(
        &mut self,
        at: usize,
        worker: WorkerId,
        attempt: AttemptId,
        from: WorkerId,
    ) {
        let source = &self.nodes[self.places[&from]];
        let has_it = source.id == from && !source.dead;
        let block = source.blocks.get(&attempt).copied().filter(|_| has_it);
        let node = &mut self.nodes[at];
        if node.id == worker && !node.dead {
            node.replicated.insert(attempt, block.is_some());
            node.blocks.extend(block.map(|block| (attempt, block)));
        }
    }

    /// How far the attempts of a node are; some say nothing.
    fn progress(&self, at: usize) -> Vec<(AttemptId, u16, Option<u32>)> {
        let running = self.nodes[at].running.iter();
        let tells = |attempt: &AttemptId| !attempt.task.partition.is_multiple_of(5);
        running
            .filter(|(attempt, _)| tells(attempt))
            .map(|(attempt, run)| (*attempt, run.permille(self.now), run.given_up))
            .collect()
    }

    /// An attempt has run: its report is sent until it is answered.
    pub(crate) fn finish(
        &mut self,
        at: usize,
        worker: WorkerId,
        attempt: AttemptId,
    ) -> Result<(), String> {
        let node = &self.nodes[at];
        let run = node.running.get(&attempt).copied();
        let Some(run) = run.filter(|_| !node.dead && node.id == worker) else { return Ok(()) };
        if self.now < node.paused_until {
            let wait_ms = node.paused_until - self.now;
            self.plan(wait_ms, Item::Finish(at, worker, attempt));
            return Ok(());
        }
        let events = match self.execute(at, attempt, run) {
            Ok(events) => events,
            Err(failure) => {
                vec![Event::AttemptFailed { worker, attempt, failure: Box::new(failure) }]
            }
        };
        let node = &mut self.nodes[at];
        node.running.remove(&attempt);
        node.reports.insert(attempt, events.clone());
        node.ended.insert(attempt, events.clone());
        let message = Message::Report(attempt, events);
        self.send(at, Item::ToCoordinator(at, worker, message), true);
        Ok(())
    }

    /// What an attempt makes of its input.
    fn execute(&mut self, at: usize, attempt: AttemptId, run: Run) -> Result<Vec<Event>, Failure> {
        let task = attempt.task;
        self.fail(at, attempt)?;
        let worker = self.nodes[at].id;
        let mut events = Vec::new();
        match task.kind {
            TaskKind::Split => {
                let sizes = self.model.sizes(task).to_vec();
                let hosts = self.nodes.len() as u64 / 2 + 1;
                for (page, sizes) in sizes.chunks(PAGE).enumerate() {
                    let near = join(task.job.0, page as u64);
                    let splits = sizes.iter().enumerate().map(|(at, &bytes)| {
                        let host = join(near, at as u64);
                        let near = host.is_multiple_of(3).then_some((host >> 8) % hosts);
                        let hosts = near.map(|host| crate::scheduler::HostId(host as u32));
                        SplitInfo { bytes, lanes: 1, hosts: hosts.into_iter().collect() }
                    });
                    let (page, splits) = (page as u32, splits.collect());
                    events.push(Event::SplitsListed { worker, attempt, page, splits });
                }
            }
            TaskKind::Compute => {
                let value = self.compute(task)?;
                self.nodes[at].blocks.insert(attempt, (value, run.lanes));
            }
            TaskKind::Commit => {}
        }
        let pages = events.len() as u32;
        let shuffles = self.model.written(task).into_iter();
        let written = shuffles.map(|shuffle| written_by(task, shuffle)).collect();
        let given_up = run.given_up;
        events.push(Event::AttemptDone { worker, attempt, pages, written, given_up });
        Ok(events)
    }

    fn fail(&mut self, at: usize, attempt: AttemptId) -> Result<(), Failure> {
        let task = attempt.task;
        if self.now < self.nodes[at].sick_until {
            self.fired(Fault::Sick);
            return Err(Failure::new(FailureClass::Storage, "its disk is full"));
        }
        let poisoned = self.poisoned == Some(task.job)
            && task.kind == TaskKind::Compute
            && task.partition == 0;
        if poisoned {
            self.fired(Fault::Attempt);
            return Err(Failure::new(FailureClass::UserCode, "poison"));
        }
        if self.healed || !self.faults.chance(self.swarm.attempt) {
            return Ok(());
        }
        self.fired(Fault::Attempt);
        let class = match self.faults.below(200) {
            0 => FailureClass::BadInput,
            1 => FailureClass::WrongBinary,
            2..60 => FailureClass::UserCode,
            60..90 => FailureClass::Storage,
            90..120 => FailureClass::Memory,
            120..140 => FailureClass::LostExecutor,
            140..150 => FailureClass::LostExecutorOfSeveral,
            _ => FailureClass::Cancelled,
        };
        Err(Failure::new(class, "a simulated failure"))
    }

    fn compute(&mut self, task: TaskId) -> Result<u64, Failure> {
        let inputs = self.model.inputs(task);
        if let Some(&(stage, tasks, _)) = inputs.first()
            && tasks > 0
            && !self.healed
            && self.faults.chance(self.swarm.block)
        {
            let partition = self.faults.below(u64::from(tasks)) as u32;
            let shares = self.model.shares(TaskId { stage, partition, ..task });
            let at = self.faults.below(shares.len() as u64) as usize;
            self.lose_block(shares[at]);
        }
        let mut digests = Vec::with_capacity(inputs.len());
        for (stage, tasks, digest) in inputs {
            let looked_at = tasks.min(READ_MAX);
            let mut sum = 0;
            for at in 0..looked_at {
                let partition = if tasks <= READ_MAX {
                    at
                } else if at < 4 {
                    self.work.below(u64::from(tasks)) as u32
                } else {
                    break;
                };
                let kind = TaskKind::Compute;
                let round = Round(0);
                sum =
                    join(sum, self.read(TaskId { job: task.job, stage, round, kind, partition })?);
            }
            digests.push(if tasks <= READ_MAX { sum } else { digest });
        }
        let Some(&RootShape::Source { listed_by }) = self.model.root(task) else {
            return Ok(of_inputs(self.model.first_of(task), digests.into_iter()));
        };
        let range = self.scheduler.state().splits_of(task).unwrap_or_default();
        Ok(of_splits(task.job.0, listed_by.0, range, digests.into_iter()))
    }

    /// Reads the blocks of a task, and of what is the rest of it: each lane once, or what comes of it is another thing.
    fn read(&mut self, producer: TaskId) -> Result<u64, Failure> {
        let (mut sum, mut next) = (0, 0);
        for share in self.model.shares(producer) {
            let (value, lanes) = self.read_block(share)?;
            sum = if next == 0 || sum == value { value } else { !value };
            if lanes.start != next {
                return Ok(!value);
            }
            next = lanes.end;
        }
        Ok(if next == u32::MAX { sum } else { !sum })
    }

    /// Reads a block from the worker that has it.
    fn read_block(&mut self, producer: TaskId) -> Result<(u64, LaneRange), Failure> {
        let Some((attempt, worker)) = self.scheduler.state().committed(producer) else {
            return Err(Failure::new(FailureClass::LostBlock, "its producer runs again"));
        };
        let node = &self.nodes[self.places[&worker]];
        let found = node.blocks.get(&attempt).filter(|_| node.id == worker && !node.dead);
        found.copied().ok_or_else(|| {
            self.model.block_lost(attempt, worker);
            Failure::lost_block(attempt, worker, "gone")
        })
    }

    fn lose_block(&mut self, task: TaskId) {
        if let Some((attempt, worker)) = self.scheduler.state().committed(task) {
            let place = self.places[&worker];
            if self.nodes[place].id == worker && self.nodes[place].blocks.remove(&attempt).is_some()
            {
                self.fired(Fault::Block);
            }
        }
    }

    pub(crate) fn fault(&mut self, fault: Fault, place: u64) -> Result<(), String> {
        if self.healed {
            return Ok(());
        }
        self.note(|| format!("{fault:?} {place}"));
        let at = (place % self.nodes.len() as u64) as usize;
        let drawn = self.faults.next();
        let node = &mut self.nodes[at];
        match fault {
            Fault::Crash => return self.crash(at, drawn),
            Fault::Pause => {
                node.paused_until = self.now + 500 + drawn % (2 * LEASE_MS);
                self.fired(Fault::Pause);
            }
            Fault::Stand if self.now >= self.stands_until => {
                let stands_ms = 500 + drawn % (2 * LEASE_MS);
                self.stands_until = self.now + stands_ms;
                self.plan(stands_ms, Item::Wake);
                self.fired(Fault::Stand);
            }
            Fault::Cut => {
                let until = self.now + 500 + drawn % (2 * LEASE_MS);
                if drawn >> 32 & 1 == 0 {
                    node.cut_in_until = until;
                } else {
                    node.cut_out_until = until;
                }
            }
            Fault::Sick => node.sick_until = self.now + 2_000 + drawn % 20_000,
            Fault::Drain => {
                let worker = node.id;
                self.fired(Fault::Drain);
                return self.tell(Event::Drain { worker, hand_over: drawn.is_multiple_of(2) });
            }
            Fault::Cancel => {
                let job = windrow_protocol::ids::JobId(1 + place % self.swarm.jobs);
                if (place / self.swarm.jobs).is_multiple_of(4) {
                    self.fired(Fault::Cancel);
                    return self.tell(Event::Cancel { job });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A worker dies, which may be seen at once, and comes back as another one later.
    fn crash(&mut self, at: usize, drawn: u64) -> Result<(), String> {
        if std::mem::replace(&mut self.nodes[at].dead, true) {
            return Ok(());
        }
        self.fired(Fault::Crash);
        let (worker, after_ms) = (self.nodes[at].id, 100 + drawn % 8_000);
        self.plan(after_ms, Item::Rejoin(at));
        let is_seen = drawn.is_multiple_of(3) && self.now >= self.stands_until;
        if is_seen { self.tell(Event::WorkerLeft { worker }) } else { Ok(()) }
    }

    /// No more faults: what is paused or cut goes on, what is dead comes back as it was planned.
    pub(crate) fn heal(&mut self) {
        self.note(|| "healed".to_owned());
        self.healed = true;
        self.poisoned = None;
        for node in &mut self.nodes {
            node.paused_until = 0;
            node.cut_in_until = 0;
            node.cut_out_until = 0;
            node.sick_until = 0;
        }
    }
}
