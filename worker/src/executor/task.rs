//! One attempt of a task: what an executor process runs of it.

use super::failure::{in_stage, of_push, of_storage};
use super::lane::{LaneInput, run_lane};
use super::lock;
use super::targets::{Target, Targets, Writer};
use super::units::{Unit, units};
use crate::executor_process::{BlockOut, Engine, Env, TaskRun};
use arrow::buffer::Buffer;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use windrow_datasets::codec::{Compression, Encoder};
use windrow_datasets::commit::{self, JobInfo};
use windrow_datasets::push::PushError;
use windrow_datasets::scan::Scan;
use windrow_datasets::source::Split;
use windrow_datasets::storage::{Storage, Traffic};
use windrow_jobs::exec::Whole;
use windrow_jobs::plan::{Plan, Root};
use windrow_jobs::shuffle::{Lanes, Memory, Store, StoreContext};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, CollectId, ShuffleId, SinkId, StageId};
use windrow_protocol::shape::Cut;
use windrow_protocol::task::{
    MANIFEST_BYTES_MAX, ShuffleOutput, TaskCounts, TaskInput, TaskOrder, TaskOutput, Work,
};

/// Where a job with these options writes: one output for each sink of its plan.
pub fn outputs_of(plan: &Plan, mode: commit::WriteMode, short_id: &str) -> Vec<commit::Output> {
    let output = |number: u32| {
        let sink = plan.sink(number);
        let (location, extension) = (sink.location.clone(), sink.code.extension());
        let partitioned_by = sink.code.partitioned_by();
        commit::Output {
            mode,
            partitioned_by,
            ..commit::Output::new(location, short_id, extension)
        }
    };
    (0..plan.sinks() as u32).map(output).collect()
}

/// Runs tasks with the operators of plans.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    storage: Storage,
}

impl Tasks {
    /// Tasks that read and write through this storage.
    pub fn new(storage: Storage) -> Tasks {
        Tasks { storage }
    }
}

impl Engine for Tasks {
    fn begin(&self, env: &Env) {
        self.storage.configure(env.options.stores.clone());
    }

    fn start(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        env: &Env,
    ) -> Result<Arc<dyn TaskRun>, Failure> {
        Ok(Arc::new(ComputeTask::new(plan, &self.storage, order, env)?))
    }

    fn traffic(&self) -> Traffic {
        self.storage.traffic()
    }

    fn scan(&self) -> Scan {
        self.storage.scan()
    }

    fn split(&self, plan: &Arc<Plan>, order: &TaskOrder, _: &Env) -> Result<Vec<Split>, Failure> {
        split(plan, order.attempt.task.stage.0 as usize, &self.storage)
    }

    fn commit(
        &self,
        plan: &Arc<Plan>,
        order: &TaskOrder,
        env: &Env,
    ) -> Result<Vec<(SinkId, String)>, Failure> {
        let Work::Commit { outputs: staged, counters } = &order.work else {
            return Err(Failure::new(FailureClass::Internal, "an order without outputs to commit"));
        };
        let _told = tracing::info_span!(target: "windrow::trace", "commit").entered();
        let info =
            JobInfo { name: plan.name().to_string(), counters: plan.named_counters(counters) };
        let outputs = outputs_of(plan, env.options.mode, &env.options.short_id);
        let mut manifests = Vec::new();
        for (number, output) in (0..).zip(&outputs) {
            let parts = staged.iter().find(|(sink, _)| sink.0 == number);
            let parts = parts.map_or(&[][..], |(_, parts)| parts);
            let manifest = commit::commit(&self.storage, output, &info, parts)
                .map_err(|error| of_storage(&error))?;
            let mut json = serde_json::to_string(&manifest)
                .map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
            if json.len() > MANIFEST_BYTES_MAX {
                json.clear();
            }
            manifests.push((SinkId(number), json));
        }
        Ok(manifests)
    }

    fn abort(&self, plan: &Plan, env: &Env) -> Result<(), Failure> {
        let outputs = outputs_of(plan, env.options.mode, &env.options.short_id);
        // All are tried, whatever becomes of one.
        let aborted = outputs.iter().map(|output| commit::abort(&self.storage, output));
        let first_error = aborted.fold(Ok(()), Result::and);
        first_error.map_err(|error| of_storage(&error))
    }
}

