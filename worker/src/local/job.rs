//! A job in this process: its stages one after the other, then the commit.

use super::order;
use super::stage::{StageProgress, StageRun};
use crate::executor::failure::{in_stage, of_push, of_storage};
use crate::executor::task::{outputs_of, split};
use crate::executor::{BuildSide, ProbeStore};
use crate::shape::shape_of;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use windrow_datasets::commit::{self, JobInfo, Runner, StagedFiles, WriteMode};
use windrow_datasets::memory;
use windrow_datasets::push::BATCH_RECORDS;
use windrow_datasets::scan::Scan;
use windrow_datasets::source::Split;
use windrow_datasets::storage::{Storage, Traffic};
use windrow_jobs::exec::{LaneContext, Whole};
use windrow_jobs::plan::{Output, Plan, Root, Stage};
use windrow_jobs::shuffle::{Combining, KeyFilter, Lanes, Memory, Store, StoreContext};
use windrow_jobs::{Outcome, Summary};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{ShuffleId, StageId};
use windrow_protocol::shape::{Cut, JobShape, pack};
use windrow_protocol::task::{LeftOut, TaskCounts, TaskInput};

/// How a job is to run in this process.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// Threads that compute.
    pub threads: usize,
    /// Memory for the job's records, and scratch for those that do not fit.
    pub memory: Memory,
    /// Whether threads combine before exact aggregates.
    pub combining: Combining,
    /// What is done about output that is there already.
    pub mode: WriteMode,
    /// The job's short id, which names of part files contain.
    pub short_id: String,
    /// So many records may be left out at which the job's code fails.
    pub bad_records_max: u32,
}

/// A job in this process.
pub struct LocalJob {
    plan: Arc<Plan>,
    shape: JobShape,
    storage: Storage,
    /// What had gone to and from object stores before this job.
    traffic_before: Traffic,
    /// What had been read and left out before this job.
    scan_before: Scan,
    options: LocalOptions,
    outputs: Vec<commit::Output>,
    cancelled: Arc<AtomicBool>,
    progress: Vec<Arc<StageProgress>>,
}

/// What is there between stages.
#[derive(Default)]
struct Between {
    /// By stage.
    done: Vec<bool>,
    /// By the stage that listed them.
    splits: BTreeMap<usize, Vec<Split>>,
    /// The bytes of those, by the stage as well.
    bytes: BTreeMap<usize, u64>,
    /// By shuffle.
    stores: Vec<Option<Arc<dyn Store>>>,
    /// The lanes that write to the store of each shuffle.
    store_lanes: Vec<Arc<Lanes>>,
    /// The keys of shuffles whose rows are in tables now.
    keys: BTreeMap<u32, Arc<KeyFilter>>,
    /// By shuffle whose rows will be looked up as they come, the stage that joins them, and with what.
    tables: BTreeMap<u32, (usize, BuildSide)>,
    /// By shuffle whose rows are looked up as they come, the stage that would read them.
    probed_by: BTreeMap<u32, usize>,
    /// Frames, by collected dataset and by the stage's number among those that collect it.
    collected: BTreeMap<(u32, usize), Vec<u8>>,
    /// By sink and stage.
    staged: BTreeMap<(u32, usize), Vec<StagedFiles>>,
    counts: TaskCounts,
    /// By stage.
    left_out: BTreeMap<usize, Vec<LeftOut>>,
}

impl Between {
    /// The frames of a collected dataset, in the order of its records.
    fn frames(&self, collect: u32) -> Vec<u8> {
        let frames = self.collected.range((collect, 0)..=(collect, usize::MAX));
        frames.flat_map(|(_, frames)| frames.iter().copied()).collect()
    }
}

impl LocalJob {
    /// A job that is to run this plan.
    pub fn new(plan: Plan, storage: Storage, options: LocalOptions) -> LocalJob {
        let shape = shape_of(&plan);
        let outputs = outputs_of(&plan, options.mode, &options.short_id);
        let progress = plan.stages().iter().map(|_| Arc::default()).collect();
        let cancelled = Arc::default();
        let traffic_before = storage.traffic();
        let scan_before = storage.scan();
        LocalJob {
            plan: Arc::new(plan),
            shape,
            storage,
            traffic_before,
            scan_before,
            options,
            outputs,
            cancelled,
            progress,
        }
    }

