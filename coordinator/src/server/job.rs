//! What the coordinator keeps of a job beside the scheduler's state: payloads of splits, committed outputs, and what
//! people are told. All of it follows from outcomes and from what attempts brought.

use super::binaries::JobBinary;
use super::limits::NOTES_MAX;
use super::news::News;
use crate::history::History;
use crate::scheduler::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use windrow_protocol::claim::Claim;
use windrow_protocol::control::{
    JobSpec, JobState, JobStatus, JobSubmission, StageStatus, TaskMade,
};
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{
    AttemptId, CollectId, JobId, ShuffleId, SinkId, StageId, TaskId, TaskKind, WorkerId,
};
use windrow_protocol::parts::Part;
use windrow_protocol::rests::Rests;
use windrow_protocol::shape::{Cut, JobShape, OutputShape, RootShape};
use windrow_protocol::task::{
    LeftOut, Split, StagedFiles, TaskCounts, TaskOutput, shuffles_content,
};

/// A job, from its submission until it is forgotten.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: JobId,
    pub(crate) submission: Arc<JobSubmission>,
    /// What is left to do of the submitted shape: some rows are looked up.
    pub(crate) shape: Arc<JobShape>,
    pub(crate) submitted: Millis,
    pub(crate) ended: Option<Millis>,
    pub(crate) state: JobState,
    /// In the plan's order.
    pub(crate) stages: Vec<Stage>,
    /// By shuffle, once known: how it is cut.
    pub(crate) cuts: Vec<Option<Cut>>,
    /// By shuffle: grows whenever an output of it comes or goes.
    pub(crate) versions: Vec<u64>,
    pub(crate) counts: TaskCounts,
    /// Attempts that run, of any kind.
    pub(crate) running: u32,
    /// The bytes of all collected datasets.
    pub(crate) collected_bytes: usize,
    /// Whether the collected datasets are not kept any more.
    pub(crate) collected_forgotten: bool,
    /// Of a job that has ended: about how many bytes that takes which is only needed to run its tasks again.
    #[serde(skip)]
    pub(crate) details_bytes: usize,
    pub(crate) retries: u64,
    pub(crate) shuffle_bytes: u64,
    pub(crate) manifests: Vec<(SinkId, String)>,
    pub(crate) notes: VecDeque<String>,
    /// Why the coordinator itself gives the job up, once it does: its end is then this failure.
    pub(crate) given_up: Option<Failure>,
    /// The workers that attempts of it were assigned to.
    ran_on: BTreeSet<WorkerId>,
    /// Since when no connected worker has its code, while others are connected.
    pub(crate) wrong_binary_since: Option<Millis>,
    /// Its binary, where workers get that of the one who submitted the job. It is written beside the job.
    #[serde(skip)]
    pub(crate) binary: Option<JobBinary>,
    /// What it claims of the cluster. It is written beside the job as well.
    #[serde(skip)]
    pub(crate) claim: Claim,
    /// Since when who submitted it has been asked for its binary, and has sent nothing of it.
    #[serde(skip)]
    pub(crate) binary_wanted: Option<Millis>,
    /// What became of its attempts, until it has ended.
    #[serde(skip)]
    pub(crate) history: History,
    /// What is new about it.
    #[serde(skip)]
    pub(crate) news: News,
}

/// What the tasks of a stage read of shuffles.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Reads {
    /// How these are cut; `None` for a stage that reads a source.
    pub(crate) cut: Option<Cut>,
    /// By task; empty where each has a partition.
    pub(crate) parts: Vec<Part>,
}

/// A stage of a job.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Stage {
    /// The splits of its source, once its split task is done.
    pub(crate) splits: Option<Arc<Vec<Split>>>,
    /// Which splits each task has; empty where the stage reads shuffles.
    pub(crate) ranges: Vec<Range<usize>>,
    /// What it reads of shuffles.
    pub(crate) reads: Reads,
    /// By partition, once the number of tasks is known: who has the output of a task that is done.
    pub(crate) done: Option<Vec<Option<(u32, WorkerId)>>>,
    /// By partition: a checksum of what the task wrote into shuffles, once it has been done; its counts are in the job's
    /// then.
    contents: Vec<Option<u32>>,
    done_count: u32,
    pub(crate) running: u32,
    begun: Option<Millis>,
    last_end: Option<Millis>,
    /// Collected frames, in (dataset, partition) order.
    collected: BTreeMap<(CollectId, u32), Arc<Vec<u8>>>,
    /// The records that were left out, by partition.
    left_out: BTreeMap<u32, Vec<LeftOut>>,
    /// What was staged, in (sink, partition) order.
    staged: BTreeMap<(SinkId, u32), StagedFiles>,
    /// Which tasks are the rest of others. It is written beside the job.
    #[serde(skip)]
    pub(crate) rests: Rests,
}

