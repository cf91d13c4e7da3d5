//! One job: its stages' groups of tasks, and which of them may start.

use super::event::{HostId, SplitInfo, Written};
use super::links::{Links, lists_itself};
use super::outcome::Cause;
use super::replicas::Replicas;
use super::rests::RestsOfStages;
use super::sharing::{Kind, KindSet, Shares};
use super::task::{Group, Task};
use super::time::{Durations, Millis, Volatile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use windrow_protocol::claim::{Claim, Needs};
use windrow_protocol::ids::{JobId, Round, ShuffleId, StageId, TaskId, TaskKind};
use windrow_protocol::shape::{Cut, JobShape, LookUp, RootShape, pack};

/// A job that has not ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) name: String,
    pub(crate) weight: u32,
    /// As it was submitted: shuffles are cut by it.
    pub(crate) submitted: Box<JobShape>,
    /// What is left of it to do: some rows are looked up.
    pub(crate) shape: Box<JobShape>,
    pub(crate) links: Links,
    /// By shuffle: the bytes that were written into it, those of tasks that ran again as often as they did.
    pub(crate) written: Vec<u64>,
    /// By shuffle: about how many of them are in each bucket.
    pub(crate) by_bucket: Vec<Vec<u64>>,
    /// Two a stage (split, compute), and the commit's.
    pub(crate) groups: Vec<Group>,
    /// By stage; only those that list their source have any.
    pub(crate) splits: Vec<Splits>,
    /// Stages that have not opened.
    pub(crate) unopened: BTreeSet<u32>,
    /// Stages that are not complete.
    pub(crate) incomplete: BTreeSet<u32>,
    /// Whether the commit is decided.
    pub(crate) committing: bool,
    pub(crate) running: u32,
    /// Groups that may start a task that ran before; a task that did not.
    pub(crate) ready_retries: BTreeSet<u32>,
    pub(crate) ready_fresh: BTreeSet<u32>,
    /// What the attempts of each task ended with, where somebody was charged.
    pub(crate) causes: BTreeMap<(u32, u32), Vec<Cause>>,
    /// The commit task does not run before.
    pub(crate) commit_at: Volatile<Millis>,
    /// How long the committed attempts of each group took.
    pub(crate) durations: Volatile<Vec<Durations>>,
    /// Which tasks are the rest of others. It is written beside the job: see [`Later`](super::state::Later).
    #[serde(skip)]
    pub(crate) rests: RestsOfStages,
    /// The replicas of its map outputs. They are written beside the job as well.
    #[serde(skip)]
    pub(crate) replicas: Replicas,
    /// What it claims of the cluster, and whether it waits for a place in its queue. They are written beside the job: see
    /// [`Claims`](super::state::Claims).
    #[serde(skip)]
    pub(crate) claim: Claim,
    #[serde(skip)]
    pub(crate) waits: bool,
    /// What the tasks of each group need, by number; empty if none needs anything in particular.
    pub(crate) kinds: Volatile<Vec<Kind>>,
    #[cfg(test)]
    pub(crate) reads_early: Volatile<bool>,
}

/// The splits of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Splits {
    pub(crate) list: Vec<SplitInfo>,
    /// The number of the attempt that listed them, and its pages so far.
    pub(crate) attempt: u32,
    pub(crate) pages: u32,
    /// Which splits each task of the stages that read them has; known once the listing is committed.
    pub(crate) ranges: Vec<Range<usize>>,
    pub(crate) bytes: u64,
}

impl Splits {
    /// Packs what was listed.
    pub(crate) fn pack(&mut self) {
        self.ranges = pack(self.list.iter().map(|split| split.bytes));
        self.bytes = self.list.iter().fold(0, |sum, split| sum.saturating_add(split.bytes));
    }
}

impl Job {
    pub(crate) fn new(id: JobId, name: String, weight: u32, shape: Box<JobShape>) -> Job {
        let count = shape.stages.len();
        let mut groups = vec![Group::default(); count * 2 + 1];
        for stage in 0..count {
            if lists_itself(&shape, stage) {
                groups[stage * 2] = Group::opened(1);
            }
        }
        let mut job = Job {
            id,
            name,
            weight: weight.max(1),
            links: Links::of(&shape),
            submitted: shape.clone(),
            written: vec![0; shape.shuffles.len()],
            by_bucket: vec![Vec::new(); shape.shuffles.len()],
            splits: vec![Splits::default(); count],
            unopened: (0..count as u32).collect(),
            incomplete: (0..count as u32).collect(),
            committing: false,
            running: 0,
            ready_retries: BTreeSet::new(),
            ready_fresh: BTreeSet::new(),
            causes: BTreeMap::new(),
            commit_at: Volatile::default(),
            durations: Volatile::default(),
            rests: RestsOfStages::default(),
            replicas: Replicas::default(),
            claim: Claim::default(),
            waits: false,
            kinds: Volatile::default(),
            groups,
            shape,
            #[cfg(test)]
            reads_early: Volatile::default(),
        };
        for group in 0..job.groups.len() as u32 {
            job.refresh(group);
        }
        job
    }

