//! One attempt of a task: what an executor process runs of it.

use super::failure::{in_stage, of_push, of_storage};
use super::lane::{LaneCounts, LaneInput, Leniency, run_lane};
use super::lock;
use super::probe::{BuildSide, ProbeStore};
use super::targets::{Targets, Writer};
use super::units::{Unit, units};
use crate::executor_process::{BlockOut, Careful, Engine, Env, TaskRun};
use arrow::buffer::Buffer;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use windrow_datasets::codec::{Choice, Encoder};
use windrow_datasets::commit::{self, JobInfo};
use windrow_datasets::location::Location;
use windrow_datasets::push::{BATCH_RECORDS, PushError};
use windrow_datasets::scan::Scan;
use windrow_datasets::source::Split;
use windrow_datasets::spent::{Part, lap};
use windrow_datasets::storage::{Storage, Traffic};
use windrow_jobs::exec::{LaneContext, Whole};
use windrow_jobs::plan::{Output, Plan, Root};
use windrow_jobs::shuffle::{Combining, FramesOut, Lanes, Memory, Store, StoreContext};
use windrow_protocol::control::JobOptions;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, CollectId, ShuffleId, SinkId, StageId};
use windrow_protocol::parts::BucketSizes;
use windrow_protocol::shape::{Cut, LookUp};
use windrow_protocol::task::{
    LeftOut, MANIFEST_BYTES_MAX, ShuffleOutput, Spent, TaskCounts, TaskInput, TaskOrder,
    TaskOutput, Work,
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
    /// Where the sinks write, by number, instead of where the plan says.
    instead: Vec<Location>,
}

impl Tasks {
    /// Tasks that read and write through this storage.
    pub fn new(storage: Storage) -> Tasks {
        Tasks { storage, instead: Vec::new() }
    }

    /// Sinks write to these, by number, instead of where the plan says.
    #[must_use]
    pub fn writing_to(self, instead: Vec<Location>) -> Tasks {
        Tasks { instead, ..self }
    }

    /// Where a job's sinks write.
    pub fn outputs(&self, plan: &Plan, options: &JobOptions) -> Vec<commit::Output> {
        let mut outputs = outputs_of(plan, options.mode, &options.short_id);
        for (output, instead) in outputs.iter_mut().zip(&self.instead) {
            output.location = instead.clone();
            output.mode = commit::WriteMode::Error;
        }
        outputs
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
        careful: Option<Careful>,
        sides: &[(ShuffleId, BuildSide)],
        env: &Env,
    ) -> Result<Arc<dyn TaskRun>, Failure> {
        let task = ComputeTask::new(plan, self, order, sides, env)?;
        Ok(Arc::new(ComputeTask { careful, ..task }))
    }

    fn build_side(
        &self,
        plan: &Plan,
        lookup: LookUp,
        cut: Cut,
        blocks: Vec<Vec<Buffer>>,
        env: &Env,
    ) -> Result<BuildSide, Failure> {
        let probe = plan.probe(lookup.shuffle.0).filter(|probe| probe.other == lookup.table.0);
        let why = "rows are to be looked up that the plan keeps";
        let probe = probe.ok_or_else(|| Failure::new(FailureClass::Internal, why))?;
        let named = |error: PushError| in_stage(of_push(&error), plan, probe.stage);
        let context = context_of_readers(cut, Whole::default(), env.memory.clone());
        let code = plan.shuffle(probe.other).code;
        let buckets =
            (0..).zip(blocks).map(|(bucket, blocks)| code.decode(bucket, blocks, &context));
        let buckets = buckets.collect::<Result<_, _>>().map_err(named)?;
        let table = probe.code.build(buckets, &env.memory).map_err(named)?;
        let filtered = plan.shuffle(lookup.shuffle.0).filtered_by == Some(probe.other);
        let keys = if filtered { table.keys(&env.memory).map(Arc::new) } else { None };
        Ok(BuildSide { table, keys })
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
        let Work::Commit { outputs: staged, counters, left_out } = &order.work else {
            return Err(Failure::new(FailureClass::Internal, "an order without outputs to commit"));
        };
        let _told = tracing::info_span!(target: "windrow::trace", "commit").entered();
        let info = JobInfo {
            name: plan.name().to_string(),
            counters: plan.named_counters(counters),
            left_out: left_out.clone(),
        };
        let outputs = self.outputs(plan, &env.options);
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
        let outputs = self.outputs(plan, &env.options);
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
    /// Whether it has the first of them, or they are another attempt's.
    has_first_lane: bool,
    whole: Whole,
    memory: Memory,
    choice: Choice,
    targets: Targets,
    /// The shuffles that it writes, and how they are cut.
    written: Vec<(ShuffleId, Cut, Arc<dyn Store>)>,
    counts: Mutex<TaskCounts>,
    spent: Mutex<Spent>,
    /// So many records may be left out.
    bad_records_max: u32,
    /// Of which one the process has died is found out, if it has.
    careful: Option<Careful>,
    /// Those that were, by lane.
    left_out: Mutex<BTreeMap<u32, Vec<LeftOut>>>,
    records: AtomicU64,
    cancelled: AtomicBool,
}

/// How the reader of a shuffle decodes its blocks.
fn context_of_readers(cut: Cut, whole: Whole, memory: Memory) -> StoreContext {
    StoreContext {
        buckets: cut.buckets,
        lanes: Arc::default(),
        whole,
        memory,
        filter: None,
        combining: Combining::default(),
    }
}

/// The stores that a task writes into.
struct Stores<'t> {
    plan: &'t Arc<Plan>,
    /// How shuffles are cut, as the order says.
    cuts: &'t [(ShuffleId, Cut)],
    /// By shuffle whose rows are looked up, what they are looked up in.
    sides: &'t [(ShuffleId, BuildSide)],
    /// Without the number of buckets.
    context: StoreContext,
    made: Vec<(ShuffleId, Cut, Arc<dyn Store>)>,
}

