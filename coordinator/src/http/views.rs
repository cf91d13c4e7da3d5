//! What is told of jobs, workers and attempts, as JSON: the objects that `openapi.json` describes.

use crate::history::{History, How, Row};
use crate::scheduler::Millis;
use crate::server::{Core, Job};
use serde::Serialize;
use serde_json::{Value, json};
use std::sync::Arc;
use windrow_protocol::claim::QueueStatus;
use windrow_protocol::control::{JobState, JobStatus, StageStatus, WorkerStatus};
use windrow_protocol::ids::{StageId, TaskKind};
use windrow_protocol::shape::{JobShape, OutputShape, RootShape, StageShape};

/// The most changes of attempts in one answer: a browser takes some milliseconds for so many.
pub(super) const CHANGES: usize = 5_000;

/// The most attempts whose progress is told.
const PROGRESS_MAX: usize = 2_000;

/// The coordinator's time, and how far it is from that of clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    pub(super) now: Millis,
    /// Now, in milliseconds since 1970.
    pub(super) unix_ms: u64,
}

impl Clock {
    /// A point in time, in milliseconds since 1970.
    fn unix_ms(self, at: Millis) -> u64 {
        self.unix_ms.saturating_sub(self.now.since(at))
    }
}

fn state(state: &JobState) -> (&'static str, Option<String>) {
    match state {
        JobState::Running { waiting: None } => ("running", None),
        JobState::Running { waiting: Some(why) } => ("waiting", Some(why.clone())),
        JobState::Succeeded => ("succeeded", None),
        JobState::Failed(failure) => ("failed", Some(failure.to_string())),
        JobState::Cancelled => ("cancelled", None),
    }
}

/// A job, as lists have it.
pub(super) fn job_in_list(job: &Job, clock: Clock) -> Value {
    let status = job.status(clock.now, false);
    of_status(job, &status, clock)
}

fn of_status(job: &Job, status: &JobStatus, clock: Clock) -> Value {
    let (state, why) = state(&status.state);
    let tasks: u64 = status.stages.iter().map(|stage| u64::from(stage.tasks.unwrap_or(0))).sum();
    let done: u64 = status.stages.iter().map(|stage| u64::from(stage.done)).sum();
    json!({
        "job": status.job.to_string(),
        "name": status.name,
        "state": state,
        "why": why,
        "queue": status.queue,
        "user": status.user,
        "priority": status.priority,
        "submitted_unix_ms": clock.unix_ms(job.submitted),
        "elapsed_ms": status.elapsed_ms,
        "tasks": tasks,
        "tasks_are_known": status.stages.iter().all(|stage| stage.tasks.is_some()),
        "done": done,
        "running": job.running,
        "retries": status.retries,
        "records_read": status.counts.records_read,
        "read_bytes": status.counts.bytes_read,
        "shuffle_bytes": status.shuffle_bytes,
        "records_written": status.counts.records_written,
        "written_bytes": status.counts.bytes_written,
        "spilled_bytes": status.counts.spilled_bytes,
        "records_left_out": status.left_out,
    })
}

/// A job with its stages, and what was told of it.
pub(super) fn job(job: &Job, clock: Clock) -> Value {
    let status = job.status(clock.now, true);
    let mut view = of_status(job, &status, clock);
    let stages = status.stages.iter().zip(&job.shape.stages);
    view["stages"] = stages.map(|(status, shape)| stage(status, shape, &job.shape)).collect();
    view["notes"] = json!(status.notes);
    view["memory_peak_bytes"] = json!(status.counts.memory_peak_bytes);
    view["arguments"] = serde_json::from_str(&job.submission.arguments).unwrap_or_default();
    view["binary"] = json!(job.submission.binary.name);
    view["submitter"] = json!(job.binary.as_ref().map(|of| of.submitter.clone()));
    view
}