/// The splits of a stage's source.
///
/// # Errors
/// If it cannot be listed.
pub fn split(plan: &Plan, stage: usize, storage: &Storage) -> Result<Vec<Split>, Failure> {
    let name = &plan.stages()[stage].name;
    let _told = tracing::info_span!(target: "windrow::trace", "list", stage = %name).entered();
    let Some(source) = plan.source(stage) else {
        return Err(Failure::new(
            FailureClass::Internal,
            "a stage without a source is to be split",
        ));
    };
    let mut splits = Vec::new();
    source
        .split(storage, &mut |split| {
            splits.push(split);
            Ok(())
        })
        .map_err(super::failure::of_source)?;
    Ok(splits)
}

/// An attempt of a compute task.
struct ComputeTask {
    plan: Arc<Plan>,
    storage: Storage,
    attempt: AttemptId,
    input: TaskInput,
    units: Vec<Unit>,
    whole: Whole,
    memory: Memory,
    targets: Targets,
    /// How the shuffles that it writes are cut.
    cuts: Vec<(ShuffleId, Cut)>,
    counts: Mutex<TaskCounts>,
    records: AtomicU64,
    cancelled: AtomicBool,
}

/// How a shuffle is cut, as the order says.
fn cut_of(cuts: &[(ShuffleId, Cut)], shuffle: u32) -> Result<Cut, Failure> {
    let cut = cuts.iter().find(|(id, _)| id.0 == shuffle).map(|(_, cut)| *cut);
    let why = "an order without the cut of a shuffle";
    cut.ok_or_else(|| Failure::new(FailureClass::Internal, why))
}

impl ComputeTask {
    fn new(
        plan: &Arc<Plan>,
        storage: &Storage,
        order: &TaskOrder,
        env: &Env,
    ) -> Result<ComputeTask, Failure> {
        let internal = |message: &str| Failure::new(FailureClass::Internal, message);
        let Work::Compute { input, cuts, whole_inputs } = &order.work else {
            return Err(internal("an order without input"));
        };
        let task = order.attempt.task;
        let number = task.stage.0 as usize;
        let Some(stage) = plan.stages().get(number) else {
            return Err(internal("an order for a stage that the plan has not"));
        };
        let frames = whole_inputs.iter().map(|(collect, frames)| (collect.0, frames.clone()));
        let whole = Whole::new(frames).map_err(|error| of_push(&error))?;
        let units = units(input, stage.sample);
        let outputs = outputs_of(plan, env.options.mode, &env.options.short_id);
        let writer = Writer {
            plan,
            stage: number,
            partition: task.partition,
            attempt: order.attempt.number,
            storage,
            outputs: &outputs,
            lanes: units.len() as u32,
        };
        let targets = Targets::new(&writer, |shuffle| {
            let context = StoreContext {
                buckets: cut_of(cuts, shuffle)?.buckets,
                lanes: Arc::new(Lanes::of(units.len() as u64)),
                whole: whole.clone(),
                memory: env.memory.clone(),
                filter: None,
            };
            Ok(plan.shuffle(shuffle).code.store(&context))
        })?;
        Ok(ComputeTask {
            plan: plan.clone(),
            storage: storage.clone(),
            attempt: order.attempt,
            input: input.clone(),
            units,
            whole,
            memory: env.memory.clone(),
            targets,
            cuts: cuts.clone(),
            counts: Mutex::default(),
            records: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
        })
    }

    fn stage(&self) -> usize {
        self.attempt.task.stage.0 as usize
    }

