//! What is asked of those who share: who may have more, who waits, how two stand.

use super::accounts::Account;
use super::needs::Kind;
use super::policy::QueuePolicy;
use super::shares::Shares;
use super::tree::{OfJob, Queue, User};
use crate::scheduler::time::Millis;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use windrow_protocol::claim::{Claim, Needs};
use windrow_protocol::ids::JobId;

/// Two jobs, as far as they share: where the way to them parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rivals {
    /// In different queues: the queues.
    Queues(u32, u32),
    /// In one queue, of different users: the members.
    Members(u32, u32),
    /// Of one user.
    Jobs(JobId, JobId),
}

/// The slots and weights of two that share, and what is guaranteed to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) running: [u64; 2],
    pub(super) weights: [u64; 2],
    pub(super) guaranteed: [u64; 2],
    /// The priorities, of jobs of one user.
    pub(super) priorities: [i16; 2],
}

/// A queue, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueView {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub policy: QueuePolicy,
    /// The slots that its jobs have.
    pub running: u64,
    /// Its jobs that run, and those that wait.
    pub jobs: u32,
    /// Those that wait.
    pub waiting: u32,
}

impl Shares {
    /// Whether the user of a job may have so many slots more.
    pub(crate) fn may_have(&self, id: JobId, slots: u32) -> bool {
        self.user_of(id)
            .is_none_or(|user| user.running + u64::from(slots) <= u64::from(user.policy.slots_max))
    }

    /// Since when a job has got no slot.
    pub(super) fn unserved_since(&self, id: JobId) -> Option<Millis> {
        self.jobs.get(&id).map(|job| job.unserved_since)
    }

    /// A queue, if any job has gone through it.
    fn queue(&self, name: &str) -> Option<&Queue> {
        self.queues.get(self.queue_ids.get(name)?)
    }

    /// Whether a job that claims this has to wait for a place: its queue, or its user, has as many that run as may.
    pub(super) fn must_wait(&self, claim: &Claim) -> bool {
        let queue = self.queue(claim.queue());
        let user = self.user_ids.get(&claim.user).and_then(|id| self.users.get(id));
        let jobs_max = self.policy.queue(claim.queue()).unwrap_or_default().jobs_max;
        let of_user = self.policy.user(&claim.user).jobs_max;
        queue.map_or(0, |queue| queue.started) >= jobs_max
            || user.map_or(0, |user| user.started) >= of_user
    }

    /// How many jobs wait in a queue.
    pub(super) fn waiting_in(&self, queue: &str) -> usize {
        self.queue(queue).map_or(0, |queue| queue.waiting.len())
    }

    /// The first job that waits and may go on.
    pub(super) fn next_waiting(&self) -> Option<JobId> {
        let with_place = self.queues.values().filter(|of| of.started < of.policy.jobs_max);
        with_place
            .flat_map(|queue| &queue.waiting)
            .map(|&(_, id)| id)
            .find(|&id| self.user_of(id).is_none_or(|user| user.started < user.policy.jobs_max))
    }

    /// How many jobs are before one that waits, in its queue.
    pub(crate) fn position(&self, id: JobId) -> Option<usize> {
        let job = self.jobs.get(&id).filter(|job| job.is_waiting)?;
        let queue = self.queues.get(&self.members.get(&job.member)?.queue)?;
        Some(queue.waiting.range(..(Reverse(job.priority), id)).count())
    }

    fn user_of(&self, id: JobId) -> Option<&User> {
        self.users.get(&self.members.get(&self.jobs.get(&id)?.member)?.user)
    }

    /// Where the ways to two jobs part.
    pub(super) fn rivals(&self, one: JobId, other: JobId) -> Option<Rivals> {
        let members = [self.jobs.get(&one)?.member, self.jobs.get(&other)?.member];
        let [queue, of_other] =
            [self.members.get(&members[0])?.queue, self.members.get(&members[1])?.queue];
        Some(if queue != of_other {
            Rivals::Queues(queue, of_other)
        } else if members[0] != members[1] {
            Rivals::Members(members[0], members[1])
        } else {
            Rivals::Jobs(one, other)
        })
    }

    /// How two that share stand, on a cluster of so many slots.
    pub(super) fn pair(&self, rivals: Rivals, slots: u64) -> Option<Pair> {
        let (accounts, guaranteed, priorities) = match rivals {
            Rivals::Queues(one, other) => {
                let [one, other] = [self.queues.get(&one)?, self.queues.get(&other)?];
                let guaranteed = [one.guaranteed(slots), other.guaranteed(slots)];
                ([&one.account, &other.account], guaranteed, [0; 2])
            }
            Rivals::Members(one, other) => {
                let [one, other] = [self.members.get(&one)?, self.members.get(&other)?];
                ([&one.account, &other.account], [0; 2], [0; 2])
            }
            Rivals::Jobs(one, other) => {
                let [one, other] = [self.jobs.get(&one)?, self.jobs.get(&other)?];
                ([&one.account, &other.account], [0; 2], [one.priority, other.priority])
            }
        };
        let running = accounts.map(Account::running);
        let weights = accounts.map(Account::weight);
        Some(Pair { running, weights, guaranteed, priorities })
    }

    /// All queues: those that are set, and those that have had jobs.
    pub(crate) fn queue_views(&self) -> Vec<QueueView> {
        let mut names: BTreeSet<&str> = self.policy.queue_names().collect();
        names.extend(self.queue_ids.keys().map(String::as_str));
        let view = |name: &str| {
            let queue = self.queue(name);
            let waiting = queue.map_or(0, |queue| queue.waiting.len() as u32);
            QueueView {
                name: name.to_owned(),
                policy: self.policy.queue(name).unwrap_or_default(),
                running: queue.map_or(0, |queue| queue.account.running()),
                jobs: queue.map_or(0, |queue| queue.started) + waiting,
                waiting,
            }
        };
        names.into_iter().map(view).collect()
    }

    /// What follows from the durable state, for comparisons: by job, the slots that it has, what it has to start, whether it waits.
    pub(crate) fn standing(&self) -> Vec<(JobId, u64, Vec<Needs>, bool)> {
        let of = |(&id, job): (&JobId, &OfJob)| {
            let mut ready: Vec<Needs> = job
                .kinds
                .iter()
                .filter(|kind| job.ready.has(**kind))
                .map(|&kind| self.needs(kind).cloned().unwrap_or_default())
                .collect();
            if job.ready.has(Kind::ORDINARY) {
                ready.push(Needs::default());
            }
            ready.sort();
            ready.dedup();
            (id, job.account.running(), ready, job.is_waiting)
        };
        self.jobs.iter().map(of).collect()
    }
}
