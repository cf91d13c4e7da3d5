//! The shape of a plan: all that the coordinator knows of a job.
//!
//! Stages in the order in which the plan made them (a stage comes after all that it reads), with what each
//! reads and writes. No closure, no location and no secret is in it.

use crate::ids::{CollectId, ShuffleId, SinkId, StageId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The stages of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobShape {
    /// In the plan's order: `stages[i]` is `StageId(i)`.
    pub stages: Vec<StageShape>,
    /// In the plan's order: `shuffles[i]` is `ShuffleId(i)`.
    pub shuffles: Vec<ShuffleShape>,
    /// The number of sinks. A job with sinks has one commit task, once all stages are done.
    pub sinks: u32,
    /// For each collected dataset the stages that write it, in the order in which their rows count.
    pub collects: Vec<Vec<StageId>>,
    /// The rows that may be looked up as they come.
    pub lookups: Vec<LookUp>,
}

/// A join whose rows may come in any order, seen from one of its sides: the stages that write that side can look its rows
/// up in a table of all rows of the other side, and do themselves what the joined stage would do with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LookUp {
    /// The stage that joins, and does nothing else with either side.
    pub stage: StageId,
    /// The shuffle whose rows are looked up.
    pub shuffle: ShuffleId,
    /// The shuffle that the table is made of.
    pub table: ShuffleId,
}

impl JobShape {
    /// The shape of what is left to do where rows are looked up as they come: the stages that write them write what the
    /// joined stage would, and read what it would read whole, and all of the table; the joined stage has no task.
    ///
    /// Shuffles are cut as before: by the shape without it.
    pub fn look_up(&mut self, lookup: LookUp) {
        let Some(joined) = self.stages.get_mut(lookup.stage.0 as usize) else { return };
        joined.dissolved = true;
        let outputs = std::mem::take(&mut joined.outputs);
        let lookups = std::mem::take(&mut joined.lookups);
        let whole = joined.whole_inputs.clone();
        let Some(looked_up) = self.shuffles.get(lookup.shuffle.0 as usize) else { return };
        let makers = looked_up.producers.clone();
        for maker in &makers {
            let Some(maker) = self.stages.get_mut(maker.0 as usize) else { continue };
            maker.outputs.retain(|output| *output != OutputShape::Shuffle(lookup.shuffle));
            add(&mut maker.outputs, &outputs);
            add(&mut maker.whole_inputs, &whole);
            maker.lookups.push(lookup);
            add(&mut maker.lookups, &lookups);
        }
        for output in &outputs {
            if let OutputShape::Shuffle(shuffle) = output
                && let Some(shuffle) = self.shuffles.get_mut(shuffle.0 as usize)
                && let Some(at) = shuffle.producers.iter().position(|p| *p == lookup.stage)
            {
                shuffle.producers.splice(at..=at, makers.iter().copied());
                let mut seen = BTreeSet::new();
                shuffle.producers.retain(|producer| seen.insert(*producer));
            }
        }
    }

    /// The shuffles that some stage reads together with this one, or with another of them, itself included: those are cut
    /// alike, by the logical bytes below all of them.
    pub fn cut_alike(&self, shuffle: ShuffleId) -> BTreeSet<ShuffleId> {
        let mut alike = BTreeSet::new();
        let mut open = vec![shuffle];
        while let Some(shuffle) = open.pop() {
            if !alike.insert(shuffle) {
                continue;
            }
            for stage in &self.stages {
                if let RootShape::Shuffles(shuffles) = &stage.root
                    && shuffles.contains(&shuffle)
                {
                    open.extend(shuffles);
                }
            }
        }
        alike
    }

    /// How a shuffle is cut, where `bytes` says how many logical bytes the source has that a stage lists; `None` if it
    /// does of one that counts.
    pub fn cut(
        &self,
        shuffle: ShuffleId,
        mut bytes: impl FnMut(StageId) -> Option<u64>,
    ) -> Option<Cut> {
        let shape = self.shuffles.get(shuffle.0 as usize)?.cut;
        let mut sum = 0u64;
        if shape == CutShape::ByBytes {
            for stage in self.sources_below(shuffle) {
                sum = sum.saturating_add(bytes(stage)?);
            }
        }
        Some(Cut::of(shape, sum))
    }

