//! What happens on a cluster, as who subscribes is told: events, numbered without gaps.
//!
//! A [`Cursor`] says how much somebody has seen. It holds over a restart of the coordinator that goes on with its state; what
//! is asked for by a cursor of another coordinator, or of events that are not kept any more, comes with a word of that
//! ([`EventPage::missed`]), and never silently.

use crate::failure::Failure;
use crate::ids::{AttemptId, JobId, StageId, TaskId, WorkerId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::fmt;
use std::str::FromStr;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// From 1 on, without gaps.
    pub number: u64,
    /// Milliseconds since the coordinator was started first.
    pub at_ms: u64,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// A job was taken on.
    JobStarted {
        /// The job.
        job: JobId,
        /// Its name.
        name: String,
    },
    /// A job has ended.
    JobEnded {
        /// The job.
        job: JobId,
        /// Its name.
        name: String,
        /// How.
        end: End,
    },
    /// A stage knows its tasks, and how many there are.
    StageOpened(JobId, StageId, u32),
    /// An attempt was given to a worker.
    Assigned(AttemptId, WorkerId),
    /// A task is done.
    TaskDone(AttemptId, WorkerId),
    /// A task that was done must run again.
    TaskReopened(TaskId),
    /// An attempt has ended without result.
    AttemptFailed(AttemptId, WorkerId, Box<Failure>),
    /// An attempt is not wanted any more.
    AttemptRevoked(AttemptId, WorkerId),
    /// A worker has come.
    WorkerJoined(WorkerId),
    /// A worker gets no more work.
    WorkerDraining(WorkerId),
    /// A worker gets no work for a while.
    WorkerSetAside(WorkerId),
    /// A worker that was set aside gets work again.
    WorkerBack(WorkerId),
    /// A worker has drained.
    WorkerDrained(WorkerId),
    /// A worker is lost; why.
    WorkerLost(WorkerId, String),
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum End {
    /// Its outputs are there.
    Succeeded,
    /// It has no output.
    Failed(Failure),
    /// Somebody cancelled it.
    Cancelled,
}

impl End {
    /// In a word.
    pub fn word(&self) -> &'static str {
        match self {
            End::Succeeded => "succeeded",
            End::Failed(_) => "failed",
            End::Cancelled => "cancelled",
        }
    }
}

impl What {
    /// The job that it happened to, if it is about one.
    pub fn job(&self) -> Option<JobId> {
        match self {
            What::JobStarted { job, .. } | What::JobEnded { job, .. } => Some(*job),
            What::StageOpened(job, ..) => Some(*job),
            What::Assigned(attempt, _)
            | What::TaskDone(attempt, _)
            | What::AttemptFailed(attempt, ..)
            | What::AttemptRevoked(attempt, _) => Some(attempt.task.job),
            What::TaskReopened(task) => Some(task.job),
            What::WorkerJoined(_)
            | What::WorkerDraining(_)
            | What::WorkerSetAside(_)
            | What::WorkerBack(_)
            | What::WorkerDrained(_)
            | What::WorkerLost(..) => None,
        }
    }

    /// Whether it is about one task: most events are.
    pub fn is_of_a_task(&self) -> bool {
        matches!(
            self,
            What::Assigned(..)
                | What::TaskDone(..)
                | What::TaskReopened(_)
                | What::AttemptFailed(..)
                | What::AttemptRevoked(..)
        )
    }

    /// Its kind, as JSON names it.
    pub fn kind(&self) -> &'static str {
        match self {
            What::JobStarted { .. } => "job_started",
            What::JobEnded { .. } => "job_ended",
            What::StageOpened(..) => "stage_opened",
            What::Assigned(..) => "attempt_started",
            What::TaskDone(..) => "task_done",
            What::TaskReopened(..) => "task_reopened",
            What::AttemptFailed(..) => "attempt_failed",
            What::AttemptRevoked(..) => "attempt_revoked",
            What::WorkerJoined(..) => "worker_joined",
            What::WorkerDraining(..) => "worker_draining",
            What::WorkerSetAside(..) => "worker_set_aside",
            What::WorkerBack(..) => "worker_back",
            What::WorkerDrained(..) => "worker_drained",
            What::WorkerLost(..) => "worker_lost",
        }
    }

    /// What belongs to it, by field.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        let name = |of: &dyn fmt::Display| Value::from(of.to_string());
        let of_attempt = |attempt: &AttemptId, worker: &WorkerId| {
            vec![
                ("job", name(&attempt.task.job)),
                ("task", name(&attempt.task)),
                ("attempt", attempt.number.into()),
                ("worker", name(worker)),
            ]
        };
        match self {
            What::JobStarted { job, name: of } => {
                vec![("job", name(job)), ("name", of.as_str().into())]
            }
            What::JobEnded { job, name: of, end } => {
                let mut fields = vec![
                    ("job", name(job)),
                    ("name", of.as_str().into()),
                    ("end", end.word().into()),
                ];
                if let End::Failed(failure) = end {
                    fields.push(("why", name(failure)));
                }
                fields
            }
            What::StageOpened(job, stage, tasks) => {
                vec![("job", name(job)), ("stage", name(stage)), ("tasks", (*tasks).into())]
            }
            What::Assigned(attempt, worker)
            | What::TaskDone(attempt, worker)
            | What::AttemptRevoked(attempt, worker) => of_attempt(attempt, worker),
            What::TaskReopened(task) => vec![("job", name(&task.job)), ("task", name(task))],
            What::AttemptFailed(attempt, worker, failure) => {
                let mut fields = of_attempt(attempt, worker);
                fields.push(("why", name(failure)));
                fields
            }
            What::WorkerJoined(worker)
            | What::WorkerDraining(worker)
            | What::WorkerSetAside(worker)
            | What::WorkerBack(worker)
            | What::WorkerDrained(worker) => vec![("worker", name(worker))],
            What::WorkerLost(worker, why) => {
                vec![("worker", name(worker)), ("why", why.as_str().into())]
            }
        }
    }
}

