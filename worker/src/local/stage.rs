//! One stage in this process: its lanes, in order, on the threads of the pool.

use crate::executor::lane::{LaneCounts, LaneInput, Leniency, run_lane};
use crate::executor::units::{Unit, units};
use crate::executor::{Targets, Writer, lock};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use windrow_datasets::commit::{self, StagedFiles};
use windrow_datasets::storage::Storage;
use windrow_jobs::exec::Whole;
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::{Lanes, Store};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::task::{LeftOut, TaskCounts, TaskInput};

/// How far a stage has come.
#[derive(Debug, Default)]
pub struct StageProgress {
    lanes: AtomicU64,
    done: AtomicU64,
    tasks: AtomicU64,
    elapsed_us: AtomicU64,
}

impl StageProgress {
    /// Lanes in all; 0 before the stage starts.
    pub fn lanes(&self) -> u64 {
        self.lanes.load(Ordering::Relaxed)
    }

    /// Lanes that are done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Tasks in all; 0 before the stage starts.
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }

    /// How long it took; zero before it ends.
    pub fn elapsed(&self) -> Duration {
        Duration::from_micros(self.elapsed_us.load(Ordering::Relaxed))
    }

    pub(super) fn end(&self, elapsed: Duration) {
        self.elapsed_us.store(elapsed.as_micros() as u64, Ordering::Relaxed);
    }
}

/// What a stage runs with.
pub(super) struct StageRun<'j> {
    pub(super) plan: &'j Plan,
    pub(super) stage: usize,
    pub(super) storage: &'j Storage,
    pub(super) outputs: &'j [commit::Output],
    pub(super) whole: &'j Whole,
    /// The stores that the root reads.
    pub(super) sources: &'j [Arc<dyn Store>],
    /// By shuffle: those that the stage writes are there.
    pub(super) stores: &'j [Option<Arc<dyn Store>>],
    pub(super) cancelled: &'j AtomicBool,
    pub(super) progress: &'j StageProgress,
    pub(super) threads: usize,
    /// So many records may be left out.
    pub(super) bad_records_max: u32,
}

/// What a stage has made.
#[derive(Default)]
pub(super) struct StageMade {
    pub(super) collected: Vec<(u32, Vec<u8>)>,
    pub(super) staged: Vec<(u32, StagedFiles)>,
    pub(super) counts: TaskCounts,
    pub(super) left_out: Vec<LeftOut>,
}

/// A task of the stage.
struct Task {
    input: TaskInput,
    units: Vec<Unit>,
    left: AtomicU32,
    targets: Targets,
    /// Its part files, once all lanes are done.
    staged: Mutex<Vec<(u32, StagedFiles)>>,
}