    /// The commit's group.
    pub(crate) fn commit_group(&self) -> u32 {
        self.groups.len() as u32 - 1
    }

    /// The group that a task is in, or `None` if the job has no such group.
    pub(crate) fn group_of(&self, task: TaskId) -> Option<u32> {
        let stages = self.shape.stages.len() as u32;
        if task.job != self.id || task.round != Round(0) || task.stage.0 >= stages {
            return None;
        }
        match task.kind {
            TaskKind::Split => Some(task.stage.0 * 2),
            TaskKind::Compute => Some(task.stage.0 * 2 + 1),
            TaskKind::Commit => (task.stage == StageId(0)).then(|| self.commit_group()),
        }
    }

    /// The name of a task.
    pub(crate) fn task_id(&self, group: u32, partition: u32) -> TaskId {
        let (stage, kind) = if group == self.commit_group() {
            (0, TaskKind::Commit)
        } else if group.is_multiple_of(2) {
            (group / 2, TaskKind::Split)
        } else {
            (group / 2, TaskKind::Compute)
        };
        TaskId { job: self.id, stage: StageId(stage), round: Round(0), kind, partition }
    }

    /// A task, if it is there.
    pub(crate) fn task(&self, task: TaskId) -> Option<&Task> {
        self.groups[self.group_of(task)? as usize].tasks.get(task.partition as usize)
    }

    pub(crate) fn compute(&self, stage: u32) -> &Group {
        &self.groups[stage as usize * 2 + 1]
    }

    /// The stage whose tasks are in a group, for groups of compute tasks.
    pub(crate) fn stage_of(&self, group: u32) -> Option<u32> {
        (!group.is_multiple_of(2) && group != self.commit_group()).then_some(group / 2)
    }

    /// How many compute tasks are known by now.
    pub(crate) fn tasks(&self) -> usize {
        let compute = (0..self.shape.stages.len() as u32).map(|stage| self.compute(stage));
        compute.map(|group| group.tasks.len()).sum()
    }

    pub(crate) fn complete(&self, stage: u32) -> bool {
        !self.incomplete.contains(&stage)
    }

    /// Whether a group's outputs are still to be read.
    pub(crate) fn needed(&self, group: u32) -> bool {
        self.stage_of(group).is_some_and(|stage| {
            self.links.readers[stage as usize].iter().any(|&reader| !self.complete(reader))
        })
    }

    /// Whether a group's outputs are read by anybody, ever.
    pub(crate) fn is_read(&self, group: u32) -> bool {
        self.stage_of(group).is_some_and(|stage| !self.links.readers[stage as usize].is_empty())
    }

    /// Whether what a group's tasks need is there.
    pub(crate) fn may_start(&self, group: u32) -> bool {
        if !self.groups[group as usize].open {
            return false;
        }
        self.stage_of(group).is_none_or(|stage| self.has_inputs(stage))
    }

    /// Whether all that a stage reads is made.
    pub(crate) fn has_inputs(&self, stage: u32) -> bool {
        #[cfg(test)]
        if self.reads_early.0 {
            return self.links.before[stage as usize].iter().all(|&before| {
                let found = self.compute(before);
                found.open && found.committed as usize + 1 >= found.tasks.len()
            });
        }
        self.links.before[stage as usize].iter().all(|&before| self.complete(before))
    }

    /// Notes whether a group may start tasks.
    pub(crate) fn refresh(&mut self, group: u32) {
        let may = self.may_start(group);
        let found = &self.groups[group as usize];
        let (retries, fresh) = (may && !found.retries.is_empty(), may && found.has_fresh());
        set(&mut self.ready_retries, group, retries);
        set(&mut self.ready_fresh, group, fresh);
    }

    /// Notes whether a stage is complete, for those that wait for it. Returns whether that has changed.
    pub(crate) fn note_complete(&mut self, stage: u32) -> bool {
        let complete = self.compute(stage).complete();
        if complete == self.complete(stage) {
            return false;
        }
        set(&mut self.incomplete, stage, !complete);
        for at in 0..self.links.after[stage as usize].len() {
            self.refresh(self.links.after[stage as usize][at] * 2 + 1);
        }
        true
    }

    /// Whether all that has begun is done.
    pub(crate) fn is_idle(&self) -> bool {
        self.groups.iter().all(|group| !group.open || group.complete())
    }

