//! What must hold: a second, simpler account of the outcomes, kept apart from the scheduler's own.

use super::node::LANES;
use super::random::join;
use super::workload::{Plan, of_inputs, of_splits};
use crate::scheduler::{JobEnd, Outcome, ReopenReason, RevokeReason};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::failure::{Blame, FailureClass};
use windrow_protocol::ids::{
    AttemptId, JobId, LaneRange, ShuffleId, StageId, TaskId, TaskKind, WorkerId,
};
use windrow_protocol::parts::Part;
use windrow_protocol::shape::{Cut, LookUp, OutputShape, RootShape, pack};

/// A worker, as outcomes tell.
#[derive(Default)]
struct Host {
    draining: bool,
    aside: bool,
    running: BTreeSet<AttemptId>,
    outputs: BTreeSet<TaskId>,
}

/// A stage of a job, as outcomes tell.
#[derive(Default)]
struct Stage {
    tasks: Vec<Task>,
    open: bool,
    committed: u32,
    /// Committed tasks whose output is gone.
    gone: u32,
    /// What its tasks should make, joined.
    digest: u64,
    values: Vec<u64>,
    /// By task: the one that it was at first, and its lanes of that.
    shares: Vec<(u32, LaneRange)>,
    /// The number of tasks before any was split.
    first_tasks: u32,
    /// Replicas of outputs, by partition: of which attempt, by whom, and whether they are made.
    replicas: BTreeMap<u32, (u32, WorkerId, bool)>,
}

#[derive(Clone, Copy, Default)]
struct Task {
    committed: Option<(u32, WorkerId)>,
    /// The number after the last attempt's.
    next: u32,
    running: u8,
    /// Whether it has ever been committed.
    was_done: bool,
}

struct Job {
    plan: Plan,
    stages: Vec<Stage>,
    splits: Vec<Task>,
    commit: Task,
    decided: bool,
    running: u32,
}

/// The account of all outcomes so far.
#[derive(Default)]
pub(crate) struct Model {
    hosts: BTreeMap<WorkerId, Host>,
    jobs: BTreeMap<JobId, Job>,
    plans: BTreeMap<JobId, Plan>,
    /// Attempts whose blocks were reported lost.
    lost_blocks: BTreeSet<(AttemptId, WorkerId)>,
    attempts_max: u8,
    pub(crate) ended: BTreeMap<JobId, JobEnd>,
}

pub(super) type Checked = Result<(), String>;

pub(super) fn ensure(holds: bool, why: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(why()) }
}

impl Job {
    fn task(&mut self, task: TaskId) -> Option<&mut Task> {
        match task.kind {
            TaskKind::Split => self.splits.get_mut(task.stage.0 as usize),
            TaskKind::Commit => Some(&mut self.commit),
            TaskKind::Compute => {
                self.stages.get_mut(task.stage.0 as usize)?.tasks.get_mut(task.partition as usize)
            }
        }
    }

    fn producers(&self, stage: StageId) -> Vec<StageId> {
        let of = |s: ShuffleId| self.plan.shape.shuffles[s.0 as usize].producers.clone();
        self.plan.shape.stages[stage.0 as usize].reads().flat_map(of).collect()
    }

    fn written(&self, stage: StageId) -> impl Iterator<Item = ShuffleId> {
        let outputs = self.plan.shape.stages[stage.0 as usize].outputs.iter();
        outputs.filter_map(|output| match *output {
            OutputShape::Shuffle(shuffle) => Some(shuffle),
            _ => None,
        })
    }

    fn is_read(&self, stage: StageId) -> bool {
        self.written(stage).next().is_some()
    }

    fn complete(&self, stage: StageId) -> bool {
        let found = &self.stages[stage.0 as usize];
        found.open && found.committed as usize == found.tasks.len()
    }
}

impl Model {
    pub(crate) fn new(attempts_max: u8) -> Model {
        Model { attempts_max, ..Model::default() }
    }

    /// A job will be submitted.
    pub(crate) fn plan(&mut self, job: JobId, plan: Plan) {
        self.plans.insert(job, plan);
    }