impl StageRun<'_> {
    /// Runs the tasks that read `inputs`.
    pub(super) fn run(
        &self,
        inputs: Vec<TaskInput>,
        written: &[Arc<Lanes>],
    ) -> Result<StageMade, Failure> {
        let tasks: Vec<Task> =
            (0..).zip(inputs).map(|(at, input)| self.task(at, input)).collect::<Result<_, _>>()?;
        let lanes: Vec<(u32, u32)> = (0..)
            .zip(&tasks)
            .flat_map(|(task, of)| (0..of.units.len() as u32).map(move |lane| (task, lane)))
            .collect();
        self.progress.lanes.store(lanes.len() as u64, Ordering::Relaxed);
        self.progress.tasks.store(tasks.len() as u64, Ordering::Relaxed);
        written.iter().for_each(|of_store| of_store.expect(lanes.len() as u64));
        // A part without lanes is a file without records.
        for task in tasks.iter().filter(|task| task.units.is_empty()) {
            self.finish_task(task)?;
        }
        let next = AtomicUsize::new(0);
        let failed: Mutex<Option<(usize, Failure)>> = Mutex::new(None);
        let stop = AtomicBool::new(false);
        let counts: Mutex<TaskCounts> = Mutex::default();
        let left_out: Mutex<BTreeMap<usize, Vec<LeftOut>>> = Mutex::default();
        let name = &self.plan.stages()[self.stage].name;
        let told = tracing::info_span!(target: "windrow::trace", "stage", stage = %name);
        rayon::scope(|scope| {
            for _ in 0..self.threads.min(lanes.len()) {
                scope.spawn(|_| {
                    let _within = told.enter();
                    let mut own = TaskCounts::default();
                    while !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&(task, lane)) = lanes.get(at) else { break };
                        match self.run_one(&tasks[task as usize], lane, at as u64) {
                            Ok(counted) => {
                                own.add(&TaskCounts {
                                    records_read: counted.records,
                                    counters: counted.counters,
                                    ..TaskCounts::default()
                                });
                                if !counted.left_out.is_empty() {
                                    lock(&left_out).insert(at, counted.left_out);
                                }
                                self.progress.done.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(failure) => {
                                stop.store(true, Ordering::Relaxed);
                                let mut failed = lock(&failed);
                                // The first lane that failed is named, as far as several did.
                                if failed.as_ref().is_none_or(|(first, _)| at < *first) {
                                    *failed = Some((at, failure));
                                }
                            }
                        }
                    }
                    lock(&counts).add(&own);
                });
            }
        });
        if let Some((_, failure)) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(failure);
        }
        let mut made =
            self.made(tasks, counts.into_inner().unwrap_or_else(PoisonError::into_inner))?;
        let left_out = left_out.into_inner().unwrap_or_else(PoisonError::into_inner);
        made.left_out = left_out.into_values().flatten().collect();
        Ok(made)
    }

    fn task(&self, partition: u32, input: TaskInput) -> Result<Task, Failure> {
        let units = units(&input, self.plan.stages()[self.stage].sample);
        let lanes = units.len() as u32;
        let writer = Writer {
            plan: self.plan,
            stage: self.stage,
            partition,
            attempt: 0,
            storage: self.storage,
            outputs: self.outputs,
            lanes,
        };
        let missing = || Failure::new(FailureClass::Internal, "a shuffle without a store");
        let targets = Targets::new(&writer, |shuffle| {
            self.stores[shuffle as usize].clone().ok_or_else(missing)
        })?;
        Ok(Task { input, units, left: AtomicU32::new(lanes), targets, staged: Mutex::default() })
    }

    /// Runs a lane of a task; `rank` is its number in the stage.
    fn run_one(&self, task: &Task, lane: u32, rank: u64) -> Result<LaneCounts, Failure> {
        if self.cancelled.load(Ordering::Relaxed) {
            return Err(Failure::new(FailureClass::Cancelled, "the job was cancelled"));
        }
        let name = &self.plan.stages()[self.stage].name;
        let _told = tracing::info_span!(target: "windrow::trace", "lane", stage = %name).entered();
        let input = match (task.units[lane as usize], &task.input) {
            (Unit::Split { split, lane }, TaskInput::Splits(splits)) => {
                LaneInput::Split(&splits[split as usize], lane)
            }
            (Unit::Bucket(bucket), _) => {
                LaneInput::Buckets(self.sources.iter().map(|s| s.clone().bucket(bucket)).collect())
            }
            _ => return Err(Failure::new(FailureClass::Internal, "a lane of another task")),
        };
        let outputs = task.targets.receivers(self.plan, self.stage, lane, rank);
        let (plan, most) = (self.plan, self.bad_records_max);
        let leniency = Leniency { most, ..Leniency::default() };
        let counts =
            run_lane(plan, self.stage, self.storage, input, self.whole, outputs, leniency)?;
        if task.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.finish_task(task)?;
        }
        Ok(counts)
    }

    /// Ends the part files of a task whose lanes are all done.
    fn finish_task(&self, task: &Task) -> Result<(), Failure> {
        let name = &self.plan.stages()[self.stage].name;
        let _told = tracing::info_span!(target: "windrow::trace", "write", stage = %name).entered();
        *lock(&task.staged) = task.targets.staged()?;
        Ok(())
    }

    /// Puts together what the tasks have made, in their order.
    fn made(&self, tasks: Vec<Task>, counts: TaskCounts) -> Result<StageMade, Failure> {
        let mut made = StageMade { counts, ..StageMade::default() };
        for task in tasks {
            if let TaskInput::Splits(splits) = &task.input {
                made.counts.bytes_read += splits.iter().map(|split| split.bytes).sum::<u64>();
            }
            for (sink, staged) in lock(&task.staged).drain(..) {
                made.counts.records_written += staged.rows;
                made.counts.bytes_written += staged.bytes;
                made.staged.push((sink, staged));
            }
            made.collected.extend(task.targets.collected(&self.plan.stages()[self.stage].name)?);
        }
        Ok(made)
    }
}
