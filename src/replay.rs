//! Runs a task of a job again in this process, with what the job's coordinator has kept of it, and compares what it makes
//! with what it made there.

use crate::binary;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use windrow_datasets::commit::{self, JobInfo, Place, Runner, StagedFiles, StagedList};
use windrow_datasets::location::{Location, LocationError};
use windrow_datasets::storage::{Storage, StorageError};
use windrow_jobs::plan::Plan;
use windrow_protocol::client::{Client, ClientError};
use windrow_protocol::control::{JobRecord, TaskMade, TaskRecord};
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, JobId, SinkId, StageId, TaskId, TaskKind};
use windrow_protocol::link::draw_token;
use windrow_protocol::task::{TaskOutput, shuffles_content};
use windrow_worker::blocks::Scratch;
use windrow_worker::executor::task::Tasks;
use windrow_worker::executor_process::PlanSource;
use windrow_worker::replay::{Needed, Replay, ReplayConfig};

/// Why a task could not be run again, or failed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The coordinator was not reached, or does not know the job or the task.
    #[error("replay: {0}")]
    Coordinator(#[from] ClientError),
    /// A task failed, or this process can run none of the job.
    #[error("task {0}: {1}")]
    Failed(TaskId, Failure),
    /// Scratch cannot be used.
    #[error("replay: {0}")]
    Scratch(std::io::Error),
    /// As above.
    #[error("replay: {0}")]
    ScratchName(#[from] LocationError),
    /// The files that the task writes cannot be kept where they are to be.
    #[error("replay: {0}")]
    Storage(#[from] StorageError),
}

/// A task that is to be run again, and with what.
pub struct TaskReplay<'t> {
    /// Of the job's coordinator.
    pub client: &'t Client,
    /// The plans of this program's jobs.
    pub plans: Arc<dyn PlanSource>,
    /// The job.
    pub job: JobId,
    /// The task's stage.
    pub stage: StageId,
    /// Whether it computes, or lists what the stage reads.
    pub kind: TaskKind,
    /// The task's number in the stage.
    pub partition: u32,
    /// Where the files are kept that the task writes, if they are.
    pub output: Option<Location>,
    /// The number of compute threads.
    pub threads: usize,
    /// Memory for records, in bytes.
    pub memory: u64,
    /// Folders in which there is one for this process.
    pub scratch: Vec<PathBuf>,
    /// Takes what is told on the way.
    pub tell: &'t dyn Fn(&dyn Display),
}

/// What a task made, here and there.
pub struct Replayed {
    /// The attempt that was committed; the first, if none was.
    pub attempt: AttemptId,
    /// What that one made; `None` if none was committed, and for a task that lists a source.
    pub made: Option<TaskMade>,
    /// What was made here.
    pub output: TaskOutput,
}

impl TaskReplay<'_> {
    /// Runs the task, and those before it whose rows it reads.
    ///
    /// # Errors
    /// [`ReplayError`]. Nothing is left then.
    pub async fn run(&self) -> Result<Replayed, ReplayError> {
        let record = self.client.job_record(self.job).await?;
        let asked = self.record(self.stage, self.kind, self.partition).await?;
        let attempt = asked.order.attempt;
        let spec = &record.spec;
        if spec.binary.build != binary::own().build {
            let own = binary::own();
            (self.tell)(&format_args!(
                "note: job {} is of {} (build {}), and this is {} (build {}): what its closures do may be something else",
                self.job, spec.binary.name, spec.binary.build, own.name, own.build
            ));
        }
        let plan = self.plans.plan(&spec.name, &spec.arguments);
        let plan = plan.map_err(|failure| ReplayError::Failed(attempt.task, failure))?;
        // Dropped after all that uses it.
        let scratch = Scratch::create(&self.scratch, draw_token()).map_err(ReplayError::Scratch)?;
        let folders: Vec<PathBuf> = scratch.paths().map(PathBuf::from).collect();
        let storage = Storage::with_options(spec.options.stores.clone());
        let tasks = Tasks::new(storage.clone()).writing_to(self.places(&plan, &folders)?);
        let outputs = tasks.outputs(&plan, &spec.options);
        outputs
            .iter()
            .try_for_each(|output| commit::begin(&storage, output, Runner::ThisProcess))?;
        let ran = self.run_all(Arc::new(tasks), &record, &asked, folders).await;
        let staged = match (&ran, &self.output) {
            (Ok(output), Some(_)) => &output.staged[..],
            _ => &[],
        };
        for (number, output) in (0..).zip(&outputs) {
            match (staged.iter().find(|(sink, _)| *sink == SinkId(number)), &ran) {
                (Some((_, staged)), Ok(made)) => {
                    let counters = plan.named_counters(&made.counts.counters);
                    let (name, left_out) = (plan.name().to_string(), made.left_out.clone());
                    let info = JobInfo { name, counters, left_out };
                    commit::commit(&storage, output, &info, std::slice::from_ref(staged))?;
                }
                _ => commit::abort(&storage, output)?,
            }
        }
        Ok(Replayed { attempt, made: asked.made, output: ran? })
    }

    async fn record(
        &self,
        stage: StageId,
        kind: TaskKind,
        partition: u32,
    ) -> Result<TaskRecord, ClientError> {
        self.client.task_record(self.job, stage, kind, partition).await
    }

    /// Where the sinks write: into the folder that is kept, or one that is not.
    fn places(&self, plan: &Plan, scratch: &[PathBuf]) -> Result<Vec<Location>, LocationError> {
        let folder = match (&self.output, scratch.first()) {
            (Some(folder), _) if plan.sinks() == 1 => return Ok(vec![folder.clone()]),
            (Some(folder), _) => folder.clone(),
            (None, scratch) => {
                Location::of_path(scratch.map(|folder| folder.join("files")).unwrap_or_default())?
            }
        };
        Ok((0..plan.sinks()).map(|number| folder.join(number.to_string())).collect())
    }

    /// Runs what the task needs, and the task.
    async fn run_all(
        &self,
        tasks: Arc<Tasks>,
        record: &JobRecord,
        asked: &TaskRecord,
        scratch: Vec<PathBuf>,
    ) -> Result<TaskOutput, ReplayError> {
        let task = asked.order.attempt.task;
        let failed = |failure| ReplayError::Failed(task, failure);
        let needed = Needed::of(&record.shape, &asked.order);
        let config = ReplayConfig { threads: self.threads, memory: self.memory, scratch };
        let plans = self.plans.clone();
        let replay = Replay::start(plans, tasks, self.job, record, &needed, config);
        let mut replay = replay.await.map_err(failed)?;
        for &stage in &needed.stages {
            let at = stage.0 as usize;
            let count = record.tasks.get(at).copied().flatten().unwrap_or_default();
            let name = record.shape.stages.get(at).map_or("", |stage| &stage.name);
            (self.tell)(&format_args!(
                "stage {stage}, whose rows are read, runs again: {count} tasks ({name})"
            ));
            let rests = record.rests.get(at).cloned().unwrap_or_default();
            let in_order: Vec<u32> = rests.in_order(count).collect();
            for some in in_order.chunks(self.threads) {
                self.run_before(&mut replay, stage, some).await?;
            }
        }
        let mut ran = replay.run(vec![asked.order.clone()]).await.map_err(failed)?;
        let (_, ended) = ran.pop().expect("an end for each order");
        ended.map_err(failed)
    }

    /// Runs tasks whose rows are read.
    async fn run_before(
        &self,
        replay: &mut Replay,
        stage: StageId,
        partitions: &[u32],
    ) -> Result<(), ReplayError> {
        let (mut made_there, mut orders) = (BTreeMap::new(), Vec::new());
        for &partition in partitions {
            let record = self.record(stage, TaskKind::Compute, partition).await?;
            made_there.insert(record.order.attempt, record.made);
            orders.push(record.order);
        }
        let Some(first) = orders.first().map(|order| order.attempt.task) else { return Ok(()) };
        let ran = replay.run(orders).await;
        for (attempt, result) in ran.map_err(|failure| ReplayError::Failed(first, failure))? {
            let output = result.map_err(|failure| ReplayError::Failed(attempt.task, failure))?;
            if let Some(made) = made_there.remove(&attempt).flatten()
                && made.shuffles != shuffles_content(&output.shuffles)
            {
                (self.tell)(&format_args!(
                    "note: task {}, whose rows are read, made other rows than when the job ran",
                    attempt.task
                ));
            }
        }
        Ok(())
    }
}

impl Replayed {
    /// What was made here that is not what was made there; nothing if nobody knows what was.
    pub fn differences(&self) -> Vec<&'static str> {
        let Some(made) = &self.made else { return Vec::new() };
        let output = &self.output;
        let same = [
            ("rows for shuffles", made.shuffles == shuffles_content(&output.shuffles)),
            ("files", without_places(&made.staged) == without_places(&output.staged)),
            ("collected rows", made.collected == output.collected),
            ("records left out", made.left_out == output.left_out),
        ];
        same.into_iter().filter(|(_, same)| !same).map(|(what, _)| what).collect()
    }
}

/// What two attempts have in common that staged the same: all but where it is until the commit. A list that is not in the
/// messages is gone with the job.
fn without_places(all: &[(SinkId, StagedFiles)]) -> BTreeMap<SinkId, StagedFiles> {
    let mut all: BTreeMap<SinkId, StagedFiles> = all.iter().cloned().collect();
    for staged in all.values_mut() {
        if let StagedList::Here(files) = &mut staged.list {
            let nowhere = || Place::File { staged: String::new() };
            files.iter_mut().for_each(|file| file.place = nowhere());
        }
    }
    all
}