impl Stores<'_> {
    /// What takes the rows of a shuffle: a store, or a table that they are looked up in on their way to others.
    fn of(&mut self, shuffle: u32) -> Result<Arc<dyn Store>, Failure> {
        let internal = |why: &str| Failure::new(FailureClass::Internal, why);
        if let Some((_, side)) = self.sides.iter().find(|(id, _)| id.0 == shuffle) {
            let probe = self.plan.probe(shuffle);
            let stage = probe.ok_or_else(|| internal("a table for rows that are kept"))?.stage;
            let mut outputs = Vec::new();
            for output in &self.plan.stages()[stage].outputs {
                let Output::Shuffle(shuffle) = *output else {
                    return Err(internal("a join that is seen by more than shuffles"));
                };
                outputs.push(self.of(shuffle)?);
            }
            let whole = self.context.whole.clone();
            let context = LaneContext { batch_records: BATCH_RECORDS, whole };
            let (plan, side) = (self.plan.clone(), side.clone());
            return Ok(Arc::new(ProbeStore { plan, stage, context, side, outputs }));
        }
        if let Some((.., store)) = self.made.iter().find(|(id, ..)| id.0 == shuffle) {
            return Ok(store.clone());
        }
        let cut = self.cuts.iter().find(|(id, _)| id.0 == shuffle);
        let &(id, cut) = cut.ok_or_else(|| internal("an order without the cut of a shuffle"))?;
        let context = StoreContext { buckets: cut.buckets, ..self.context.clone() };
        let store = self.plan.shuffle(shuffle).code.store(&context);
        self.made.push((id, cut, store.clone()));
        Ok(store)
    }
}

