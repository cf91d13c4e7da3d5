//! How the simulated cluster is shared, and what must hold of that: an account kept apart from the scheduler's own.

use super::model::{Checked, ensure};
use super::random::Random;
use crate::scheduler::{Outcome, Policy, QueuePolicy, RevokeReason, UserPolicy};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::claim::{Claim, Needs};
use windrow_protocol::ids::{AttemptId, JobId, TaskKind, WorkerId};

/// An attempt of this number, and later ones, must not be preempted.
const PREEMPTED_BELOW: u32 = 8;

/// The label that every other worker has.
const LABEL: &str = "gpu";

/// What is special about the worker at a place.
pub(super) fn labels_at(place: usize) -> Vec<String> {
    let labelled = place.is_multiple_of(2);
    labelled.then(|| LABEL.to_owned()).into_iter().collect()
}

/// A way to share: in about half of the runs there is nothing in particular.
fn policy(random: &mut Random) -> Policy {
    let mut policy = Policy::default();
    if random.below(2) == 0 {
        return policy;
    }
    for name in ["a", "b"] {
        let some = |random: &mut Random, most| match random.below(2) {
            0 => u32::MAX,
            _ => random.between(1, most) as u32,
        };
        let queue = QueuePolicy {
            weight: random.between(0, 3) as u32,
            guaranteed_percent: (random.below(3) * 25) as u32,
            jobs_max: some(random, 2),
            waiting_max: u32::MAX,
        };
        policy.queues.insert(name.to_owned(), queue);
        let user = UserPolicy {
            weight: random.between(1, 2) as u32,
            // Wide attempts take two.
            slots_max: some(random, 6).max(2),
            jobs_max: some(random, 2),
        };
        policy.users.insert(format!("{name}-user"), user);
    }
    let preempts = random.below(2) == 0;
    policy.preempt_after_ms = preempts.then(|| random.between(100, 2_000));
    policy
}

/// How a run shares its cluster.
pub(super) struct Ways {
    pub(super) policy: Policy,
    /// The most slots of a worker: sometimes so few that jobs have to wait for one another.
    pub(super) slots_max: u32,
    /// Whether all jobs are of one user, in one queue.
    is_of_one: bool,
}

impl Ways {
    pub(super) fn draw(random: &mut Random) -> Ways {
        let policy = policy(random);
        let few = !policy.queues.is_empty() && random.below(2) == 0;
        Ways { policy, slots_max: if few { 1 } else { 4 }, is_of_one: random.below(3) == 0 }
    }
}

/// What a job of so many stages claims, on workers with so many slots each.
pub(super) fn claim(random: &mut Random, ways: &Ways, stages: usize, slots: &[u32]) -> Claim {
    let policy = &ways.policy;
    let mut claim = Claim::default();
    if policy.queues.is_empty() {
        return claim;
    }
    let of =
        |random: &mut Random, all: &[&str]| all[random.below(all.len() as u64) as usize].to_owned();
    claim.queue = of(random, &["", "a", "b"]);
    claim.user = of(random, &["", "a-user", "b-user", "c-user"]);
    if ways.is_of_one {
        (claim.queue, claim.user) = (String::new(), "c-user".to_owned());
    }
    claim.priority = random.below(3) as i16 - 1;
    let runs = |needs: &Needs| {
        let mut workers = slots.iter().enumerate();
        workers.any(|(at, slots)| needs.slots_of(*slots, 1 << 30, &labels_at(at)).is_some())
    };
    let needs = |random: &mut Random| {
        let labels = (random.below(3) == 0).then(|| LABEL.to_owned()).into_iter().collect();
        let memory = if random.below(4) == 0 { 1 << 29 } else { 0 };
        let needs = Needs { slots: random.below(3) as u32, memory, labels };
        if runs(&needs) && (memory == 0 || random.below(2) == 0) { needs } else { Needs::default() }
    };
    claim.needs = match random.below(4) {
        0 => vec![needs(random)],
        1 => (0..stages).map(|_| needs(random)).collect(),
        _ => Vec::new(),
    };
    // No user has fewer slots at once than an attempt may take.
    let most = policy.user(&claim.user).slots_max;
    let too_wide = |needs: &Needs| {
        let takes =
            (0..).zip(slots).map(|(at, slots)| needs.slots_of(*slots, 1 << 30, &labels_at(at)));
        takes.flatten().any(|takes| takes > most)
    };
    if claim.needs.iter().any(too_wide) {
        claim.needs.clear();
    }
    claim
}

#[derive(Debug, Default)]
struct Host {
    slots: u32,
    labels: Vec<String>,
    used: u32,
}

#[derive(Debug)]
struct Sharer {
    claim: Claim,
    waits: bool,
}

/// The account of who has what.
#[derive(Debug, Default)]
pub(super) struct Account {
    policy: Policy,
    hosts: BTreeMap<WorkerId, Host>,
    jobs: BTreeMap<JobId, Sharer>,
    /// Of attempts that run: the slots that each takes, and for whom.
    running: BTreeMap<(AttemptId, WorkerId), (u32, String)>,
    by_user: BTreeMap<String, u32>,
    /// Whether anything has changed since all was looked at.
    is_new: bool,
}