    /// The stages that list the sources by whose logical bytes a shuffle is cut: all below it, and below those that
    /// are [cut alike](JobShape::cut_alike), each once.
    pub fn sources_below(&self, shuffle: ShuffleId) -> BTreeSet<StageId> {
        let mut sources = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut open = Vec::from_iter(self.cut_alike(shuffle));
        while let Some(shuffle) = open.pop() {
            let Some(shape) = self.shuffles.get(shuffle.0 as usize) else { continue };
            if !seen.insert(shuffle) {
                continue;
            }
            for producer in &shape.producers {
                match self.stages.get(producer.0 as usize).map(|stage| &stage.root) {
                    Some(RootShape::Source { listed_by }) => {
                        sources.insert(*listed_by);
                    }
                    Some(RootShape::Shuffles(more)) => open.extend(more),
                    None => {}
                }
            }
        }
        sources
    }
}

/// Adds what is not there.
fn add<T: Copy + PartialEq>(all: &mut Vec<T>, more: &[T]) {
    for one in more {
        if !all.contains(one) {
            all.push(*one);
        }
    }
}

/// One stage: a chain (or tree) of narrow operators from one root to its outputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageShape {
    /// What a person reads: the operators, joined by ` > `.
    pub name: String,
    /// What the stage reads.
    pub root: RootShape,
    /// Collected datasets that every task of this stage reads whole (broadcasts, the bounds of a sort); the stages
    /// that make them must be complete before the first task starts.
    pub whole_inputs: Vec<CollectId>,
    /// Where the rows go.
    pub outputs: Vec<OutputShape>,
    /// Whether it only looks at a sample: it is then one task, of at most [`SAMPLE_UNITS`] splits or partitions at
    /// fixed positions.
    pub sample: bool,
    /// How much of what it reads is thought to pass its filters, in thousandths.
    pub passes_permille: u32,
    /// Rows that its tasks look up as they come: see [`JobShape::look_up`].
    pub lookups: Vec<LookUp>,
    /// Whether other stages do its work, since they look its rows up: it has no tasks.
    pub dissolved: bool,
}

impl StageShape {
    /// A stage that reads `root` and writes `outputs`, and is nothing special.
    pub fn new(name: impl Into<String>, root: RootShape, outputs: Vec<OutputShape>) -> StageShape {
        StageShape {
            name: name.into(),
            root,
            whole_inputs: Vec::new(),
            outputs,
            sample: false,
            passes_permille: 1000,
            lookups: Vec::new(),
            dissolved: false,
        }
    }

    /// The shuffles that a task reads: parts of those of its root, and all of those that it looks rows up in.
    pub fn reads(&self) -> impl Iterator<Item = ShuffleId> {
        self.root.shuffles().iter().copied().chain(self.lookups.iter().map(|lookup| lookup.table))
    }
}

/// What a stage reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RootShape {
    /// A source, cut into splits by a split task. A task of the stage has some splits.
    Source {
        /// The stage whose split task lists the source: the stage itself, or an earlier one that reads the same.
        listed_by: StageId,
    },
    /// A task reads a range of buckets of each of these shuffles, which are cut alike.
    Shuffles(Vec<ShuffleId>),
}

impl RootShape {
    /// The shuffles that are read; none for a source.
    pub fn shuffles(&self) -> &[ShuffleId] {
        match self {
            RootShape::Shuffles(shuffles) => shuffles,
            RootShape::Source { .. } => &[],
        }
    }
}

/// Where a stage's rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutputShape {
    /// Into a shuffle.
    Shuffle(ShuffleId),
    /// Into a sink: staged files, visible after the job's commit.
    Sink(SinkId),
    /// To whoever ran the job, or to later stages that read it whole (`whole_inputs`).
    Collect(CollectId),
}

/// One shuffle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShuffleShape {
    /// The stages that write it, in the order in which their rows count.
    pub producers: Vec<StageId>,
    /// How it is cut.
    pub cut: CutShape,
}

/// How a shuffle is cut into buckets and partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CutShape {
    /// By the logical bytes of all sources below it, and below those that are [read with it](JobShape::cut_alike):
    /// [`buckets_for`], [`partitions_for`].
    ByBytes,
    /// As the job says: so many partitions, of one bucket each.
    Fixed(u32),
}

