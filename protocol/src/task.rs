//! What an executor is told to do, and what it answers: an attempt's order and its output.

use crate::ids::{AttemptId, CollectId, LaneRange, ShuffleId, SinkId, StageId};
use crate::parts::{BucketSizes, Part, Piece};
use crate::shape::{Cut, LookUp, sample_positions};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::time::Duration;

pub use windrow_datasets::commit::{LeftOut, Place, Staged, StagedFiles, StagedList};
pub use windrow_datasets::scan::Scan;
pub use windrow_datasets::source::Split;
pub use windrow_datasets::storage::Traffic;

/// The most bytes that one task may collect. Collected rows travel with control messages; what is larger belongs
/// into a sink or a shuffle.
pub const COLLECT_BYTES_MAX: usize = 4 << 20;

/// The longest manifest that travels, in bytes; a longer one is read where it is.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;

/// An attempt that is to run. Its job's binary, arguments and plan are known to the executor already.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskOrder {
    /// The attempt.
    pub attempt: AttemptId,
    /// Which of the task's lanes it covers.
    pub lanes: LaneRange,
    /// What to do.
    pub work: Work,
}

impl TaskOrder {
    /// The shuffles that rows are looked up in.
    pub fn tables(&self) -> impl Iterator<Item = ShuffleId> {
        let lookups = match &self.work {
            Work::Compute { lookups, .. } => &lookups[..],
            _ => &[],
        };
        lookups.iter().map(|(lookup, _)| lookup.table)
    }
}

/// What an attempt is to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// List the stage's source and cut it into splits.
    Split,
    /// Run the stage's operators.
    Compute {
        /// What the root reads.
        input: TaskInput,
        /// How the shuffles that the stage writes are cut.
        cuts: Vec<(ShuffleId, Cut)>,
        /// The collected datasets that the stage reads whole: frames, in the order of their rows.
        whole_inputs: Vec<(CollectId, Vec<u8>)>,
        /// The rows that are looked up as they come, and how the shuffle is cut whose rows the table is made of.
        lookups: Vec<(LookUp, Cut)>,
    },
    /// Make the job's outputs visible: for each sink what all its tasks have staged, in order.
    Commit {
        /// What was staged, by sink.
        outputs: Vec<(SinkId, Vec<StagedFiles>)>,
        /// The total of each of the plan's counters.
        counters: Vec<u64>,
        /// The records that were left out, in order.
        left_out: Vec<LeftOut>,
    },
}

/// What the root of a stage reads in one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TaskInput {
    /// These splits, in order. For a sample they are those at the sample's positions.
    Splits(Vec<Split>),
    /// These buckets of the root's shuffles, which all have this cut. For a sample they are the first buckets of the
    /// partitions at the sample's positions.
    Buckets {
        /// How the shuffles are cut.
        cut: Cut,
        /// The buckets, ascending.
        buckets: Vec<u32>,
        /// Which of their rows, where that is not all.
        piece: Option<Piece>,
    },
}

impl TaskInput {
    /// A partition of shuffles that have this cut.
    pub fn partition(cut: Cut, partition: u32) -> TaskInput {
        let Range { start: first, end } = cut.buckets_of(partition);
        TaskInput::part(cut, Part { first, end, piece: None })
    }

    /// A part of such shuffles.
    pub fn part(cut: Cut, part: Part) -> TaskInput {
        TaskInput::Buckets { cut, buckets: (part.first..part.end).collect(), piece: part.piece }
    }

    /// A sample of such shuffles: the first bucket of each partition at the sample's positions.
    pub fn sample_of_partitions(cut: Cut) -> TaskInput {
        let positions = sample_positions(cut.partitions as usize);
        let buckets = positions.map(|partition| cut.buckets_of(partition as u32).start).collect();
        TaskInput::Buckets { cut, buckets, piece: None }
    }

    /// A sample of a source that has these splits: those at the sample's positions.
    pub fn sample_of_splits(splits: &[Split]) -> TaskInput {
        TaskInput::Splits(sample_positions(splits.len()).map(|at| splits[at].clone()).collect())
    }
}

/// What an attempt has made.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskOutput {
    /// Of a split task: the splits, in order; all, or a page of them.
    pub splits: Vec<Split>,
    /// Which page of the splits that is. An attempt that made many ends once for each page, in order; all else of its
    /// output is with the last.
    pub page: u32,
    /// Whether there are more pages.
    pub more: bool,
    /// The blocks written, one file a shuffle.
    pub shuffles: Vec<ShuffleOutput>,
    /// The files staged, once for each sink.
    pub staged: Vec<(SinkId, StagedFiles)>,
    /// Collected rows: frames.
    pub collected: Vec<(CollectId, Vec<u8>)>,
    /// The records that were left out, in order.
    pub left_out: Vec<LeftOut>,
    /// Of a commit task: the manifests, as JSON, by sink; empty where one is longer than [`MANIFEST_BYTES_MAX`].
    pub manifests: Vec<(SinkId, String)>,
    /// What was counted.
    pub counts: TaskCounts,
}