    /// When this is set, the job ends as cancelled soon.
    pub fn cancelled(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// How far each stage has come; may be looked at while the job runs.
    pub fn progress(&self) -> Vec<Arc<StageProgress>> {
        self.progress.clone()
    }

    /// The plan.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Lists the sources of all stages: their splits, and what was left out of them.
    ///
    /// # Errors
    /// If a source cannot be listed.
    pub fn list(&self) -> Result<BTreeMap<usize, (Vec<Split>, Scan)>, Failure> {
        let mut all = BTreeMap::new();
        for (number, stage) in self.plan.stages().iter().enumerate() {
            if stage.root == (Root::Source { listed_by: number }) {
                let before = self.storage.scan();
                let splits = split(&self.plan, number, &self.storage)?;
                all.insert(number, (splits, self.storage.scan().since(before)));
            }
        }
        Ok(all)
    }

    /// Runs the job on a pool of its own.
    ///
    /// # Errors
    /// Why it failed: nothing of its output is left then.
    pub fn run(self) -> Result<Outcome, Failure> {
        let started = Instant::now();
        let (short_id, name) = (&self.options.short_id, self.plan.name());
        let told =
            tracing::info_span!(target: "windrow::trace", "job", job = %short_id, name = %name);
        let _within = told.entered();
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.options.threads.max(1))
            .thread_name(|number| format!("windrow-{number}"))
            .build()
            .map_err(|error| {
                let message = format!(
                    "{} threads could not be started ({error}); ask for fewer, or raise the limit (ulimit -u)",
                    self.options.threads
                );
                Failure::new(FailureClass::Internal, message)
            })?;
        let begun = self.outputs.iter().try_for_each(|output| {
            commit::begin(&self.storage, output, Runner::ThisProcess)
                .map_err(|error| of_storage(&error))
        });
        let told = tracing::Span::current();
        let result = begun.and_then(|()| pool.install(|| told.in_scope(|| self.run_stages())));
        let finish = |between| pool.install(|| told.in_scope(|| self.finish(between, started)));
        let outcome = result.and_then(finish);
        if outcome.is_err() {
            for output in &self.outputs {
                // The first failure is the one to tell.
                let _ = commit::abort(&self.storage, output);
            }
        }
        drop(pool);
        memory::trim();
        outcome
    }

    fn run_stages(&self) -> Result<Between, Failure> {
        let mut between = Between {
            done: vec![false; self.plan.stages().len()],
            stores: (0..self.plan.shuffles()).map(|_| None).collect(),
            store_lanes: (0..self.plan.shuffles()).map(|_| Arc::default()).collect(),
            splits: self.list()?.into_iter().map(|(stage, (splits, _))| (stage, splits)).collect(),
            ..Between::default()
        };
        for (stage, splits) in &between.splits {
            let bytes = splits.iter().map(|split| split.bytes).fold(0, u64::saturating_add);
            between.bytes.insert(*stage, bytes);
        }
        while let Some(number) = order::next(&self.plan, &between.done, |stage| {
            self.source_bytes(stage, &between).unwrap_or_default()
        }) {
            let begun = Instant::now();
            self.run_stage(number, &mut between)?;
            self.end_stage(number, &mut between)?;
            self.progress[number].end(begun.elapsed());
        }
        Ok(between)
    }

    /// A stage is done: seals the stores that it was the last one to write, ends the stages that have been done by that,
    /// and lets go of what nobody will read any more.
    fn end_stage(&self, number: usize, between: &mut Between) -> Result<(), Failure> {
        between.done[number] = true;
        for shuffle in self.written(number) {
            if !self.is_complete(shuffle, &between.done) {
                continue;
            }
            if let Some(store) = &between.stores[shuffle as usize] {
                store.seal().map_err(|error| in_stage(of_push(&error), &self.plan, number))?;
            }
            if let Some(&joined) = between.probed_by.get(&shuffle) {
                self.end_stage(joined, between)?;
            } else {
                self.build_for_others(shuffle, between)?;
            }
        }
        for shuffle in self.read(number).iter().copied().chain(self.written(number)) {
            if !self.will_be_read(shuffle, &between.done) {
                between.stores[shuffle as usize] = None;
                between.keys.remove(&shuffle);
            }
        }
        Ok(())
    }

