//! A coordinator that goes on from a journal: what was decided is applied once more, and then all is as it was, but for what
//! workers have been told. They are told again.

use super::config::Config;
use super::core::Core;
use super::job::Job;
use super::outbox::{Item, Outbox};
use super::records::Kept;
use super::worker::Worker;
use crate::journal::{Found, Journal, JournalError};
use crate::scheduler::{Event, HostId, Millis, Outcome};
use std::path::Path;
use std::sync::Arc;
use windrow_protocol::control::{JobSubmission, WorkerHello};
use windrow_protocol::ids::{AttemptId, JobId, WorkerId};
use windrow_protocol::task::TaskOutput;

/// Answers to polls are numbered from one above this times the epoch, so that no number of an earlier coordinator comes
/// again.
const ANSWERS_OF_AN_EPOCH: u64 = 1 << 32;

impl Core {
    /// What a coordinator knew that had this folder, and goes on with journalling there.
    ///
    /// # Errors
    /// [`JournalError`].
    pub(super) fn recover(
        config: Config,
        folder: &Path,
        now: Millis,
    ) -> Result<Core, JournalError> {
        let mut core = Core::new(config);
        let journal = Journal::open(folder, |found| match found {
            Found::Record { kind, content } => {
                core.apply_again(Kept::read(kind, content)?);
                Ok(())
            }
            Found::Snapshot(_) => Err("it is a snapshot".to_owned()),
        })?;
        core.go_on(journal, now);
        Ok(core)
    }

    fn apply_again(&mut self, kept: Kept) {
        match kept {
            Kept::Admitted(job, submission) => self.admitted_again(job, submission),
            Kept::Joined(worker, hello) => self.joined_again(worker, hello),
            Kept::Decided(build, outcome, arrived) => self.decided_again(&build, outcome, arrived),
            Kept::GivenUp(job, why) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.given_up = Some(why);
                }
            }
        }
    }

    fn admitted_again(&mut self, id: JobId, submission: JobSubmission) {
        self.next_job = self.next_job.max(id.0 + 1);
        let build = submission.binary.build.clone();
        let outcome = Outcome::JobAdmitted {
            job: id,
            name: submission.name.clone(),
            weight: submission.weight,
            shape: Box::new(submission.shape.clone()),
        };
        self.job_tokens.insert(submission.token, id);
        self.jobs.insert(id, Job::new(id, submission, Millis(0)));
        self.pool(&build).jobs.insert(id);
        self.decided_again(&build, outcome, None);
    }

    fn joined_again(&mut self, worker: WorkerId, hello: WorkerHello) {
        self.next_worker = self.next_worker.max(worker.0 + 1);
        let (host, build) = (self.host(&hello.host), hello.binary.build.clone());
        let (slots, memory) = (hello.slots, hello.memory);
        self.worker_tokens.insert(hello.token, worker);
        self.workers.insert(worker, Worker::new(hello, Outbox::default()));
        self.pool(&build).alive.insert(worker);
        let named = build.as_str().into();
        let outcome = Outcome::WorkerJoined { worker, slots, memory, host, build: named };
        self.decided_again(&build, outcome, None);
    }

    fn decided_again(
        &mut self,
        build: &str,
        outcome: Outcome,
        mut arrived: Option<(AttemptId, TaskOutput)>,
    ) {
        self.pool(build).scheduler.apply_again(&outcome);
        self.apply(build, outcome, &mut arrived, Millis(0));
    }

    /// The number of a host.
    pub(super) fn host(&mut self, name: &str) -> HostId {
        let fresh = HostId(self.hosts.len() as u32);
        *self.hosts.entry(name.to_owned()).or_insert(fresh)
    }

    /// All that was decided is known: what follows from it is decided now.
    fn go_on(&mut self, journal: Journal, now: Millis) {
        self.answers_above = journal.epoch() * ANSWERS_OF_AN_EPOCH;
        let (jobs, above) = (&self.jobs, self.answers_above);
        for worker in self.workers.values_mut() {
            let running = &worker.running;
            worker.outbox.go_on(above, |item| match item {
                Item::Assign(attempt, _) => running.contains(attempt),
                Item::Cancel(attempt) => jobs.contains_key(&attempt.task.job),
                Item::JobOver(over) => jobs.contains_key(&over.job),
            });
        }
        self.journal = Some(Arc::new(journal));
        let builds: Vec<String> = self.pools.keys().cloned().collect();
        for build in &builds {
            let mut outcomes = Vec::new();
            if let Some(pool) = self.pools.get_mut(build) {
                pool.scheduler.go_on(now, &mut outcomes);
            }
            for outcome in outcomes {
                self.apply(build, outcome, &mut None, now);
            }
        }
        // What was given up, and had not ended yet.
        while let Some((build, event)) = self.next.pop_front() {
            self.handle(&build, event, None, now);
        }
        for job in self.given_up_and_running() {
            if let Some(build) = self.jobs.get(&job).map(|of| of.submission.binary.build.clone()) {
                self.handle(&build, Event::Cancel { job }, None, now);
            }
        }
        self.explain_waiting(now);
    }

    fn given_up_and_running(&self) -> Vec<JobId> {
        let given_up =
            self.jobs.iter().filter(|(_, job)| job.is_running() && job.given_up.is_some());
        given_up.map(|(&id, _)| id).collect()
    }
}
