//! The tree of queues, their users, and the users' jobs: who has which slots, and who is next.

use super::accounts::{Account, Held, Share};
use super::needs::{Counts, Kind, KindSet, Kinds};
use super::policy::Policy;
use super::tree::{Member, OfJob, Queue, User, move_entry};
use crate::scheduler::time::Millis;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::claim::{Claim, Needs};
use windrow_protocol::ids::JobId;

/// Who could not be served for long (no worker has the label that its jobs need) has credit for all slots for so long, at most,
/// for each unit of its weight.
const CREDIT_MS: u64 = 60_000;

/// Users of queues that have no job, and are remembered.
const IDLE_MEMBERS_MAX: usize = 10_000;

/// Who shares a cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shares {
    pub(super) policy: Policy,
    pub(super) now: Millis,
    /// The kinds of needs that jobs have.
    pub(super) kinds: Kinds,
    pub(super) queues: BTreeMap<u32, Queue>,
    pub(super) members: BTreeMap<u32, Member>,
    pub(super) users: BTreeMap<u32, User>,
    pub(super) jobs: BTreeMap<JobId, OfJob>,
    pub(super) queue_ids: BTreeMap<String, u32>,
    pub(super) user_ids: BTreeMap<String, u32>,
    pub(super) member_ids: BTreeMap<(u32, u32), u32>,
    pub(super) next_member: u32,
    /// What queues had had that was dispatched last: who comes begins with that.
    pub(super) floor: Share,
    /// What attempts take, of all jobs, in milliseconds.
    pub(super) typical_ms: u64,
    /// Whether a job that waits may go on.
    pub(crate) look_at_waiting: bool,
}

impl Shares {
    pub(crate) fn new(policy: Policy, now: Millis) -> Shares {
        Shares { policy, now, look_at_waiting: true, ..Shares::default() }
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What happens from now on happens at this time, which must not go back.
    pub(crate) fn at(&mut self, now: Millis) {
        self.now = self.now.max(now);
    }

    /// A job is there. Gives the kinds of what its groups of tasks need; ordinary ones where there is no room for more kinds.
    pub(crate) fn enter(
        &mut self,
        id: JobId,
        claim: &Claim,
        weight: u32,
        needs: &[Needs],
    ) -> Vec<Kind> {
        let now = self.now;
        let member = self.member(claim.queue(), &claim.user);
        let kinds: Vec<Kind> =
            needs.iter().map(|needs| self.kinds.enter(needs).unwrap_or_default()).collect();
        if let Some(of) = self.members.get_mut(&member) {
            of.jobs += 1;
        }
        self.count_started(member, |started| *started += 1);
        let job = OfJob {
            member,
            priority: claim.priority,
            account: Account::new(weight, now),
            takes_ms: 0,
            ready: KindSet::default(),
            is_waiting: false,
            kinds: kinds.clone(),
            unserved_since: now,
            entry: None,
        };
        self.jobs.insert(id, job);
        kinds
    }

    /// The number of a user in a queue, who may be new.
    fn member(&mut self, queue: &str, user: &str) -> u32 {
        let now = self.now;
        let fresh = self.queues.len() as u32;
        let queue_id = *self.queue_ids.entry(queue.to_owned()).or_insert(fresh);
        if queue_id == fresh {
            let policy = self.policy.queue(queue).unwrap_or_default();
            let account = Account::new(policy.weight, now);
            let queue = Queue {
                policy,
                account,
                floor: Share::default(),
                ready: BTreeSet::new(),
                kinds: Counts::default(),
                started: 0,
                waiting: BTreeSet::new(),
            };
            self.queues.insert(queue_id, queue);
        }
        let fresh = self.users.last_key_value().map_or(0, |(id, _)| id + 1);
        let user_id = *self.user_ids.entry(user.to_owned()).or_insert(fresh);
        let policy = self.policy.user(user).clone();
        let weight = policy.weight;
        let of = self.users.entry(user_id).or_insert_with(|| User {
            name: user.to_owned(),
            policy,
            running: 0,
            started: 0,
            members: BTreeSet::new(),
        });
        let member = *self.member_ids.entry((queue_id, user_id)).or_insert(self.next_member);
        if member == self.next_member {
            self.next_member += 1;
            of.members.insert(member);
            let member_of = Member {
                queue: queue_id,
                user: user_id,
                account: Account::new(weight, now),
                floor: Share::default(),
                jobs: 0,
                ready: BTreeSet::new(),
                kinds: Counts::default(),
                entry: None,
            };
            self.members.insert(member, member_of);
        }
        member
    }

    /// A job is there no more.
    pub(crate) fn leave(&mut self, id: JobId) {
        self.release(id);
        self.update(id, |job| {
            job.ready = KindSet::default();
            let held = job.account.held();
            job.account.change(held, Held::default());
        });
        let Some(job) = self.jobs.remove(&id) else { return };
        job.kinds.iter().for_each(|&kind| self.kinds.leave(kind));
        if let Some(member) = self.members.get_mut(&job.member) {
            member.jobs -= 1;
        }
        self.count_started(job.member, |started| *started -= 1);
        self.look_at_waiting = true;
    }

    /// Counts the jobs that run of a user's queue, and of the user. Gives the queue.
    fn count_started(&mut self, member: u32, change: impl Fn(&mut u32)) -> Option<&mut Queue> {
        let member = self.members.get(&member)?;
        change(&mut self.users.get_mut(&member.user)?.started);
        let queue = self.queues.get_mut(&member.queue)?;
        change(&mut queue.started);
        Some(queue)
    }

    /// A job is to wait until its queue has a place.
    pub(crate) fn hold(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_waiting) else { return };
        job.is_waiting = true;
        let (member, place) = (job.member, (Reverse(job.priority), id));
        if let Some(queue) = self.count_started(member, |started| *started -= 1) {
            queue.waiting.insert(place);
        }
        self.look_at_waiting = true;
    }