impl Event {
    /// For programs: an object with `cursor`, `at_ms`, `event` (its kind) and what belongs to that.
    pub fn to_json(&self, stream: u64) -> Value {
        let cursor = Cursor { stream, number: self.number };
        let mut object = Map::new();
        object.insert("cursor".to_owned(), cursor.to_string().into());
        object.insert("at_ms".to_owned(), self.at_ms.into());
        object.insert("event".to_owned(), self.what.kind().into());
        for (field, value) in self.what.fields() {
            object.insert(field.to_owned(), value);
        }
        json!(object)
    }
}

/// How much somebody has seen of the events of a coordinator: written as in `5f2a-17`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Whose events they are: the same for all coordinators of one state, which go on with its events.
    pub stream: u64,
    /// The number of the last event that was seen.
    pub number: u64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}-{}", self.stream, self.number)
    }
}

/// A text is no cursor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no cursor of events; they look like 5f2a-17, and come with each event")]
pub struct NoCursor(String);

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Cursor, NoCursor> {
        let read = || {
            let (stream, number) = text.split_once('-')?;
            let stream = u64::from_str_radix(stream, 16).ok()?;
            Some(Cursor { stream, number: number.parse().ok()? })
        };
        read().ok_or_else(|| NoCursor(text.to_owned()))
    }
}

/// From where on events are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Since {
    /// All that are kept.
    Oldest,
    /// Those that happen from now on.
    Now,
    /// Those behind a cursor.
    Cursor(Cursor),
}

impl FromStr for Since {
    type Err = NoCursor;

    /// Reads `oldest`, `now`, or a cursor.
    fn from_str(text: &str) -> Result<Since, NoCursor> {
        match text {
            "oldest" => Ok(Since::Oldest),
            "now" => Ok(Since::Now),
            cursor => cursor.parse().map(Since::Cursor),
        }
    }
}

/// Some events, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// What is seen with them: of all events, also those of other jobs than the one that was asked for.
    pub cursor: Cursor,
    /// Whether events between the cursor that was asked for and the first of these are not kept any more, or were never known
    /// here: so many, or 0 if nobody knows how many.
    pub missed: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::FailureClass;
    use crate::ids::{Round, TaskKind};

    fn attempt() -> AttemptId {
        let (stage, round) = (StageId(1), Round(0));
        let task = TaskId { job: JobId(3), stage, round, kind: TaskKind::Compute, partition: 7 };
        AttemptId { task, number: 2 }
    }

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = Cursor { stream: 0xAB_CDEF, number: 17 };
        assert_eq!(cursor.to_string(), "abcdef-17");
        assert_eq!("abcdef-17".parse(), Ok(cursor));
        for wrong in ["", "-", "17", "x-17", "ab-", "ab-x", "ab-17-1", "10000000000000000-1"] {
            assert!(wrong.parse::<Cursor>().unwrap_err().to_string().contains(wrong), "{wrong}");
        }
    }

    #[test]
    fn programs_read_events_by_field() {
        let failure = Box::new(Failure::new(FailureClass::Storage, "no \"disk\""));
        let what = What::AttemptFailed(attempt(), WorkerId(4), failure);
        assert_eq!(what.job(), Some(JobId(3)));
        let event = Event { number: 9, at_ms: 1_500, what };
        let text = event.to_json(0xA).to_string();
        assert_eq!(
            text,
            r#"{"at_ms":1500,"attempt":2,"cursor":"a-9","event":"attempt_failed","job":"j3","task":"j3/s1/7","why":"storage failed: no \"disk\"","worker":"w4"}"#
        );
    }
}