impl Account {
    pub(super) fn new(policy: Policy) -> Account {
        Account { policy, ..Account::default() }
    }

    /// Takes note of an outcome, or says what is wrong with it.
    pub(super) fn take(&mut self, outcome: &Outcome) -> Checked {
        match outcome {
            Outcome::WorkerJoined { worker, slots, labels, .. } => {
                let host = Host { slots: *slots, labels: labels.clone(), used: 0 };
                self.hosts.insert(*worker, host);
                Ok(())
            }
            Outcome::JobAdmitted { job, claim, waits, .. } => {
                self.jobs.insert(*job, Sharer { claim: claim.clone(), waits: *waits });
                self.is_new = true;
                Ok(())
            }
            Outcome::JobStarts { job } => {
                let of = self.jobs.get_mut(job).ok_or("a job starts that is not there")?;
                self.is_new = true;
                ensure(std::mem::take(&mut of.waits), || {
                    format!("{job} starts, and has not waited")
                })
            }
            Outcome::JobEnded { job, .. } => {
                self.jobs.remove(job);
                self.is_new = true;
                Ok(())
            }
            Outcome::Assigned { attempt, worker, .. } => self.assigned(*attempt, *worker),
            Outcome::Revoked { attempt, worker, why } => {
                let may = attempt.task.kind != TaskKind::Commit && attempt.number < PREEMPTED_BELOW;
                ensure(*why != RevokeReason::Preempted || may, || {
                    format!("{attempt} is preempted, which must not be")
                })?;
                self.ended(*attempt, *worker);
                Ok(())
            }
            Outcome::AttemptEnded { attempt, worker, .. }
            | Outcome::TaskCommitted { attempt, worker, .. } => {
                self.ended(*attempt, *worker);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn assigned(&mut self, attempt: AttemptId, worker: WorkerId) -> Checked {
        let of = self.jobs.get(&attempt.task.job).ok_or("an attempt of no job")?;
        ensure(!of.waits, || format!("{attempt} runs, and its job waits"))?;
        let needs = needs_of(&of.claim, attempt);
        let host = self.hosts.get_mut(&worker).ok_or("an attempt on no worker")?;
        let takes = needs.slots_of(host.slots, 1 << 30, &host.labels);
        let takes =
            takes.ok_or_else(|| format!("{attempt} needs {}, not on {worker}", needs.text()))?;
        host.used += takes;
        ensure(host.used <= host.slots, || format!("{worker} has no slot left for {attempt}"))?;
        let user = of.claim.user.clone();
        let has = self.by_user.entry(user.clone()).or_default();
        let most = self.policy.user(&user).slots_max;
        *has += takes;
        let has = *has;
        ensure(has <= most, || format!("user `{user}` has {has} slots, and may have {most}"))?;
        self.running.insert((attempt, worker), (takes, user));
        Ok(())
    }

    fn ended(&mut self, attempt: AttemptId, worker: WorkerId) {
        let Some((takes, user)) = self.running.remove(&(attempt, worker)) else { return };
        if let Some(has) = self.by_user.get_mut(&user) {
            *has -= takes;
        }
        if let Some(host) = self.hosts.get_mut(&worker) {
            host.used -= takes;
        }
    }

    /// What must hold once all that follows from an event is decided: as many jobs run as may, and no more.
    pub(super) fn settled(&mut self) -> Checked {
        if !std::mem::take(&mut self.is_new) {
            return Ok(());
        }
        let started = |is: &dyn Fn(&Claim) -> bool| {
            let of = self.jobs.values().filter(|of| !of.waits && is(&of.claim));
            of.count() as u32
        };
        let names: BTreeSet<&str> = self.jobs.values().map(|of| of.claim.queue()).collect();
        let places = |queue: &str| {
            let most = self.policy.queue(queue).map_or(u32::MAX, |queue| queue.jobs_max);
            (most, started(&|claim| claim.queue() == queue))
        };
        let of_user =
            |user: &str| (self.policy.user(user).jobs_max, started(&|of| of.user == user));
        for queue in names {
            let (most, has) = places(queue);
            ensure(has <= most, || {
                format!("queue `{queue}` runs {has} jobs, and the most is {most}")
            })?;
        }
        for (id, of) in &self.jobs {
            let ((most, has), (of_user, users)) =
                (places(of.claim.queue()), of_user(&of.claim.user));
            let user = &of.claim.user;
            ensure(users <= of_user, || format!("user `{user}` runs {users} jobs, of {of_user}"))?;
            ensure(!of.waits || has >= most || users >= of_user, || {
                format!("{id} waits for nothing")
            })?;
        }
        Ok(())
    }
}

/// What an attempt needs.
fn needs_of(claim: &Claim, attempt: AttemptId) -> Needs {
    let whole = claim.needs_of(attempt.task.stage.0);
    let labels_alone = Needs { labels: whole.labels.clone(), ..Needs::default() };
    match attempt.task.kind {
        TaskKind::Compute => whole,
        TaskKind::Split => labels_alone,
        TaskKind::Commit if claim.needs.len() == 1 => labels_alone,
        TaskKind::Commit => Needs::default(),
    }
}