    /// Whether all stages are done that write a shuffle.
    fn is_complete(&self, shuffle: u32, done: &[bool]) -> bool {
        self.plan.shuffle(shuffle).producers.iter().all(|&producer| done[producer])
    }

    /// The shuffles that a stage reads.
    fn read(&self, number: usize) -> &[u32] {
        match &self.plan.stages()[number].root {
            Root::Source { .. } => &[],
            Root::Shuffles(shuffles) => shuffles,
        }
    }

    /// The shuffles that a stage writes.
    fn written(&self, number: usize) -> impl Iterator<Item = u32> {
        self.plan.stages()[number].outputs.iter().filter_map(|output| match *output {
            Output::Shuffle(shuffle) => Some(shuffle),
            _ => None,
        })
    }

    /// Adds to `all` the lanes of the shuffles that a stage writes, and of those that are written by what is looked up in
    /// it.
    fn written_lanes(&self, number: usize, between: &Between, all: &mut Vec<Arc<Lanes>>) {
        for shuffle in self.written(number) {
            match between.probed_by.get(&shuffle) {
                Some(&joined) => self.written_lanes(joined, between, all),
                None => all.push(between.store_lanes[shuffle as usize].clone()),
            }
        }
    }

    fn will_be_read(&self, shuffle: u32, done: &[bool]) -> bool {
        let reads = |(number, stage): (usize, &Stage)| match &stage.root {
            Root::Shuffles(shuffles) => !done[number] && shuffles.contains(&shuffle),
            Root::Source { .. } => false,
        };
        self.plan.stages().iter().enumerate().any(reads)
    }

    /// The bytes of a stage's source, if it has one.
    fn source_bytes(&self, number: usize, between: &Between) -> Option<u64> {
        let Root::Source { listed_by } = self.plan.stages()[number].root else { return None };
        between.bytes.get(&listed_by).copied()
    }

    /// How a shuffle is cut.
    fn cut(&self, shuffle: u32, between: &Between) -> Cut {
        let bytes = |stage: StageId| self.source_bytes(stage.0 as usize, between);
        let cut = self.shape.cut(ShuffleId(shuffle), bytes);
        cut.expect("all sources are listed before the first stage runs")
    }

    /// What each task of a stage reads.
    fn inputs(&self, number: usize, between: &Between) -> Vec<TaskInput> {
        let stage = &self.plan.stages()[number];
        match &stage.root {
            Root::Source { listed_by } => {
                let splits = between.splits.get(listed_by).map_or(&[][..], |splits| splits);
                if stage.sample {
                    return vec![TaskInput::sample_of_splits(splits)];
                }
                let tasks = pack(splits.iter().map(|split| split.bytes));
                tasks.into_iter().map(|t| TaskInput::Splits(splits[t].to_vec())).collect()
            }
            Root::Shuffles(shuffles) => {
                let cut = shuffles.first().map_or(Cut { buckets: 1, partitions: 1 }, |&shuffle| {
                    self.cut(shuffle, between)
                });
                if stage.sample {
                    return vec![TaskInput::sample_of_partitions(cut)];
                }
                (0..cut.partitions).map(|p| TaskInput::partition(cut, p)).collect()
            }
        }
    }

    fn run_stage(&self, number: usize, between: &mut Between) -> Result<(), Failure> {
        let stage = &self.plan.stages()[number];
        let inputs = self.inputs(number, between);
        let whole = self.whole(&stage.whole_inputs, between)?;
        for shuffle in self.written(number) {
            self.store(shuffle, between)?;
        }
        let stores = between.stores.clone();
        let read = self.read(number).iter();
        let sources: Vec<_> = read.filter_map(|&s| stores[s as usize].clone()).collect();
        let run = StageRun {
            plan: &self.plan,
            stage: number,
            storage: &self.storage,
            outputs: &self.outputs,
            whole: &whole,
            sources: &sources,
            stores: &stores,
            cancelled: &self.cancelled,
            progress: &self.progress[number],
            threads: self.options.threads.max(1),
            bad_records_max: self.options.bad_records_max,
        };
        let mut written = Vec::new();
        self.written_lanes(number, between, &mut written);
        let mut made = run.run(inputs, &written)?;
        for (collect, frames) in made.collected {
            let producers = self.plan.collect(collect).producers;
            let at = producers.iter().position(|&producer| producer == number).unwrap_or(0);
            between.collected.entry((collect, at)).or_default().extend(frames);
        }
        for (sink, staged) in made.staged {
            between.staged.entry((sink, number)).or_default().push(staged);
        }
        if matches!(stage.root, Root::Shuffles(_)) || stage.sample {
            (made.counts.records_read, made.counts.bytes_read) = (0, 0);
        }
        // A sample reads what others read as well.
        if !stage.sample {
            between.left_out.insert(number, made.left_out);
            let most = self.options.bad_records_max;
            let all = || between.left_out.values().flatten();
            if all().nth(most as usize).is_some() {
                let all: Vec<LeftOut> = all().cloned().collect();
                return Err(Failure::too_many_left_out(most, &all));
            }
        }
        between.counts.add(&made.counts);
        Ok(())
    }