    /// A reader says that a block is gone which a worker should have.
    pub(crate) fn block_lost(&mut self, producer: AttemptId, by: WorkerId) {
        self.lost_blocks.insert((producer, by));
    }

    /// The sizes of a source's splits.
    pub(crate) fn sizes(&self, task: TaskId) -> &[u64] {
        let plan = self.plans.get(&task.job);
        plan.and_then(|plan| plan.sizes.get(task.stage.0 as usize)).map_or(&[], |sizes| sizes)
    }

    /// What a task should make, and of which lanes.
    pub(crate) fn value(&self, task: TaskId) -> Option<(u64, LaneRange)> {
        let stage = self.jobs.get(&task.job)?.stages.get(task.stage.0 as usize)?;
        let at = task.partition as usize;
        Some((*stage.values.get(at)?, stage.shares.get(at)?.1))
    }

    /// The task that a task was at first, by partition.
    pub(crate) fn first_of(&self, task: TaskId) -> u32 {
        let stage = self.jobs.get(&task.job).and_then(|job| job.stages.get(task.stage.0 as usize));
        let share = stage.and_then(|stage| stage.shares.get(task.partition as usize));
        share.map_or(task.partition, |(first, _)| *first)
    }

    /// The tasks that have the lanes of what was this one at first, in the order of their lanes.
    pub(crate) fn shares(&self, task: TaskId) -> Vec<TaskId> {
        let stage = self.jobs.get(&task.job).and_then(|job| job.stages.get(task.stage.0 as usize));
        let shares = stage.map_or(&[][..], |stage| &stage.shares);
        if stage.is_none_or(|stage| stage.first_tasks as usize == stage.shares.len()) {
            return vec![task];
        }
        let mut own: Vec<(u32, TaskId)> = (0..)
            .zip(shares)
            .filter(|(_, (first, _))| *first == task.partition)
            .map(|(partition, (_, lanes))| (lanes.start, TaskId { partition, ..task }))
            .collect();
        own.sort_unstable();
        own.into_iter().map(|(_, task)| task).collect()
    }

    /// The stages that a task reads, the number of their tasks, and what these should make, joined.
    pub(crate) fn inputs(&self, task: TaskId) -> Vec<(StageId, u32, u64)> {
        let Some(job) = self.jobs.get(&task.job) else { return Vec::new() };
        let of = |stage: StageId| {
            let found = &job.stages[stage.0 as usize];
            (stage, found.first_tasks, found.digest)
        };
        job.producers(task.stage).into_iter().map(of).collect()
    }

    /// The shape of what a task reads.
    pub(crate) fn root(&self, task: TaskId) -> Option<&RootShape> {
        Some(&self.plans.get(&task.job)?.shape.stages.get(task.stage.0 as usize)?.root)
    }

    /// The shuffles that a task writes into.
    pub(crate) fn written(&self, task: TaskId) -> Vec<ShuffleId> {
        let job = self.jobs.get(&task.job).filter(|_| task.kind == TaskKind::Compute);
        job.map_or_else(Vec::new, |job| job.written(task.stage).collect())
    }