    /// The rows of one bucket of each shuffle that the stage reads.
    fn decode(&self, bucket: u32, blocks: Vec<Vec<Buffer>>) -> Result<LaneInput<'_>, Failure> {
        let (Root::Shuffles(shuffles), TaskInput::Buckets { cut, .. }) =
            (&self.plan.stages()[self.stage()].root, &self.input)
        else {
            return Err(Failure::new(FailureClass::Internal, "blocks for a stage with a source"));
        };
        let context = StoreContext {
            buckets: cut.buckets,
            lanes: Arc::default(),
            whole: self.whole.clone(),
            memory: self.memory.clone(),
            filter: None,
        };
        let mut buckets = Vec::new();
        for (shuffle, blocks) in shuffles.iter().zip(blocks) {
            let decoded = self.plan.shuffle(*shuffle).code.decode(bucket, blocks, &context);
            buckets.push(decoded.map_err(|error| of_push(&error))?);
        }
        Ok(LaneInput::Buckets(buckets))
    }

    /// Writes the buckets of a shuffle.
    fn write(
        &self,
        shuffle: ShuffleId,
        cut: Cut,
        store: &Arc<dyn Store>,
        blocks: &mut dyn BlockOut,
    ) -> Result<ShuffleOutput, Failure> {
        let scratch = |error: std::io::Error| {
            let message = format!("shuffle {}: its blocks cannot be written: {error}", shuffle.0);
            Failure::new(FailureClass::Storage, message)
        };
        let failed = |error: PushError| in_stage(of_push(&error), &self.plan, self.stage());
        store.seal().map_err(failed)?;
        blocks.begin(shuffle, cut.buckets);
        let mut encoder = Encoder::new(Compression::Lz4);
        let (mut rows, mut frames) = (0, Vec::new());
        for bucket in 0..cut.buckets {
            frames.clear();
            rows += store.encode(bucket, &mut encoder, &mut frames).map_err(failed)?;
            if !frames.is_empty() {
                blocks.bucket(bucket, &frames).map_err(scratch)?;
            }
        }
        let (bytes, content) = blocks.end().map_err(scratch)?;
        Ok(ShuffleOutput { shuffle, stage: StageId(self.stage() as u32), rows, bytes, content })
    }
}

impl TaskRun for ComputeTask {
    fn lanes(&self) -> u32 {
        self.units.len() as u32
    }

    fn bucket(&self, lane: u32) -> Option<u32> {
        match self.units.get(lane as usize) {
            Some(Unit::Bucket(bucket)) => Some(*bucket),
            _ => None,
        }
    }

    fn run_lane(&self, lane: u32, blocks: Option<Vec<Vec<Buffer>>>) -> Result<(), Failure> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Failure::new(FailureClass::Cancelled, "the attempt was cancelled"));
        }
        let stage = self.stage();
        let name = &self.plan.stages()[stage].name;
        let _told = tracing::info_span!(target: "windrow::trace", "lane", stage = %name).entered();
        let input = match (self.units[lane as usize], &self.input, blocks) {
            (Unit::Split { split, lane }, TaskInput::Splits(splits), _) => {
                LaneInput::Split(&splits[split as usize], lane)
            }
            (Unit::Bucket(bucket), _, Some(blocks)) => self.decode(bucket, blocks)?,
            _ => return Err(Failure::new(FailureClass::Internal, "a lane without its input")),
        };
        let outputs = self.targets.receivers(&self.plan, stage, lane, u64::from(lane));
        let counted = run_lane(&self.plan, stage, &self.storage, input, &self.whole, outputs)?;
        self.records.fetch_add(counted.records, Ordering::Relaxed);
        lock(&self.counts).add(&TaskCounts {
            records_read: counted.records,
            counters: counted.counters,
            ..TaskCounts::default()
        });
        Ok(())
    }

    fn finish(self: Arc<Self>, blocks: &mut dyn BlockOut) -> Result<TaskOutput, Failure> {
        let mut made = TaskOutput { counts: lock(&self.counts).clone(), ..TaskOutput::default() };
        let stage = &self.plan.stages()[self.stage()];
        let _told =
            tracing::info_span!(target: "windrow::trace", "write", stage = %stage.name).entered();
        match &self.input {
            // What was read of shuffles or for a sample is no input of the job.
            _ if stage.sample => (made.counts.records_read, made.counts.bytes_read) = (0, 0),
            TaskInput::Buckets { .. } => {
                (made.counts.records_read, made.counts.bytes_read) = (0, 0);
            }
            TaskInput::Splits(splits) => {
                made.counts.bytes_read = splits.iter().map(|split| split.bytes).sum();
            }
        }
        for target in self.targets.all() {
            if let Target::Shuffle(shuffle, store) = target {
                let cut = cut_of(&self.cuts, *shuffle)?;
                made.shuffles.push(self.write(ShuffleId(*shuffle), cut, store, blocks)?);
            }
        }
        for (sink, staged) in self.targets.staged()? {
            made.counts.records_written += staged.rows;
            made.counts.bytes_written += staged.bytes;
            made.staged.push((SinkId(sink), staged));
        }
        for (collect, frames) in self.targets.collected(&stage.name)? {
            made.collected.push((CollectId(collect), frames));
        }
        Ok(made)
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }
}
