//! Shuffles: what stands between two stages.
//!
//! A shuffle takes rows from the lanes of the stages that write it, keeps them by *bucket* (a range of the key's hash,
//! or of the key), and gives a bucket's rows to the stage that reads it. There are three kinds, all behind the same
//! three traits:
//!
//! | kind | what it keeps | who uses it |
//! |---|---|---|
//! | `fold` | one accumulator a key, in shared tables, combined in any order | exact and commutative aggregates |
//! | `rows` | all rows, in (producer, task, lane, row) order | ordered folds, groups, joins, sorts, repartitions |
//! | `collect` | one task's rows as frames | collected datasets, broadcasts, samples |
//!
//! In one process the reading stage takes buckets right out of the [`Store`] that all lanes wrote to. Over workers each
//! map task has a store of its own; its buckets are encoded, one file a task, and the reading task decodes a bucket from
//! the blocks of all map tasks, in order. Both give the same rows in the same order, so one implementation of an
//! operator serves both.
//!
//! A store keeps to the [`Memory`] that it is given: when that is short, it writes what it has to scratch, by bucket, and
//! reads a bucket's part of it when the bucket is read.

pub(crate) mod collect;
pub(crate) mod fold;
mod frames;
mod key_filter;
pub(crate) mod left_out;
mod merge;
pub(crate) mod rows;
mod spill;
#[cfg(test)]
mod testing;

pub use frames::FramesOut;
pub use key_filter::KeyFilter;
pub use spill::SpillFailed;

use crate::exec::LaneContext;
use arrow::buffer::Buffer;
use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use windrow_datasets::memory::Budget;
use windrow_datasets::push::{AnyPush, PushError};
use windrow_datasets::spill::Spills;

/// Locks a mutex whose content a panic under the lock cannot spoil.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of one bucket, typed inside; made by one shuffle and taken apart by its reader.
pub struct Bucket(Box<dyn Any + Send>);

impl Bucket {
    pub(crate) fn new<B: Send + 'static>(rows: B) -> Bucket {
        Bucket(Box::new(rows))
    }

    /// # Panics
    /// If it is another shuffle's; a plan is typed, so that is a defect of the engine.
    pub(crate) fn into<B: 'static>(self) -> B {
        *self.0.downcast::<B>().unwrap_or_else(|_| {
            panic!("a bucket of another shuffle than {}", std::any::type_name::<B>())
        })
    }
}

/// What a store is told when it is made.
#[derive(Clone)]
pub struct StoreContext {
    /// The number of buckets.
    pub buckets: u32,
    /// The lanes that write to it: lets tables grow to what they will need.
    pub lanes: Arc<Lanes>,
    /// What was collected for the shuffle: the sample of a sort, which its bounds are made of.
    pub whole: crate::exec::Whole,
    /// What there is for its rows.
    pub memory: Memory,
    /// If it is there, rows whose key is not in it need not be kept.
    pub filter: Option<Arc<KeyFilter>>,
    /// Whether threads combine rows of a key before exact aggregates add them up in their tables.
    pub combining: Combining,
}

/// Whether threads combine rows of a key, in a small table of their own, before exact aggregates add them up in tables
/// that all share. Results are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Combining {
    /// As long as enough rows are found there to be worth it.
    #[default]
    WhereItPays,
    /// Whatever it brings.
    Always,
    /// All rows go straight to the tables.
    Never,
}

/// What there is for rows that have to be kept: memory, and scratch for those that do not fit.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// The memory.
    pub budget: Budget,
    /// The scratch.
    pub spills: Spills,
}

/// All threads that read have one part in so many of the budget at least.
const LEAST_ROOM: u64 = 8;

impl Memory {
    /// The memory, in bytes, that there is for each thread that reads a bucket; to be asked on a thread of the pool.
    fn room(&self) -> u64 {
        let left = self.budget.limit().saturating_sub(self.budget.counted());
        left.max(self.budget.limit() / LEAST_ROOM) / rayon::current_num_threads() as u64
    }
}