    /// Takes note of an outcome, or says what is wrong with it.
    pub(crate) fn take(&mut self, outcome: &Outcome) -> Checked {
        match outcome {
            Outcome::JobAdmitted { job, .. } => self.admitted(*job),
            Outcome::JobRefused { job, why } => Err(format!("{job} was refused: {why}")),
            Outcome::SplitsAdded { .. } => Ok(()),
            Outcome::LookedUp { job, lookup } => self.looked_up(*job, *lookup),
            Outcome::StageOpened { job, stage, tasks, cut, parts } => {
                self.parts(*job, *stage, *cut, parts)?;
                ensure(parts.is_empty() || parts.len() == *tasks as usize, || {
                    format!("{job}/{stage} has {tasks} tasks and {} parts", parts.len())
                })?;
                self.opened(*job, *stage, *tasks)
            }
            Outcome::Assigned { attempt, worker, lanes, backup } => {
                let wanted = self.value(attempt.task).map(|(_, lanes)| lanes);
                ensure(wanted.is_none_or(|wanted| wanted == *lanes), || {
                    format!("{attempt} has lanes {lanes:?}, and its task {wanted:?}")
                })?;
                self.assigned(*attempt, *worker, *backup)
            }
            Outcome::RestAsked { attempt, worker, .. } => {
                let runs = self.hosts.get(worker).is_some_and(|on| on.running.contains(attempt));
                ensure(runs, || format!("{attempt} is asked, which does not run"))
            }
            Outcome::ReplicaOrdered { attempt, from, to } => {
                let has_it = self.output_of(attempt.task) == Some((attempt.number, *from));
                ensure(has_it, || format!("a replica of {attempt}, which {from} has not"))?;
                let takes = self.hosts.get(to).is_some_and(|to| !to.draining && !to.aside);
                ensure(takes && from != to, || format!("{to} is to copy {attempt} of {from}"))?;
                let replica = (attempt.number, *to, false);
                self.stage(attempt.task)?.replicas.insert(attempt.task.partition, replica);
                Ok(())
            }
            Outcome::Replicated { attempt, worker } => {
                let ordered = (attempt.number, *worker, false);
                let replicas = &mut self.stage(attempt.task)?.replicas;
                let before = replicas.insert(attempt.task.partition, (ordered.0, ordered.1, true));
                ensure(before == Some(ordered), || format!("{worker} copied {attempt} unasked"))
            }
            Outcome::ReplicaGone { attempt, .. } => {
                let gone = self.stage(attempt.task)?.replicas.remove(&attempt.task.partition);
                ensure(gone.is_some(), || format!("a replica of {attempt} is gone that never was"))
            }
            Outcome::ReplicaUsed { attempt, worker } => self.replica_used(*attempt, *worker),
            Outcome::RestSplitOff { attempt, worker, from, rest } => {
                self.split_off(*attempt, *worker, *from, *rest)
            }
            Outcome::Revoked { attempt, worker, why } => {
                self.ended_attempt(*attempt, *worker)?;
                if *why == RevokeReason::OtherWon {
                    let job = self.jobs.get_mut(&attempt.task.job).ok_or("no job")?;
                    let task = job.task(attempt.task).ok_or("no task")?;
                    ensure(task.running > 0, || format!("nothing wins over {attempt}"))?;
                }
                Ok(())
            }
            Outcome::AttemptEnded { attempt, worker, .. } => self.ended_attempt(*attempt, *worker),
            Outcome::TaskCommitted { attempt, worker, .. } => self.committed(*attempt, *worker),
            Outcome::TaskReopened { task, number, why } => self.reopened(*task, *number, *why),
            Outcome::WorkerJoined { worker, .. } => {
                ensure(self.hosts.insert(*worker, Host::default()).is_none(), || {
                    format!("{worker} joined twice")
                })
            }
            Outcome::WorkerLost { worker, .. } => self.outputs_gone(*worker),
            Outcome::WorkerDraining { worker, hand_over } => {
                let host = self.hosts.get_mut(worker).ok_or("an unknown worker drains")?;
                host.draining = true;
                if *hand_over { self.outputs_gone_of_living(*worker) } else { Ok(()) }
            }
            Outcome::WorkerDrained { worker } => self.drained(*worker),
            Outcome::WorkerSetAside { worker, .. } => {
                let takes = self.hosts.values().filter(|host| !host.draining && !host.aside);
                ensure(takes.count() > 1, || format!("{worker}, the last one, is set aside"))?;
                let host = self.hosts.get_mut(worker).ok_or("an unknown worker is set aside")?;
                let before = std::mem::replace(&mut host.aside, true);
                ensure(!before, || format!("{worker} is set aside twice"))
            }
            Outcome::WorkerBack { worker } => {
                let host = self.hosts.get_mut(worker).ok_or("an unknown worker is back")?;
                let before = std::mem::replace(&mut host.aside, false);
                ensure(before, || format!("{worker} is back, and was not away"))
            }
            Outcome::CommitDecided { job } => {
                let id = *job;
                let job = self.jobs.get_mut(job).ok_or("a commit of no job")?;
                job.decided = true;
                let undone = (0..job.stages.len()).find(|&s| !job.complete(StageId(s as u32)));
                ensure(undone.is_none(), || {
                    format!("{id} commits while stage {undone:?} is undone")
                })
            }
            // The account of what is shared looks at it.
            Outcome::JobStarts { .. } => Ok(()),
            Outcome::JobEnded { job, end } => self.ended(*job, end),
        }
    }