/// How many buckets and partitions a shuffle has. Partition `p` of `P` has the buckets from `p * B / P` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// The number of buckets, at least 1; a power of two where the job says nothing.
    pub buckets: u32,
    /// The number of partitions: tasks of the stage that reads it.
    pub partitions: u32,
}

/// The least size of a task made of small splits, and the size that large ones are cut to, in logical bytes.
pub const TASK_BYTES: u64 = 64 << 20;

/// The most splits of a task, so that an order stays small enough to send.
pub const TASK_SPLITS_MAX: usize = 64;

/// About how many logical bytes of source input there are for one bucket.
pub const BUCKET_BYTES: u64 = 4 << 20;

/// The most partitions and buckets that a shuffle gets by itself.
pub const PARTITIONS_MAX: u32 = 4096;

/// The most partitions that a job may ask for.
pub const FIXED_PARTITIONS_MAX: u32 = 1 << 20;

/// The most splits or partitions that a sample looks at.
pub const SAMPLE_UNITS: usize = 128;

impl Cut {
    /// How a shuffle is cut below which lie `logical_bytes` of source input. A function of the input alone, so that
    /// an output has the same files wherever the job runs.
    pub fn of(shape: CutShape, logical_bytes: u64) -> Cut {
        match shape {
            CutShape::Fixed(partitions) => {
                let partitions = partitions.max(1);
                Cut { buckets: partitions, partitions }
            }
            CutShape::ByBytes => Cut {
                buckets: buckets_for(logical_bytes),
                partitions: partitions_for(logical_bytes),
            },
        }
    }

    /// The buckets of a partition.
    pub fn buckets_of(self, partition: u32) -> std::ops::Range<u32> {
        let from = |p: u32| {
            (u64::from(p) * u64::from(self.buckets) / u64::from(self.partitions.max(1))) as u32
        };
        from(partition)..from(partition + 1)
    }
}

/// The number of partitions of a shuffle below which lie `logical_bytes` of source input.
pub fn partitions_for(logical_bytes: u64) -> u32 {
    logical_bytes.div_ceil(TASK_BYTES).clamp(1, u64::from(PARTITIONS_MAX)) as u32
}

/// The number of buckets of such a shuffle: a power of two, and no less than there are partitions.
pub fn buckets_for(logical_bytes: u64) -> u32 {
    let wanted = logical_bytes.div_ceil(BUCKET_BYTES).clamp(1, u64::from(PARTITIONS_MAX));
    wanted.next_power_of_two() as u32
}

/// Which splits make a task: ranges of neighbours, of [`TASK_BYTES`] at most where there are several, and of
/// [`TASK_SPLITS_MAX`]; about as few as that allows, or up to twice as many where splits are large, and of about the same
/// size, so that no worker waits for another one behind a last task that is small. A function of the sizes alone.
pub fn pack(bytes: impl IntoIterator<Item = u64, IntoIter: Clone>) -> Vec<std::ops::Range<usize>> {
    let bytes = bytes.into_iter();
    let share = share_of_a_task(bytes.clone());
    let mut tasks = Vec::new();
    let (mut start, mut sum, mut count) = (0, 0u64, 0);
    for size in bytes {
        let full = sum >= share
            || sum.saturating_add(size) > TASK_BYTES
            || count - start == TASK_SPLITS_MAX;
        if count > start && full {
            tasks.push(start..count);
            (start, sum) = (count, 0);
        }
        sum = sum.saturating_add(size);
        count += 1;
    }
    if count > start {
        tasks.push(start..count);
    }
    tasks
}

/// The logical bytes at which a task has its share of splits of these sizes; at least 1. A task that goes beyond it by a
/// split is still no larger than [`TASK_BYTES`], if splits have at most half of that.
fn share_of_a_task(bytes: impl Iterator<Item = u64>) -> u64 {
    let (all, largest) =
        bytes.fold((0u64, 0), |(all, largest), size| (all.saturating_add(size), size.max(largest)));
    let tasks = all.div_ceil(TASK_BYTES - largest.min(TASK_BYTES / 2)).max(1);
    all.div_ceil(tasks).max(1)
}

