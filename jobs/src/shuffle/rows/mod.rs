//! The shuffle that keeps all rows, for ordered folds, groups, joins, sorts and repartitions.
//!
//! A lane copies its rows into *runs* of some thousand, by bucket, and keeps for each row the 96 bits by which rows are
//! ordered. A bucket is read by putting what all runs have of it together and sorting that; rows are gathered in their
//! order only then. What the 96 bits are, and how a bucket is chosen, is a [`RowOrder`]'s business.

mod bucket;
mod lane;
mod order;

pub(crate) use bucket::{RowsBucket, Sorted};
pub(crate) use order::{
    ArrivalOrder, ByAll, ByFirst, ByPrefix, HashOrder, RowOrder, SortBy, SortOrder,
};

use self::lane::Run;
use super::{Bucket, ShuffleCode, Store, StoreContext, lock};
use arrow::buffer::Buffer;
use std::sync::{Arc, Mutex, OnceLock};
use windrow_datasets::codec::{self, Encoder};
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
            lanes: Mutex::default(),
            sealed: OnceLock::new(),
        })
    }

    fn decode(
        &self,
        _bucket: u32,
        blocks: Vec<Buffer>,
        context: &StoreContext,
    ) -> Result<Bucket, PushError> {
        let cutter = self.order.cutter(context);
        let mut runs = Vec::new();
        for block in blocks {
            for frame in codec::frames(&block) {
                runs.push(Run::decoded::<O>(codec::decode::<O::Row>(&frame?)?, &cutter)?);
            }
        }
        Ok(Bucket::new(RowsBucket::<O>::new(Arc::new(runs), 0)))
    }
}

/// The rows of one lane.
struct RowsLane<T: Record> {
    rank: u64,
    runs: Vec<Run<T>>,
}

/// The rows of all lanes.
pub(crate) struct RowsStore<O: RowOrder> {
    cutter: O::Cutter,
    buckets: u32,
    /// As they finish.
    lanes: Mutex<Vec<RowsLane<O::Row>>>,
    /// The runs of all lanes, by rank.
    sealed: OnceLock<Arc<Vec<Run<O::Row>>>>,
}

impl<O: RowOrder> RowsStore<O> {
    fn sealed(&self) -> Arc<Vec<Run<O::Row>>> {
        self.sealed.get().cloned().unwrap_or_default()
    }
}

impl<O: RowOrder> Store for RowsStore<O> {
    fn lane(self: Arc<Self>, rank: u64) -> AnyPush {
        AnyPush::new::<O::Row>(Box::new(lane::LanePush::<O>::new(self, rank)))
    }

    fn seal(&self) -> Result<(), PushError> {
        let mut lanes = std::mem::take(&mut *lock(&self.lanes));
        lanes.sort_by_key(|lane| lane.rank);
        let runs = lanes.into_iter().flat_map(|lane| lane.runs).collect();
        self.sealed.get_or_init(|| Arc::new(runs));
        Ok(())
    }

    fn bucket(self: Arc<Self>, bucket: u32) -> Bucket {
        Bucket::new(RowsBucket::<O>::new(self.sealed(), bucket))
    }

    fn encode(
        &self,
        bucket: u32,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> Result<u64, PushError> {
        let mut builder = <O::Row as Record>::Builder::default();
        let mut rows = 0;
        for run in self.sealed().iter() {
            for row in run.rows_of(bucket) {
                // SAFETY: a run has the rows that its offsets name.
                builder.push(unsafe { run.batch.get_unchecked(row) });
                rows += 1;
                if builder.len() == BATCH_RECORDS {
                    encoder.encode::<O::Row>(&builder.finish(), out)?;
                }
            }
        }
        if !builder.is_empty() {
            encoder.encode::<O::Row>(&builder.finish(), out)?;
        }
        Ok(rows)
    }
}

#[cfg(test)]
mod tests;