    fn admitted(&mut self, id: JobId) -> Checked {
        let plan = self.plans.get(&id).ok_or("a job that nobody submitted")?.clone();
        let count = plan.shape.stages.len();
        let stages = (0..count).map(|_| Stage::default()).collect();
        let splits = vec![Task::default(); count];
        let commit = Task::default();
        let job = Job { plan, stages, splits, commit, decided: false, running: 0 };
        ensure(self.jobs.insert(id, job).is_none(), || format!("{id} was admitted twice"))
    }

    fn looked_up(&mut self, id: JobId, lookup: LookUp) -> Checked {
        let job = self.jobs.get_mut(&id).ok_or("rows of no job are looked up")?;
        let allowed = job.plan.shape.lookups.contains(&lookup);
        ensure(allowed, || format!("{id} looks up what it may not: {lookup:?}"))?;
        let makers = |shuffle: ShuffleId| &job.plan.shape.shuffles[shuffle.0 as usize].producers;
        let begun = makers(lookup.shuffle).iter().chain([&lookup.stage]);
        let begun = begun.copied().find(|stage| job.stages[stage.0 as usize].open);
        ensure(begun.is_none(), || format!("{id} looks rows up though {begun:?} has begun"))?;
        let undone = makers(lookup.table).iter().copied().find(|stage| !job.complete(*stage));
        ensure(undone.is_none(), || format!("{id} looks rows up while {undone:?} is undone"))?;
        job.plan.shape.look_up(lookup);
        Ok(())
    }

    fn opened(&mut self, id: JobId, stage: StageId, tasks: u32) -> Checked {
        let job = self.jobs.get_mut(&id).ok_or("a stage of no job")?;
        let producers = job.producers(stage);
        if let Some(undone) = producers.iter().find(|p| !job.complete(**p)) {
            return Err(format!("{id}/{stage} opens while {undone}, which it reads, is undone"));
        }
        let shape = &job.plan.shape.stages[stage.0 as usize];
        let digests = || producers.iter().map(|p| job.stages[p.0 as usize].digest);
        let values: Vec<u64> = match &shape.root {
            _ if shape.dissolved => Vec::new(),
            RootShape::Source { listed_by } => {
                let sizes = &job.plan.sizes[listed_by.0 as usize];
                let ranges = if shape.sample {
                    std::iter::once(0..sizes.len()).collect()
                } else {
                    pack(sizes.iter().copied())
                };
                let of = |range| of_splits(id.0, listed_by.0, range, digests());
                ranges.into_iter().map(of).collect()
            }
            RootShape::Shuffles(_) => {
                (0..tasks).map(|partition| of_inputs(partition, digests())).collect()
            }
        };
        ensure(values.len() == tasks as usize, || {
            format!("{id}/{stage} has {tasks} tasks and should have {}", values.len())
        })?;
        let found = &mut job.stages[stage.0 as usize];
        ensure(!std::mem::replace(&mut found.open, true), || format!("{id}/{stage} opens twice"))?;
        found.tasks = vec![Task::default(); tasks as usize];
        found.first_tasks = tasks;
        found.shares = (0..tasks).map(|at| (at, LaneRange::ALL)).collect();
        found.digest = values.iter().fold(0, |sum, &value| join(sum, value));
        found.values = values;
        Ok(())
    }

