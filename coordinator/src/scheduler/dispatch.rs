//! Which task starts next, and where: the job that is next by what it shares with others, of its tasks those that ran before,
//! on the least loaded worker that has what they need, then those whose bytes are near or were fetched ahead, then the first.
//!
//! A free slot never waits for a task that is near, nor a task for a worker that is: the bound of that wait is zero. Only for
//! an attempt that needs several slots, of the job that is next, are the free slots of a worker kept.

use super::config::Mutation;
use super::decide::Decider;
use super::job::Job;
use super::marks::Mark;
use super::outcome::Outcome;
use super::sharing::Kind;
use super::worker::Worker;
use std::collections::BTreeSet;
use windrow_protocol::claim::Needs;
use windrow_protocol::ids::{AttemptId, LaneRange, WorkerId};

/// Tasks that are looked at for one that has not failed on a worker.
const RETRIES_LOOKED_AT: usize = 8;

impl Decider<'_> {
    /// The next task starts. A task avoids one worker at most, so that if two workers can take none, no one can.
    pub(crate) fn dispatch(&mut self) {
        let shares = &self.state.shares.0;
        let open = shares.ready().without(*self.blocked);
        if open.is_empty() {
            return;
        }
        // Where no slot is free nobody need be asked whose turn it is: there may be thousands.
        if self.candidates().next().is_none() {
            return;
        }
        let mut kept = None;
        for id in shares.in_order(open.or(shares.wide()), self.state.slots) {
            let Some(job) = self.state.jobs.get(&id) else { continue };
            if let Some((group, partition, worker)) = self.place(job, kept) {
                return self.assign(job, group, partition, worker, false);
            }
            if kept.is_none() {
                kept = self.kept_for(job);
            }
        }
    }

    /// Whether anything could start, if workers that have room could take it.
    pub(crate) fn is_anything_open(&self) -> bool {
        !self.state.shares.0.ready().without(*self.blocked).is_empty()
    }

    /// Whether a worker has room for another attempt of a task of this group, and the user of its job may have that.
    pub(crate) fn has_room_for(&self, job: &Job, group: u32, id: WorkerId) -> bool {
        let takes = self.takes(&self.needs(job.kind(group)), id);
        takes.is_some_and(|slots| self.may_have(job, slots))
    }

    fn needs(&self, kind: Kind) -> Needs {
        self.state.shares.0.needs(kind).cloned().unwrap_or_default()
    }

    /// The slots that an attempt takes of a worker which has so many free.
    fn takes(&self, needs: &Needs, id: WorkerId) -> Option<u32> {
        let worker = self.state.workers.get(&id)?;
        let mut slots = worker.slots_for(needs);
        if self.planted(Mutation::IgnoreLabels) {
            slots = worker.slots_for(&Needs { labels: Vec::new(), ..needs.clone() });
        }
        let free = worker.slots.saturating_sub(worker.used);
        let overbooked = self.planted(Mutation::Overbook);
        slots.filter(|&slots| slots <= free || overbooked)
    }

    fn may_have(&self, job: &Job, slots: u32) -> bool {
        self.state.shares.0.may_have(job.id, slots) || self.planted(Mutation::IgnoreUserLimit)
    }

    /// A task of a job that may start, and where; not on the worker whose slots are kept.
    fn place(&mut self, job: &Job, kept: Option<WorkerId>) -> Option<(u32, u32, WorkerId)> {
        for &group in &job.ready_retries {
            if group == job.commit_group() && self.now < job.commit_at.0 {
                continue;
            }
            for id in self.free_for(job, group, kept).into_iter().flatten() {
                if let Some(partition) = self.pick_retry(job, group, id) {
                    return Some((group, partition, id));
                }
            }
        }
        for &group in &job.ready_fresh {
            let [found, _] = self.free_for(job, group, kept);
            let worker = found.and_then(|id| Some((id, self.state.workers.get(&id)?)));
            if let Some((id, worker)) = worker {
                return Some((group, self.pick_fresh(job, group, id, worker), id));
            }
        }
        None
    }

    /// The two least loaded workers that have room for an attempt of a group.
    fn free_for(&mut self, job: &Job, group: u32, kept: Option<WorkerId>) -> [Option<WorkerId>; 2] {
        let kind = job.kind(group);
        if self.blocked.has(kind) {
            return [None; 2];
        }
        let free = self.candidates().filter(|id| Some(*id) != kept);
        let needs = (kind != Kind::ORDINARY).then(|| self.needs(kind));
        let (mut found, mut fits_any, mut at_limit) = ([None; 2], false, false);
        for id in free {
            let takes = needs.as_ref().map_or(Some(1), |needs| self.takes(needs, id));
            let Some(slots) = takes else { continue };
            fits_any = true;
            if !self.may_have(job, slots) {
                at_limit = true;
                if kind == Kind::ORDINARY {
                    break;
                }
            } else if found[0].is_none() {
                found[0] = Some(id);
            } else {
                found[1] = Some(id);
                break;
            }
        }
        if at_limit {
            self.marks.mark(Mark::UserAtLimit);
        }
        if !fits_any && kept.is_none() {
            self.blocked.insert(kind);
        }
        found
    }

    /// The workers that have a free slot, the least loaded first.
    fn candidates(&self) -> impl Iterator<Item = WorkerId> {
        let has_slot = |id: &WorkerId| {
            self.state.workers.get(id).is_some_and(|worker| worker.used < worker.slots)
        };
        let planted = |mutation, workers: &'_ BTreeSet<WorkerId>| {
            let found = workers.iter().copied().find(has_slot);
            found.filter(|_| self.planted(mutation))
        };
        let draining = planted(Mutation::WorkWhileDraining, &self.state.draining).into_iter();
        let aside = planted(Mutation::WorkWhileAside, &self.state.aside).into_iter();
        let takes_work = |(&id, worker): (&WorkerId, &Worker)| worker.takes_work().then_some(id);
        let full = || self.state.workers.iter().find_map(takes_work);
        let full = self.planted(Mutation::Overbook).then(full).flatten().into_iter();
        draining.chain(aside).chain(full).chain(self.state.free.iter().map(|&(_, id)| id))
    }

    /// The worker whose free slots are kept for a job that is next, and needs more of a worker than any has.
    fn kept_for(&mut self, job: &Job) -> Option<WorkerId> {
        let wide = self.state.shares.0.wide();
        let groups = job.ready_retries.iter().chain(&job.ready_fresh);
        let kinds = groups.map(|&group| job.kind(group)).filter(|&kind| wide.has(kind));
        let found = kinds.map(|kind| self.needs(kind)).find_map(|needs| {
            self.state.free.iter().map(|&(_, id)| id).find(|id| {
                let slots = self.state.workers.get(id).and_then(|of| of.slots_for(&needs));
                slots.is_some_and(|slots| self.state.shares.0.may_have(job.id, slots))
            })
        });
        if found.is_some() {
            self.marks.mark(Mark::KeptForWide);
        }
        found
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

    /// A task of a group that ran before, and avoids another worker if it avoids one.
    fn pick_retry(&mut self, job: &Job, group: u32, id: WorkerId) -> Option<u32> {
        let others = self.has_others(job, group);
        let retries = &job.groups[group as usize].retries;
        for (&partition, &avoid) in retries.iter().take(RETRIES_LOOKED_AT) {
            if avoid != id || !others {
                return Some(partition);
            }
            self.marks.mark(Mark::Avoided);
        }
        None
    }

    /// Whether more than one worker takes the tasks of a group.
    fn has_others(&self, job: &Job, group: u32) -> bool {
        let kind = job.kind(group);
        if kind == Kind::ORDINARY {
            return self.state.takers() > 1;
        }
        let needs = self.needs(kind);
        let takers = self.state.workers.values().filter(|worker| worker.takes_work());
        takers.filter(|worker| worker.slots_for(&needs).is_some()).nth(1).is_some()
    }

    /// The task of a group with fresh ones that a worker had best run.
    fn pick_fresh(&mut self, job: &Job, group: u32, id: WorkerId, worker: &Worker) -> u32 {
        let found = &job.groups[group as usize];
        if let Some(&near) = found.by_host.get(&worker.host).and_then(|list| list.last()) {
            self.marks.mark(Mark::Local);
            return near;
        }
        if let Ok(at) = found.homes.binary_search_by_key(&id, |home| home.worker)
            && let Some(own) = found.homes[at].first()
        {
            self.marks.mark(Mark::AtHome);
            return own;
        }
        if self.planted(Mutation::RunTwice) && found.fresh > 0 {
            return found.fresh - 1;
        }
        found.fresh
    }
}