impl ComputeTask {
    fn new(
        plan: &Arc<Plan>,
        tasks: &Tasks,
        order: &TaskOrder,
        sides: &[(ShuffleId, BuildSide)],
        env: &Env,
    ) -> Result<ComputeTask, Failure> {
        let internal = |message: &str| Failure::new(FailureClass::Internal, message);
        let Work::Compute { input, cuts, whole_inputs, .. } = &order.work else {
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
        let outputs = tasks.outputs(plan, &env.options);
        let storage = &tasks.storage;
        let writer = Writer {
            plan,
            stage: number,
            partition: task.partition,
            attempt: order.attempt.number,
            storage,
            outputs: &outputs,
            lanes: units.len() as u32,
        };
        let context = StoreContext {
            buckets: 0,
            lanes: Arc::new(Lanes::of(units.len() as u64)),
            whole: whole.clone(),
            memory: env.memory.clone(),
            filter: None,
            combining: Combining::default(),
        };
        let mut stores = Stores { plan, cuts, sides, context, made: Vec::new() };
        let targets = Targets::new(&writer, |shuffle| stores.of(shuffle))?;
        let written = stores.made;
        Ok(ComputeTask {
            plan: plan.clone(),
            storage: storage.clone(),
            attempt: order.attempt,
            input: input.clone(),
            units,
            has_first_lane: order.lanes.start == 0,
            whole,
            memory: env.memory.clone(),
            choice: env.choice.clone(),
            targets,
            written,
            counts: Mutex::default(),
            spent: Mutex::default(),
            bad_records_max: env.options.bad_records_max,
            careful: None,
            left_out: Mutex::default(),
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
        let context = context_of_readers(*cut, self.whole.clone(), self.memory.clone());
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
        let mut encoder = Encoder::choosing(self.choice.clone()).with_content();
        let mut rows = 0;
        let mut sizes = Vec::with_capacity(cut.buckets as usize);
        let (mut wrote, mut content) = (Duration::ZERO, crc32fast::Hasher::new());
        let at = Cell::new(0);
        let mut put = |frames: &[u8]| {
            let begun = Instant::now();
            blocks.bucket(at.get(), frames).map_err(scratch)?;
            wrote += begun.elapsed();
            Ok(())
        };
        let mut out = FramesOut::new(&mut encoder, &mut put);
        for bucket in 0..cut.buckets {
            at.set(bucket);
            rows += store.encode(bucket, &mut out).map_err(failed)?;
            let of_bucket = out.end().map_err(failed)?.take_content();
            content.update(&of_bucket.crc.to_le_bytes());
            sizes.push(of_bucket.bytes);
        }
        let bytes = blocks.end().map_err(scratch)?;
        self.choice.wrote(bytes, wrote);
        let content = content.finalize();
        Ok(ShuffleOutput {
            shuffle,
            stage: StageId(self.stage() as u32),
            rows,
            bytes,
            encoded: sizes.iter().sum(),
            sizes: BucketSizes::of(sizes),
            content,
        })
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
        let (counted, clock) = lap(|| self.run_one(lane, blocks));
        let looked_at = self.looks_at_outputs(lane);
        let (chain, outputs) = (Spent::units(clock.chain), Spent::units(clock.outputs));
        lock(&self.spent).add(Spent {
            lanes: Spent::units(clock.whole),
            reading: Spent::units(clock.reading),
            chain,
            sampled_chain: if looked_at { chain } else { 0 },
            sampled_outputs: outputs,
            ..Spent::default()
        });
        let counted = counted?;
        self.records.fetch_add(counted.records, Ordering::Relaxed);
        lock(&self.counts).add(&TaskCounts {
            records_read: counted.records,
            counters: counted.counters,
            ..TaskCounts::default()
        });
        // A sample reads what others read as well.
        if !counted.left_out.is_empty() && !self.plan.stages()[self.stage()].sample {
            lock(&self.left_out).insert(lane, counted.left_out);
        }
        Ok(())
    }

    fn finish(self: Arc<Self>, blocks: &mut dyn BlockOut) -> Result<TaskOutput, Failure> {
        let (made, clock) = lap(|| self.end(blocks));
        lock(&self.spent).finishing = Spent::units(clock.whole);
        made
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    fn spent(&self) -> Spent {
        *lock(&self.spent)
    }
}

impl ComputeTask {
    /// Whether it is one of the lanes whose outputs are looked at: of many lanes each eighth, of few tasks the first.
    fn looks_at_outputs(&self, lane: u32) -> bool {
        lane.wrapping_add(self.attempt.task.partition).is_multiple_of(8)
    }

    fn run_one(&self, lane: u32, blocks: Option<Vec<Vec<Buffer>>>) -> Result<LaneCounts, Failure> {
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
        let mut outputs = self.targets.receivers(&self.plan, stage, lane, u64::from(lane));
        if self.looks_at_outputs(lane) {
            outputs = outputs.into_iter().map(|output| output.timed(Part::Outputs)).collect();
        }
        let careful = self.careful.as_ref().map(|careful| careful.in_lane(lane));
        let careful =
            careful.as_ref().map(|careful| careful as &dyn windrow_jobs::checked::Careful);
        let leniency = Leniency { most: self.bad_records_max, careful };
        run_lane(&self.plan, stage, &self.storage, input, &self.whole, outputs, leniency)
    }

    /// Writes what the lanes left, and says what was made.
    fn end(&self, blocks: &mut dyn BlockOut) -> Result<TaskOutput, Failure> {
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
                // With the first of the lanes, if several tasks have them.
                let all = splits.iter().map(|split| split.bytes).sum();
                made.counts.bytes_read = if self.has_first_lane { all } else { 0 };
            }
        }
        made.left_out =
            std::mem::take(&mut *lock(&self.left_out)).into_values().flatten().collect();
        if made.left_out.len() > self.bad_records_max as usize {
            return Err(Failure::too_many_left_out(self.bad_records_max, &made.left_out));
        }
        for (shuffle, cut, store) in &self.written {
            made.shuffles.push(self.write(*shuffle, *cut, store, blocks)?);
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
}