    /// Whether the parts of a stage have each row of its shuffles once, if it has any.
    fn parts(&self, id: JobId, stage: StageId, cut: Option<Cut>, parts: &[Part]) -> Checked {
        let (Some(cut), Some(last)) = (cut, parts.last()) else {
            return ensure(parts.is_empty(), || format!("{id}/{stage} has parts of nothing"));
        };
        let job = self.jobs.get(&id).ok_or("a stage of no job has parts")?;
        let outputs = &job.plan.shape.stages[stage.0 as usize].outputs;
        let is_sink = |output: &OutputShape| matches!(output, OutputShape::Sink(_));
        ensure(!outputs.iter().any(is_sink), || {
            format!("{id}/{stage} has a file for each of its parts")
        })?;
        let follows = |before: &Part, part: &Part| match (before.piece, part.piece) {
            (Some(a), Some(b)) if b.number > 0 => {
                (b.number, b.of, b.shuffle) == (a.number + 1, a.of, a.shuffle)
                    && (part.first, part.end) == (before.first, before.end)
            }
            (Some(a), _) => a.number + 1 == a.of && part.first == before.end,
            (None, Some(b)) => b.number == 0 && part.first == before.end,
            (None, None) => part.first == before.end,
        };
        let ends = last.end == cut.buckets && last.piece.is_none_or(|a| a.number + 1 == a.of);
        let all = parts[0].first == 0 && parts.windows(2).all(|two| follows(&two[0], &two[1]));
        ensure(ends && all, || format!("{id}/{stage} has other rows than all: {parts:?}"))?;
        let cuts = parts.iter().filter_map(|part| part.piece);
        let may = |shuffle| {
            job.plan.shape.lookups.iter().any(|l| (l.stage, l.shuffle) == (stage, shuffle))
        };
        ensure(cuts.into_iter().all(|piece| may(piece.shuffle)), || {
            format!("{id}/{stage} has pieces of rows whose order is seen")
        })
    }

    /// The attempt whose output a task has, and by whom.
    fn output_of(&self, task: TaskId) -> Option<(u32, WorkerId)> {
        let stage = self.jobs.get(&task.job)?.stages.get(task.stage.0 as usize)?;
        stage.tasks.get(task.partition as usize)?.committed
    }

    fn stage(&mut self, task: TaskId) -> Result<&mut Stage, String> {
        let job = self.jobs.get_mut(&task.job).ok_or("a replica of no job")?;
        Ok(&mut job.stages[task.stage.0 as usize])
    }

    fn replica_used(&mut self, attempt: AttemptId, worker: WorkerId) -> Checked {
        let task = attempt.task;
        let replica = self.stage(task)?.replicas.remove(&task.partition);
        ensure(replica == Some((attempt.number, worker, true)), || {
            format!("{worker} is to have a replica of {attempt}, and there is {replica:?}")
        })?;
        let Some((number, by)) =
            self.output_of(task).filter(|(number, _)| *number == attempt.number)
        else {
            return Err(format!("a replica of {attempt} is used, which is not committed"));
        };
        let had = self.hosts.get_mut(&by).is_some_and(|host| host.outputs.remove(&task));
        let known = !had || self.lost_blocks.contains(&(attempt, by));
        ensure(known, || format!("a replica of {attempt} is used though {by} has it"))?;
        let stage = self.stage(task)?;
        stage.gone -= u32::from(!had);
        stage.tasks[task.partition as usize].committed = Some((number, worker));
        let host = self.hosts.get_mut(&worker);
        let host = host.ok_or_else(|| format!("a replica of {attempt} is on lost {worker}"))?;
        host.outputs.insert(task);
        Ok(())
    }

    /// The replicas that a worker has are gone.
    fn replicas_gone(&mut self, worker: WorkerId) {
        let stages = self.jobs.values_mut().flat_map(|job| &mut job.stages);
        stages.for_each(|stage| stage.replicas.retain(|_, (_, on, _)| *on != worker));
    }

