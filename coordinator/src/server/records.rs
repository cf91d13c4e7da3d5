//! What the coordinator journals: each outcome, with what it brought, and why a job was given up; each with its time.
//!
//! A kind that is read is read for ever: what changes its encoding is written as a new kind.
//!
//! What the driver knows follows from outcomes and their payloads alone, so that a coordinator that applies them once more
//! knows the same.

use super::binaries::JobBinary;
use super::core::Core;
use crate::scheduler::{Millis, Outcome};
use serde::Serialize;
use serde::de::DeserializeOwned;
use windrow_protocol::binary::BinaryContent;
use windrow_protocol::claim::Claim;
use windrow_protocol::control::{JobSubmission, WorkerHello};
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, JobId, WorkerId};
use windrow_protocol::task::TaskOutput;

/// A job is taken on.
const ADMITTED: &str = "job admitted";
/// A job is taken on that any worker runs on a kind of machine.
const ADMITTED_FOR_ANY: &str = "job admitted for any worker";
/// A job is taken on that goes through a queue, and may claim more of the cluster: what the first kinds say of jobs, and that.
const ADMITTED_TO_QUEUE: &str = "job admitted to a queue";
/// What the binary of a job is.
const BINARY: &str = "job binary";
/// A worker is taken on.
const JOINED: &str = "worker joined";
/// A worker is taken on that has labels.
const JOINED_LABELLED: &str = "worker joined with labels";
/// Something else was decided.
const DECIDED: &str = "decided";
/// The driver gives a job up.
const GIVEN_UP: &str = "job given up";

/// A record, as it is read.
pub(super) enum Kept {
    /// The outcome follows from it.
    Admitted(JobId, JobSubmission),
    /// The outcome follows from it.
    AdmittedForAny(JobId, JobSubmission, JobBinary),
    /// The outcome follows from it.
    AdmittedToQueue(JobId, JobSubmission, Option<JobBinary>, Claim, bool),
    /// What the binary of such a job is.
    Binary(JobId, BinaryContent),
    /// The outcome follows from it.
    Joined(WorkerId, WorkerHello, Vec<String>),
    /// Of a build's scheduler; with the output of the attempt that committed.
    Decided(String, Outcome, Option<(AttemptId, TaskOutput)>),
    /// Before the outcome that ends the job.
    GivenUp(JobId, Failure),
}

impl Kept {
    /// Reads a record: when it was written, and what it says.
    ///
    /// # Errors
    /// What is not understood.
    pub(super) fn read(kind: &str, content: &[u8]) -> Result<(Millis, Kept), String> {
        match kind {
            ADMITTED => of(kind, content).map(|(at, (job, of))| (at, Kept::Admitted(job, of))),
            ADMITTED_FOR_ANY => of(kind, content)
                .map(|(at, (job, of, machine))| (at, Kept::AdmittedForAny(job, of, machine))),
            ADMITTED_TO_QUEUE => of(kind, content).map(|(at, (job, of, machine, claim, waits))| {
                (at, Kept::AdmittedToQueue(job, of, machine, claim, waits))
            }),
            BINARY => of(kind, content).map(|(at, (job, of))| (at, Kept::Binary(job, of))),
            JOINED => of(kind, content)
                .map(|(at, (worker, of))| (at, Kept::Joined(worker, of, Vec::new()))),
            JOINED_LABELLED => of(kind, content)
                .map(|(at, (worker, of, labels))| (at, Kept::Joined(worker, of, labels))),
            DECIDED => of(kind, content)
                .map(|(at, (build, of, with))| (at, Kept::Decided(build, of, with))),
            GIVEN_UP => of(kind, content).map(|(at, (job, why))| (at, Kept::GivenUp(job, why))),
            _ => Err(format!(
                "its kind is `{kind}`, which this release does not know: it was written by a newer one"
            )),
        }
    }
}

fn of<T: DeserializeOwned>(kind: &str, content: &[u8]) -> Result<(Millis, T), String> {
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
        now: Millis,
    ) {
        match outcome {
            // They change nothing.
            Outcome::JobRefused { .. } | Outcome::RestAsked { .. } => {}
            Outcome::JobAdmitted { job, claim, waits, .. } => {
                let Some(of) = self.jobs.get(job) else { return };
                let with = (job, &*of.submission, &of.binary, claim, waits);
                self.write(ADMITTED_TO_QUEUE, now, &with);
            }
            Outcome::WorkerJoined { worker, .. } => {
                if let Some(of) = self.workers.get(worker) {
                    self.write(JOINED_LABELLED, now, &(worker, &of.hello, &of.labels));
                }
            }
            Outcome::TaskCommitted { attempt, .. } => {
                let with = arrived.as_ref().filter(|(of, _)| of == attempt);
                self.write(DECIDED, now, &(build, outcome, with));
            }
            _ => {
                let nothing = None::<(AttemptId, TaskOutput)>;
                self.write(DECIDED, now, &(build, outcome, nothing));
            }
        }
    }

    /// Journals why a job is given up.
    pub(super) fn keep_given_up(&self, job: JobId, why: &Failure, now: Millis) {
        self.write(GIVEN_UP, now, &(job, why));
    }

    /// Journals what the binary of a job is.
    pub(super) fn keep_binary(&self, job: JobId, content: BinaryContent, now: Millis) {
        self.write(BINARY, now, &(job, content));
    }

    fn write(&self, kind: &str, now: Millis, content: &impl Serialize) {
        let Some(journal) = &self.journal else { return };
        match postcard::to_allocvec(&(now, content)) {
            Ok(content) => {
                journal.add(kind, &content);
            }
            // There is nothing in it that cannot be encoded.
            Err(error) => tracing::error!(%error, kind, "a record cannot be encoded: a defect"),
        }
    }
}
