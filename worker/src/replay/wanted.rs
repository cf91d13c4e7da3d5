//! An engine whose tasks write only what will be read of what they have for shuffles.

use crate::executor::BuildSide;
use crate::executor_process::{BlockOut, Engine, Env, TaskRun};
use arrow::buffer::Buffer;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use windrow_datasets::scan::Scan;
use windrow_datasets::source::Split;
use windrow_datasets::storage::Traffic;
use windrow_jobs::plan::Plan;
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{ShuffleId, SinkId};
use windrow_protocol::shape::{Cut, LookUp};
use windrow_protocol::task::{TaskOrder, TaskOutput};

/// By shuffle: the buckets that are wanted, where that is not all.
type Wanted = BTreeMap<ShuffleId, BTreeSet<u32>>;

/// An engine that lets its tasks write what is wanted, and is as another one otherwise.
pub(super) struct KeepsWanted {
    engine: Arc<dyn Engine>,
    wanted: Arc<Wanted>,
}

impl KeepsWanted {
    pub(super) fn new(engine: Arc<dyn Engine>, wanted: Wanted) -> KeepsWanted {
        KeepsWanted { engine, wanted: Arc::new(wanted) }
    }
}

impl Engine for KeepsWanted {
    fn begin(&self, env: &Env) {
        self.engine.begin(env);
    }

    fn start(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        sides: &[(ShuffleId, BuildSide)],
        env: &Env,
    ) -> Result<Arc<dyn TaskRun>, Failure> {
        let run = self.engine.start(plan, order, sides, env)?;
        Ok(Arc::new(Run { run, wanted: self.wanted.clone() }))
    }

    fn build_side(
        &self,
        plan: &Plan,
        lookup: LookUp,
        cut: Cut,
        blocks: Vec<Vec<Buffer>>,
        env: &Env,
    ) -> Result<BuildSide, Failure> {
        self.engine.build_side(plan, lookup, cut, blocks, env)
    }

    fn split(&self, plan: &Arc<Plan>, order: &TaskOrder, env: &Env) -> Result<Vec<Split>, Failure> {
        self.engine.split(plan, order, env)
    }

    fn commit(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        env: &Env,
    ) -> Result<Vec<(SinkId, String)>, Failure> {
        self.engine.commit(plan, order, env)
    }

    fn abort(&self, plan: &Plan, env: &Env) -> Result<(), Failure> {
        self.engine.abort(plan, env)
    }

    fn traffic(&self) -> Traffic {
        self.engine.traffic()
    }

    fn scan(&self) -> Scan {
        self.engine.scan()
    }
}

struct Run {
    run: Arc<dyn TaskRun>,
    wanted: Arc<Wanted>,
}

impl TaskRun for Run {
    fn lanes(&self) -> u32 {
        self.run.lanes()
    }

    fn bucket(&self, lane: u32) -> Option<u32> {
        self.run.bucket(lane)
    }

    fn run_lane(&self, lane: u32, blocks: Option<Vec<Vec<Buffer>>>) -> Result<(), Failure> {
        self.run.run_lane(lane, blocks)
    }

    fn finish(self: Arc<Self>, blocks: &mut dyn BlockOut) -> Result<TaskOutput, Failure> {
        let mut out = WantedOut { blocks, wanted: &self.wanted, current: None };
        self.run.clone().finish(&mut out)
    }

    fn cancel(&self) {
        self.run.cancel();
    }

    fn records(&self) -> u64 {
        self.run.records()
    }
}

struct WantedOut<'b> {
    blocks: &'b mut dyn BlockOut,
    wanted: &'b Wanted,
    /// What is wanted of the shuffle that is being written, where that is not all.
    current: Option<&'b BTreeSet<u32>>,
}

impl BlockOut for WantedOut<'_> {
    fn begin(&mut self, shuffle: ShuffleId, buckets: u32) {
        self.current = self.wanted.get(&shuffle);
        self.blocks.begin(shuffle, buckets);
    }

    fn bucket(&mut self, bucket: u32, frames: &[u8]) -> io::Result<()> {
        if self.current.is_some_and(|wanted| !wanted.contains(&bucket)) {
            return Ok(());
        }
        self.blocks.bucket(bucket, frames)
    }

    fn end(&mut self) -> io::Result<u64> {
        self.blocks.end()
    }
}
