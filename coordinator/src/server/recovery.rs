//! A coordinator that goes on from a journal: what was decided is applied once more, and then all is as it was, but for what
//! workers have been told. They are told again.

use super::binaries::JobBinary;
use super::config::Config;
use super::core::Core;
use super::outbox::Item;
use super::records::Kept;
use super::snapshot::States;
use crate::explain::EventLog;
use crate::journal::{Found, Home, Journal, JournalError};
use crate::scheduler::{self, Event, Millis, Outcome, Scheduler};
use std::sync::Arc;
use windrow_protocol::claim::Claim;
use windrow_protocol::control::{JobSubmission, Term, WorkerHello};
use windrow_protocol::ids::{AttemptId, JobId, WorkerId};
use windrow_protocol::task::TaskOutput;

/// Answers to polls are numbered from one above this times the epoch, so that no number of an earlier coordinator comes
/// again.
const ANSWERS_OF_AN_EPOCH: u64 = 1 << 32;

/// Something decided: of which build, and what was brought.
type Decided = (String, Outcome, Option<(AttemptId, TaskOutput)>);

impl Core {
    /// What a coordinator knew that had this state, and goes on with journalling there; and the time of the last that it
    /// has decided, from which the clock goes on.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn recover(config: Config, home: &Home) -> Result<(Core, Millis), JournalError> {
        let (mut core, mut states) = (Core::new(config), States::new());
        let mut now = Millis(0);
        let journal = Journal::open(home.clone(), |found| {
            match found {
                Found::Record { kind, content } => {
                    let (at, kept) = Kept::read(kind, content)?;
                    now = now.max(at);
                    core.apply_again(kept, &mut states, at);
                }
                Found::Snapshot(bytes) => (now, states) = core.restore(bytes)?,
            }
            Ok(())
        })?;
        core.go_on(journal, states, now);
        if let Home::Folder(folder) = home {
            core.log = EventLog::open(folder).unwrap_or_else(|error| {
                tracing::warn!(%error, "events are kept in memory alone");
                EventLog::default()
            });
        }
        Ok((core, now))
    }

    fn apply_again(&mut self, kept: Kept, states: &mut States, at: Millis) {
        let (build, outcome, mut arrived) = match kept {
            Kept::Admitted(job, submission) => {
                self.admitted_again(job, submission, None, (Claim::default(), false), at)
            }
            Kept::AdmittedForAny(job, submission, binary) => {
                self.admitted_again(job, submission, Some(binary), (Claim::default(), false), at)
            }
            Kept::AdmittedToQueue(job, submission, binary, claim, waits) => {
                self.admitted_again(job, submission, binary, (claim, waits), at)
            }
            Kept::Binary(job, content) => {
                if let Some(binary) = self.jobs.get_mut(&job).and_then(|job| job.binary.as_mut()) {
                    binary.content = Some(content);
                }
                return;
            }
            Kept::Joined(worker, hello, labels) => self.joined_again(worker, hello, labels),
            Kept::Decided(build, outcome, arrived) => (build, outcome, arrived),
            Kept::GivenUp(job, why) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.given_up = Some(why);
                }
                return;
            }
        };
        let state = states.entry(build);
        let build = state.key().clone();
        scheduler::apply(state.or_default(), &outcome);
        self.apply(&build, outcome, &mut arrived, at);
    }

    fn admitted_again(
        &mut self,
        id: JobId,
        submission: JobSubmission,
        binary: Option<JobBinary>,
        (claim, waits): (Claim, bool),
        at: Millis,
    ) -> Decided {
        let outcome = Outcome::JobAdmitted {
            job: id,
            name: submission.name.clone(),
            weight: submission.weight,
            shape: Box::new(submission.shape.clone()),
            claim: claim.clone(),
            waits,
        };
        let build = self.enter_job(id, submission, claim, binary, at);
        (build, outcome, None)
    }

    fn joined_again(
        &mut self,
        worker: WorkerId,
        hello: WorkerHello,
        labels: Vec<String>,
    ) -> Decided {
        let build = hello.binary.build.clone();
        let (slots, memory) = (hello.slots, hello.memory);
        let host = self.enter_worker(worker, hello, labels.clone());
        let named = build.as_str().into();
        let outcome = Outcome::WorkerJoined { worker, slots, memory, host, build: named, labels };
        (build, outcome, None)
    }

    /// All that was decided is known: what follows from it is decided now.
    fn go_on(&mut self, journal: Journal, states: States, now: Millis) {
        self.bus.is_of(journal.id() as u64);
        self.term = Term { journal: journal.id(), epoch: journal.epoch() };
        self.answers_above = journal.epoch() * ANSWERS_OF_AN_EPOCH;
        let (jobs, above) = (&self.jobs, self.answers_above);
        for worker in self.workers.values_mut() {
            let running = &worker.running;
            worker.outbox.go_on(above, |item| match item {
                Item::Assign(attempt, _) | Item::GiveUp(attempt, _) => running.contains(attempt),
                Item::Cancel(attempt) | Item::Replicate(attempt, _) => {
                    jobs.contains_key(&attempt.task.job)
                }
                Item::JobOver(over) => jobs.contains_key(&over.job),
            });
        }
        self.journal = Some(Arc::new(journal));
        for (build, state) in states {
            let mut scheduler = Scheduler::recovered(self.config.scheduler.clone(), state, now);
            let mut outcomes = Vec::new();
            scheduler.follow(now, &mut outcomes);
            self.pool(&build).scheduler = scheduler;
            for outcome in outcomes {
                self.apply(&build, outcome, &mut None, now);
            }
        }
        // What was given up, and had not ended yet.
        let given_up = self.jobs.values().filter(|job| job.is_running() && job.given_up.is_some());
        self.next = given_up.map(|job| (job.pool(), Event::Cancel { job: job.id })).collect();
        self.handle_next(now);
        self.explain_waiting(now);
    }
}