    /// Makes the store of a shuffle, unless an earlier producer did.
    fn store(&self, shuffle: u32, between: &mut Between) -> Result<(), Failure> {
        if between.stores[shuffle as usize].is_some() {
            return Ok(());
        }
        self.build(shuffle, between)?;
        if let Some(table) = between.tables.remove(&shuffle) {
            return self.probe_store(shuffle, table, between);
        }
        let view = self.plan.shuffle(shuffle);
        let sample: Vec<u32> = view.sample.into_iter().collect();
        let context = StoreContext {
            buckets: self.cut(shuffle, between).buckets,
            lanes: between.store_lanes[shuffle as usize].clone(),
            whole: self.whole(&sample, between)?,
            memory: self.options.memory.clone(),
            filter: self.filter(view.filtered_by, between),
            combining: self.options.combining,
        };
        between.stores[shuffle as usize] = Some(view.code.store(&context));
        Ok(())
    }

    /// Makes tables of a shuffle, which is complete, as soon as may be: its rows need not be kept beside.
    fn build_for_others(&self, complete: u32, between: &mut Between) -> Result<(), Failure> {
        let of_join = |read: &&[u32]| read.contains(&complete);
        let stages = 0..self.plan.stages().len();
        let others: Vec<u32> =
            stages.map(|stage| self.read(stage)).filter(of_join).flatten().copied().collect();
        others.into_iter().try_for_each(|shuffle| self.build(shuffle, between))
    }

    /// Makes the table that the rows of a shuffle will be looked up in, if they can be, and the other side of their join is
    /// there and fits the memory, and so is all else that the stage needs that joins.
    fn build(&self, shuffle: u32, between: &mut Between) -> Result<(), Failure> {
        let Some(probe) = self.plan.probe(shuffle) else { return Ok(()) };
        let stage = &self.plan.stages()[probe.stage];
        let is_there = |collect: &u32| {
            self.plan.collect(*collect).producers.iter().all(|&producer| between.done[producer])
        };
        if between.stores[shuffle as usize].is_some()
            || self.is_complete(shuffle, &between.done)
            || !self.is_complete(probe.other, &between.done)
            || !stage.whole_inputs.iter().all(is_there)
        {
            return Ok(());
        }
        let Some(other) = &between.stores[probe.other as usize] else { return Ok(()) };
        // The table is made next to the rows that it is made of, which then go.
        if other.in_memory().is_none_or(|bytes| bytes > self.options.memory.budget.left() / 2) {
            return Ok(());
        }
        let filtered = |shuffle: u32| self.plan.shuffle(shuffle).filtered_by == Some(probe.other);
        let asks = |shuffle: u32| filtered(shuffle) && !self.is_complete(shuffle, &between.done);
        let asked_for = (0..self.plan.shuffles() as u32).any(asks);
        let memory = &self.options.memory;
        let buckets = 0..self.cut(probe.other, between).buckets;
        let buckets = buckets.map(|bucket| other.clone().bucket(bucket)).collect();
        let table = probe.code.build(buckets, memory);
        let table = table.map_err(|error| in_stage(of_push(&error), &self.plan, probe.stage))?;
        let all_keys = if asked_for { table.keys(memory).map(Arc::new) } else { None };
        let keys = all_keys.clone().filter(|_| filtered(shuffle));
        between.tables.insert(shuffle, (probe.stage, BuildSide { table, keys }));
        between.stores[probe.other as usize] = None;
        between.keys.extend(all_keys.map(|keys| (probe.other, keys)));
        Ok(())
    }