/// The positions of a sample of `count` units: at most [`SAMPLE_UNITS`], evenly spread, the first among them.
pub fn sample_positions(count: usize) -> impl Iterator<Item = usize> {
    let taken = count.min(SAMPLE_UNITS);
    (0..taken).map(move |at| at * count / taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A stage that reads these shuffles and writes others.
    fn stage(number: u32, reads: &[u32], writes: &[u32]) -> StageShape {
        let root = match reads {
            [] => RootShape::Source { listed_by: StageId(number) },
            reads => RootShape::Shuffles(reads.iter().map(|&n| ShuffleId(n)).collect()),
        };
        let outputs = writes.iter().map(|&n| OutputShape::Shuffle(ShuffleId(n))).collect();
        StageShape::new("", root, outputs)
    }

    #[test]
    fn shuffles_that_are_read_together_in_a_chain_are_cut_alike() {
        // Shuffle 0 is read with 1, and that with 2, below which is what read the first two; 3 is read alone.
        let stages = vec![
            stage(0, &[], &[0, 3]),
            stage(1, &[], &[1]),
            stage(2, &[0, 1], &[2]),
            stage(3, &[1, 2], &[]),
            stage(4, &[3], &[]),
        ];
        let of =
            |producer| ShuffleShape { producers: vec![StageId(producer)], cut: CutShape::ByBytes };
        let shuffles = vec![of(0), of(1), of(2), of(0)];
        let shape = JobShape { stages, shuffles, ..JobShape::default() };
        let alike = |shuffle| shape.cut_alike(ShuffleId(shuffle)).into_iter().map(|id| id.0);
        for shuffle in 0..3 {
            assert!(alike(shuffle).eq([0, 1, 2]));
            let sources = shape.sources_below(ShuffleId(shuffle));
            assert!(sources.into_iter().eq([StageId(0), StageId(1)]));
        }
        assert!(alike(3).eq([3]));
        assert!(shape.sources_below(ShuffleId(3)).into_iter().eq([StageId(0)]));
    }

    proptest! {
        #[test]
        fn partitions_cover_all_buckets_once(bytes in 0..u64::MAX / 2) {
            let cut = Cut::of(CutShape::ByBytes, bytes);
            prop_assert!(cut.buckets >= cut.partitions && cut.buckets.is_power_of_two());
            let mut next = 0;
            for partition in 0..cut.partitions {
                let range = cut.buckets_of(partition);
                prop_assert_eq!(range.start, next);
                prop_assert!(range.end > range.start);
                next = range.end;
            }
            prop_assert_eq!(next, cut.buckets);
        }

        #[test]
        fn packed_splits_are_all_there_and_no_larger_than_need_be(
            sizes in proptest::collection::vec(
                prop_oneof![0..TASK_BYTES * 2, 0..4u64],
                0..300,
            ),
        ) {
            let tasks = pack(sizes.iter().copied());
            let mut next = 0;
            for (at, task) in tasks.iter().enumerate() {
                prop_assert_eq!(task.start, next);
                prop_assert!(task.end > task.start);
                next = task.end;
                let sum: u64 = sizes[task.clone()].iter().sum();
                prop_assert!(task.len() == 1 || sum <= TASK_BYTES);
                prop_assert!(task.len() <= TASK_SPLITS_MAX);
                if at + 1 < tasks.len() {
                    let share = share_of_a_task(sizes.iter().copied());
                    let full = sum >= share || sum + sizes[task.end] > TASK_BYTES;
                    prop_assert!(full || task.len() == TASK_SPLITS_MAX);
                }
            }
            prop_assert_eq!(next, sizes.len());
        }

        /// Splits much smaller than a task: no task is small beside the others.
        #[test]
        fn small_splits_are_packed_evenly(size in 1u64 << 20..9 << 20, count in 1..400_usize) {
            let tasks = pack(std::iter::repeat_n(size, count));
            let sums = tasks.iter().map(|task| task.len() as u64 * size);
            let (least, most) = (sums.clone().min().unwrap(), sums.max().unwrap());
            prop_assert!(most - least <= tasks.len() as u64 * size, "{least} to {most}");
        }

        #[test]
        fn samples_ascend(count in 0..10_000_usize) {
            let positions: Vec<usize> = sample_positions(count).collect();
            prop_assert_eq!(positions.len(), count.min(SAMPLE_UNITS));
            prop_assert!(positions.windows(2).all(|w| w[0] < w[1]));
            prop_assert!(positions.last().is_none_or(|&last| last < count));
        }
    }
}