/// How much the stages have to do that write to a store.
#[derive(Debug, Default)]
pub struct Lanes {
    /// Lanes in all; 0 while it is not known.
    all: AtomicU64,
}

impl Lanes {
    /// So many lanes.
    pub fn of(lanes: u64) -> Lanes {
        Lanes { all: lanes.into() }
    }

    /// There are so many more lanes.
    pub fn expect(&self, lanes: u64) {
        self.all.fetch_add(lanes, Relaxed);
    }

    /// How many lanes there are; 0 while it is not known.
    pub fn all(&self) -> u64 {
        self.all.load(Relaxed)
    }
}

/// A shuffle of a plan.
pub trait ShuffleCode: Send + Sync {
    /// A store for the lanes of one task, or of all tasks where they are in one process.
    fn store(&self, context: &StoreContext) -> Arc<dyn Store>;

    /// A bucket made of encoded blocks, those of all map tasks in order. The checksums of the blocks were verified.
    ///
    /// # Errors
    /// If a block is no whole number of frames.
    fn decode(
        &self,
        bucket: u32,
        blocks: Vec<Buffer>,
        context: &StoreContext,
    ) -> Result<Bucket, PushError>;
}

/// Rows on their way through a shuffle.
pub trait Store: Send + Sync {
    /// The receiver for one lane. `rank` is where the lane's rows stand among those of all lanes of the store.
    fn lane(self: Arc<Self>, rank: u64) -> AnyPush;

    /// All lanes have finished.
    ///
    /// # Errors
    /// If what threads still hold cannot be added.
    fn seal(&self) -> Result<(), PushError>;

    /// The keys that the rows have, after [`Store::seal`]; none where rows have no keys, are too many or were spilled.
    fn keys(&self) -> Option<KeyFilter> {
        None
    }

    /// About how many bytes all rows have, after [`Store::seal`]; none if some were spilled.
    fn in_memory(&self) -> Option<u64> {
        None
    }

    /// The rows of a bucket, after [`Store::seal`].
    fn bucket(self: Arc<Self>, bucket: u32) -> Bucket;

    /// Adds the frames of a bucket's rows to `out`, after [`Store::seal`]; returns the number of rows.
    ///
    /// # Errors
    /// If a batch is too large for a frame, rows that were spilled cannot be read, or what `out` says.
    fn encode(&self, bucket: u32, out: &mut FramesOut<'_>) -> Result<u64, PushError>;
}

/// How the rows of one side of a join are looked up in a table of the other: they need not be kept then, but come in
/// the order of the lanes they are in, not in that of their keys.
pub trait ProbeCode: Send + Sync {
    /// A table of all rows of one side, by bucket.
    ///
    /// # Errors
    /// If the rows cannot be read.
    fn build(
        &self,
        buckets: Vec<Bucket>,
        memory: &Memory,
    ) -> Result<Arc<dyn ProbeTable>, PushError>;
}

/// A table of all rows of one side of a join.
pub trait ProbeTable: Send + Sync {
    /// The keys that the rows have; none if they are too many.
    fn keys(&self, memory: &Memory) -> Option<KeyFilter>;

    /// The receiver for one lane of the other side's rows; `out` receives what comes of them. Rows whose key is not in
    /// `keys` are of no use.
    fn lane(
        self: Arc<Self>,
        keys: Option<Arc<KeyFilter>>,
        context: &LaneContext,
        out: AnyPush,
    ) -> AnyPush;
}

/// The part of a wide operator behind its shuffles.
pub trait ReadCode: Send + Sync {
    /// Pushes the rows that come of one bucket of each shuffle into `out`, and ends its lane. Returns how many.
    ///
    /// # Errors
    /// What `out` or the operator's closures say.
    fn read(&self, buckets: Vec<Bucket>, out: AnyPush) -> Result<u64, PushError>;
}
