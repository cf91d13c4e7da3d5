//! The shuffle that keeps all rows, for ordered folds, groups, joins, sorts and repartitions.
//!
//! A lane copies its rows into *runs* of some thousand, by bucket. A bucket is read by putting what all runs have of it
//! together and sorting 96 bits of each row; rows are gathered in their order only then. What the 96 bits are, and how a
//! bucket is chosen, is a [`RowOrder`]'s business.
//!
//! When memory is short, all runs that are there are written to scratch as one [`spilled::Generation`], by bucket: each
//! bucket's rows lie together in it, so that reading a bucket takes one read for each generation.

mod bucket;
mod laid;
mod lane;
mod load;
mod order;
mod spilled;
mod spread;
mod table;

pub(crate) use bucket::{RowsBucket, Sorted};
pub(crate) use order::{
    ArrivalOrder, ByAll, ByFirst, ByPrefix, HashOrder, RowOrder, SortBy, SortOrder,
};
pub(crate) use table::{Found, Seek, Table};

use self::lane::Run;
use self::load::{Load, Loader};
use self::spilled::Generation;
use super::left_out::{KeyHash, leaving_out};
use super::{
    Bucket, FramesOut, KeyFilter, Memory, ShuffleCode, SpillFailed, Store, StoreContext, lock,
};
use arrow::buffer::Buffer;
use rayon::prelude::*;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use windrow_datasets::codec;
use windrow_datasets::memory::{Share, Shortage};
use windrow_datasets::push::{AnyPush, BATCH_RECORDS, PushError};
use windrow_datasets::{Batch, Builder, Record};

/// A shuffle of rows in an order.
pub(crate) struct RowsShuffle<O> {
    pub(crate) order: O,
}

impl<O: RowOrder> ShuffleCode for RowsShuffle<O> {
    fn store(&self, context: &StoreContext) -> Arc<dyn Store> {
        Arc::new(RowsStore::<O> {
            cutter: self.order.cutter(context),
            buckets: context.buckets,
            memory: context.memory.clone(),
            filter: context.filter.clone(),
            share: context.memory.budget.share(),
            resident: Mutex::default(),
            spilling: RwLock::default(),
            generations: Mutex::default(),
            sealed: OnceLock::new(),
        })
    }

    fn decode(
        &self,
        _bucket: u32,
        blocks: Vec<Buffer>,
        context: &StoreContext,
    ) -> Result<Bucket, PushError> {
        let frames = blocks.iter().flat_map(codec::frames).collect::<Result<_, _>>()?;
        Ok(Bucket::new(RowsBucket::<O>::of_frames(frames, context.memory.clone())))
    }
}

/// A run, and where its rows stand among those of the store.
struct Placed<T: Record> {
    /// The lane's rank.
    rank: u64,
    /// The run's number in its lane.
    number: u64,
    run: Run<T>,
    /// About how many bytes it has.
    bytes: u64,
}

impl<T: Record> Placed<T> {
    fn place(&self) -> (u64, u64) {
        (self.rank, self.number)
    }
}

/// Runs in memory, and the bytes that they have.
struct Resident<T: Record> {
    runs: Vec<Placed<T>>,
    bytes: u64,
}

impl<T: Record> Default for Resident<T> {
    fn default() -> Self {
        Resident { runs: Vec::new(), bytes: 0 }
    }
}

/// What of the rows has come to rest.
struct Sealed<O: RowOrder> {
    /// Those in memory, in order.
    runs: Vec<Placed<O::Row>>,
    generations: Vec<Generation<O>>,
}

/// The rows of all lanes.
pub(crate) struct RowsStore<O: RowOrder> {
    cutter: O::Cutter,
    buckets: u32,
    memory: Memory,
    /// The keys whose rows are of use.
    filter: Option<Arc<KeyFilter>>,
    /// What the runs in memory have.
    share: Share,
    /// Runs in memory, as they came.
    resident: Mutex<Resident<O::Row>>,
    /// Shared by threads that spill; who waits for them takes it alone.
    spilling: RwLock<()>,
    generations: Mutex<Vec<Generation<O>>>,
    sealed: OnceLock<Arc<Sealed<O>>>,
}

/// Hashes rows as their order does.
pub(crate) struct ByOrder<O>(PhantomData<fn() -> O>);

impl<O: RowOrder> KeyHash for ByOrder<O> {
    type Row = O::Row;

    #[inline(always)]
    fn hash(row: <O::Row as Record>::View<'_>) -> u64 {
        O::hash(row)
    }
}

