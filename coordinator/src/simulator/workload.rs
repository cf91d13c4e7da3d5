//! Jobs of several shapes, and the splits of their sources.

use super::random::{Random, join};
use crate::scheduler::Written;
use windrow_protocol::ids::{CollectId, ShuffleId, SinkId, StageId, TaskId};
use windrow_protocol::parts::BucketSizes;
use windrow_protocol::shape::{
    CutShape, JobShape, LookUp, OutputShape, RootShape, ShuffleShape, StageShape, TASK_BYTES,
};

/// A job, and the sizes of its sources' splits by stage.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) shape: JobShape,
    pub(crate) sizes: Vec<Vec<u64>>,
    pub(crate) weight: u32,
}

fn source(listed_by: u32) -> RootShape {
    RootShape::Source { listed_by: StageId(listed_by) }
}

fn read(shuffles: &[u32]) -> RootShape {
    RootShape::Shuffles(shuffles.iter().map(|&s| ShuffleId(s)).collect())
}

fn stage(root: RootShape, outputs: &[OutputShape]) -> StageShape {
    StageShape::new("simulated", root, outputs.to_vec())
}

/// The rows of either side may be looked up.
fn either(stage: u32, [left, right]: [u32; 2]) -> [LookUp; 2] {
    let (stage, left, right) = (StageId(stage), ShuffleId(left), ShuffleId(right));
    let of = |shuffle, table| LookUp { stage, shuffle, table };
    [of(left, right), of(right, left)]
}

fn into(shuffle: u32) -> OutputShape {
    OutputShape::Shuffle(ShuffleId(shuffle))
}

const SINK: OutputShape = OutputShape::Sink(SinkId(0));
const COLLECT: OutputShape = OutputShape::Collect(CollectId(0));

/// The stages of a job, and the producers of its shuffles.
fn stages(template: u64) -> (Vec<StageShape>, Vec<Vec<u32>>) {
    match template {
        0 => (vec![stage(source(0), &[SINK])], vec![]),
        1 => (vec![stage(source(0), &[into(0)]), stage(read(&[0]), &[SINK])], vec![vec![0]]),
        2 => {
            let chain = vec![
                stage(source(0), &[into(0)]),
                stage(read(&[0]), &[into(1)]),
                stage(read(&[1]), &[into(2)]),
                stage(read(&[2]), &[SINK]),
            ];
            (chain, vec![vec![0], vec![1], vec![2]])
        }
        3 => {
            let union = vec![
                stage(source(0), &[into(0)]),
                stage(source(1), &[into(0)]),
                stage(read(&[0]), &[SINK, COLLECT]),
            ];
            (union, vec![vec![0, 1]])
        }
        4 => {
            let mut sample = stage(source(0), &[COLLECT]);
            sample.sample = true;
            let mut sort = stage(source(0), &[into(0)]);
            sort.whole_inputs.push(CollectId(0));
            (vec![sample, sort, stage(read(&[0]), &[SINK])], vec![vec![1]])
        }
        5 => {
            let diamond = vec![
                stage(source(0), &[into(0), into(1)]),
                stage(read(&[0]), &[into(2)]),
                stage(read(&[1]), &[into(3)]),
                stage(read(&[2, 3]), &[SINK]),
            ];
            (diamond, vec![vec![0], vec![0], vec![1], vec![2]])
        }
        6 => {
            let join = vec![
                stage(source(0), &[into(0)]),
                stage(source(1), &[into(1)]),
                stage(read(&[0, 1]), &[into(2)]),
                stage(read(&[2]), &[SINK]),
            ];
            (join, vec![vec![0], vec![1], vec![2]])
        }
        7 => {
            let joins = vec![
                stage(source(0), &[into(0)]),
                stage(source(1), &[into(1)]),
                stage(read(&[0, 1]), &[into(2)]),
                stage(source(3), &[into(3)]),
                stage(read(&[2, 3]), &[into(4)]),
                stage(read(&[4]), &[SINK, COLLECT]),
            ];
            (joins, vec![vec![0], vec![1], vec![2], vec![3], vec![4]])
        }
        _ => (vec![stage(source(0), &[into(0)]), stage(read(&[0]), &[COLLECT])], vec![vec![0]]),
    }
}

