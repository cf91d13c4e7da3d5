//! A number of workers that follows the work: commands of the user's start and end them, when there is more to do than those that
//! are there can do at once, or less for a while.
//!
//! Nothing is decided here that jobs depend on: a command that fails is told, and asked for again after a pause.

use super::core::Core;
use super::service::Service;
use super::worker::Standing;
use super::{End, pause};
use crate::scheduler::Millis;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;
use windrow_protocol::ids::WorkerId;

/// How often it is looked.
const LOOK: Duration = Duration::from_millis(500);

/// A command has so long.
const WITHIN: Duration = Duration::from_secs(60);

/// When workers are started and ended, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// The command that starts workers, for `sh`.
    pub up: String,
    /// The command that ends some; none if they stay.
    pub down: Option<String>,
    /// The fewest workers.
    pub workers_min: u32,
    /// The most workers.
    pub workers_max: u32,
    /// The slots of a worker, as long as none is there to tell.
    pub slots: u32,
    /// Workers are superfluous that had nothing to do for so long.
    pub idle_ms: u64,
    /// What was asked for is asked for again after so long, if it has not come.
    pub pause_ms: u64,
}

/// What is wanted, and what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Demand {
    wanted: u32,
    there: u32,
    /// Workers that run nothing, the last to come first.
    idle: Vec<WorkerId>,
}

/// What was seen and asked for so far.
#[derive(Debug, Default)]
struct Scaler {
    /// Since when there have been more workers than are wanted.
    above_since: Option<Millis>,
    /// What was asked for last, and when.
    asked: Option<(u32, Millis)>,
}

/// What to do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Up,
    /// These are superfluous.
    Down(Vec<WorkerId>),
}

impl Scaler {
    fn step(&mut self, of: &Scaling, demand: &Demand, now: Millis) -> Option<Step> {
        let Demand { wanted, there, idle } = demand;
        let may_ask =
            self.asked.is_none_or(|(asked, at)| asked != *wanted || now.since(at) >= of.pause_ms);
        if wanted > there {
            self.above_since = None;
            if !may_ask {
                return None;
            }
            self.asked = Some((*wanted, now));
            return Some(Step::Up);
        }
        if wanted == there || of.down.is_none() {
            self.above_since = None;
            return None;
        }
        let since = *self.above_since.get_or_insert(now);
        let superfluous: Vec<WorkerId> =
            idle.iter().copied().take((there - wanted) as usize).collect();
        if now.since(since) < of.idle_ms || superfluous.is_empty() || !may_ask {
            return None;
        }
        self.asked = Some((*wanted, now));
        Some(Step::Down(superfluous))
    }
}

impl Core {
    fn demand(&self, of: &Scaling) -> Demand {
        let ready = || self.workers.iter().filter(|(_, worker)| worker.standing == Standing::Ready);
        let (there, slots) = ready()
            .fold((0, 0), |(there, slots), (_, worker)| (there + 1, slots + worker.hello.slots));
        let each = slots.checked_div(there).unwrap_or(of.slots).max(1);
        let running = self.jobs.values().filter(|job| job.is_running());
        // One that lists its input, or commits, has a task too.
        let tasks: u64 = running.map(|job| job.tasks_to_do().max(1)).sum();
        let wanted = tasks.div_ceil(u64::from(each)).min(u64::from(u32::MAX)) as u32;
        let idle = ready().rev().filter(|(_, worker)| worker.running.is_empty());
        Demand {
            wanted: wanted.clamp(of.workers_min, of.workers_max.max(of.workers_min)),
            there,
            idle: idle.map(|(id, _)| *id).collect(),
        }
    }
}

