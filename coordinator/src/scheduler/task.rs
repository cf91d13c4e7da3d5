//! One task: 56 bytes, so that ten million fit in a gibibyte. And a group: all tasks of one kind in one stage.

use super::event::HostId;
use super::homes::{self, Home};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::ids::WorkerId;

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Status {
    /// It has never run.
    Fresh,
    /// It is to run again.
    Queued,
    /// It has one lease or two.
    Running,
    /// It is done.
    Committed,
}

/// A running attempt of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lease {
    pub(crate) worker: WorkerId,
    pub(crate) number: u32,
    pub(crate) backup: bool,
}

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) leases: [Option<Lease>; 2],
    /// The worker and the number of the attempt that committed, the last time; 0 before.
    pub(crate) by: WorkerId,
    pub(crate) by_number: u32,
    /// The number of the next attempt.
    pub(crate) next: u32,
    pub(crate) status: Status,
    /// How often it failed by its own fault, went with a worker, ran again through no fault of its own.
    pub(crate) failures: u8,
    pub(crate) losses: u8,
    pub(crate) misses: u8,
}

impl Task {
    pub(crate) const FRESH: Task = Task {
        leases: [None; 2],
        by: WorkerId(0),
        by_number: 0,
        next: 0,
        status: Status::Fresh,
        failures: 0,
        losses: 0,
        misses: 0,
    };

    /// One that has not run, and is not among those that have not.
    pub(crate) const QUEUED: Task = Task { status: Status::Queued, ..Task::FRESH };

    /// Whether it has ever been committed.
    pub(crate) fn was_done(&self) -> bool {
        self.by != WorkerId(0)
    }

    /// The lease of an attempt, if it is running.
    pub(crate) fn lease(&self, number: u32) -> Option<Lease> {
        self.leases.iter().flatten().copied().find(|lease| lease.number == number)
    }

    pub(crate) fn running(&self) -> usize {
        self.leases.iter().flatten().count()
    }

    /// Ends a lease, and says whether there was one.
    pub(crate) fn end(&mut self, number: u32) -> bool {
        for slot in &mut self.leases {
            if slot.is_some_and(|lease| lease.number == number) {
                *slot = None;
                return true;
            }
        }
        false
    }
}

/// All tasks of one kind in one stage of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) tasks: Vec<Task>,
    pub(crate) open: bool,
    pub(crate) committed: u32,
    pub(crate) running: u32,
    /// All tasks before it have run.
    pub(crate) fresh: u32,
    /// Tasks that are to run again, and the worker that they should not run on (0: any will do).
    pub(crate) retries: BTreeMap<u32, WorkerId>,
    /// Committed tasks whose output is gone, which matters once somebody needs it.
    pub(crate) gone: BTreeSet<u32>,
    /// Fresh tasks by the hosts that have their bytes, the first last. The last of each list is fresh.
    pub(crate) by_host: BTreeMap<HostId, Vec<u32>>,
    /// Which worker should run which fresh tasks, by task; none where that does not matter.
    pub(crate) homes: Vec<Home>,
    /// Counts commits and reopened tasks.
    pub(crate) version: u64,
}

impl Group {
    /// A group of fresh tasks.
    pub(crate) fn opened(tasks: u32) -> Group {
        Group { tasks: vec![Task::FRESH; tasks as usize], open: true, ..Group::default() }
    }

    pub(crate) fn complete(&self) -> bool {
        self.open && self.committed as usize == self.tasks.len()
    }

    pub(crate) fn has_fresh(&self) -> bool {
        (self.fresh as usize) < self.tasks.len()
    }

    /// A task was used that has its bytes on these hosts: moves past what is not fresh any more.
    pub(crate) fn skip_used(&mut self, used_now: u32, hosts: &[HostId]) {
        homes::skip_used(&mut self.homes, &self.tasks, used_now);
        let used = |tasks: &[Task], at: u32| {
            tasks.get(at as usize).is_some_and(|task| task.status != Status::Fresh)
        };
        while used(&self.tasks, self.fresh) {
            self.fresh += 1;
        }
        for host in hosts {
            if let Some(list) = self.by_host.get_mut(host) {
                while list.last().is_some_and(|&at| used(&self.tasks, at)) {
                    list.pop();
                }
                if list.is_empty() {
                    self.by_host.remove(host);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_small() {
        assert!(size_of::<Task>() <= 64, "{}", size_of::<Task>());
    }
}
