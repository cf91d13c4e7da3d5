//! The tree of queues, their users, and the users' jobs: who has which slots, and who is next.

use super::accounts::{Account, Held, Share};
use super::needs::{Counts, Kind, KindSet, Kinds};
use super::policy::{Policy, QueuePolicy, UserPolicy};
use crate::scheduler::time::Millis;
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::claim::{Claim, Needs};
use windrow_protocol::ids::JobId;

/// How long an attempt will take of whose like nobody has seen any, in milliseconds.
const UNKNOWN_MS: u64 = 1_000;

/// Who could not be served for long (no worker has the label that its jobs need) has credit for all slots for so long, at most,
/// for each unit of its weight.
const CREDIT_MS: u64 = 60_000;

/// Users of queues that have no job, and are remembered.
const IDLE_MEMBERS_MAX: usize = 10_000;

/// Who shares a cluster.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Shares {
    policy: Policy,
    now: Millis,
    /// The kinds of needs that jobs have.
    kinds: Kinds,
    queues: BTreeMap<u32, Queue>,
    members: BTreeMap<u32, Member>,
    users: BTreeMap<u32, User>,
    jobs: BTreeMap<JobId, OfJob>,
    queue_ids: BTreeMap<String, u32>,
    user_ids: BTreeMap<String, u32>,
    member_ids: BTreeMap<(u32, u32), u32>,
    next_member: u32,
    /// What queues had had that was dispatched last: who comes begins with that.
    floor: Share,
    /// What attempts take, of all jobs, in milliseconds.
    typical_ms: u64,
    /// Whether a job that waits may go on.
    pub(crate) look_at_waiting: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Queue {
    name: String,
    policy: QueuePolicy,
    account: Account,
    floor: Share,
    /// Its users that have something to start, the least served first; and of which kinds.
    ready: BTreeSet<(Share, u32)>,
    kinds: Counts,
    /// Its jobs that run, and those that wait, the first first.
    started: u32,
    waiting: BTreeSet<(Reverse<i16>, JobId)>,
}