    fn split_off(&mut self, attempt: AttemptId, worker: WorkerId, from: u32, rest: u32) -> Checked {
        let runs = self.hosts.get(&worker).is_some_and(|on| on.running.contains(&attempt));
        ensure(runs, || format!("{attempt} gives lanes up, and does not run"))?;
        let job = self.jobs.get_mut(&attempt.task.job).ok_or("lanes of no job are given up")?;
        let shape = &job.plan.shape.stages[attempt.task.stage.0 as usize];
        let seen = |output: &OutputShape| !matches!(output, OutputShape::Shuffle(_));
        ensure(!shape.sample && !shape.outputs.iter().any(seen), || {
            format!("{attempt} gives lanes up, and it is seen how many tasks there are")
        })?;
        let at = attempt.task.partition as usize;
        let stage = &mut job.stages[attempt.task.stage.0 as usize];
        let task = stage.tasks.get(at).ok_or("lanes of no task are given up")?;
        ensure(task.running == 1 && !task.was_done, || {
            format!("{attempt} gives lanes up that another has run, or runs")
        })?;
        let (first, lanes) = stage.shares[at];
        let inside = from > lanes.start && from < lanes.end.min(LANES);
        ensure(inside && rest as usize == stage.tasks.len(), || {
            format!("{attempt} of lanes {lanes:?} gives up those from {from} on, to {rest}")
        })?;
        stage.shares[at].1.end = from;
        stage.shares.push((first, LaneRange { start: from, ..lanes }));
        stage.values.push(stage.values[at]);
        stage.tasks.push(Task::default());
        Ok(())
    }

    fn assigned(&mut self, attempt: AttemptId, worker: WorkerId, backup: bool) -> Checked {
        let host =
            self.hosts.get_mut(&worker).ok_or_else(|| format!("{attempt} on lost {worker}"))?;
        ensure(!host.draining, || format!("{attempt} on {worker}, which drains"))?;
        ensure(!host.aside, || format!("{attempt} on {worker}, which is set aside"))?;
        host.running.insert(attempt);
        let job = self.jobs.get_mut(&attempt.task.job).ok_or("an attempt of no job")?;
        job.running += 1;
        if attempt.task.kind == TaskKind::Compute {
            for producer in job.producers(attempt.task.stage) {
                ensure(job.complete(producer), || {
                    format!("{attempt} starts while {producer} is undone")
                })?;
                ensure(job.stages[producer.0 as usize].gone == 0, || {
                    format!("{attempt} starts while outputs of {producer} are gone")
                })?;
            }
        }
        let task = job.task(attempt.task).ok_or("an attempt of no task")?;
        ensure(attempt.number >= task.next, || format!("{attempt} has run before"))?;
        task.next = attempt.number + 1;
        ensure(task.committed.is_none(), || format!("{attempt} starts, but its task is done"))?;
        task.running += 1;
        let other = self.hosts.get(&worker).is_some_and(|host| {
            host.running.iter().any(|other| other.task == attempt.task && *other != attempt)
        });
        ensure(!other, || format!("{attempt} runs beside another of its task on {worker}"))?;
        let expected = if backup { 2 } else { 1 };
        ensure(task.running == expected, || format!("{attempt} is one of {}", task.running))
    }

    fn ended_attempt(&mut self, attempt: AttemptId, worker: WorkerId) -> Checked {
        let host = self.hosts.get_mut(&worker);
        let ran = host.is_some_and(|host| host.running.remove(&attempt));
        ensure(ran, || format!("{attempt} ends on {worker}, where it does not run"))?;
        let job = self.jobs.get_mut(&attempt.task.job).ok_or("an attempt of no job ends")?;
        job.running -= 1;
        job.task(attempt.task).ok_or("an attempt of no task ends")?.running -= 1;
        Ok(())
    }

    fn committed(&mut self, attempt: AttemptId, worker: WorkerId) -> Checked {
        self.ended_attempt(attempt, worker)?;
        let job = self.jobs.get_mut(&attempt.task.job).ok_or("a commit of no job")?;
        let task = job.task(attempt.task).ok_or("a commit of no task")?;
        task.was_done = true;
        if let Some((number, by)) = task.committed.replace((attempt.number, worker)) {
            return Err(format!("{attempt} commits what #{number} of {by} has committed"));
        }
        if attempt.task.kind == TaskKind::Compute {
            job.stages[attempt.task.stage.0 as usize].committed += 1;
            if job.is_read(attempt.task.stage)
                && let Some(host) = self.hosts.get_mut(&worker)
            {
                host.outputs.insert(attempt.task);
            }
        }
        Ok(())
    }

