//! Which lanes a task has, and what each reads.

use windrow_datasets::source::Split;
use windrow_protocol::shape::sample_positions;
use windrow_protocol::task::TaskInput;

/// What one lane of a task reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A lane of the task's split of this index.
    Split {
        /// The index among the task's splits.
        split: u32,
        /// The lane of that split.
        lane: u32,
    },
    /// A bucket.
    Bucket(u32),
}

/// The lanes of a task, in order. A sample has only lanes at the sample's positions.
pub fn units(input: &TaskInput, sample: bool) -> Vec<Unit> {
    let all: Vec<Unit> = match input {
        TaskInput::Splits(splits) => split_units(splits),
        TaskInput::Buckets { buckets, .. } => buckets.iter().map(|&b| Unit::Bucket(b)).collect(),
    };
    if sample { sample_positions(all.len()).map(|at| all[at]).collect() } else { all }
}

fn split_units(splits: &[Split]) -> Vec<Unit> {
    let lanes =
        |(split, at): (u32, &Split)| (0..at.lanes).map(move |lane| Unit::Split { split, lane });
    (0..).zip(splits).flat_map(lanes).collect()
}