fn stage(status: &StageStatus, shape: &StageShape, of: &JobShape) -> Value {
    let producers = |shuffle: windrow_protocol::ids::ShuffleId| {
        of.shuffles.get(shuffle.0 as usize).map_or(&[][..], |shuffle| &shuffle.producers)
    };
    let names = |stages: &mut dyn Iterator<Item = StageId>| -> Vec<String> {
        let mut names: Vec<String> = stages.map(|stage| stage.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let collects = |at: &windrow_protocol::ids::CollectId| {
        of.collects.get(at.0 as usize).map_or(&[][..], |stages| &stages[..])
    };
    json!({
        "stage": status.stage.to_string(),
        "operators": status.name.split(" > ").collect::<Vec<_>>(),
        "tasks": status.tasks,
        "running": status.running,
        "done": status.done,
        "elapsed_ms": status.elapsed_ms,
        "reads_source": matches!(shape.root, RootShape::Source { .. }),
        "reads": names(&mut shape.root.shuffles().iter().flat_map(|s| producers(*s)).copied()),
        "reads_whole": names(
            &mut shape
                .lookups
                .iter()
                .flat_map(|lookup| producers(lookup.table))
                .chain(shape.whole_inputs.iter().flat_map(collects))
                .copied(),
        ),
        "writes_output": shape.outputs.iter().any(|of| matches!(of, OutputShape::Sink(_))),
        "is_sample": shape.sample,
        "is_dissolved": shape.dissolved,
    })
}

/// A worker.
pub(super) fn worker(status: &WorkerStatus) -> Value {
    let (state, why) = match status.state.split_once(": ") {
        Some((state, why)) => (state, Some(why)),
        None => (&*status.state, None),
    };
    json!({
        "worker": status.worker.to_string(),
        "host": status.host,
        "state": state,
        "why": why,
        "slots": status.slots,
        "running": status.running,
        "binary": status.binary.name,
        "labels": status.labels,
    })
}

/// A queue.
pub(super) fn queue(status: &QueueStatus) -> Value {
    json!({
        "queue": status.name,
        "weight": status.weight,
        "guaranteed_percent": status.guaranteed_percent,
        "slots": status.slots,
        "running": status.running,
        "waiting": status.waiting,
    })
}

/// The attempts that changed, a column a field.
#[derive(Debug, Default, Serialize)]
pub(super) struct Attempts {
    /// The changes that are seen with this.
    seen: u64,
    /// Whether there are more by now.
    more: bool,
    /// Attempts that are not kept.
    left_out: u64,
    /// How many attempts are kept, these and others.
    attempts: u64,
    row: Vec<u32>,
    kind: Vec<&'static str>,
    stage: Vec<u32>,
    partition: Vec<u32>,
    number: Vec<u32>,
    worker: Vec<u64>,
    is_backup: Vec<bool>,
    begun_ms: Vec<u32>,
    ended_ms: Vec<Option<u32>>,
    end: Vec<Option<&'static str>>,
    records: Vec<u64>,
    read_bytes: Vec<u64>,
    shuffle_bytes: Vec<u64>,
    written_bytes: Vec<u64>,
    spilled_bytes: Vec<u64>,
    /// Why attempts failed, by row.
    why: Vec<(u32, String)>,
    /// The rows of attempts that logged something.
    logged: Vec<u32>,
    /// Attempts that run, and how far they are: stage, partition, number, thousandths.
    progress: Vec<(u32, u32, u32, u16)>,
}

impl Attempts {
    /// What changed since.
    pub(super) fn since(history: &History, seen: u64) -> Attempts {
        let (rows, seen) = history.changed(seen, CHANGES);
        let mut attempts = Attempts {
            seen,
            more: seen < history.changes(),
            left_out: history.left_out(),
            attempts: history.rows().len() as u64,
            ..Attempts::default()
        };
        for row in rows {
            attempts.add(row, &history.rows()[row as usize]);
            if let Some(why) = history.cause(row) {
                attempts.why.push((row, why.to_owned()));
            }
            if history.log(row).is_some() {
                attempts.logged.push(row);
            }
        }
        attempts
    }

    fn add(&mut self, at: u32, row: &Row) {
        self.row.push(at);
        self.kind.push(match row.kind {
            TaskKind::Split => "split",
            TaskKind::Compute => "compute",
            TaskKind::Commit => "commit",
        });
        self.stage.push(row.stage);
        self.partition.push(row.partition);
        self.number.push(row.number);
        self.worker.push(row.worker.0);
        self.is_backup.push(row.is_backup);
        self.begun_ms.push(row.begun_ms);
        self.ended_ms.push(row.ended_ms);
        self.end.push((row.how != How::Running).then(|| row.how.name()));
        self.records.push(row.amounts.records);
        self.read_bytes.push(row.amounts.read_bytes);
        self.shuffle_bytes.push(row.amounts.shuffle_bytes);
        self.written_bytes.push(row.amounts.written_bytes);
        self.spilled_bytes.push(row.amounts.spilled_bytes);
    }

    /// With how far the attempts of a job are that run.
    pub(super) fn with_progress(mut self, core: &Core, job: &Job) -> Attempts {
        let Some(pool) = core.pools.get(&job.pool()) else { return self };
        let state = pool.scheduler.state();
        let running = pool.alive.iter().flat_map(|worker| state.running(*worker));
        let of_job = running.filter(|view| {
            view.attempt.task.job == job.id && view.attempt.task.kind == TaskKind::Compute
        });
        self.progress = of_job
            .take(PROGRESS_MAX)
            .map(|view| {
                let task = view.attempt.task;
                (task.stage.0, task.partition, view.attempt.number, view.permille)
            })
            .collect();
        self
    }
}

/// What changed in the history of a job that has ended; of one whose history is not kept, how many attempts are not.
pub(super) fn of_ended(history: Option<Arc<History>>, seen: u64, attempts: u64) -> Attempts {
    match history {
        Some(history) => Attempts::since(&history, seen),
        None => Attempts { left_out: attempts, ..Attempts::default() },
    }
}