    fn reopened(&mut self, id: TaskId, number: u32, why: ReopenReason) -> Checked {
        let attempt = AttemptId { task: id, number };
        let job = self.jobs.get_mut(&id.job).ok_or("a task of no job reopens")?;
        let task = job.task(id).ok_or("no such task reopens")?;
        let Some((current, by)) = task.committed.take() else {
            return Err(format!("{attempt} reopens, but is not committed"));
        };
        ensure(current == number, || format!("{attempt} reopens, but #{current} is committed"))?;
        let stage = &mut job.stages[id.stage.0 as usize];
        stage.replicas.remove(&id.partition);
        stage.committed -= 1;
        let had = self.hosts.get_mut(&by).is_some_and(|host| host.outputs.remove(&id));
        stage.gone -= u32::from(!had);
        let known = match why {
            ReopenReason::WorkerGone => !had,
            ReopenReason::BlockLost => self.lost_blocks.contains(&(attempt, by)),
        };
        ensure(known, || format!("{attempt} reopens though its block is on {by}"))
    }

    /// Notes that a worker's outputs are gone.
    fn outputs_gone_of_living(&mut self, worker: WorkerId) -> Checked {
        self.replicas_gone(worker);
        let Some(host) = self.hosts.get_mut(&worker) else { return Ok(()) };
        for task in std::mem::take(&mut host.outputs) {
            let Some(job) = self.jobs.get_mut(&task.job) else { continue };
            let found = &mut job.stages[task.stage.0 as usize];
            let current = found.tasks[task.partition as usize].committed;
            if current.is_some_and(|(_, by)| by == worker) {
                found.gone += 1;
            }
        }
        Ok(())
    }

    fn outputs_gone(&mut self, worker: WorkerId) -> Checked {
        let host = self.hosts.get_mut(&worker).ok_or_else(|| format!("{worker} is lost twice"))?;
        host.draining = true;
        self.outputs_gone_of_living(worker)
    }

    fn drained(&mut self, worker: WorkerId) -> Checked {
        let host = self.hosts.get(&worker).ok_or_else(|| format!("{worker} is drained twice"))?;
        ensure(host.running.is_empty(), || format!("{worker} is drained, but works"))?;
        self.outputs_gone(worker)
    }

    fn ended(&mut self, id: JobId, end: &JobEnd) -> Checked {
        let job = self.jobs.remove(&id).ok_or_else(|| format!("{id} ends twice"))?;
        ensure(job.running == 0, || format!("{id} ends while {} attempts run", job.running))?;
        let undone = (0..job.stages.len()).find(|&s| !job.complete(StageId(s as u32)));
        match end {
            JobEnd::Succeeded => {
                ensure(undone.is_none(), || format!("{id} ends while stage {undone:?} is undone"))?;
                let wants = job.plan.shape.sinks > 0;
                ensure(!wants || (job.decided && job.commit.committed.is_some()), || {
                    format!("{id} ends, but its output is not visible")
                })?;
            }
            JobEnd::Cancelled => {
                ensure(!job.decided, || format!("{id} is cancelled after its commit"))?;
            }
            JobEnd::Failed { causes, .. } => {
                let last = causes.last().map(|cause| cause.failure.class);
                let blamed = causes.iter().filter(|c| c.failure.class.blame() == Blame::Task);
                let enough = match last.map(FailureClass::blame) {
                    Some(Blame::Task) => blamed.count() >= usize::from(self.attempts_max),
                    Some(Blame::Worker | Blame::Job) => true,
                    // No task is unlucky so often here.
                    Some(Blame::Nobody | Blame::Producer) | None => false,
                };
                ensure(enough, || format!("{id} fails without enough causes: {causes:?}"))?;
            }
        }
        self.ended.insert(id, end.clone());
        Ok(())
    }

    /// What must hold once all that follows from an event is decided: no lease outlives its worker.
    pub(crate) fn settled(&mut self, lost: &[WorkerId]) -> Checked {
        for worker in lost {
            let Some(host) = self.hosts.remove(worker) else { continue };
            if let Some(attempt) = host.running.first() {
                return Err(format!("{attempt} still runs on {worker}, which is lost"));
            }
        }
        Ok(())
    }
}
