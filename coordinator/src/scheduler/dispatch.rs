//! Which task starts next, and where: the least loaded worker, the job that has least of the slots for its weight,
//! tasks that ran before, then tasks whose bytes are near or were fetched ahead, then the first.
//!
//! A free slot never waits for a task that is near, nor a task for a worker that is: the bound of that wait is zero.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::marks::Mark;
use super::outcome::Outcome;
use super::worker::Worker;
use std::collections::BTreeSet;
use windrow_protocol::ids::{AttemptId, LaneRange, WorkerId};

/// Tasks that are looked at for one that has not failed on a worker.
const RETRIES_LOOKED_AT: usize = 8;

impl Decider<'_> {
    /// The next task starts. A task avoids one worker at most, so that if two workers can take none, no one can.
    pub(crate) fn dispatch(&mut self) {
        if self.state.ready.is_empty() {
            return;
        }
        let has_slot = |id: &WorkerId| {
            self.state.workers.get(id).is_some_and(|worker| worker.used < worker.slots)
        };
        let planted = |mutation, workers: &'_ BTreeSet<WorkerId>| {
            let found = workers.iter().copied().find(has_slot);
            found.filter(|_| self.planted(mutation))
        };
        let draining = planted(Mutation::WorkWhileDraining, &self.state.draining).into_iter();
        let aside = planted(Mutation::WorkWhileAside, &self.state.aside).into_iter();
        let overbooked = self.planted(Mutation::Overbook);
        let full = self.state.workers.iter().find(|(_, worker)| worker.takes_work());
        let full = full.map(|(&id, _)| id).filter(|_| overbooked).into_iter();
        let free = self.state.free.iter().map(|&(_, id)| id);
        let workers: [Option<WorkerId>; 2] = {
            let mut all = draining.chain(aside).chain(full).chain(free);
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

    pub(crate) fn assign(
        &mut self,
        job: &Job,
        group: u32,
        partition: u32,
        worker: WorkerId,
        backup: bool,
    ) {
        let task = job.task_id(group, partition);
        let number = job.groups[group as usize].tasks[partition as usize].next;
        let attempt = AttemptId { task, number };
        let keeps = self.planted(Mutation::KeepRest);
        let lanes = if keeps { LaneRange::ALL } else { job.lanes(group, partition) };
        self.out.push(Outcome::Assigned { attempt, worker, lanes, backup });
    }

    fn pick(&mut self, job: &Job, id: WorkerId, worker: &Worker) -> Option<(u32, u32)> {
        let others = self.state.takers() > 1;
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
        if self.planted(Mutation::RunTwice) && found.fresh > 0 {
            return Some((group, found.fresh - 1));
        }
        Some((group, found.fresh))
    }
}
