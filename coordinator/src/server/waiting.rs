//! What people are told of jobs that wait, and what becomes of jobs that wait in vain.

use super::binaries::JobBinary;
use super::core::Core;
use super::job::Job;
use crate::scheduler::{Millis, State};
use windrow_protocol::control::{BinaryId, JobState};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::JobId;

impl Core {
    /// Says of each job what it waits for, and gives up those that no connected worker has the code of, or gets it.
    pub(crate) fn explain_waiting(&mut self, now: Millis) {
        let connected = self
            .workers
            .values()
            .find(|worker| worker.is_known())
            .map(|worker| worker.hello.binary.clone());
        let mut wrong = Vec::new();
        for pool in self.pools.values() {
            for id in &pool.jobs {
                let Some(job) = self.jobs.get_mut(id) else { continue };
                let differs = connected.as_ref().filter(|_| pool.alive.is_empty());
                let waiting = match (&connected, differs) {
                    (None, _) => Some(
                        "no worker is connected: start one with `windrow worker --coordinator HOST:PORT`"
                            .to_owned(),
                    ),
                    (_, Some(other)) => Some(no_such_worker(job, other)),
                    _ if job.binary_wanted.is_some() => Some(BINARY_WANTED.to_owned()),
                    _ if job.running == 0 => Some(waits_for(pool.scheduler.state(), *id)),
                    _ => None,
                };
                match differs {
                    None => job.wrong_binary_since = None,
                    Some(_) => {
                        let since = *job.wrong_binary_since.get_or_insert(now);
                        if now.since(since) >= self.config.wrong_binary_ms {
                            wrong.push((*id, waiting.clone().unwrap_or_default()));
                        }
                    }
                }
                if let Some(since) = job.binary_wanted
                    && now.since(since) >= self.config.binary_ms
                {
                    wrong.push((*id, no_binary(now.since(since))));
                }
                let state = JobState::Running { waiting };
                if job.is_running() && job.state != state {
                    job.state = state;
                    job.news.add();
                }
            }
        }
        for (job, text) in wrong {
            self.give_up(job, Failure::new(FailureClass::WrongBinary, text), now);
        }
        self.handle_next(now);
    }
}

/// What a job waits for of which nothing runs.
fn waits_for(state: &State, job: JobId) -> String {
    let Some((queue, before)) = state.place_in_queue(job) else { return state.lacks(job) };
    match before {
        0 => format!("a place in queue `{queue}`: it is the next"),
        1 => format!("a place in queue `{queue}`: 1 job is before it"),
        before => format!("a place in queue `{queue}`: {before} jobs are before it"),
    }
}

/// What a job waits for whose binary has not come.
const BINARY_WANTED: &str = "its binary, which the program that submitted it sends";

fn no_binary(ms: u64) -> String {
    format!(
        "workers need the job's binary, and the program that submitted it has not sent any of it for {} s: submit the job again, and let that program run until the job ends",
        ms / 1000
    )
}

fn no_such_worker(job: &Job, worker: &BinaryId) -> String {
    if let Some(JobBinary { machine, .. }) = &job.binary {
        return format!(
            "no connected worker runs binaries for {machine}; there are such as {} (build {}): start workers on {machine}, or name with `--binary` the job's binary for their kind of machine",
            worker.name, worker.build
        );
    }
    let job = &job.submission.binary;
    format!(
        "no connected worker runs the job's binary {} (build {}); they run {} (build {}): start workers with the job's binary",
        job.name, job.build, worker.name, worker.build
    )
}