    /// A job waits no more.
    pub(crate) fn release(&mut self, id: JobId) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_waiting) else { return };
        (job.is_waiting, job.unserved_since) = (false, now);
        let (member, place) = (job.member, (Reverse(job.priority), id));
        if let Some(queue) = self.count_started(member, |started| *started += 1) {
            queue.waiting.remove(&place);
        }
    }

    /// What a job has to start.
    pub(crate) fn set_ready(&mut self, id: JobId, ready: KindSet) {
        let now = self.now;
        self.update(id, |job| {
            if job.ready.is_empty() {
                job.unserved_since = now;
            }
            job.ready = ready;
        });
    }

    /// The kinds of what a job's groups of tasks need.
    pub(crate) fn kinds_of(&self, id: JobId) -> Vec<Kind> {
        self.jobs.get(&id).map(|job| job.kinds.clone()).unwrap_or_default()
    }

    /// What a job has to start, as it was said.
    pub(crate) fn ready_of(&self, id: JobId) -> KindSet {
        self.jobs.get(&id).map(|job| job.ready).unwrap_or_default()
    }

    /// A job has got slots.
    pub(crate) fn begun(&mut self, id: JobId, slots: u32) {
        self.change_slots(id, |before| before + u64::from(slots));
        self.raise_floors(id);
    }

    /// A job has given slots back.
    pub(crate) fn ended(&mut self, id: JobId, slots: u32) {
        self.change_slots(id, |before| before.saturating_sub(u64::from(slots)));
    }

    fn change_slots(&mut self, id: JobId, change: impl FnOnce(u64) -> u64) {
        let typical_ms = self.typical_ms;
        self.update(id, |job| {
            let before = job.account.held();
            job.account.change(before, job.will_take(change(before.slots), typical_ms));
        });
    }

    /// A job has got a slot in its turn.
    pub(crate) fn was_served(&mut self, id: JobId) {
        if let Some(job) = self.jobs.get_mut(&id) {
            job.unserved_since = self.now;
        }
    }

    /// An attempt of a job has taken so long. What the job has ahead by that is known once its slots are given back, which
    /// comes next.
    pub(crate) fn took(&mut self, id: JobId, ms: u64) {
        let now_takes = |before: u64| if before == 0 { ms.max(1) } else { (before * 3 + ms) / 4 };
        self.typical_ms = now_takes(self.typical_ms);
        if let Some(job) = self.jobs.get_mut(&id) {
            job.takes_ms = now_takes(job.takes_ms).max(1);
        }
    }

    /// Changes a job, and what follows from that for its user and its queue.
    fn update(&mut self, id: JobId, change: impl FnOnce(&mut OfJob)) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let Some(member) = self.members.get_mut(&job.member) else { return };
        let Some(queue) = self.queues.get_mut(&member.queue) else { return };
        let Some(user) = self.users.get_mut(&member.user) else { return };
        let was_there = [queue.is_there(), member.is_there(), job.is_there()];
        let (before, ready_before) = (job.account.held(), job.ready);
        job.account.settle(now);
        member.account.settle(now);
        queue.account.settle(now);
        change(job);
        let after = job.account.held();
        member.account.change(before, after);
        queue.account.change(before, after);
        let was_full = user.is_full();
        user.running = (user.running + after.slots).saturating_sub(before.slots);
        // Who was away has no credit for it.
        if !was_there[2] && job.is_there() {
            job.account.raise(member.floor);
        }
        let entry = (!job.ready.is_empty()).then(|| job.account.share());
        let place = |share| (Reverse(job.priority), share, id);
        move_entry(&mut member.ready, job.entry.map(place), entry.map(place));
        job.entry = entry;
        member.kinds.change(ready_before, job.ready);
        if !was_there[1] && member.is_there() {
            member.account.raise(queue.floor);
        }
        let at = job.member;
        queue.enter(at, member, user.is_full());
        if !was_there[0] && queue.is_there() {
            queue.account.raise(self.floor);
        }
        if was_full != user.is_full() {
            for at in user.members.iter().filter(|of| **of != at) {
                if let Some(member) = self.members.get_mut(at)
                    && let Some(queue) = self.queues.get_mut(&member.queue)
                {
                    queue.enter(*at, member, user.is_full());
                }
            }
        }
    }

    /// Who comes from now on begins with what those had who were served now.
    fn raise_floors(&mut self, id: JobId) {
        let Some(job) = self.jobs.get(&id) else { return };
        let Some(member) = self.members.get_mut(&job.member) else { return };
        let Some(queue) = self.queues.get_mut(&member.queue) else { return };
        member.floor = member.floor.max(job.account.had());
        queue.floor = queue.floor.max(member.account.had());
        self.floor = self.floor.max(queue.account.had());
    }

    /// Time has passed, on a cluster of so many slots.
    pub(crate) fn tick(&mut self, slots: u64) {
        let running = self.jobs.iter().filter(|(_, job)| job.account.running() > 0);
        let running: Vec<JobId> = running.map(|(&id, _)| id).collect();
        for &id in &running {
            self.update(id, |_| {});
        }
        let credit = Share::of(slots, CREDIT_MS);
        let mut least: BTreeMap<u32, Share> = BTreeMap::new();
        let lower = |least: &mut BTreeMap<u32, Share>, at: u32, had: Share| {
            let of = least.entry(at).or_insert(had);
            *of = (*of).min(had);
        };
        for job in running.iter().filter_map(|id| self.jobs.get(id)) {
            lower(&mut least, job.member, job.account.had());
        }
        let mut of_queues = BTreeMap::new();
        for (at, had) in least {
            let Some(member) = self.members.get_mut(&at) else { continue };
            member.floor = member.floor.max(had);
            lower(&mut of_queues, member.queue, member.account.had());
        }
        let had = of_queues.keys().filter_map(|at| self.queues.get(at)).map(|of| of.account.had());
        self.floor = self.floor.max(had.min().unwrap_or_default());
        for (at, had) in of_queues {
            if let Some(queue) = self.queues.get_mut(&at) {
                queue.floor = queue.floor.max(had);
            }
        }
        self.cap_credit(credit);
        self.forget_idle();
    }

    /// Who has waited for long has no more credit than that.
    fn cap_credit(&mut self, credit: Share) {
        for queue in self.queues.values_mut() {
            queue.account.raise(self.floor.less(credit));
        }
        let mut behind = Vec::new();
        for (&id, job) in self.jobs.iter().filter(|(_, job)| !job.ready.is_empty()) {
            let Some(member) = self.members.get(&job.member) else { continue };
            let Some(queue) = self.queues.get(&member.queue) else { continue };
            let least = [member.floor.less(credit), queue.floor.less(credit)];
            if job.account.had() < least[0] || member.account.had() < least[1] {
                behind.push((id, job.member, least));
            }
        }
        for (id, member, [of_job, of_member]) in behind {
            if let Some(member) = self.members.get_mut(&member) {
                member.account.raise(of_member);
            }
            self.update(id, |job| job.account.raise(of_job));
        }
    }

    /// Users of queues that have had no job for long are forgotten, once there are many.
    fn forget_idle(&mut self) {
        let idle = self.members.iter().filter(|(_, member)| member.jobs == 0);
        let idle: Vec<u32> = idle.map(|(&at, _)| at).collect();
        for at in &idle[..idle.len().saturating_sub(IDLE_MEMBERS_MAX)] {
            let Some(member) = self.members.remove(at) else { continue };
            self.member_ids.remove(&(member.queue, member.user));
            let Some(user) = self.users.get_mut(&member.user) else { continue };
            user.members.remove(at);
            if user.members.is_empty() {
                self.user_ids.remove(&user.name);
                self.users.remove(&member.user);
            }
        }
    }

    /// The kinds of what could start, if there were slots.
    pub(crate) fn ready(&self) -> KindSet {
        let mut all = KindSet::default();
        self.queues.values().for_each(|queue| all = all.or(queue.kinds.any()));
        all
    }

    /// The jobs that have something of these kinds to start, in the order in which they are to be served, of a cluster of so many
    /// slots.
    pub(crate) fn in_order(&self, kinds: KindSet, slots: u64) -> impl Iterator<Item = JobId> {
        let has_any = move |of: KindSet| !of.and(kinds).is_empty();
        let ready = self.queues.values().filter(move |queue| has_any(queue.kinds.any()));
        let mut queues: Vec<&Queue> = ready.collect();
        if queues.len() > 1 {
            queues.sort_by_cached_key(|queue| queue.turn(slots));
        }
        queues
            .into_iter()
            .flat_map(|queue| queue.ready.iter())
            .filter_map(|(_, at)| self.members.get(at))
            .filter(move |member| has_any(member.kinds.any()))
            .flat_map(|member| member.ready.iter().map(|&(_, _, id)| id))
            .filter(move |&id| has_any(self.ready_of(id)))
    }

    /// The kinds that may take several slots.
    pub(crate) fn wide(&self) -> KindSet {
        self.kinds.wide()
    }

    /// What a kind needs.
    pub(crate) fn needs(&self, kind: Kind) -> Option<&Needs> {
        self.kinds.needs(kind)
    }

    /// Whether there is room for these kinds.
    pub(super) fn has_room(&self, needs: &[Needs]) -> bool {
        self.kinds.has_room(needs)
    }
}
