//! What the shell of an executor process needs of those who plan jobs and run lanes.

use super::careful::Careful;
use crate::executor::BuildSide;
use arrow::buffer::Buffer;
use std::io;
use std::sync::Arc;
use windrow_datasets::codec::Choice;
use windrow_datasets::scan::Scan;
use windrow_datasets::source::Split;
use windrow_datasets::storage::Traffic;
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::Memory;
use windrow_protocol::control::JobOptions;
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{JobId, ShuffleId, SinkId};
use windrow_protocol::shape::{Cut, LookUp};
use windrow_protocol::task::{Spent, TaskOrder, TaskOutput};

/// Makes the plans of the jobs that a binary has.
pub trait PlanSource: Send + Sync + 'static {
    /// The plan of the job of this name, with arguments in JSON. Called on a compute thread.
    ///
    /// # Errors
    /// If there is no such job, or it cannot be planned.
    fn plan(&self, name: &str, arguments: &str) -> Result<Plan, Failure>;
}

/// What an executor has for its attempts.
#[derive(Clone, Debug)]
pub struct Env {
    /// The job.
    pub job: JobId,
    /// The options of the run.
    pub options: JobOptions,
    /// The number of compute threads, which all attempts share.
    pub threads: usize,
    /// Memory for all attempts together, and scratch that goes with the worker.
    pub memory: Memory,
    /// How blocks are compressed best.
    pub choice: Choice,
}

/// Runs the tasks of jobs. All methods are called on compute threads; a panic in them is a failure of the attempt.
pub trait Engine: Send + Sync + 'static {
    /// Called once, before anything else is.
    fn begin(&self, _env: &Env) {}

    /// Begins an attempt of a compute task, with care if a process may have died of it; `sides` is what rows are looked up in, by their shuffle.
    ///
    /// # Errors
    /// If it cannot begin: the attempt fails.
    fn start(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        careful: Option<Careful>,
        sides: &[(ShuffleId, BuildSide)],
        env: &Env,
    ) -> Result<Arc<dyn TaskRun>, Failure>;

    /// What rows are looked up in: made of all blocks of a shuffle with this cut, by bucket, in the order of the map
    /// outputs.
    ///
    /// # Errors
    /// If the rows cannot be read.
    fn build_side(
        &self,
        plan: &Plan,
        lookup: LookUp,
        cut: Cut,
        blocks: Vec<Vec<Buffer>>,
        env: &Env,
    ) -> Result<BuildSide, Failure>;

    /// Lists the source of the order's stage and cuts it.
    ///
    /// # Errors
    /// If that fails.
    fn split(&self, plan: &Arc<Plan>, order: &TaskOrder, env: &Env) -> Result<Vec<Split>, Failure>;

    /// Makes the job's outputs visible; returns the manifests, as JSON.
    ///
    /// # Errors
    /// If that fails.
    fn commit(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        env: &Env,
    ) -> Result<Vec<(SinkId, String)>, Failure>;

    /// Removes what the job, which has ended without output, has left in its outputs.
    ///
    /// # Errors
    /// If that fails.
    fn abort(&self, plan: &Plan, env: &Env) -> Result<(), Failure>;

    /// What has gone to and from object stores so far.
    fn traffic(&self) -> Traffic {
        Traffic::default()
    }

    /// What sources that prune have read so far, and left out.
    fn scan(&self) -> Scan {
        Scan::default()
    }
}

/// An attempt of a compute task that runs. Its lanes are run one after the other, in ascending order.
pub trait TaskRun: Send + Sync {
    /// The number of lanes of the task.
    fn lanes(&self) -> u32;

    /// The bucket whose blocks a lane needs; `None` for a lane of a source.
    fn bucket(&self, lane: u32) -> Option<u32>;

    /// Runs a lane, on the thread that it is called on. `blocks` are, for each shuffle that the stage reads, this
    /// bucket's blocks of all map outputs in order, empty ones too; their checksums were verified.
    ///
    /// # Errors
    /// The attempt fails; no other method is called then.
    fn run_lane(&self, lane: u32, blocks: Option<Vec<Vec<Buffer>>>) -> Result<(), Failure>;

    /// All lanes have run: writes what goes into shuffles, and says what was made.
    ///
    /// # Errors
    /// The attempt fails.
    fn finish(self: Arc<Self>, blocks: &mut dyn BlockOut) -> Result<TaskOutput, Failure>;

    /// Lets a lane that runs end soon, with any error. Called from any thread, at any time; must not block.
    fn cancel(&self);

    /// Records that the root has read so far, for progress.
    fn records(&self) -> u64 {
        0
    }

    /// What its lanes and its end spent so far.
    fn spent(&self) -> Spent {
        Spent::default()
    }
}

/// Takes the blocks that an attempt writes: one shuffle after the other, the buckets of each in ascending order.
pub trait BlockOut {
    /// Begins the blocks of a shuffle.
    fn begin(&mut self, shuffle: ShuffleId, buckets: u32);

    /// Adds frames to the block of a bucket. Buckets without rows may be left out; one may come several times in a row.
    ///
    /// # Errors
    /// If they cannot be written.
    fn bucket(&mut self, bucket: u32, frames: &[u8]) -> io::Result<()>;

    /// Ends the blocks of the shuffle. Returns their bytes.
    ///
    /// # Errors
    /// If they cannot be written.
    fn end(&mut self) -> io::Result<u64>;
}