/// A user of a queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Member {
    queue: u32,
    user: u32,
    account: Account,
    floor: Share,
    jobs: u32,
    /// Its jobs that have something to start, the first first; and of which kinds.
    ready: BTreeSet<(Reverse<i16>, Share, JobId)>,
    kinds: Counts,
    /// Where it stands in its queue, and with what.
    entry: Option<(Share, KindSet)>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    name: String,
    policy: UserPolicy,
    running: u64,
    started: u32,
    members: BTreeSet<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OfJob {
    member: u32,
    priority: i16,
    account: Account,
    /// What its attempts take, in milliseconds; 0 before the first is done.
    takes_ms: u64,
    /// What it has to start.
    ready: KindSet,
    is_waiting: bool,
    /// The kinds of needs that it has.
    kinds: Vec<Kind>,
    /// Since when it has had something to start, or when it last got a slot.
    unserved_since: Millis,
    /// Where it stands among the jobs of its user.
    entry: Option<Share>,
}

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
            if let Some(queue) = self.queues.get_mut(&of.queue) {
                queue.started += 1;
            }
            if let Some(user) = self.users.get_mut(&of.user) {
                user.started += 1;
            }
        }
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
                name: queue.to_owned(),
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
        let Some(member) = self.members.get_mut(&job.member) else { return };
        member.jobs -= 1;
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.started -= 1;
        }
        if let Some(user) = self.users.get_mut(&member.user) {
            user.started -= 1;
        }
        self.look_at_waiting = true;
    }

    /// A job is to wait until its queue has a place.
    pub(crate) fn hold(&mut self, id: JobId) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_waiting) else { return };
        job.is_waiting = true;
        let Some(member) = self.members.get(&job.member) else { return };
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.started -= 1;
            queue.waiting.insert((Reverse(job.priority), id));
        }
        if let Some(user) = self.users.get_mut(&member.user) {
            user.started -= 1;
        }
        self.look_at_waiting = true;
    }

    /// A job waits no more.
    pub(crate) fn release(&mut self, id: JobId) {
        let now = self.now;
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.is_waiting) else { return };
        (job.is_waiting, job.unserved_since) = (false, now);
        let Some(member) = self.members.get(&job.member) else { return };
        if let Some(queue) = self.queues.get_mut(&member.queue) {
            queue.started += 1;
            queue.waiting.remove(&(Reverse(job.priority), id));
        }
        if let Some(user) = self.users.get_mut(&member.user) {
            user.started += 1;
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

    /// An attempt of a job has taken so long.
    pub(crate) fn took(&mut self, id: JobId, ms: u64) {
        let now_takes = |before: u64| if before == 0 { ms.max(1) } else { (before * 3 + ms) / 4 };
        self.typical_ms = now_takes(self.typical_ms);
        let typical_ms = self.typical_ms;
        self.update(id, |job| {
            job.takes_ms = now_takes(job.takes_ms).max(1);
            let before = job.account.held();
            job.account.change(before, job.will_take(before.slots, typical_ms));
        });
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
        if let Some(share) = job.entry.take() {
            member.ready.remove(&(Reverse(job.priority), share, id));
        }
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
        if !job.ready.is_empty() {
            let share = job.account.share();
            job.entry = Some(share);
            member.ready.insert((Reverse(job.priority), share, id));
        }
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

    /// Whether the user of a job may have so many slots more.
    pub(crate) fn may_have(&self, id: JobId, slots: u32) -> bool {
        self.user_of(id)
            .is_none_or(|user| user.running + u64::from(slots) <= u64::from(user.policy.slots_max))
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

    /// Since when a job has got no slot.
    pub(super) fn unserved_since(&self, id: JobId) -> Option<Millis> {
        self.jobs.get(&id).map(|job| job.unserved_since)
    }

    /// What a job has to start, of the queue and for the user of this claim: whether it may, or has to wait.
    pub(super) fn must_wait(&self, claim: &Claim) -> bool {
        let queue = self.queue_ids.get(claim.queue()).and_then(|id| self.queues.get(id));
        let user = self.user_ids.get(&claim.user).and_then(|id| self.users.get(id));
        let jobs_max = self.policy.queue(claim.queue()).unwrap_or_default().jobs_max;
        let of_user = self.policy.user(&claim.user).jobs_max;
        queue.map_or(0, |queue| queue.started) >= jobs_max
            || user.map_or(0, |user| user.started) >= of_user
    }

    /// How many jobs wait in a queue.
    pub(super) fn waiting_in(&self, queue: &str) -> usize {
        let queue = self.queue_ids.get(queue).and_then(|id| self.queues.get(id));
        queue.map_or(0, |queue| queue.waiting.len())
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
            let queue = self.queue_ids.get(name).and_then(|id| self.queues.get(id));
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

impl Queue {
    fn is_there(&self) -> bool {
        self.account.running() > 0 || !self.ready.is_empty()
    }

    /// The slots that are guaranteed to it.
    fn guaranteed(&self, slots: u64) -> u64 {
        slots * u64::from(self.policy.guaranteed_percent) / 100
    }

    /// The least is next: those first that have not what is guaranteed to them, by how much of it they have.
    fn turn(&self, slots: u64) -> (bool, u64, Share) {
        let (running, guaranteed) = (self.account.running(), self.guaranteed(slots));
        if running < guaranteed {
            (false, running * 1_000 / guaranteed, self.account.share())
        } else {
            (true, 0, self.account.share())
        }
    }

    /// Notes where a user stands in it, and with what.
    fn enter(&mut self, at: u32, member: &mut Member, is_full: bool) {
        let before = member.entry.take();
        if let Some((share, _)) = before {
            self.ready.remove(&(share, at));
        }
        if !member.ready.is_empty() && !is_full {
            let share = member.account.share();
            member.entry = Some((share, member.kinds.any()));
            self.ready.insert((share, at));
        }
        let kinds = |entry: Option<(Share, KindSet)>| entry.map_or(KindSet::default(), |it| it.1);
        self.kinds.change(kinds(before), kinds(member.entry));
    }
}

impl Member {
    fn is_there(&self) -> bool {
        self.account.running() > 0 || !self.ready.is_empty()
    }
}

impl User {
    fn is_full(&self) -> bool {
        self.running >= u64::from(self.policy.slots_max)
    }
}

impl OfJob {
    fn is_there(&self) -> bool {
        self.account.running() > 0 || !self.ready.is_empty()
    }

    /// What so many slots will take.
    fn will_take(&self, slots: u64, typical_ms: u64) -> Held {
        let known = [self.takes_ms, typical_ms].into_iter().find(|&ms| ms > 0);
        Held { slots, ahead_ms: slots.saturating_mul(known.unwrap_or(UNKNOWN_MS)) }
    }
}