/// The joins of a job whose rows may be looked up.
fn lookups(template: u64) -> Vec<LookUp> {
    match template {
        6 => either(2, [0, 1]).to_vec(),
        7 => [either(2, [0, 1]), either(4, [2, 3])].concat(),
        _ => Vec::new(),
    }
}

/// What a task writes into a shuffle.
pub(crate) fn written_by(task: TaskId, shuffle: ShuffleId) -> Written {
    let of_stage = join(join(task.job.0, u64::from(task.stage.0)), u64::from(shuffle.0));
    // Much or little of all its tasks, and of this one.
    let most = TASK_BYTES / [1, 10, 1_000, 100_000][(of_stage >> 8) as usize % 4];
    let bytes = most / (1 + join(of_stage, u64::from(task.partition)) % 4);
    // Evenly, or most of them in one bucket.
    let even = bytes / BUCKETS;
    let (uneven, bucket) = ((of_stage >> 16).is_multiple_of(3), (of_stage >> 24) % BUCKETS);
    let size = |at| if at == bucket { bytes - even / 10 * (BUCKETS - 1) } else { even / 10 };
    let sizes = (0..BUCKETS).map(|at| if uneven { size(at) } else { even });
    Written { shuffle, bytes, buckets: BucketSizes::of(sizes) }
}

/// The buckets that have rows, if there are so many.
const BUCKETS: u64 = 64;

/// A job of about so many tasks.
pub(crate) fn plan(random: &mut Random, tasks: u32) -> Plan {
    let cut = |random: &mut Random, parts: u32| {
        if random.below(2) == 0 {
            CutShape::ByBytes
        } else {
            CutShape::Fixed((tasks / parts).clamp(1, 4096))
        }
    };
    let template = random.below(9);
    let (mut stages, producers) = stages(template);
    for stage in &mut stages {
        stage.passes_permille = [1000, 1000, 20, 1][random.below(4) as usize];
    }
    let count = stages.len() as u32;
    let first_cut = cut(random, count);
    let shuffles: Vec<ShuffleShape> = producers
        .iter()
        .map(|producers| ShuffleShape {
            producers: producers.iter().map(|&p| StageId(p)).collect(),
            cut: first_cut,
        })
        .collect();
    // What is read by shuffle tasks of at most 4,096 a stage is left to the sources.
    let readers = stages.iter().filter(|s| matches!(s.root, RootShape::Shuffles(_))).count() as u32;
    let sources = count - readers;
    let share = (tasks / count).max(1);
    let left = tasks.saturating_sub(share.min(4096) * readers) / sources;
    let empty = random.below(40) == 0;
    let sizes = (0..stages.len())
        .map(|at| {
            if stages[at].root != source(at as u32) || empty {
                return Vec::new();
            }
            (0..left).map(|_| TASK_BYTES / [1, 1, 1, 3][random.below(4) as usize]).collect()
        })
        .collect();
    let sinks = u32::from(stages.iter().any(|s| s.outputs.contains(&SINK)));
    let collectors: Vec<StageId> = (0..)
        .zip(&stages)
        .filter(|(_, stage)| stage.outputs.contains(&COLLECT))
        .map(|(at, _)| StageId(at))
        .collect();
    let collects = if collectors.is_empty() { Vec::new() } else { vec![collectors] };
    let weight = random.between(1, 3) as u32;
    let lookups = lookups(template);
    Plan { shape: JobShape { stages, shuffles, sinks, collects, lookups }, sizes, weight }
}

/// What a task that reads a source makes, and looks its rows up in what stages with such outputs made.
pub(crate) fn of_splits(
    job: u64,
    listed_by: u32,
    range: std::ops::Range<usize>,
    digests: impl Iterator<Item = u64>,
) -> u64 {
    let place = join(join(job, u64::from(listed_by)), range.start as u64);
    digests.fold(join(place, range.end as u64), join)
}

/// What a task makes that reads stages with such outputs.
pub(crate) fn of_inputs(partition: u32, digests: impl Iterator<Item = u64>) -> u64 {
    digests.fold(join(0x5EED, u64::from(partition)), join)
}
