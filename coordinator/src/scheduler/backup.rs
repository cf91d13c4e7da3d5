//! Backup attempts: of attempts that will take much longer than others of their stage, the one with the longest time to its
//! end first, on workers that are not slow themselves; and, if that is wanted, of all tasks of small jobs at once.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::marks::Mark;
use super::task::Status;
use super::time::Durations;
use super::worker::{Running, Worker};
use std::collections::BTreeMap;
use windrow_protocol::ids::{AttemptId, JobId, TaskKind, WorkerId};

/// What is told of an attempt of unknown length.
pub(super) const FOR_EVER: u64 = u64::MAX;

impl Decider<'_> {
    /// A backup attempt of a slow one, on another worker.
    pub(crate) fn back_up(&mut self, slow: AttemptId) {
        let limit = self.state.slots * u64::from(self.config.backup.slots_percent) / 100;
        if self.state.backups >= limit.max(1) {
            return;
        }
        let Some((job, group)) = self.state.find(slow.task) else { return };
        let task = &job.groups[group as usize].tasks[slow.task.partition as usize];
        let Some(lease) = task.lease(slow.number) else { return };
        if task.running() != 1 || task.status != Status::Running || !job.may_start(group) {
            return;
        }
        let by = self.state.workers.get(&lease.worker);
        let is_silent = by.is_none_or(|worker| self.is_silent(worker));
        let free = self
            .state
            .free
            .iter()
            .map(|&(_, id)| id)
            .filter(|&id| id != lease.worker || self.planted(Mutation::BackUpBeside))
            .filter(|&id| self.has_room_for(job, group, id));
        let mut passed_over = false;
        let other = free.into_iter().find(|id| {
            let takes = is_silent || !self.is_slow(*id);
            passed_over |= !takes;
            takes
        });
        if passed_over {
            self.marks.mark(Mark::SlowPassedOver);
        }
        if let Some(worker) = other {
            let running = self.state.workers.get(&lease.worker).and_then(|by| by.running(slow));
            let asks = |running| self.ask_for_rest(job, group, lease.worker, running);
            if !is_silent && running.is_some_and(asks) {
                return;
            }
            self.marks.mark(Mark::Backup);
            self.assign(job, group, slow.task.partition, worker, true);
        }
    }

    /// A second attempt of a task of a small job, on another worker, as long as nobody else wants the slot.
    pub(crate) fn double(&mut self) {
        let below = self.config.backup.twice_below as usize;
        if below == 0 || self.state.free.is_empty() || self.is_anything_open() {
            return;
        }
        for job in self.state.jobs.values().filter(|job| job.running > 0 && job.tasks() < below) {
            for (group, of) in (0..).zip(&job.groups).filter(|(_, of)| of.running > 0) {
                if job.stage_of(group).is_none() || !job.may_start(group) {
                    continue;
                }
                for (partition, task) in (0..).zip(&of.tasks) {
                    // Of one that has had another attempt it is known why.
                    let [Some(lease), None] = task.leases else { continue };
                    let is_first = lease.number == 0 && task.next == 1;
                    let mut free = self.state.free.iter().map(|&(_, id)| id);
                    let other = free.find(|&id| {
                        id != lease.worker && !self.is_slow(id) && self.has_room_for(job, group, id)
                    });
                    if let Some(worker) = other.filter(|_| is_first) {
                        self.marks.mark(Mark::Doubled);
                        return self.assign(job, group, partition, worker, true);
                    }
                }
            }
        }
    }

    fn is_silent(&self, worker: &Worker) -> bool {
        let silent_ms = self.config.lease_ms * self.config.backup.silent_percent / 100;
        self.now.since(worker.heard.0) >= silent_ms
    }

    pub(super) fn is_slow(&self, worker: WorkerId) -> bool {
        let worker = self.state.workers.get(&worker);
        worker.is_some_and(|worker| worker.pace_percent.0 > self.config.backup.pace_percent_max)
    }

    /// Attempts that are slow for their stage, or whose worker is silent; that which will take longest is the last.
    pub(crate) fn slow_attempts(&self) -> Vec<AttemptId> {
        let backup = &self.config.backup;
        let mut slow = Vec::new();
        if !backup.enabled || self.state.free.is_empty() || self.is_anything_open() {
            return Vec::new();
        }
        let mut medians: BTreeMap<(JobId, u32), Option<u64>> = BTreeMap::new();
        for worker in self.state.workers.values() {
            let silent = self.is_silent(worker);
            for running in &worker.running {
                let task = running.attempt.task;
                let elapsed_ms = self.now.since(running.started.0);
                if elapsed_ms < backup.elapsed_ms_min || task.kind != TaskKind::Compute {
                    continue;
                }
                let Some((job, group)) = self.state.find(task) else { continue };
                let median = medians.entry((task.job, group));
                let Some(median_ms) = *median.or_insert_with(|| self.median_ms(job, group)) else {
                    continue;
                };
                // One that has not come further for as long as others take in all may never end, be it ever so far.
                let stands_ms = self.now.since(running.advanced.0);
                let stands = stands_ms > median_ms.max(backup.elapsed_ms_min);
                let left_ms = if stands { FOR_EVER } else { left_ms(running, elapsed_ms) };
                let limit_ms = median_ms * backup.slower_than_median;
                let is_slow = match left_ms {
                    FOR_EVER => elapsed_ms > limit_ms,
                    // A backup attempt would take about the median.
                    left_ms => elapsed_ms + left_ms > limit_ms && left_ms > median_ms,
                };
                if silent || is_slow {
                    slow.push((left_ms, running.attempt));
                }
            }
        }
        slow.sort_unstable();
        slow.into_iter().map(|(_, attempt)| attempt).collect()
    }

    /// The median of what the attempts of a group have taken; `None` while too few are committed to say.
    pub(super) fn median_ms(&self, job: &Job, group: u32) -> Option<u64> {
        let found = &job.groups[group as usize];
        let committed = u64::from(found.committed) * 100;
        let wanted = found.tasks.len() as u64 * u64::from(self.config.backup.committed_percent);
        if committed < wanted {
            return None;
        }
        job.durations.0.get(group as usize).and_then(Durations::median_ms)
    }
}

/// How long an attempt will take still, if it goes on as it has.
pub(super) fn left_ms(running: &Running, elapsed_ms: u64) -> u64 {
    match u64::from(running.permille.0.min(1000)) {
        0 => FOR_EVER,
        done => elapsed_ms * (1000 - done) / done,
    }
}