impl Stage {
    /// About how many bytes that takes which is only needed to run its tasks again.
    fn details_bytes(&self) -> usize {
        let splits = self.splits.iter().flat_map(|splits| splits.iter());
        let hosts = |split: &Split| split.hosts.iter().map(|host| host.len() + 24).sum::<usize>();
        splits.map(|split| size_of::<Split>() + split.payload.len() + hosts(split)).sum::<usize>()
            + self.ranges.len() * size_of::<Range<usize>>()
            + self.reads.parts.len() * size_of::<Part>()
            + self.contents.len() * size_of::<Option<u32>>()
            + self.staged.values().map(|staged| 64 + staged.message_bytes()).sum::<usize>()
    }

    fn forget_details(&mut self) {
        self.splits = None;
        self.ranges = Vec::new();
        self.reads.parts = Vec::new();
        self.contents = Vec::new();
        self.staged.clear();
    }
}

impl Job {
    pub(crate) fn new(
        id: JobId,
        submission: JobSubmission,
        binary: Option<JobBinary>,
        now: Millis,
    ) -> Job {
        Job {
            id,
            submitted: now,
            ended: None,
            state: JobState::Running { waiting: None },
            stages: submission.shape.stages.iter().map(|_| Stage::default()).collect(),
            cuts: vec![None; submission.shape.shuffles.len()],
            versions: vec![1; submission.shape.shuffles.len()],
            shape: Arc::new(submission.shape.clone()),
            submission: Arc::new(submission),
            counts: TaskCounts::default(),
            running: 0,
            collected_bytes: 0,
            collected_forgotten: false,
            details_bytes: 0,
            retries: 0,
            shuffle_bytes: 0,
            manifests: Vec::new(),
            notes: VecDeque::new(),
            given_up: None,
            ran_on: BTreeSet::new(),
            wrong_binary_since: None,
            binary,
            claim: Claim::default(),
            binary_wanted: None,
            history: History::default(),
            news: News::default(),
        }
    }

    /// Adds something to tell people; the oldest are forgotten.
    pub(crate) fn note(&mut self, text: String) {
        if self.notes.len() == NOTES_MAX {
            self.notes.pop_front();
        }
        self.notes.push_back(text);
    }

    pub(crate) fn is_running(&self) -> bool {
        self.ended.is_none()
    }

    /// Whether who submitted it is to send its binary.
    pub(crate) fn wants_binary(&self) -> bool {
        self.is_running() && self.binary_wanted.is_some()
    }

    /// Whether an attempt of it was ever assigned to a worker.
    pub(crate) fn has_run_on(&self, worker: WorkerId) -> bool {
        self.ran_on.contains(&worker)
    }

    /// How a shuffle is cut, if outputs of it have come.
    pub(crate) fn cut_if_begun(&self, shuffle: ShuffleId) -> Option<Cut> {
        let at = shuffle.0 as usize;
        self.cuts.get(at).copied().flatten().filter(|_| self.versions[at] > 1)
    }

    /// The stage, if there is one of that number.
    pub(crate) fn stage(&self, stage: StageId) -> Option<&Stage> {
        self.stages.get(stage.0 as usize)
    }

    fn stage_mut(&mut self, stage: StageId) -> Option<&mut Stage> {
        self.stages.get_mut(stage.0 as usize)
    }

    /// What an executor has to know.
    pub(crate) fn spec(&self) -> JobSpec {
        let of = &self.submission;
        JobSpec {
            name: of.name.clone(),
            arguments: of.arguments.clone(),
            options: of.options.clone(),
            binary: of.binary.clone(),
            fingerprint: of.fingerprint,
            submitter: self.binary.as_ref().map(|of| of.submitter.clone()).unwrap_or_default(),
        }
    }

    /// The splits that a stage reads: its own, or those of the stage that lists the same source.
    pub(crate) fn splits_of(&self, stage: StageId) -> Option<&Arc<Vec<Split>>> {
        match &self.submission.shape.stages.get(stage.0 as usize)?.root {
            RootShape::Source { listed_by } => self.stage(*listed_by)?.splits.as_ref(),
            RootShape::Shuffles(_) => None,
        }
    }

