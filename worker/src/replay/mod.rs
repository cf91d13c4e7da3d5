//! One task of a job run again in this process, with what the coordinator has kept of it.
//!
//! The task is run by an executor, as on a worker, so that it does the same; only what stands around it is left out:
//! supervisor, lease, coordinator. What a job's map tasks wrote is gone once it has ended. So the tasks whose rows the
//! task reads are run again first, and of what they write into shuffles only those buckets are kept that are needed.

mod needed;

pub use needed::Needed;

use crate::data_plane::ClientLimits;
use crate::executor_process::{Engine, ExecutorConfig, PlanSource, serve};
use crate::frames::{self, Reader, Writer};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;
use windrow_protocol::control::JobRecord;
use windrow_protocol::executor::{
    BlockPlaces, BlockWorker, ExecutorStart, FromExecutor, ToExecutor,
};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, JobId, ShuffleId, StageId, WorkerId};
use windrow_protocol::shape::JobShape;
use windrow_protocol::task::{TaskOrder, TaskOutput};

/// The worker that this process takes itself for.
const HERE: WorkerId = WorkerId(0);

/// What a task is run with.
#[derive(Clone, Debug)]
pub struct ReplayConfig {
    /// The number of compute threads.
    pub threads: usize,
    /// Memory for records, in bytes.
    pub memory: u64,
    /// Folders for shuffles and for what does not fit the memory. What is there at the end is of no use.
    pub scratch: Vec<PathBuf>,
}

/// An executor in this process. Dropped, it stops what runs.
pub struct Replay {
    reader: Reader,
    writer: Writer,
    serving: JoinHandle<io::Result<()>>,
    shape: JobShape,
    /// The attempts that have run here, by stage, in the order of their partitions.
    ran: BTreeMap<StageId, Vec<AttemptId>>,
    /// The shuffles that it was told of.
    told: BTreeSet<ShuffleId>,
}

impl Replay {
    /// Starts an executor for tasks of a job; of the shuffles that are read it keeps what is `needed`.
    ///
    /// # Errors
    /// If its scratch cannot be used, or there is no thread; if the job's plan is another one here. That the code is of another
    /// build than the job's is none: closures may differ then, and whoever calls this says so.
    pub async fn start(
        plans: Arc<dyn PlanSource>,
        engine: Arc<dyn Engine>,
        job: JobId,
        record: &JobRecord,
        needed: &Needed,
        config: ReplayConfig,
    ) -> Result<Replay, Failure> {
        let inside = |name: &str| {
            let folders = config.scratch.iter().map(|folder| folder.join(name));
            folders.map(|folder| folder.to_string_lossy().into_owned()).collect()
        };
        let start = ExecutorStart {
            job,
            spec: record.spec.clone(),
            worker: HERE,
            host: String::new(),
            peers_are_here: true,
            credentials: None,
            threads: u32::try_from(config.threads).unwrap_or(u32::MAX),
            memory: config.memory,
            scratch: inside("spills"),
            blocks: inside("blocks"),
        };
        let binary = record.spec.binary.clone();
        let (fetch, wanted) = (ClientLimits::default(), needed.buckets.clone());
        let of_executor = ExecutorConfig { binary, fetch, wanted };
        let (mut ours, executors) = UnixStream::pair().map_err(|error| broken(&error))?;
        let serving = tokio::spawn(serve(executors, plans, engine, of_executor));
        frames::greet(&mut ours).await.map_err(|error| broken(&error))?;
        let (reader, mut writer) = frames::split(ours);
        send(&mut writer, &ToExecutor::Start(Box::new(start))).await?;
        let (shape, ran, told) = (record.shape.clone(), BTreeMap::new(), BTreeSet::new());
        let mut replay = Replay { reader, writer, serving, shape, ran, told };
        match replay.next().await? {
            FromExecutor::Refused(failure) => Err(failure),
            _ => Ok(replay),
        }
    }

    /// Runs tasks of one stage side by side. All of the stages whose rows they read must have run, in the order of their
    /// rows. Not cancel safe: what runs goes on until this is dropped.
    ///
    /// # Errors
    /// Why the executor is gone. That a task failed is no error here.
    pub async fn run(
        &mut self,
        orders: Vec<TaskOrder>,
    ) -> Result<Vec<(AttemptId, Result<TaskOutput, Failure>)>, Failure> {
        let attempts: Vec<AttemptId> = orders.iter().map(|order| order.attempt).collect();
        for order in orders {
            let stage = self.shape.stages.get(order.attempt.task.stage.0 as usize);
            let reads: Vec<ShuffleId> = stage.into_iter().flat_map(|stage| stage.reads()).collect();
            for shuffle in reads {
                if self.told.insert(shuffle) {
                    let places = self.places(shuffle);
                    send(&mut self.writer, &ToExecutor::Blocks(places)).await?;
                }
            }
            send(&mut self.writer, &ToExecutor::Run(Box::new(order))).await?;
        }
        let mut ended = HashMap::new();
        while ended.len() < attempts.len() {
            if let FromExecutor::Ended { end, .. } = self.next().await? {
                ended.insert(end.attempt, end.result);
            }
        }
        for attempt in &attempts {
            self.ran.entry(attempt.task.stage).or_default().push(*attempt);
        }
        let end_of = |attempt| Some((attempt, ended.remove(&attempt)?));
        Ok(attempts.into_iter().filter_map(end_of).collect())
    }

    /// Where the blocks of a shuffle are: all here.
    fn places(&self, shuffle: ShuffleId) -> BlockPlaces {
        let of = self.shape.shuffles.get(shuffle.0 as usize);
        let producers = of.into_iter().flat_map(|of| &of.producers);
        let outputs = producers.filter_map(|stage| self.ran.get(stage)).flatten();
        let here = BlockWorker { worker: HERE, host: String::new(), address: String::new() };
        BlockPlaces {
            shuffle,
            outputs: outputs.map(|&attempt| (attempt, 0)).collect(),
            workers: vec![here],
            copies: Vec::new(),
        }
    }

    async fn next(&mut self) -> Result<FromExecutor, Failure> {
        let next = self.reader.next().await.map_err(|error| broken(&error))?;
        next.ok_or_else(|| broken(&"the executor has ended"))
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn send(writer: &mut Writer, message: &ToExecutor) -> Result<(), Failure> {
    writer.feed(message).await.map_err(|error| broken(&error))?;
    writer.flush().await.map_err(|error| broken(&error))
}

fn broken(error: &dyn std::fmt::Display) -> Failure {
    Failure::new(FailureClass::Internal, format!("the executor in this process: {error}"))
}