/// Follows the work, if that is wanted. Never ends. Cancel safe: a command that runs is killed.
pub(super) async fn follow_work(service: Service) {
    let scaling = service.lock().0.config.scaling.clone();
    let Some(scaling) = scaling else { return std::future::pending().await };
    let mut scaler = Scaler::default();
    loop {
        pause(LOOK).await;
        let (demand, step) = {
            let (core, now) = service.lock();
            let demand = core.demand(&scaling);
            let step = scaler.step(&scaling, &demand, now);
            (demand, step)
        };
        let (command, superfluous) = match step {
            None => continue,
            Some(Step::Up) => (&scaling.up, Vec::new()),
            Some(Step::Down(superfluous)) => {
                (scaling.down.as_ref().unwrap_or(&scaling.up), superfluous)
            }
        };
        if matches!(*service.shared.end.borrow(), End::No) {
            run(command, &demand, &superfluous, &service.shared.address.to_string()).await;
        }
    }
}

async fn run(command: &str, demand: &Demand, superfluous: &[WorkerId], address: &str) {
    let names: Vec<String> = superfluous.iter().map(ToString::to_string).collect();
    tracing::info!(
        command,
        there = demand.there,
        wanted = demand.wanted,
        "the number of workers is to change"
    );
    let child = Command::new("sh")
        .args(["-c", command])
        .env("WINDROW_WORKERS", demand.there.to_string())
        .env("WINDROW_WORKERS_WANTED", demand.wanted.to_string())
        .env("WINDROW_WORKERS_IDLE", names.join(" "))
        .env("WINDROW_COORDINATOR", address)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .status();
    match tokio::time::timeout(WITHIN, child).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::warn!(command, %status, "the number of workers was not changed"),
        Ok(Err(error)) => tracing::warn!(command, %error, "the number of workers was not changed"),
        Err(_) => {
            tracing::warn!(command, within = ?WITHIN, "what changes the number of workers did not end")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaling() -> Scaling {
        Scaling {
            up: "up".to_owned(),
            down: Some("down".to_owned()),
            workers_min: 0,
            workers_max: 10,
            slots: 1,
            idle_ms: 1_000,
            pause_ms: 5_000,
        }
    }

    fn demand(wanted: u32, there: u32, idle: &[u64]) -> Demand {
        Demand { wanted, there, idle: idle.iter().map(|id| WorkerId(*id)).collect() }
    }

    #[test]
    fn more_are_asked_for_once_until_they_had_time_to_come() {
        let (mut scaler, of) = (Scaler::default(), scaling());
        let mut step =
            |wanted, there, at| scaler.step(&of, &demand(wanted, there, &[]), Millis(at));
        assert_eq!(step(4, 0, 0), Some(Step::Up));
        assert_eq!(step(4, 0, 1_000), None);
        assert_eq!(step(5, 2, 2_000), Some(Step::Up), "more are wanted than were asked for");
        assert_eq!(step(5, 4, 6_999), None);
        assert_eq!(step(5, 4, 7_000), Some(Step::Up), "one has not come");
        assert_eq!(step(5, 5, 20_000), None);
    }

    #[test]
    fn idle_ones_go_when_they_were_too_many_for_a_while() {
        let (mut scaler, of) = (Scaler::default(), scaling());
        let mut step = |wanted, there, idle: &[u64], at| {
            scaler.step(&of, &demand(wanted, there, idle), Millis(at))
        };
        assert_eq!(step(2, 4, &[4, 3, 2], 0), None);
        assert_eq!(step(4, 4, &[], 500), None, "there was work in between");
        assert_eq!(step(2, 4, &[4, 3, 2], 900), None);
        assert_eq!(step(2, 4, &[], 1_900), None, "none is idle");
        assert_eq!(step(2, 4, &[4, 3, 2], 2_000), Some(Step::Down(vec![WorkerId(4), WorkerId(3)])));
        assert_eq!(step(2, 4, &[4, 3, 2], 3_000), None);
        assert_eq!(step(2, 3, &[3], 8_000), Some(Step::Down(vec![WorkerId(3)])));
        let without = Scaling { down: None, ..scaling() };
        assert_eq!(Scaler::default().step(&without, &demand(0, 9, &[1]), Millis(1)), None);
    }
}