    /// What tasks need that may start now.
    pub(crate) fn ready(&self) -> KindSet {
        let mut ready = KindSet::default();
        if !self.waits {
            let groups = self.ready_retries.iter().chain(&self.ready_fresh);
            groups.for_each(|&group| ready.insert(self.kind(group)));
        }
        ready
    }

    /// What the tasks of a group need, by number.
    pub(crate) fn kind(&self, group: u32) -> Kind {
        self.kinds.0.get(group as usize).copied().unwrap_or(Kind::ORDINARY)
    }

    /// What the tasks of a group need: those that list sources or commit one slot, where the others run.
    pub(crate) fn needs_of(&self, group: u32) -> Needs {
        if self.claim.needs.is_empty() {
            return Needs::default();
        }
        match self.stage_of(group) {
            Some(stage) => self.claim.needs_of(stage),
            None if group == self.commit_group() && self.claim.needs.len() > 1 => Needs::default(),
            None => {
                let Needs { labels, .. } = self.claim.needs_of(group / 2);
                Needs { labels, ..Needs::default() }
            }
        }
    }

    /// Has it among those that share.
    pub(crate) fn enter(&mut self, shares: &mut Shares) {
        let groups = if self.claim.needs.is_empty() { 0 } else { self.groups.len() as u32 };
        let needs: Vec<Needs> = (0..groups).map(|group| self.needs_of(group)).collect();
        self.kinds = Volatile(shares.enter(self.id, &self.claim, self.weight, &needs));
        if self.waits {
            shares.hold(self.id);
        }
    }

    /// The splits that a task has, for stages that read a source. A sample has those at its positions among all.
    pub(crate) fn range(&self, stage: u32, partition: u32) -> Option<Range<usize>> {
        let shape = self.shape.stages.get(stage as usize)?;
        let RootShape::Source { listed_by } = shape.root else { return None };
        let splits = self.splits.get(listed_by.0 as usize)?;
        if shape.sample {
            return Some(0..splits.list.len());
        }
        splits.ranges.get(self.rests.first_of(stage, partition) as usize).cloned()
    }

    /// The hosts that have the first bytes of a task.
    pub(crate) fn hosts(&self, stage: u32, partition: u32) -> &[HostId] {
        let Some(RootShape::Source { listed_by }) =
            self.shape.stages.get(stage as usize).map(|stage| &stage.root)
        else {
            return &[];
        };
        let first = self
            .range(stage, partition)
            .and_then(|range| self.splits[listed_by.0 as usize].list.get(range.start));
        first.map_or(&[], |split| &split.hosts)
    }

    /// Whether a stage's source, or all sources that its cuts depend on, are listed.
    pub(crate) fn is_listed(&self, stage: u32) -> bool {
        let listed = |&by: &u32| self.groups[by as usize * 2].complete();
        self.links.listings[stage as usize].iter().all(listed)
    }

    /// How a shuffle is cut, once all sources that it depends on are listed.
    pub(crate) fn cut(&self, shuffle: ShuffleId) -> Cut {
        let bytes = |stage: StageId| self.splits.get(stage.0 as usize).map(|splits| splits.bytes);
        self.submitted.cut(shuffle, bytes).expect("the shape was checked when the job was taken on")
    }

    /// Rows are looked up from now on.
    pub(crate) fn look_up(&mut self, lookup: LookUp) {
        self.shape.look_up(lookup);
        self.links = Links::of(&self.shape);
        // Cuts depend on what they did before.
        let before = Links::of(&self.submitted);
        for stage in 0..self.shape.stages.len() {
            let mut listings = before.listings[stage].clone();
            for lookup in &self.shape.stages[stage].lookups {
                listings.extend(&before.listings[lookup.stage.0 as usize]);
            }
            listings.sort_unstable();
            listings.dedup();
            self.links.listings[stage] = listings;
        }
    }

    /// A task has written into shuffles.
    pub(crate) fn add_written(&mut self, written: &[Written]) {
        for Written { shuffle, bytes, buckets } in written {
            let at = shuffle.0 as usize;
            let (Some(sum), Some(sums)) = (self.written.get_mut(at), self.by_bucket.get_mut(at))
            else {
                continue;
            };
            *sum = sum.saturating_add(*bytes);
            let buckets: Vec<u64> = buckets.bytes().collect();
            if sums.len() < buckets.len() {
                sums.resize(buckets.len(), 0);
            }
            for (sum, bytes) in sums.iter_mut().zip(buckets) {
                *sum = sum.saturating_add(bytes);
            }
        }
    }
}

fn set(all: &mut BTreeSet<u32>, one: u32, present: bool) {
    if present {
        all.insert(one);
    } else if !all.is_empty() {
        all.remove(&one);
    }
}
