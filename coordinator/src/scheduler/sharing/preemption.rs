//! Preemption: slots are taken back from who has more for who has had none for long.
//!
//! Each exchange makes two shares more even, and never the other way round, so that it is not undone by the next one. Who gets the
//! slot is whom a free one would be given to. What is done stays done, commits are never cut short, and a task that was often
//! cut short is not again: each job gets on.

use super::asked::{Pair, Rivals};
use crate::scheduler::decide::Decider;
use crate::scheduler::job::Job;
use crate::scheduler::marks::Mark;
use crate::scheduler::outcome::{Outcome, RevokeReason};
use crate::scheduler::time::Millis;
use crate::scheduler::worker::Worker;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use windrow_protocol::claim::Needs;
use windrow_protocol::ids::{AttemptId, JobId, TaskKind, WorkerId};

/// An attempt of this number, and later ones, are not preempted.
pub(super) const PREEMPTED_BELOW: u32 = 8;

/// An attempt that may be preempted.
struct Victim {
    attempt: AttemptId,
    slots: u64,
    is_backup: bool,
    started: Millis,
    /// The slots of who has it, for each unit of its weight, in thousandths.
    had: u64,
    rivals: Rivals,
}

impl Decider<'_> {
    /// Who would get the next free slot, and has waited for it for long, takes slots of others.
    pub(crate) fn preempt(&mut self) {
        let shares = &self.state.shares.0;
        let Some(after_ms) = shares.policy().preempt_after_ms else { return };
        let in_order = shares.in_order(shares.ready(), self.state.slots);
        let wants = in_order.filter_map(|id| self.state.jobs.get(&id));
        let Some((job, needs)) = wants.filter_map(|job| self.wanted(job)).next() else { return };
        let since = shares.unserved_since(job.id).unwrap_or(self.now);
        if self.now.since(since) < after_ms {
            return;
        }
        let workers = self.state.workers.iter().filter(|(_, worker)| worker.takes_work());
        let found = workers.filter_map(|(&id, worker)| {
            let victims = self.victims(job.id, &needs, id, worker)?;
            let oldest = victims.iter().map(|victim| victim.started).min();
            let most = victims.iter().map(|victim| victim.had).max();
            let backups = victims.iter().filter(|victim| victim.is_backup).count();
            let order = (victims.len() - backups, victims.len(), Reverse(most), Reverse(oldest));
            Some((order, id, victims))
        });
        let Some((_, worker, victims)) = found.min_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1))) else {
            return;
        };
        for Victim { attempt, .. } in victims {
            self.marks.mark(Mark::Preempted);
            self.out.push(Outcome::Revoked { attempt, worker, why: RevokeReason::Preempted });
        }
    }

    /// A job, and what the first of its tasks needs that could start on any worker if that were free.
    fn wanted<'j>(&self, job: &'j Job) -> Option<(&'j Job, Needs)> {
        let groups = job.ready_retries.iter().chain(&job.ready_fresh);
        let mut needs = groups.map(|&group| job.needs_of(group));
        let could = |needs: &Needs| {
            let workers = self.state.workers.values().filter(|worker| worker.takes_work());
            workers
                .filter_map(|worker| worker.slots_for(needs))
                .next()
                .is_some_and(|slots| self.state.shares.0.may_have(job.id, slots))
        };
        Some((job, needs.find(could)?))
    }

    /// What would have to go from a worker so that an attempt of a job can run there; `None` if that may not go, or none has to.
    fn victims(
        &self,
        job: JobId,
        needs: &Needs,
        id: WorkerId,
        worker: &Worker,
    ) -> Option<Vec<Victim>> {
        let wanted = u64::from(worker.slots_for(needs)?);
        let mut free = u64::from(worker.slots - worker.used.min(worker.slots));
        if free >= wanted {
            return None;
        }
        let mut all: Vec<Victim> = worker
            .running
            .iter()
            .filter_map(|of| self.victim(job, id, of.attempt, of.started.0))
            .collect();
        // Backup attempts first, then of who has most, then the youngest.
        all.sort_by_key(|of| {
            (Reverse(of.is_backup), Reverse(of.had), Reverse(of.started), of.attempt)
        });
        let mut taken: BTreeMap<Rivals, u64> = BTreeMap::new();
        let mut victims = Vec::new();
        for victim in all {
            if free >= wanted {
                break;
            }
            let before = taken.entry(victim.rivals).or_default();
            let Some(pair) = self.state.shares.0.pair(victim.rivals, self.state.slots) else {
                continue;
            };
            if pair.is_evened(wanted, *before + victim.slots) {
                *before += victim.slots;
                free += victim.slots;
                victims.push(victim);
            }
        }
        (free >= wanted).then_some(victims)
    }

    fn victim(
        &self,
        claimant: JobId,
        worker: WorkerId,
        attempt: AttemptId,
        started: Millis,
    ) -> Option<Victim> {
        let task = attempt.task;
        let may = task.kind != TaskKind::Commit && attempt.number < PREEMPTED_BELOW;
        if task.job == claimant || !may {
            return None;
        }
        let (job, _) = self.state.find(task)?;
        let is_backup = job.task(task)?.lease(attempt.number)?.backup;
        let rivals = self.state.shares.0.rivals(claimant, task.job)?;
        let pair = self.state.shares.0.pair(rivals, self.state.slots)?;
        let had = pair.running[1] * 1_000 / pair.weights[1];
        let slots = u64::from(self.state.slots_of(task, worker));
        Some(Victim { attempt, slots, is_backup, started, had, rivals })
    }
}

impl Pair {
    /// Whether the first one may take so many slots of which so many are the second one's: the first one has no more then, for
    /// each unit of its weight, than the second, or not what is guaranteed to it, and the second one has what is guaranteed to
    /// that. Of one user's jobs, those of a higher priority may always.
    pub(super) fn is_evened(&self, takes: u64, gives: u64) -> bool {
        let [one, other] = self.running;
        let left = other.saturating_sub(gives);
        if self.priorities[0] != self.priorities[1] {
            return self.priorities[0] > self.priorities[1];
        }
        if left < self.guaranteed[1] {
            return false;
        }
        let evened = (one + takes) * self.weights[1] <= left * self.weights[0];
        evened || one + takes <= self.guaranteed[0]
    }
}