    /// A stage has its tasks.
    pub(crate) fn opened(
        &mut self,
        stage: StageId,
        tasks: u32,
        reads: Reads,
        ranges: Vec<Range<usize>>,
    ) {
        if let Some(stage) = self.stage_mut(stage) {
            stage.done = Some(vec![None; tasks as usize]);
            stage.contents = vec![None; tasks as usize];
            stage.reads = reads;
            stage.ranges = ranges;
        }
    }

    /// Which of the workers that are `alive` are to remove what the job has left in its outputs, if it ends without
    /// them: those that attempts ran on, each once they run no more; at least one.
    pub(crate) fn aborters(&self, alive: &BTreeSet<WorkerId>) -> BTreeSet<WorkerId> {
        if self.submission.shape.sinks == 0 {
            return BTreeSet::new();
        }
        let ran: BTreeSet<WorkerId> = self.ran_on.intersection(alive).copied().collect();
        if ran.is_empty() { alive.first().copied().into_iter().collect() } else { ran }
    }

    /// Which of its tasks are the rest of others, by stage, if any are.
    pub(crate) fn rests(&self) -> Option<Vec<Rests>> {
        let any = self.stages.iter().any(|stage| !stage.rests.is_empty());
        any.then(|| self.stages.iter().map(|stage| stage.rests.clone()).collect())
    }

    /// Has rests, by stage.
    pub(crate) fn with_rests(&mut self, rests: Vec<Rests>) {
        self.stages.iter_mut().zip(rests).for_each(|(stage, rests)| stage.rests = rests);
    }

    /// A task has no lanes from `from` on any more: those are the task `rest`.
    pub(crate) fn split_off(&mut self, task: TaskId, from: u32, rest: u32) {
        let Some(stage) = self.stage_mut(task.stage) else { return };
        let Some(done) = stage.done.as_mut().filter(|done| done.len() == rest as usize) else {
            return;
        };
        if stage.rests.split_off(task.partition, from, rest) {
            done.push(None);
            stage.contents.push(None);
            self.note(format!(
                "task {task} is slow: its lanes from {from} on are a task of their own, {}",
                TaskId { partition: rest, ..task }
            ));
        }
    }

    /// Its tasks that are known, and not done.
    pub(crate) fn tasks_to_do(&self) -> u64 {
        let of = |stage: &Stage| {
            let tasks = stage.done.as_ref().map_or(0, |done| done.len() as u64);
            tasks.saturating_sub(u64::from(stage.done_count))
        };
        self.stages.iter().map(of).sum()
    }

    /// About how many attempts of it have begun.
    pub(crate) fn attempts_so_far(&self) -> u64 {
        let done: u64 = self.stages.iter().map(|stage| u64::from(stage.done_count)).sum();
        done + u64::from(self.running) + self.retries
    }

    /// An attempt has begun.
    pub(crate) fn begun(&mut self, attempt: AttemptId, worker: WorkerId, now: Millis) {
        self.running += 1;
        self.ran_on.insert(worker);
        if let Some(stage) = self.stage_mut(attempt.task.stage)
            && attempt.task.kind == TaskKind::Compute
        {
            stage.running += 1;
            stage.begun.get_or_insert(now);
        }
    }

    /// An attempt runs no more.
    pub(crate) fn stopped(&mut self, attempt: AttemptId) {
        self.running = self.running.saturating_sub(1);
        if let Some(stage) = self.stage_mut(attempt.task.stage)
            && attempt.task.kind == TaskKind::Compute
        {
            stage.running = stage.running.saturating_sub(1);
        }
    }

    /// An attempt's output is its task's. Whether an earlier attempt of the task wrote something else into shuffles.
    pub(crate) fn committed(
        &mut self,
        attempt: AttemptId,
        worker: WorkerId,
        mut output: TaskOutput,
        now: Millis,
    ) -> bool {
        // Of every attempt: what was read again was asked for again.
        self.counts.traffic.add(std::mem::take(&mut output.counts.traffic));
        self.counts.scan.add(std::mem::take(&mut output.counts.scan));
        match attempt.task.kind {
            TaskKind::Split => {
                if let Some(stage) = self.stage_mut(attempt.task.stage) {
                    stage.splits = Some(Arc::new(output.splits));
                }
            }
            TaskKind::Commit => self.manifests = output.manifests,
            TaskKind::Compute => return self.computed(attempt, worker, output, now),
        }
        false
    }

