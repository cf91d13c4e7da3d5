//! What a scheduler knows that no outcome carries: when workers were heard, what attempts have taken. With it a scheduler
//! can be had again that decides just as the first one does, which a recovered one does not.

use super::config::Config;
use super::marks::Marks;
use super::sharing::{KindSet, Shares};
use super::time::{Durations, Millis, Volatile};
use super::worker::Running;
use super::{Scheduler, State};
use serde::{Deserialize, Serialize};
use windrow_protocol::ids::{JobId, WorkerId};

/// What no outcome carries, between two events.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Measured {
    ticked: Millis,
    workers: Vec<(WorkerId, OfWorker)>,
    jobs: Vec<(JobId, OfJob)>,
    shares: Shares,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OfWorker {
    heard: Millis,
    pace_percent: u32,
    /// Of the attempts that run, in their order.
    running: Vec<OfRunning>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OfRunning {
    started: Millis,
    permille: u16,
    advanced: Millis,
    asked: Option<Millis>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OfJob {
    commit_at: Millis,
    durations: Vec<Durations>,
}

impl Scheduler {
    /// What this one knows that no outcome carries. To be asked between two events.
    pub(crate) fn measured(&self) -> Measured {
        let workers = self.state.workers.iter().map(|(&id, worker)| {
            let of = |of: &Running| OfRunning {
                started: of.started.0,
                permille: of.permille.0,
                advanced: of.advanced.0,
                asked: of.asked.0,
            };
            let running = worker.running.iter().map(of).collect();
            let (heard, pace_percent) = (worker.heard.0, worker.pace_percent.0);
            (id, OfWorker { heard, pace_percent, running })
        });
        let jobs = self.state.jobs.iter().map(|(&id, job)| {
            (id, OfJob { commit_at: job.commit_at.0, durations: job.durations.0.clone() })
        });
        let (workers, jobs) = (workers.collect(), jobs.collect());
        Measured { ticked: self.ticked, workers, jobs, shares: self.state.shares.0.clone() }
    }

    /// A scheduler that decides as the one did that had this state and knew this.
    pub(crate) fn resumed(config: Config, mut state: State, measured: Measured) -> Scheduler {
        for (id, of) in measured.workers {
            let Some(worker) = state.workers.get_mut(&id) else { continue };
            worker.heard = Volatile(of.heard);
            worker.pace_percent = Volatile(of.pace_percent);
            for (running, of) in worker.running.iter_mut().zip(of.running) {
                (running.started, running.permille) = (Volatile(of.started), Volatile(of.permille));
                (running.advanced, running.asked) = (Volatile(of.advanced), Volatile(of.asked));
            }
        }
        for (id, of) in measured.jobs {
            let Some(job) = state.jobs.get_mut(&id) else { continue };
            (job.commit_at, job.durations) = (Volatile(of.commit_at), Volatile(of.durations));
            job.kinds = Volatile(measured.shares.kinds_of(id));
        }
        state.shares = Volatile(measured.shares);
        #[cfg(test)]
        {
            state.planted = Volatile(config.mutation);
        }
        // Between two events nothing is left to follow.
        let (marks, slow, step) = (Marks::default(), Vec::new(), Vec::new());
        let (ticked, blocked) = (measured.ticked, (0, KindSet::default()));
        Scheduler { config, state, marks, ticked, slow, step, blocked, is_preempting: false }
    }
}
