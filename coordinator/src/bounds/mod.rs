//! What bounds a job: what the time of its slots went to, and what would help.
//!
//! The time of a job's slots is what it took, times the slots that were there. Of what its attempts used, their workers say
//! what for (`Spent`); what was free, the times at which attempts began and ended tell why.

mod free;
mod text;

use crate::history::{History, How, Row};
use free::Free;
use std::collections::BTreeMap;
use std::time::Duration;
use windrow_protocol::ids::{TaskKind, WorkerId};
use windrow_protocol::shape::{JobShape, OutputShape, RootShape, StageShape};
use windrow_protocol::task::Spent;

/// Units of [`Spent`] in a millisecond.
const PER_MS: u64 = Duration::from_millis(1).as_micros() as u64 / Spent::UNIT.as_micros() as u64;

/// The most lines about what the time went to, below the one about the job.
const LINES: usize = 4;

/// What time of slots goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
    /// Waiting for bytes of files and object stores.
    Reading,
    /// Making records of those bytes.
    Decoding,
    /// The job's own code, and the operators around it.
    Operators,
    /// Rows that go into shuffles.
    IntoShuffles,
    /// Waiting for what comes out of shuffles, and making rows of it.
    OutOfShuffles,
    /// Rows that go into outputs.
    Writing,
    /// Waiting for a thread of the worker.
    Queued,
    /// What an attempt takes beside: its order, a process that starts, what it tells.
    Around,
    /// Attempts whose output was not used.
    Lost,
    /// The input is listed.
    Listing,
    /// The output becomes visible.
    Commit,
    /// Free slots: nothing had begun.
    Begin,
    /// Free slots: no task was left to begin, and the last ones ran.
    Tail,
    /// Free slots: tasks were there that did not get them.
    Denied,
    /// Free slots: between stages.
    Between,
}

/// What the time of a job's slots went to.
#[derive(Debug)]
pub(crate) struct Bounds<'j> {
    shape: &'j JobShape,
    elapsed_ms: u64,
    slots: u64,
    /// In units of `Spent`, by what and by stage.
    spent: BTreeMap<(What, u32), u64>,
    stages: BTreeMap<u32, StageTimes>,
    left_out: u64,
}

/// The attempts of a stage that were used, in numbers.
#[derive(Debug, Default)]
struct StageTimes {
    tasks: u64,
    all_ms: u64,
    longest: Option<Row>,
    spilled_bytes: u64,
}

fn took_ms(row: &Row, until_ms: u64) -> u64 {
    row.end_ms(until_ms).saturating_sub(u64::from(row.begun_ms))
}

/// What bounds a job that took so long, or has by now. `slots` are those of the workers that are there, as far as they
/// are known: a worker had as many as it ran attempts at once, at the least.
pub(crate) fn bounds<'j>(
    history: &History,
    shape: &'j JobShape,
    elapsed_ms: u64,
    slots: &BTreeMap<WorkerId, u64>,
) -> Bounds<'j> {
    let free = Free::of(history.rows(), shape.stages.len(), elapsed_ms, slots);
    let mut bounds = Bounds {
        shape,
        elapsed_ms,
        slots: free.slots,
        spent: BTreeMap::new(),
        stages: BTreeMap::new(),
        left_out: history.left_out(),
    };
    for (&(what, stage), ms) in &free.ms {
        bounds.add(what, stage, ms * PER_MS);
    }
    for row in history.rows() {
        bounds.attempt(row);
    }
    bounds
}

impl Bounds<'_> {
    fn add(&mut self, what: What, stage: u32, units: u64) {
        if units > 0 {
            *self.spent.entry((what, stage)).or_default() += units;
        }
    }

    fn attempt(&mut self, row: &Row) {
        let (stage, all) = (row.stage, took_ms(row, self.elapsed_ms) * PER_MS);
        let what = match (row.how, row.kind) {
            (How::Running | How::Done, TaskKind::Compute) => None,
            (How::Running | How::Done, TaskKind::Split) => Some(What::Listing),
            (How::Running | How::Done, TaskKind::Commit) => Some(What::Commit),
            (How::Failed | How::Revoked | How::Preempted, _) => Some(What::Lost),
        };
        if let Some(what) = what {
            return self.add(what, stage, all);
        }
        if row.how == How::Done {
            let times = self.stages.entry(stage).or_default();
            let took = took_ms(row, self.elapsed_ms);
            times.tasks += 1;
            times.all_ms += took;
            times.spilled_bytes += row.amounts.spilled_bytes;
            if times.longest.is_none_or(|of| took > took_ms(&of, self.elapsed_ms)) {
                times.longest = Some(*row);
            }
        }
        let Some(shape) = self.shape.stages.get(stage as usize) else { return };
        for (what, units) in parts(shape, row.spent, all) {
            self.add(what, stage, units);
        }
    }

    /// By what, the most first: the time, and the stage that has the most of it.
    fn ranked(&self) -> Vec<(What, u64, u32)> {
        let mut sums: BTreeMap<What, (u64, u64, u32)> = BTreeMap::new();
        for (&(what, stage), &units) in &self.spent {
            let sum = sums.entry(what).or_default();
            sum.0 += units;
            if units >= sum.1 {
                (sum.1, sum.2) = (units, stage);
            }
        }
        let mut ranked: Vec<_> =
            sums.into_iter().map(|(what, (all, _, stage))| (what, all, stage)).collect();
        ranked.sort_by_key(|&(what, units, _)| (std::cmp::Reverse(units), what));
        ranked
    }

    /// What a person reads: a line about the job, and one for each of what takes the most.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        text::lines(self, name)
    }
}

/// What an attempt's time went to, all of which was so long.
fn parts(shape: &StageShape, spent: Spent, all: u64) -> [(What, u64); 7] {
    let of = |units: u32| u64::from(units);
    let (lanes, reading, chain) = (of(spent.lanes), of(spent.reading), of(spent.chain));
    // Not each lane's outputs are looked at: the others are taken to be like those.
    let outputs = match of(spent.sampled_chain) {
        0 => 0,
        sampled => (chain * of(spent.sampled_outputs) / sampled).min(chain),
    };
    let before = lanes.saturating_sub(chain + reading);
    let written = outputs + of(spent.finishing);
    let known = of(spent.queued) + of(spent.fetching) + lanes + of(spent.finishing);
    let (decoding, out_of_shuffles) = match shape.root {
        RootShape::Source { .. } => (before, 0),
        RootShape::Shuffles(_) => (0, before),
    };
    let sinks = shape.outputs.iter().any(|output| matches!(output, OutputShape::Sink(_)));
    [
        (What::Reading, reading),
        (What::Decoding, decoding),
        (What::OutOfShuffles, out_of_shuffles + of(spent.fetching)),
        (What::Operators, chain - outputs),
        (if sinks { What::Writing } else { What::IntoShuffles }, written),
        (What::Queued, of(spent.queued)),
        (What::Around, all.saturating_sub(known)),
    ]
}

#[cfg(test)]
mod tests;
