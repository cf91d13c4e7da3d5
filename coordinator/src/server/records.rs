//! What the coordinator journals: each outcome, with what it brought, and why a job was given up.
//!
//! What the driver knows follows from outcomes and their payloads alone, so that a coordinator that applies them once more
//! knows the same.

use super::core::Core;
use crate::scheduler::Outcome;
use serde::Serialize;
use serde::de::DeserializeOwned;
use windrow_protocol::control::{JobSubmission, WorkerHello};
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, JobId, WorkerId};
use windrow_protocol::task::TaskOutput;

/// A job is taken on.
const ADMITTED: &str = "job admitted";
/// A worker is taken on.
const JOINED: &str = "worker joined";
/// Something else was decided.
const DECIDED: &str = "decided";
/// The driver gives a job up.
const GIVEN_UP: &str = "job given up";

/// A record, as it is read.
pub(super) enum Kept {
    /// The outcome follows from it.
    Admitted(JobId, JobSubmission),
    /// The outcome follows from it.
    Joined(WorkerId, WorkerHello),
    /// Of a build's scheduler; with the output of the attempt that committed.
    Decided(String, Outcome, Option<(AttemptId, TaskOutput)>),
    /// Before the outcome that ends the job.
    GivenUp(JobId, Failure),
}

impl Kept {
    /// Reads a record.
    ///
    /// # Errors
    /// What is not understood.
    pub(super) fn read(kind: &str, content: &[u8]) -> Result<Kept, String> {
        match kind {
            ADMITTED => of(kind, content).map(|(job, of)| Kept::Admitted(job, of)),
            JOINED => of(kind, content).map(|(worker, of)| Kept::Joined(worker, of)),
            DECIDED => of(kind, content).map(|(build, of, with)| Kept::Decided(build, of, with)),
            GIVEN_UP => of(kind, content).map(|(job, why)| Kept::GivenUp(job, why)),
            _ => Err(format!("its kind is `{kind}`")),
        }
    }
}

fn of<T: DeserializeOwned>(kind: &str, content: &[u8]) -> Result<T, String> {
    let (read, rest) = postcard::take_from_bytes(content)
        .map_err(|error| format!("a record of kind `{kind}`: {error}"))?;
    if rest.is_empty() { Ok(read) } else { Err(format!("a record of kind `{kind}` is too long")) }
}

impl Core {
    /// Journals an outcome that is about to be applied.
    pub(super) fn keep(
        &self,
        build: &str,
        outcome: &Outcome,
        arrived: &Option<(AttemptId, TaskOutput)>,
    ) {
        match outcome {
            Outcome::JobRefused { .. } => {}
            Outcome::JobAdmitted { job, .. } => {
                if let Some(of) = self.jobs.get(job) {
                    self.write(ADMITTED, &(job, &*of.submission));
                }
            }
            Outcome::WorkerJoined { worker, .. } => {
                if let Some(of) = self.workers.get(worker) {
                    self.write(JOINED, &(worker, &of.hello));
                }
            }
            Outcome::TaskCommitted { attempt, .. } => {
                let with = arrived.as_ref().filter(|(of, _)| of == attempt);
                self.write(DECIDED, &(build, outcome, with));
            }
            _ => self.write(DECIDED, &(build, outcome, None::<(AttemptId, TaskOutput)>)),
        }
    }

    /// Journals why a job is given up.
    pub(super) fn keep_given_up(&self, job: JobId, why: &Failure) {
        self.write(GIVEN_UP, &(job, why));
    }

    fn write(&self, kind: &str, content: &impl Serialize) {
        let Some(journal) = &self.journal else { return };
        match postcard::to_allocvec(content) {
            Ok(content) => {
                journal.add(kind, &content);
            }
            // There is nothing in it that cannot be encoded.
            Err(error) => tracing::error!(%error, kind, "a record cannot be encoded: a defect"),
        }
    }
}
