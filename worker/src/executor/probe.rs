//! Joins within the stage that makes one of their sides: where the order of what a join gives makes no difference, and
//! the rows of one side are all there and fit the memory, those of the other are looked up as they come, and what is
//! found goes on through the joined stage's chain. They are not kept, and the joined stage has nothing left to do.

use std::sync::Arc;
use windrow_datasets::push::{AnyPush, PushError};
use windrow_jobs::exec::LaneContext;
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::{Bucket, FramesOut, KeyFilter, ProbeTable, Store};

/// The side of a join that is all there.
#[derive(Clone)]
pub struct BuildSide {
    /// Its rows.
    pub table: Arc<dyn ProbeTable>,
    /// Its keys, if it is worth to look at them first.
    pub keys: Option<Arc<KeyFilter>>,
}

/// In place of the store of the side that is looked up.
pub(crate) struct ProbeStore {
    pub(crate) plan: Arc<Plan>,
    /// The stage that joins.
    pub(crate) stage: usize,
    pub(crate) context: LaneContext,
    pub(crate) side: BuildSide,
    /// The stores that the stage writes, in the order of its outputs.
    pub(crate) outputs: Vec<Arc<dyn Store>>,
}

impl Store for ProbeStore {
    fn lane(self: Arc<Self>, rank: u64) -> AnyPush {
        // Lanes of other stages may have the same rank: the order of their rows makes no difference.
        let outputs = self.outputs.iter().map(|store| store.clone().lane(rank)).collect();
        let joined = self.plan.chain(self.stage, &self.context, outputs);
        let BuildSide { table, keys } = self.side.clone();
        table.lane(keys, &self.context, joined)
    }

    fn seal(&self) -> Result<(), PushError> {
        Ok(())
    }

    fn bucket(self: Arc<Self>, _bucket: u32) -> Bucket {
        unreachable!("the stage that would read it is done")
    }

    fn encode(&self, _: u32, _: &mut FramesOut<'_>) -> Result<u64, PushError> {
        Err("rows that were looked up are not kept".into())
    }
}