    fn computed(
        &mut self,
        attempt: AttemptId,
        worker: WorkerId,
        output: TaskOutput,
        now: Millis,
    ) -> bool {
        let partition = attempt.task.partition;
        let at = partition as usize;
        let Some(stage) = self.stages.get_mut(attempt.task.stage.0 as usize) else { return false };
        let Some(done) = stage.done.as_mut().and_then(|done| done.get_mut(at)) else {
            return false;
        };
        if done.replace((attempt.number, worker)).is_none() {
            stage.done_count += 1;
        }
        stage.last_end = Some(now);
        for (collect, frames) in output.collected {
            self.collected_bytes += frames.len();
            if let Some(old) = stage.collected.insert((collect, partition), Arc::new(frames)) {
                self.collected_bytes -= old.len();
            }
        }
        if !output.left_out.is_empty() {
            stage.left_out.insert(partition, output.left_out);
        }
        for (sink, staged) in output.staged {
            stage.staged.insert((sink, partition), staged);
        }
        let content = shuffles_content(&output.shuffles);
        let before = stage.contents[at].replace(content);
        if before.is_none() {
            self.counts.add(&output.counts);
            self.shuffle_bytes += output.shuffles.iter().map(|shuffle| shuffle.bytes).sum::<u64>();
        }
        self.outputs_changed(attempt.task.stage);
        before.is_some_and(|before| before != content)
    }

    /// What the committed attempt of a task made, and its number.
    pub(crate) fn made(&self, stage: StageId, partition: u32) -> Option<(u32, TaskMade)> {
        let of = self.stage(stage)?;
        let at = partition as usize;
        let (number, _) = (*of.done.as_ref()?.get(at)?)?;
        let staged = of.staged.iter().filter(|((_, of), _)| *of == partition);
        let collected = of.collected.iter().filter(|((_, of), _)| *of == partition);
        let made = TaskMade {
            shuffles: (*of.contents.get(at)?)?,
            staged: staged.map(|((sink, _), files)| (*sink, files.clone())).collect(),
            collected: collected.map(|((of, _), frames)| (*of, frames.to_vec())).collect(),
            left_out: of.left_out.get(&partition).cloned().unwrap_or_default(),
        };
        Some((number, made))
    }

    /// Whether a task may have read what a stage wrote.
    pub(crate) fn is_read(&self, stage: StageId) -> bool {
        let wrote = |shuffle: ShuffleId| self.producers(shuffle).contains(&stage);
        let readers = self.shape.stages.iter().zip(&self.stages);
        readers.filter(|(_, of)| of.begun.is_some()).any(|(shape, _)| shape.reads().any(wrote))
    }

    /// The operators of a stage.
    pub(crate) fn operators(&self, stage: StageId) -> &str {
        let shape = self.submission.shape.stages.get(stage.0 as usize);
        shape.map_or("", |shape| shape.name.as_str())
    }

    /// The output of a task that is done is gone, and another worker has a replica of it.
    pub(crate) fn moved(&mut self, attempt: AttemptId, worker: WorkerId) {
        let AttemptId { task, number } = attempt;
        let done = self.stage_mut(task.stage).and_then(|stage| stage.done.as_mut());
        if let Some(slot) = done.and_then(|done| done.get_mut(task.partition as usize)) {
            *slot = Some((number, worker));
        }
        self.outputs_changed(task.stage);
        self.note(format!(
            "what task {task} wrote is gone: it is read from its replica on {worker}"
        ));
    }

    /// The output of a task is gone.
    pub(crate) fn reopened(&mut self, task: TaskId) {
        if task.kind == TaskKind::Compute
            && let Some(stage) = self.stage_mut(task.stage)
            && let Some(done) = &mut stage.done
            && let Some(slot) = done.get_mut(task.partition as usize)
            && slot.take().is_some()
        {
            stage.done_count -= 1;
        }
        self.outputs_changed(task.stage);
    }

    fn outputs_changed(&mut self, stage: StageId) {
        let Some(shape) = self.shape.stages.get(stage.0 as usize) else { return };
        for output in &shape.outputs {
            if let OutputShape::Shuffle(shuffle) = output
                && let Some(version) = self.versions.get_mut(shuffle.0 as usize)
            {
                *version += 1;
            }
        }
    }

    /// The producers of a shuffle, in the order in which their rows count.
    pub(crate) fn producers(&self, shuffle: ShuffleId) -> &[StageId] {
        self.shape.shuffles.get(shuffle.0 as usize).map_or(&[], |of| &of.producers)
    }