    /// Makes in place of the store of a shuffle one that looks its rows up in the table that a stage joins them with.
    fn probe_store(
        &self,
        shuffle: u32,
        (number, side): (usize, BuildSide),
        between: &mut Between,
    ) -> Result<(), Failure> {
        between.probed_by.insert(shuffle, number);
        let mut outputs = Vec::new();
        for output in self.written(number) {
            self.store(output, between)?;
            outputs.extend(between.stores[output as usize].clone());
        }
        let whole = self.whole(&self.plan.stages()[number].whole_inputs, between)?;
        between.stores[shuffle as usize] = Some(Arc::new(ProbeStore {
            plan: self.plan.clone(),
            stage: number,
            context: LaneContext { batch_records: BATCH_RECORDS, whole },
            side,
            outputs,
        }));
        Ok(())
    }

    /// The keys of a shuffle, if all its rows are there, or were.
    fn filter(&self, shuffle: Option<u32>, between: &Between) -> Option<Arc<KeyFilter>> {
        let shuffle = shuffle.filter(|&shuffle| self.is_complete(shuffle, &between.done))?;
        let kept = between.keys.get(&shuffle).cloned();
        kept.or_else(|| between.stores[shuffle as usize].as_ref()?.keys().map(Arc::new))
    }

    fn whole(&self, collects: &[u32], between: &Between) -> Result<Whole, Failure> {
        let frames = collects.iter().map(|&collect| (collect, between.frames(collect)));
        Whole::new(frames).map_err(|error| of_push(&error))
    }

    /// Commits the outputs, and puts the result together.
    fn finish(&self, mut between: Between, started: Instant) -> Result<Outcome, Failure> {
        // What shuffles kept goes before the commit waits for the disk.
        between.stores.clear();
        let counters = self.plan.named_counters(&between.counts.counters);
        let name = self.plan.name().to_string();
        let left_out: Vec<LeftOut> =
            std::mem::take(&mut between.left_out).into_values().flatten().collect();
        let left_out_count = left_out.len() as u64;
        let info = JobInfo { name, counters: counters.clone(), left_out };
        let mut outputs = Vec::new();
        for (number, output) in (0..).zip(&self.outputs) {
            let of_sink = between.staged.range_mut((number, 0)..=(number, usize::MAX));
            let staged: Vec<StagedFiles> =
                of_sink.flat_map(|(_, staged)| staged.drain(..)).collect();
            let _told = tracing::info_span!(target: "windrow::trace", "commit").entered();
            let manifest = commit::commit(&self.storage, output, &info, &staged)
                .map_err(|error| of_storage(&error))?;
            outputs.push((output.location.clone(), manifest));
        }
        let named = |number: u32| {
            let name = self.plan.collect(number).name;
            (!name.is_empty()).then(|| (name.to_string(), between.frames(number)))
        };
        let collected = (0..self.plan.collects() as u32).filter_map(named).collect();
        let mut outcome = Outcome::with_collected(collected);
        outcome.counters = counters;
        outcome.outputs = outputs;
        outcome.summary = self.summary(&between.counts, started.elapsed());
        outcome.summary.left_out = left_out_count;
        Ok(outcome)
    }

    fn summary(&self, counts: &TaskCounts, elapsed: Duration) -> Summary {
        let stages: Vec<(String, u64, Duration)> = self
            .plan
            .stages()
            .iter()
            .zip(&self.progress)
            .map(|(stage, progress)| (stage.name.clone(), progress.tasks(), progress.elapsed()))
            .collect();
        Summary {
            records_read: counts.records_read,
            bytes_read: counts.bytes_read,
            records_written: counts.records_written,
            bytes_written: counts.bytes_written,
            tasks: stages.iter().map(|stage| stage.1).sum(),
            retries: 0,
            left_out: 0,
            shuffle_bytes: 0,
            spilled_bytes: self.options.memory.spills.written(),
            fetched_ahead_bytes: 0,
            traffic: self.storage.traffic().since(self.traffic_before),
            scan: self.storage.scan().since(self.scan_before),
            memory_peak_bytes: crate::process::memory_peak_bytes(),
            elapsed,
            stages,
        }
    }
}
