//! Joins by measured sizes: where one side of a join is complete and small, the stages that write the other side look
//! their rows up in it, and the joined stage has nothing left to do. For that the stages of the larger side wait.
//!
//! Only the work is divided in another way: where that is allowed, the order of rows makes no difference.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use std::collections::BTreeSet;
use windrow_protocol::ids::{ShuffleId, StageId};
use windrow_protocol::shape::{LookUp, RootShape};

/// A table of so few bytes is worth it for any number of rows.
const FEW_BYTES: u64 = 1 << 20;

/// No table is made of more bytes: each worker fetches them all.
const BYTES_MAX: u64 = 512 << 20;

/// They are at most so much of each worker's memory: a table takes up to twice as many, and so much again while it is
/// made.
const PART_OF_MEMORY: u64 = 8;

/// By shuffle: the bytes that were written into it once it is complete, and before that as many as the filters before it
/// are thought to let through; before compression.
pub(crate) struct Sizes(Vec<u64>);

impl Sizes {
    /// Of a job as it stands.
    pub(crate) fn of(job: &Job) -> Sizes {
        let mut stages: Vec<u64> = Vec::with_capacity(job.shape.stages.len());
        let of_shuffle = |shuffle: ShuffleId, stages: &[u64]| {
            if job.is_written(shuffle) {
                return job.written[shuffle.0 as usize];
            }
            // One that comes after its reader is none that the reader's root reads.
            let of_makers =
                job.makers(shuffle).iter().filter_map(|&maker| stages.get(maker as usize));
            of_makers.copied().fold(0, u64::saturating_add)
        };
        for shape in &job.shape.stages {
            let read = match &shape.root {
                RootShape::Source { listed_by } => job.splits[listed_by.0 as usize].bytes,
                RootShape::Shuffles(read) => {
                    let read = read.iter().map(|&shuffle| of_shuffle(shuffle, &stages));
                    read.fold(0, u64::saturating_add)
                }
            };
            let passes = u128::from(read) * u128::from(shape.passes_permille) / 1000;
            stages.push(passes as u64);
        }
        let shuffles = (0..job.shape.shuffles.len() as u32).map(ShuffleId);
        Sizes(shuffles.map(|shuffle| of_shuffle(shuffle, &stages)).collect())
    }

    fn get(&self, shuffle: ShuffleId) -> u64 {
        self.0.get(shuffle.0 as usize).copied().unwrap_or(0)
    }
}

impl Decider<'_> {
    /// Rows that shall be looked up from now on, if some can be.
    pub(crate) fn looked_up(&self, job: &Job, sizes: &Sizes) -> Option<LookUp> {
        let may = |lookup: &LookUp| {
            self.is_open_to(job, lookup)
                && job.is_written(lookup.table)
                && job.makes_whole(lookup.stage).all(|maker| job.complete(maker))
                && self.is_worth_it(sizes, lookup)
        };
        job.shape.lookups.iter().copied().find(may)
    }

    /// Whether a stage had better wait for a table that its rows may be looked up in.
    pub(crate) fn waits_for_table(&self, job: &Job, stage: u32, sizes: &Sizes) -> bool {
        job.shape.lookups.iter().any(|lookup| {
            job.makers(lookup.shuffle).contains(&stage)
                && self.is_open_to(job, lookup)
                && !job.is_written(lookup.table)
                && !job.is_before(stage, job.makers(lookup.table))
                && sizes.get(lookup.table) < sizes.get(lookup.shuffle)
                && self.is_worth_it(sizes, lookup)
        })
    }

    /// Whether rows may still be looked up: nobody has begun to write or to join them.
    fn is_open_to(&self, job: &Job, lookup: &LookUp) -> bool {
        let joined = &job.shape.stages[lookup.stage.0 as usize];
        let fresh = |stage: &u32| job.unopened.contains(stage);
        let late = self.planted(Mutation::LookUpLate);
        !joined.dissolved
            && (late || job.makers(lookup.shuffle).iter().all(fresh))
            && fresh(&lookup.stage.0)
    }

    /// Whether to send the table to all workers costs less than to shuffle the rows, as far as is known.
    fn is_worth_it(&self, sizes: &Sizes, lookup: &LookUp) -> bool {
        let (table, rows) = (sizes.get(lookup.table), sizes.get(lookup.shuffle));
        let workers = self.state.workers.values();
        let memory = workers.map(|worker| worker.memory).min().unwrap_or(0);
        let most = BYTES_MAX.min(memory / PART_OF_MEMORY);
        let sent = table.saturating_mul(self.state.workers.len() as u64);
        table <= most && (table <= FEW_BYTES || sent <= rows)
    }
}

impl Job {
    /// The stages that write a shuffle.
    fn makers(&self, shuffle: ShuffleId) -> &[u32] {
        self.links.makers.get(shuffle.0 as usize).map_or(&[], |makers| makers)
    }

    /// Whether all stages are complete that write a shuffle.
    fn is_written(&self, shuffle: ShuffleId) -> bool {
        self.makers(shuffle).iter().all(|&maker| self.complete(maker))
    }

    /// The stages that collect what a stage reads whole.
    fn makes_whole(&self, stage: StageId) -> impl Iterator<Item = u32> {
        let collects = &self.shape.stages[stage.0 as usize].whole_inputs;
        let makers = collects.iter().filter_map(|of| self.shape.collects.get(of.0 as usize));
        makers.flatten().map(|maker| maker.0)
    }

    /// Whether any of some stages waits for this one, or is it.
    fn is_before(&self, stage: u32, later: &[u32]) -> bool {
        let (mut open, mut seen) = (later.to_vec(), BTreeSet::new());
        while let Some(next) = open.pop() {
            if next == stage {
                return true;
            }
            if seen.insert(next) {
                open.extend(&self.links.before[next as usize]);
            }
        }
        false
    }
}