    /// The frames of a collected dataset, in the order of its rows.
    pub(crate) fn collected(&self, collect: CollectId) -> impl Iterator<Item = &Arc<Vec<u8>>> {
        let producers = self.submission.shape.collects.get(collect.0 as usize);
        let stages = producers.into_iter().flatten().filter_map(|stage| self.stage(*stage));
        stages.flat_map(move |stage| {
            stage.collected.range((collect, 0)..=(collect, u32::MAX)).map(|(_, frames)| frames)
        })
    }

    /// The records that were left out, in the order of what the job read.
    pub(crate) fn left_out(&self) -> impl Iterator<Item = &LeftOut> {
        self.stages.iter().flat_map(|stage| {
            let tasks = stage.done.as_ref().map_or(0, |done| done.len() as u32);
            let in_order = stage.rests.in_order(tasks);
            in_order.filter_map(|partition| stage.left_out.get(&partition)).flatten()
        })
    }

    /// How many records were left out.
    fn left_out_count(&self) -> u64 {
        let of = |stage: &Stage| stage.left_out.values().map(Vec::len).sum::<usize>() as u64;
        self.stages.iter().map(of).sum()
    }

    /// What was staged for a sink, in (stage, partition) order.
    pub(crate) fn staged(&self, sink: SinkId) -> Vec<StagedFiles> {
        let staged = self.stages.iter().flat_map(move |stage| {
            stage.staged.range((sink, 0)..=(sink, u32::MAX)).map(|(_, staged)| staged)
        });
        staged.cloned().collect()
    }

    /// The job has ended.
    pub(crate) fn end(&mut self, state: JobState, now: Millis) {
        self.state = state;
        self.ended = Some(now);
        self.stages.iter_mut().for_each(|stage| stage.running = 0);
        self.measure_details();
    }

    /// Knows how many bytes it takes what is only needed to run tasks again of a job that has ended.
    pub(crate) fn measure_details(&mut self) {
        if !self.is_running() {
            self.details_bytes = self.stages.iter().map(Stage::details_bytes).sum();
        }
    }

    /// Forgets the collected datasets of a job that has ended.
    pub(crate) fn forget_collected(&mut self) {
        self.collected_forgotten |= self.collected_bytes > 0;
        self.collected_bytes = 0;
        self.stages.iter_mut().for_each(|stage| stage.collected.clear());
    }

    /// Forgets what is only needed to run tasks of a job again that has ended.
    pub(crate) fn forget_details(&mut self) {
        self.details_bytes = 0;
        self.stages.iter_mut().for_each(Stage::forget_details);
    }

    /// Whether what is needed to run its tasks again is not kept any more.
    pub(crate) fn has_forgotten_details(&self) -> bool {
        let has_tasks = |stage: &Stage| stage.done.as_ref().is_some_and(|done| !done.is_empty());
        self.stages.iter().any(|stage| has_tasks(stage) && stage.contents.is_empty())
    }

    /// For how long it has run by now, or until it ended.
    pub(crate) fn elapsed_ms(&self, now: Millis) -> u64 {
        self.ended.unwrap_or(now).since(self.submitted)
    }

    /// How it stands; without manifests and notes for lists.
    pub(crate) fn status(&self, now: Millis, whole: bool) -> JobStatus {
        let end = self.ended.unwrap_or(now);
        let names = self.submission.shape.stages.iter().map(|stage| &stage.name);
        let stages = self.stages.iter().zip(names).zip(0..).map(|((stage, name), at)| {
            let last = match (stage.begun, &stage.done, stage.last_end) {
                (Some(_), Some(done), Some(last)) if stage.done_count as usize == done.len() => {
                    last
                }
                _ => end,
            };
            StageStatus {
                stage: StageId(at),
                name: name.clone(),
                tasks: stage.done.as_ref().map(|done| done.len() as u32),
                running: stage.running,
                done: stage.done_count,
                elapsed_ms: stage.begun.map_or(0, |begun| last.since(begun)),
            }
        });
        JobStatus {
            job: self.id,
            name: self.submission.name.clone(),
            state: self.state.clone(),
            stages: stages.collect(),
            counts: self.counts.clone(),
            left_out: self.left_out_count(),
            retries: self.retries,
            shuffle_bytes: self.shuffle_bytes,
            elapsed_ms: self.elapsed_ms(now),
            manifests: if whole { self.manifests.clone() } else { Vec::new() },
            notes: if whole { self.notes.iter().cloned().collect() } else { Vec::new() },
            wants_binary: self.wants_binary(),
            queue: self.claim.queue().to_owned(),
            user: self.claim.user.clone(),
            priority: self.claim.priority,
        }
    }
}