/// What an attempt wrote into one shuffle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ShuffleOutput {
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The stage that wrote it.
    pub stage: StageId,
    /// Rows in all buckets.
    pub rows: u64,
    /// Bytes in all buckets, as stored.
    pub bytes: u64,
    /// Bytes in all buckets, before they were compressed.
    pub encoded: u64,
    /// The same for each bucket, about.
    pub sizes: BucketSizes,
    /// A checksum of the content, which two attempts of one task have in common.
    pub content: u32,
}

/// What two attempts of a task have in common of what they wrote into shuffles: a checksum of all rows, and of how many
/// each shuffle has.
pub fn shuffles_content(shuffles: &[ShuffleOutput]) -> u32 {
    let mut content = crc32fast::Hasher::new();
    for made in shuffles {
        content.update(&made.rows.to_le_bytes());
        content.update(&made.content.to_le_bytes());
    }
    content.finalize()
}

/// What the time of an attempt went to, in [units](Spent::UNIT) that let 11 hours fit 32 bits. What is longer is as long
/// as fits. Lanes run one after the other; all else that an attempt takes is for its order, for what a process does before
/// its first lane, and for what is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// Waiting for a compute thread.
    pub queued: u32,
    /// Waiting for blocks of shuffles, and for the tables in which rows are looked up.
    pub fetching: u32,
    /// Lanes on a compute thread.
    pub lanes: u32,
    /// Of that, waiting for bytes of files and object stores.
    pub reading: u32,
    /// Of that, within the stage's operators and outputs: the rest of it is decoding.
    pub chain: u32,
    /// Writing what the lanes left for shuffles, and ending part files.
    pub finishing: u32,
    /// `chain` of those lanes whose outputs were looked at.
    pub sampled_chain: u32,
    /// Of that, within the outputs.
    pub sampled_outputs: u32,
}

impl Spent {
    /// The unit of times.
    pub const UNIT: Duration = Duration::from_micros(10);

    /// A time in units.
    pub fn units(time: Duration) -> u32 {
        u32::try_from(time.as_micros() / Spent::UNIT.as_micros()).unwrap_or(u32::MAX)
    }

    /// Adds what more lanes spent.
    pub fn add(&mut self, other: Spent) {
        self.queued = self.queued.saturating_add(other.queued);
        self.fetching = self.fetching.saturating_add(other.fetching);
        self.lanes = self.lanes.saturating_add(other.lanes);
        self.reading = self.reading.saturating_add(other.reading);
        self.chain = self.chain.saturating_add(other.chain);
        self.finishing = self.finishing.saturating_add(other.finishing);
        self.sampled_chain = self.sampled_chain.saturating_add(other.sampled_chain);
        self.sampled_outputs = self.sampled_outputs.saturating_add(other.sampled_outputs);
    }
}

/// What an attempt counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaskCounts {
    /// Records that the root gave.
    pub records_read: u64,
    /// Logical bytes of the splits read, or bytes of the blocks.
    pub bytes_read: u64,
    /// Records that went into sinks.
    pub records_written: u64,
    /// Bytes that went into sinks.
    pub bytes_written: u64,
    /// The job's own counters, by number in the plan's order.
    pub counters: Vec<u64>,
    /// The most memory that the process of the attempt had had when it ended, in bytes; of several attempts the most
    /// of any.
    pub memory_peak_bytes: u64,
    /// Bytes that did not fit the memory and went to scratch while the attempt ran, as far as no other has told them.
    pub spilled_bytes: u64,
    /// Bytes of blocks that were read where the worker had fetched them ahead, as far as no other has told them.
    pub fetched_ahead_bytes: u64,
    /// What went to and from object stores while the attempt ran, as far as no other has told it.
    pub traffic: Traffic,
    /// What sources that prune read and left out while the attempt ran, as far as no other has told it.
    pub scan: Scan,
}

impl TaskCounts {
    /// Adds those of another attempt.
    pub fn add(&mut self, other: &TaskCounts) {
        self.records_read += other.records_read;
        self.bytes_read += other.bytes_read;
        self.records_written += other.records_written;
        self.bytes_written += other.bytes_written;
        self.spilled_bytes += other.spilled_bytes;
        self.fetched_ahead_bytes += other.fetched_ahead_bytes;
        self.traffic.add(other.traffic);
        self.scan.add(other.scan);
        self.memory_peak_bytes = self.memory_peak_bytes.max(other.memory_peak_bytes);
        if self.counters.len() < other.counters.len() {
            self.counters.resize(other.counters.len(), 0);
        }
        for (sum, more) in self.counters.iter_mut().zip(&other.counters) {
            *sum += more;
        }
    }
}
