//! Which task starts next, and where: the least loaded worker, the job that has least of the slots for its weight,
//! tasks that ran before, then tasks whose bytes are near or were fetched ahead, then the first.
//!
//! A free slot never waits for a task that is near, nor a task for a worker that is: the bound of that wait is zero.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::marks::Mark;
use super::outcome::Outcome;
use super::task::Status;
use super::time::Durations;
use super::worker::Worker;
use std::collections::BTreeMap;
use windrow_protocol::ids::{AttemptId, JobId, LaneRange, TaskKind, WorkerId};

/// Tasks that are looked at for one that has not failed on a worker.
const RETRIES_LOOKED_AT: usize = 8;

impl Decider<'_> {
    /// The next task starts. A task avoids one worker at most, so that if two workers can take none, no one can.
    pub(crate) fn dispatch(&mut self) {
        if self.state.ready.is_empty() {
            return;
        }
        let draining = self.state.draining.iter().copied().filter(|id| {
            self.planted(Mutation::WorkWhileDraining)
                && self.state.workers.get(id).is_some_and(|w| w.used < w.slots)
        });
        let free = self.state.free.iter().map(|&(_, id)| id);
        let workers: [Option<WorkerId>; 2] = {
            let mut all = draining.chain(free);
            [all.next(), all.next()]
        };
        for id in workers.into_iter().flatten() {
            let Some(worker) = self.state.workers.get(&id) else { continue };
            for (_, job) in &self.state.ready {
                let Some(job) = self.state.jobs.get(job) else { continue };
                if let Some((group, partition)) = self.pick(job, id, worker) {
                    return self.assign(job, group, partition, id, false);
                }
            }
        }
    }

    fn assign(&mut self, job: &Job, group: u32, partition: u32, worker: WorkerId, backup: bool) {
        let task = job.task_id(group, partition);
        let number = job.groups[group as usize].tasks[partition as usize].next;
        let attempt = AttemptId { task, number };
        self.out.push(Outcome::Assigned { attempt, worker, lanes: LaneRange::ALL, backup });
    }

    fn pick(&mut self, job: &Job, id: WorkerId, worker: &Worker) -> Option<(u32, u32)> {
        let others = self.state.workers.len() - self.state.draining.len() > 1;
        for &group in &job.ready_retries {
            if group == job.commit_group() && self.now < job.commit_at.0 {
                continue;
            }
            let retries = &job.groups[group as usize].retries;
            for (&partition, &avoid) in retries.iter().take(RETRIES_LOOKED_AT) {
                if avoid != id || !others {
                    return Some((group, partition));
                }
                self.marks.mark(Mark::Avoided);
            }
        }
        let &group = job.ready_fresh.first()?;
        let found = &job.groups[group as usize];
        if let Some(&near) = found.by_host.get(&worker.host).and_then(|list| list.last()) {
            self.marks.mark(Mark::Local);
            return Some((group, near));
        }
        if let Ok(at) = found.homes.binary_search_by_key(&id, |home| home.worker)
            && let Some(own) = found.homes[at].first()
        {
            self.marks.mark(Mark::AtHome);
            return Some((group, own));
        }
        Some((group, found.fresh))
    }

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
        let other = self.state.free.iter().map(|&(_, id)| id).find(|&id| id != lease.worker);
        if let Some(worker) = other {
            self.marks.mark(Mark::Backup);
            self.assign(job, group, slow.task.partition, worker, true);
        }
    }

    /// Attempts that are slow for their stage, or whose worker is silent.
    pub(crate) fn slow_attempts(&self) -> Vec<AttemptId> {
        let backup = &self.config.backup;
        let mut slow = Vec::new();
        if !backup.enabled || self.state.free.is_empty() || !self.state.ready.is_empty() {
            return slow;
        }
        let silent_ms = self.config.lease_ms * backup.silent_percent / 100;
        let mut limits: BTreeMap<(JobId, u32), Option<u64>> = BTreeMap::new();
        for worker in self.state.workers.values() {
            let silent = self.now.since(worker.heard.0) >= silent_ms;
            for running in &worker.running {
                let task = running.attempt.task;
                let elapsed = self.now.since(running.started.0);
                if elapsed < backup.elapsed_ms_min || task.kind != TaskKind::Compute {
                    continue;
                }
                let Some((job, group)) = self.state.find(task) else { continue };
                let limit =
                    *limits.entry((task.job, group)).or_insert_with(|| self.limit_ms(job, group));
                if limit.is_some_and(|limit| silent || elapsed > limit) {
                    slow.push(running.attempt);
                }
            }
        }
        slow
    }

    /// How long an attempt of a group may take before it is slow; `None` while too few are committed to say.
    fn limit_ms(&self, job: &Job, group: u32) -> Option<u64> {
        let found = &job.groups[group as usize];
        let committed = u64::from(found.committed) * 100;
        let wanted = found.tasks.len() as u64 * u64::from(self.config.backup.committed_percent);
        if committed < wanted {
            return None;
        }
        let median = job.durations.0.get(group as usize).and_then(Durations::median_ms)?;
        Some(median * self.config.backup.slower_than_median)
    }
}
