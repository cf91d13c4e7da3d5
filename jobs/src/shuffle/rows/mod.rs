//! The shuffle that keeps all rows, for ordered folds, groups, joins, sorts and repartitions.
//!
//! A lane keeps the batches that it is given (or copies of the selected rows, where those are few), and for each row 16
//! bytes: 96 bits by which rows are ordered, and 32 bits that say where the row is. They are sorted by bucket once, when
//! the lane ends. A bucket is read by putting the entries of all lanes together and sorting them; rows are gathered only
//! then. What the 96 bits are, and how a bucket is chosen, is a [`RowOrder`]'s business.

mod bucket;
mod lane;
mod order;

pub(crate) use bucket::{RowsBucket, Sorted};
pub(crate) use order::{
    ArrivalOrder, ByAll, ByFirst, ByPrefix, HashOrder, RowOrder, SortBy, SortOrder,
};

use self::lane::{RowsLane, Scratch};
use super::{Bucket, ShuffleCode, Store, StoreContext, lock};
use arrow::buffer::Buffer;
use std::sync::{Arc, Mutex, OnceLock};
use windrow_datasets::codec::{self, Encoder};
use windrow_datasets::push::{AnyPush, BATCH_RECORDS, PushError};
use windrow_datasets::{Builder, Record};

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
            scratch: Mutex::default(),
        })
    }

    fn decode(
        &self,
        _bucket: u32,
        blocks: Vec<Buffer>,
        context: &StoreContext,
    ) -> Result<Bucket, PushError> {
        let cutter = self.order.cutter(context);
        let mut batches = Vec::new();
        for block in blocks {
            for frame in codec::frames(&block) {
                batches.push(codec::decode::<O::Row>(&frame?)?);
            }
        }
        let lane = RowsLane::decoded::<O>(batches, &cutter)?;
        Ok(Bucket::new(RowsBucket::<O>::new(vec![Arc::new(lane)], None)))
    }
}

/// The rows of all lanes.
pub(crate) struct RowsStore<O: RowOrder> {
    cutter: O::Cutter,
    buckets: u32,
    /// As they finish.
    lanes: Mutex<Vec<Arc<RowsLane<O::Row>>>>,
    /// By rank.
    sealed: OnceLock<Vec<Arc<RowsLane<O::Row>>>>,
    /// Memory of lanes that have ended, for others.
    scratch: Mutex<Vec<Scratch>>,
}

impl<O: RowOrder> RowsStore<O> {
    fn sealed(&self) -> &[Arc<RowsLane<O::Row>>] {
        self.sealed.get().map_or(&[], |lanes| lanes)
    }
}

impl<O: RowOrder> Store for RowsStore<O> {
    fn lane(self: Arc<Self>, rank: u64) -> AnyPush {
        AnyPush::new::<O::Row>(Box::new(lane::LanePush::<O>::new(self, rank)))
    }

    fn seal(&self) -> Result<(), PushError> {
        let mut lanes = std::mem::take(&mut *lock(&self.lanes));
        lanes.sort_by_key(|lane| lane.rank());
        self.sealed.get_or_init(|| lanes);
        Ok(())
    }

    fn bucket(self: Arc<Self>, bucket: u32) -> Bucket {
        let lanes = self.sealed().to_vec();
        Bucket::new(RowsBucket::<O>::new(lanes, Some(bucket)))
    }

    fn encode(
        &self,
        bucket: u32,
        encoder: &mut Encoder,
        out: &mut Vec<u8>,
    ) -> Result<u64, PushError> {
        let mut builder = <O::Row as Record>::Builder::default();
        let mut rows = 0;
        for lane in self.sealed() {
            for view in lane.rows_of(bucket) {
                builder.push(view);
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