/// What a store has in memory is spilled, once memory is short, if it is at least one part in so many of the budget.
const WORTH_SPILLING: u64 = 4;

/// The same where memory is very short.
const WORTH_SPILLING_AT_LAST: u64 = 16;

impl<O: RowOrder> RowsStore<O> {
    /// Keeps a run. Spills if memory is short.
    fn add(&self, run: Placed<O::Row>) -> Result<(), PushError> {
        self.share.add(run.bytes);
        let mut resident = lock(&self.resident);
        resident.bytes += run.bytes;
        resident.runs.push(run);
        drop(resident);
        let part = match self.memory.budget.shortage() {
            Shortage::None => return Ok(()),
            Shortage::Some => WORTH_SPILLING,
            Shortage::Great => WORTH_SPILLING_AT_LAST,
        };
        let spilled = self.spill(self.memory.budget.limit() / part)?;
        if !spilled && part == WORTH_SPILLING_AT_LAST {
            // Others are about to free what they have: nobody adds to it meanwhile.
            drop(self.spilling.write());
        }
        Ok(())
    }

    /// Writes all runs that are in memory to scratch, if they have so many bytes.
    fn spill(&self, least: u64) -> Result<bool, PushError> {
        let _spilling = self.spilling.read().unwrap_or_else(PoisonError::into_inner);
        let mut resident = lock(&self.resident);
        if resident.bytes < least || resident.runs.is_empty() {
            return Ok(false);
        }
        let Resident { mut runs, bytes } = std::mem::take(&mut *resident);
        drop(resident);
        runs.sort_by_key(Placed::place);
        let failed = SpillFailed::of("rows of a shuffle", bytes, &self.memory.budget);
        let generation =
            Generation::write(&self.memory.spills, &runs, self.buckets).map_err(failed)?;
        drop(runs);
        self.share.give_back(bytes);
        lock(&self.generations).push(generation);
        Ok(true)
    }

    /// What has come to rest.
    fn sealed(&self) -> Result<Arc<Sealed<O>>, PushError> {
        self.sealed.get().cloned().ok_or_else(|| "a shuffle is read before it is sealed".into())
    }
}

impl<O: RowOrder> Store for RowsStore<O> {
    fn lane(self: Arc<Self>, rank: u64) -> AnyPush {
        leaving_out::<ByOrder<O>>(self.filter.clone(), lane::LanePush::<O>::new(self, rank))
    }

    fn seal(&self) -> Result<(), PushError> {
        let mut runs = std::mem::take(&mut lock(&self.resident).runs);
        runs.sort_by_key(Placed::place);
        let generations = std::mem::take(&mut *lock(&self.generations));
        self.sealed.get_or_init(|| Arc::new(Sealed { runs, generations }));
        Ok(())
    }

    fn keys(&self) -> Option<KeyFilter> {
        let sealed = self.sealed.get()?;
        if !O::HASHED || !sealed.generations.is_empty() {
            return None;
        }
        let rows = sealed.runs.iter().map(|placed| placed.run.batch.len()).sum();
        let keys = KeyFilter::for_rows(rows, &self.memory.budget)?;
        sealed.runs.par_iter().for_each(|placed| {
            let batch = &placed.run.batch;
            // SAFETY: the indexes are below the batch's length.
            let hashes = (0..batch.len()).map(|at| (unsafe { O::order(batch, at) } >> 64) as u64);
            hashes.for_each(|hash| keys.add(hash));
        });
        Some(keys)
    }

    fn in_memory(&self) -> Option<u64> {
        let sealed = self.sealed.get()?;
        sealed.generations.is_empty().then(|| self.share.bytes())
    }

    fn bucket(self: Arc<Self>, bucket: u32) -> Bucket {
        Bucket::new(RowsBucket::<O>::stored(self, bucket))
    }

    fn encode(&self, bucket: u32, out: &mut FramesOut<'_>) -> Result<u64, PushError> {
        let mut builder = <O::Row as Record>::Builder::default();
        let sealed = self.sealed()?;
        let mut loader = Loader::new(self, &sealed, bucket)?;
        let mut count = 0;
        loop {
            let loaded = loader.load(self.memory.room())?;
            if loaded.count() == 0 {
                break;
            }
            count += loaded.count() as u64;
            for (batch, row) in loaded.rows() {
                // SAFETY: a piece has the rows of its run that it names.
                builder.push(unsafe { batch.get_unchecked(row) });
                if builder.len() == BATCH_RECORDS {
                    out.add::<O::Row>(&builder.finish())?;
                }
            }
        }
        if !builder.is_empty() {
            out.add::<O::Row>(&builder.finish())?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
