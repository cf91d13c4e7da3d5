//! Joins within the stage that makes one of their sides: where the order of what a join gives makes no difference, and
//! the rows of one side are all there and fit the memory, those of the other are looked up as they come, and what is
//! found goes on through the joined stage's chain. They are not kept, and the joined stage has nothing left to do.

use std::sync::Arc;
use windrow_datasets::codec::Encoder;
use windrow_datasets::push::{AnyPush, PushError};
use windrow_jobs::exec::LaneContext;
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::{Bucket, ProbeTable, Store};

/// In place of the store of the side that is looked up.
pub(super) struct ProbeStore {
    pub(super) plan: Arc<Plan>,
    /// The stage that joins.
    pub(super) stage: usize,
    pub(super) context: LaneContext,
    pub(super) table: Arc<dyn ProbeTable>,
    /// The stores that the stage writes, in the order of its outputs.
    pub(super) outputs: Vec<Arc<dyn Store>>,
}

impl Store for ProbeStore {
    fn lane(self: Arc<Self>, rank: u64) -> AnyPush {
        // Lanes of other stages may have the same rank: the order of their rows makes no difference.
        let outputs = self.outputs.iter().map(|store| store.clone().lane(rank)).collect();
        let joined = self.plan.chain(self.stage, &self.context, outputs);
        self.table.clone().lane(&self.context, joined)
    }

    fn seal(&self) -> Result<(), PushError> {
        Ok(())
    }

    fn bucket(self: Arc<Self>, _bucket: u32) -> Bucket {
        unreachable!("the stage that would read it is done")
    }

    fn encode(&self, _: u32, _: &mut Encoder, _: &mut Vec<u8>) -> Result<u64, PushError> {
        Err("rows that were looked up are not kept".into())
    }
}
