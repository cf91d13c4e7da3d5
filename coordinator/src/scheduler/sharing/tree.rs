//! What the tree of those who share is made of: queues, their users, and the users' jobs.

use super::accounts::{Account, Held, Share};
use super::needs::{Counts, Kind, KindSet};
use super::policy::{QueuePolicy, UserPolicy};
use crate::scheduler::time::Millis;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use windrow_protocol::ids::JobId;

/// How long an attempt will take of whose like nobody has seen any, in milliseconds.
const UNKNOWN_MS: u64 = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Queue {
    pub(super) policy: QueuePolicy,
    pub(super) account: Account,
    pub(super) floor: Share,
    /// Its users that have something to start, the least served first; and of which kinds.
    pub(super) ready: BTreeSet<(Share, u32)>,
    pub(super) kinds: Counts,
    /// Its jobs that run, and those that wait, the first first.
    pub(super) started: u32,
    pub(super) waiting: BTreeSet<(Reverse<i16>, JobId)>,
}

/// A user of a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Member {
    pub(super) queue: u32,
    pub(super) user: u32,
    pub(super) account: Account,
    pub(super) floor: Share,
    pub(super) jobs: u32,
    /// Its jobs that have something to start, the first first; and of which kinds.
    pub(super) ready: BTreeSet<(Reverse<i16>, Share, JobId)>,
    pub(super) kinds: Counts,
    /// Where it stands in its queue, and with what.
    pub(super) entry: Option<(Share, KindSet)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct User {
    pub(super) name: String,
    pub(super) policy: UserPolicy,
    pub(super) running: u64,
    pub(super) started: u32,
    pub(super) members: BTreeSet<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct OfJob {
    pub(super) member: u32,
    pub(super) priority: i16,
    pub(super) account: Account,
    /// What its attempts take, in milliseconds; 0 before the first is done.
    pub(super) takes_ms: u64,
    /// What it has to start.
    pub(super) ready: KindSet,
    pub(super) is_waiting: bool,
    /// The kinds of needs that it has.
    pub(super) kinds: Vec<Kind>,
    /// Since when it has had something to start, or when it last got a slot.
    pub(super) unserved_since: Millis,
    /// Where it stands among the jobs of its user.
    pub(super) entry: Option<Share>,
}

impl Queue {
    pub(super) fn is_there(&self) -> bool {
        self.account.running() > 0 || !self.ready.is_empty()
    }

    /// The slots that are guaranteed to it.
    pub(super) fn guaranteed(&self, slots: u64) -> u64 {
        slots * u64::from(self.policy.guaranteed_percent) / 100
    }

    /// The least is next: those first that have not what is guaranteed to them, by how much of it they have.
    pub(super) fn turn(&self, slots: u64) -> (bool, u64, Share) {
        let (running, guaranteed) = (self.account.running(), self.guaranteed(slots));
        if running < guaranteed {
            (false, running * 1_000 / guaranteed, self.account.share())
        } else {
            (true, 0, self.account.share())
        }
    }

    /// Notes where a user stands in it, and with what.
    pub(super) fn enter(&mut self, at: u32, member: &mut Member, is_full: bool) {
        let before = member.entry;
        let may_start = !member.ready.is_empty() && !is_full;
        member.entry = may_start.then(|| (member.account.share(), member.kinds.any()));
        let place = |entry: Option<(Share, KindSet)>| entry.map(|(share, _)| (share, at));
        move_entry(&mut self.ready, place(before), place(member.entry));
        let kinds = |entry: Option<(Share, KindSet)>| entry.map_or(KindSet::default(), |it| it.1);
        self.kinds.change(kinds(before), kinds(member.entry));
    }
}

/// Puts what stood at one place at another.
pub(super) fn move_entry<E: Ord>(set: &mut BTreeSet<E>, from: Option<E>, to: Option<E>) {
    if from == to {
        return;
    }
    // In this order: a set that is never empty keeps its memory.
    set.extend(to);
    if let Some(from) = from {
        set.remove(&from);
    }
}

impl Member {
    pub(super) fn is_there(&self) -> bool {
        self.account.running() > 0 || !self.ready.is_empty()
    }
}

impl User {
    pub(super) fn is_full(&self) -> bool {
        self.running >= u64::from(self.policy.slots_max)
    }
}

impl OfJob {
    pub(super) fn is_there(&self) -> bool {
        self.account.running() > 0 || !self.ready.is_empty()
    }

    /// What so many slots will take.
    pub(super) fn will_take(&self, slots: u64, typical_ms: u64) -> Held {
        let known = [self.takes_ms, typical_ms].into_iter().find(|&ms| ms > 0);
        Held { slots, ahead_ms: slots.saturating_mul(known.unwrap_or(UNKNOWN_MS)) }
    }
}
