//! Which worker most likely reads which buckets of a shuffle: each has a share of them, which it may fetch while map tasks
//! still run, and tasks that read its share go to it first. Nothing depends on it but how much is fetched early.

use super::job::Job;
use super::state::State;
use super::task::{Status, Task};
use serde::{Deserialize, Serialize};
use std::ops::Range;
use windrow_protocol::ids::{JobId, StageId, WorkerId};
use windrow_protocol::parts::Part;
use windrow_protocol::shape::Cut;

/// The fresh tasks of a stage that a worker should run first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Home {
    pub(crate) worker: WorkerId,
    /// Not used yet, unless there is none: then it is the end.
    pub(crate) next: u32,
    end: u32,
}

impl Home {
    /// The first of its tasks, if there is one.
    pub(crate) fn first(&self) -> Option<u32> {
        (self.next < self.end).then_some(self.next)
    }
}

/// The buckets of a shuffle that the worker of this number has, of so many.
fn share(at: usize, of: usize, buckets: u32) -> Range<u32> {
    let bound = |at: usize| (at as u64 * u64::from(buckets)).div_ceil(of as u64) as u32;
    bound(at)..bound(at + 1)
}

impl State {
    /// The workers that share the buckets of shuffles, by id: those that take work, unless all are on one host, where
    /// each reads the others' files.
    fn sharers(&self) -> Vec<WorkerId> {
        let working = || self.workers.iter().filter(|(_, worker)| worker.takes_work());
        let first = working().next().map(|(_, worker)| worker.host);
        if working().all(|(_, worker)| Some(worker.host) == first) {
            return Vec::new();
        }
        working().map(|(&id, _)| id).collect()
    }

    /// The buckets that a worker may fetch ahead of any shuffle with so many, if it may.
    pub(crate) fn share_of(&self, worker: WorkerId) -> Option<impl Fn(u32) -> Range<u32> + use<>> {
        let sharers = self.sharers();
        let at = sharers.binary_search(&worker).ok()?;
        Some(move |buckets| share(at, sharers.len(), buckets))
    }

    /// Which worker should run which tasks of a stage that reads shuffles, by task.
    pub(crate) fn homes(&self, tasks: u32, cut: Cut, parts: &[Part]) -> Vec<Home> {
        let sharers = self.sharers();
        let first_bucket = |task: u32| match parts.get(task as usize) {
            Some(part) => part.first,
            None => cut.buckets_of(task).start,
        };
        let mut next = 0;
        let mut homes = Vec::with_capacity(sharers.len());
        for (at, &worker) in sharers.iter().enumerate() {
            let bound = share(at, sharers.len(), cut.buckets).end;
            let mut end = next;
            while end < tasks && first_bucket(end) < bound {
                end += 1;
            }
            homes.push(Home { worker, next, end });
            next = end;
        }
        homes
    }

    /// Whether a stage has not opened, so that what it reads may be fetched ahead.
    pub(crate) fn is_unopened(&self, job: JobId, stage: StageId) -> bool {
        self.jobs.get(&job).is_some_and(|job: &Job| job.unopened.contains(&stage.0))
    }
}

/// The home of a task was used: moves past what is not fresh any more.
pub(crate) fn skip_used(homes: &mut [Home], tasks: &[Task], used: u32) {
    let at = homes.partition_point(|home| home.end <= used);
    if let Some(home) = homes.get_mut(at) {
        let is_fresh =
            |at: u32| tasks.get(at as usize).is_none_or(|task| task.status == Status::Fresh);
        while home.next < home.end && !is_fresh(home.next) {
            home.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_cover_all_buckets_once() {
        for (of, buckets) in [(1, 1), (3, 4), (5, 4), (7, 1024), (64, 65)] {
            let mut next = 0;
            for at in 0..of {
                let share = share(at, of, buckets);
                assert_eq!(share.start, next, "{at} of {of}");
                next = share.end;
            }
            assert_eq!(next, buckets);
        }
    }
}
