//! Who gets slots of a cluster that many share, and for how long: over virtual time, with attempts that take what is said.

use super::*;
use std::collections::BTreeMap;
use windrow_protocol::claim::Needs;

/// A source whose tasks write nothing.
fn one_stage() -> JobShape {
    let source = RootShape::Source { listed_by: StageId(0) };
    let collect = OutputShape::Collect(CollectId(0));
    JobShape {
        stages: vec![stage(source, vec![collect])],
        collects: vec![vec![StageId(0)]],
        ..JobShape::default()
    }
}

/// A cluster, its jobs, and the slot time that each has had.
struct Cluster {
    scheduler: Scheduler,
    now: u64,
    /// By job: the tasks that it lists, and what each takes, in milliseconds.
    jobs: BTreeMap<JobId, (usize, u64)>,
    /// By attempt: the worker, since when, and until when it runs; and the slots that it has.
    running: BTreeMap<AttemptId, (WorkerId, u64, u64, u64)>,
    slot_ms: BTreeMap<JobId, u64>,
    ended: BTreeMap<JobId, u64>,
    /// What was revoked for others.
    preempted: Vec<AttemptId>,
    refused: Vec<String>,
    told: u64,
}

impl Cluster {
    fn new(sharing: Policy, workers: u64, slots: u32) -> Cluster {
        let config = Config { sharing, ..Config::default() };
        let mut cluster = Cluster {
            scheduler: Scheduler::new(config),
            now: 0,
            jobs: BTreeMap::new(),
            running: BTreeMap::new(),
            slot_ms: BTreeMap::new(),
            ended: BTreeMap::new(),
            preempted: Vec::new(),
            refused: Vec::new(),
            told: 0,
        };
        for worker in 1..=workers {
            cluster.join(worker, slots, &[]);
        }
        cluster
    }

    fn join(&mut self, worker: u64, slots: u32, labels: &[&str]) {
        self.tell(Event::WorkerJoined {
            worker: WorkerId(worker),
            slots,
            memory: 1 << 30,
            host: HostId(worker as u32),
            build: "b".into(),
            labels: labels.iter().map(|&label| label.to_owned()).collect(),
        });
    }

    /// Submits a job of so many tasks that take so long each.
    fn submit(&mut self, job: u64, tasks: usize, takes_ms: u64, claim: Claim) {
        self.submit_shape(job, one_stage(), (tasks, takes_ms), claim);
    }

    fn submit_shape(&mut self, job: u64, shape: JobShape, of: (usize, u64), claim: Claim) {
        self.jobs.insert(JobId(job), of);
        self.tell(Event::SubmitJob(Box::new(JobRequest {
            job: JobId(job),
            name: "job".into(),
            weight: 1,
            shape,
            claim,
        })));
    }

    fn tell(&mut self, event: Event) {
        let mut outcomes = Vec::new();
        self.scheduler.handle(&event, Millis(self.now), &mut outcomes);
        for outcome in outcomes {
            match outcome {
                Outcome::Assigned { attempt, worker, .. } => {
                    let takes_ms = self.jobs[&attempt.task.job].1;
                    // Listing takes no time.
                    let is_listing = attempt.task.kind == TaskKind::Split;
                    let until = self.now + if is_listing { 0 } else { takes_ms };
                    let slots = self.scheduler.state().slots_of(attempt.task, worker);
                    self.running.insert(attempt, (worker, self.now, until, u64::from(slots)));
                }
                Outcome::Revoked { attempt, why, .. } => {
                    self.stop(attempt);
                    if why == RevokeReason::Preempted {
                        self.preempted.push(attempt);
                    }
                }
                Outcome::JobEnded { job, .. } => {
                    self.ended.insert(job, self.now);
                }
                Outcome::JobRefused { why, .. } => self.refused.push(why),
                _ => {}
            }
        }
        self.told += 1;
        if self.told.is_multiple_of(999) {
            let state = self.scheduler.state();
            let mut again = state.clone();
            again.count_shares_of(state);
            assert_eq!(again.standing(), state.standing(), "after {event:?}");
        }
    }

    fn stop(&mut self, attempt: AttemptId) -> Option<WorkerId> {
        let (worker, since, _, slots) = self.running.remove(&attempt)?;
        *self.slot_ms.entry(attempt.task.job).or_default() += (self.now - since) * slots;
        Some(worker)
    }

    /// Time passes; what ends in it, ends.
    fn pass(&mut self, ms: u64) {
        let end = self.now + ms;
        loop {
            let next = self.running.iter().map(|(&attempt, of)| (of.2, attempt)).min();
            let tick = self.scheduler.next_timer().map_or(u64::MAX, |at| at.0);
            let at = next.map_or(u64::MAX, |(at, _)| at).min(tick);
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            match next {
                Some((at, attempt)) if at <= tick => self.finish(attempt),
                _ => {
                    for worker in
                        self.scheduler.state().workers().map(|of| of.worker).collect::<Vec<_>>()
                    {
                        self.tell(Event::Heartbeat { worker });
                    }
                    self.tell(Event::Tick);
                }
            }
        }
        self.now = end;
        // What runs has had its slots until now.
        for (attempt, (_, since, _, slots)) in &mut self.running {
            *self.slot_ms.entry(attempt.task.job).or_default() += (end - *since) * *slots;
            *since = end;
        }
    }

    fn finish(&mut self, attempt: AttemptId) {
        let Some(worker) = self.stop(attempt) else { return };
        let mut pages = 0;
        if attempt.task.kind == TaskKind::Split {
            let split = SplitInfo { bytes: TASK_BYTES, lanes: 1, hosts: Box::default() };
            let splits = vec![split; self.jobs[&attempt.task.job].0];
            self.tell(Event::SplitsListed { worker, attempt, page: 0, splits });
            pages = 1;
        }
        let (written, given_up) = (Vec::new(), None);
        self.tell(Event::AttemptDone { worker, attempt, pages, written, given_up });
    }

    /// The slot time of the jobs in some numbers, of all in percent.
    fn percent(&self, jobs: impl Fn(u64) -> bool) -> f64 {
        let all: u64 = self.slot_ms.values().sum();
        let of = self.slot_ms.iter().filter(|(job, _)| jobs(job.0)).map(|(_, ms)| ms);
        of.sum::<u64>() as f64 * 100.0 / all as f64
    }

    fn running_of(&self, job: u64) -> u64 {
        self.running.iter().filter(|(of, _)| of.task.job == JobId(job)).map(|(_, of)| of.3).sum()
    }
}

fn queues(of: &[(&str, QueuePolicy)]) -> Policy {
    let queues = of.iter().map(|(name, queue)| ((*name).to_owned(), queue.clone())).collect();
    Policy { queues, ..Policy::default() }
}

fn weight(weight: u32) -> QueuePolicy {
    QueuePolicy { weight, ..QueuePolicy::default() }
}

fn of(queue: &str, user: &str) -> Claim {
    Claim { queue: queue.into(), user: user.into(), ..Claim::default() }
}

#[track_caller]
fn assert_near(percent: f64, wanted: f64) {
    assert!((percent / wanted - 1.0).abs() < 0.05, "{percent} % is not within 5 % of {wanted} %");
}

/// 50 users in three queues: queues have what their weights say, whatever their tasks take, and so have users within each.
#[test]
fn weights_divide_the_slots() {
    let policy = queues(&[("gold", weight(3)), ("silver", weight(2)), ("bronze", weight(1))]);
    let mut cluster = Cluster::new(policy, 4, 2);
    let names = ["gold", "silver", "bronze"];
    for job in 1..=50 {
        // From 100 to 1,500 ms.
        let takes_ms = 100 + job * 7_919 % 1_400;
        let queue = names[(job % 3) as usize];
        cluster.submit(job, 20_000, takes_ms, of(queue, &format!("u{job}")));
    }
    cluster.pass(60_000);
    for (at, percent) in [(0, 50.0), (1, 100.0 / 3.0), (2, 100.0 / 6.0)] {
        assert_near(cluster.percent(|job| job % 3 == at), percent);
    }
    cluster.pass(540_000);
    for job in 1..=50 {
        let of_queue = (1..=50).filter(|other| other % 3 == job % 3).count();
        let of_all = [3, 2, 1][(job % 3) as usize] as f64 * 100.0 / 6.0;
        assert_near(cluster.percent(|of| of == job), of_all / of_queue as f64);
    }
}

#[test]
fn jobs_of_one_user_do_not_outweigh_another_user() {
    let mut cluster = Cluster::new(Policy::default(), 2, 2);
    for job in 1..=9 {
        cluster.submit(job, 20_000, 300, of("", "many"));
    }
    cluster.submit(10, 20_000, 700, of("", "one"));
    cluster.pass(60_000);
    assert_near(cluster.percent(|job| job == 10), 50.0);
}

/// Who comes has no credit for the time before, and who was there has none for that either.
#[test]
fn who_comes_late_has_its_share_from_then_on() {
    let mut cluster = Cluster::new(Policy::default(), 2, 2);
    cluster.submit(1, 20_000, 500, of("", "first"));
    cluster.pass(600_000);
    cluster.submit(2, 20_000, 500, of("", "second"));
    cluster.slot_ms.clear();
    cluster.pass(60_000);
    assert_near(cluster.percent(|job| job == 2), 50.0);
}

/// A small job behind a huge one has its share, and so ends within twice the time that it takes alone on that.
#[test]
fn a_small_job_passes_a_huge_one() {
    let mut cluster = Cluster::new(Policy::default(), 2, 2);
    cluster.submit(1, 20_000, 900, of("", "huge"));
    cluster.pass(30_000);
    cluster.submit(2, 40, 500, of("", "small"));
    let begun = cluster.now;
    cluster.pass(60_000);
    // 40 tasks of half a second on two slots: 10 s.
    let took = cluster.ended[&JobId(2)] - begun;
    assert!(took < 20_000, "{took} ms");
}

#[test]
fn higher_priorities_go_first_for_one_user_alone() {
    let mut cluster = Cluster::new(Policy::default(), 1, 4);
    cluster.submit(1, 20_000, 400, of("", "a"));
    cluster.submit(2, 20_000, 400, of("", "b"));
    cluster.pass(10_000);
    cluster.submit(3, 20_000, 400, Claim { priority: 1, ..of("", "a") });
    cluster.pass(1_000);
    cluster.slot_ms.clear();
    cluster.pass(60_000);
    assert_eq!(cluster.percent(|job| job == 1), 0.0);
    assert_near(cluster.percent(|job| job == 3), 50.0);
}

/// A queue has what is guaranteed to it whatever weights say, and others have that while it wants nothing.
#[test]
fn guarantees_go_before_weights() {
    let sure = QueuePolicy { guaranteed_percent: 50, ..weight(1) };
    let mut cluster = Cluster::new(queues(&[("sure", sure), ("heavy", weight(9))]), 4, 2);
    cluster.submit(1, 20_000, 300, of("heavy", "h"));
    cluster.pass(10_000);
    assert_eq!(cluster.percent(|job| job == 1), 100.0);
    cluster.submit(2, 20_000, 300, of("sure", "s"));
    cluster.slot_ms.clear();
    cluster.pass(60_000);
    assert_near(cluster.percent(|job| job == 2), 50.0);
}

/// Who has got no slot for long takes some of those who have more, until shares are even, and no more; nothing swings back.
#[test]
fn slots_are_taken_back_until_shares_are_even() {
    let mut cluster = Cluster::new(Policy::default(), 4, 5);
    cluster.submit(1, 1_000, 10_000_000, of("", "first"));
    cluster.pass(100_000);
    assert_eq!(cluster.running_of(1), 20);
    cluster.submit(2, 1_000, 10_000_000, of("", "second"));
    cluster.pass(29_000);
    assert_eq!((cluster.running_of(2), cluster.preempted.len()), (0, 0));
    cluster.pass(600_000);
    assert_eq!((cluster.running_of(1), cluster.running_of(2)), (10, 10));
    // The listing of the second one has taken the slot of one.
    assert_eq!(cluster.preempted.len(), 10);
    cluster.submit(3, 1_000, 10_000_000, of("", "third"));
    cluster.pass(600_000);
    let now = [1, 2, 3].map(|job| cluster.running_of(job));
    assert_eq!(now.iter().sum::<u64>(), 20);
    assert!(now.iter().all(|slots| (6..=7).contains(slots)), "{now:?}");
    assert_eq!(cluster.preempted.len(), 16);
    assert!(cluster.preempted.iter().all(|attempt| attempt.number == 0));
}

#[test]
fn a_higher_priority_takes_slots_of_the_same_user() {
    let mut cluster = Cluster::new(Policy::default(), 1, 10);
    cluster.submit(1, 1_000, 10_000_000, of("", "a"));
    cluster.pass(1_000);
    cluster.submit(2, 5, 10_000_000, Claim { priority: 5, ..of("", "a") });
    cluster.pass(200_000);
    assert_eq!([1, 2].map(|job| cluster.running_of(job)), [5, 5]);
    let quiet = Policy { preempt_after_ms: None, ..Policy::default() };
    let mut cluster = Cluster::new(quiet, 1, 10);
    cluster.submit(1, 1_000, 10_000_000, of("", "a"));
    cluster.pass(1_000);
    cluster.submit(2, 5, 10_000_000, Claim { priority: 5, ..of("", "a") });
    cluster.pass(200_000);
    assert_eq!([1, 2].map(|job| cluster.running_of(job)), [10, 0]);
}

/// Jobs of a queue that runs as many as it may wait in their turn, and are told how many are before them.
#[test]
fn a_full_queue_lets_jobs_wait() {
    let narrow = QueuePolicy { jobs_max: 2, waiting_max: 3, ..weight(1) };
    let mut cluster = Cluster::new(queues(&[("narrow", narrow)]), 1, 4);
    for job in 1..=4 {
        cluster.submit(job, 10, 1_000, of("narrow", "u"));
    }
    cluster.submit(5, 10, 1_000, Claim { priority: 1, ..of("narrow", "u") });
    cluster.submit(6, 10, 1_000, of("narrow", "u"));
    cluster.submit(7, 10, 1_000, of("other", "u"));
    assert!(
        cluster.refused[0].contains("queue `narrow` is full: 3 jobs wait"),
        "{:?}",
        cluster.refused
    );
    assert!(cluster.refused[1].contains("no queue `other`; there are: default, narrow"));
    let place = |cluster: &Cluster, job| {
        cluster
            .scheduler
            .state()
            .place_in_queue(JobId(job))
            .map(|(queue, at)| (queue.to_owned(), at))
    };
    let narrow = |at| Some(("narrow".to_owned(), at));
    assert_eq!(
        [1, 2, 3, 4, 5].map(|job| place(&cluster, job)),
        [None, None, narrow(1), narrow(2), narrow(0)]
    );
    // One that waits can be cancelled.
    cluster.tell(Event::Cancel { job: JobId(3) });
    cluster.pass(4_000);
    assert_eq!([4, 5].map(|job| cluster.running_of(job)), [0, 0]);
    cluster.pass(60_000);
    let ended = [5, 4].map(|job| cluster.ended[&JobId(job)]);
    assert!(ended[0] <= ended[1]);
    assert_eq!(cluster.scheduler.marks().count(Mark::WaitedForQueue), 2);
}

#[test]
fn a_user_has_no_more_than_they_may() {
    let users =
        [("u".to_owned(), UserPolicy { slots_max: 3, jobs_max: 2, ..UserPolicy::default() })];
    let policy = Policy { users: users.into(), ..queues(&[("a", weight(1)), ("b", weight(1))]) };
    let mut cluster = Cluster::new(policy, 2, 4);
    cluster.submit(1, 1_000, 500, of("a", "u"));
    cluster.submit(2, 1_000, 500, of("b", "u"));
    cluster.submit(3, 1, 500, of("b", "u"));
    for _ in 0..40 {
        cluster.pass(250);
        assert_eq!(cluster.running_of(1) + cluster.running_of(2), 3);
    }
    assert!(cluster.scheduler.state().place_in_queue(JobId(3)).is_some());
    cluster.submit(4, 1_000, 500, of("a", "v"));
    cluster.pass(1_000);
    assert_eq!(cluster.running_of(4), 5);
    assert_eq!(
        cluster.scheduler.state().lacks(JobId(1)),
        "slots: user `u` has as many as they may"
    );
    let wide = Claim { needs: vec![Needs { slots: 4, ..Needs::default() }], ..of("a", "u") };
    cluster.submit(5, 1, 1, wide);
    assert!(cluster.refused[0].contains("user `u` may have 3 slots"), "{:?}", cluster.refused);
}

/// Attempts run where there is what they need, and the others do not wait for them.
#[test]
fn labels_and_memory_are_asked_for() {
    let mut cluster = Cluster::new(Policy::default(), 2, 4);
    let gpu = Needs { labels: vec!["gpu".into()], ..Needs::default() };
    let large = Needs { memory: 1 << 29, ..Needs::default() };
    cluster.submit(1, 4, 500, Claim { needs: vec![gpu], ..of("", "a") });
    cluster.submit(2, 40, 500, Claim { needs: vec![large], ..of("", "a") });
    cluster.submit(3, 1_000, 500, of("", "a"));
    cluster.pass(2_000);
    assert_eq!(cluster.running_of(1), 0);
    let lacks = cluster.scheduler.state().lacks(JobId(1));
    assert_eq!(lacks, "a worker that has the label gpu: none that is connected has");
    // Half of a worker's memory stands for half of its slots.
    assert_eq!(cluster.running_of(2) % 2, 0);
    assert!(cluster.running_of(2) > 0 && cluster.running_of(3) > 0);
    cluster.join(3, 2, &["gpu", "fast"]);
    cluster.pass(3_000);
    assert!(cluster.ended.contains_key(&JobId(1)));
}

/// An attempt that needs all slots of a worker gets them, though other jobs would take each that is free.
#[test]
fn a_wide_attempt_is_not_starved() {
    let quiet = Policy { preempt_after_ms: None, ..Policy::default() };
    let mut cluster = Cluster::new(quiet, 3, 4);
    for job in 1..=3 {
        cluster.submit(job, 20_000, 300 + 70 * job, of("", &format!("u{job}")));
    }
    cluster.pass(20_000);
    let wide = Claim { needs: vec![Needs { slots: 4, ..Needs::default() }], ..of("", "wide") };
    cluster.submit(4, 20_000, 400, wide);
    cluster.slot_ms.clear();
    cluster.pass(120_000);
    assert!(cluster.scheduler.marks().count(Mark::KeptForWide) > 0);
    let percent = cluster.percent(|job| job == 4);
    assert!((22.0..28.0).contains(&percent), "{percent} %");
}

/// Commits are not cut short, and a task that was often is not again: it gets on whatever comes.
#[test]
fn some_attempts_are_never_preempted() {
    let users = Policy { preempt_after_ms: Some(1_000), ..Policy::default() };
    let mut cluster = Cluster::new(users, 1, 1);
    cluster.submit(1, 1, 10_000_000, of("", "a"));
    cluster.pass(1_000);
    for job in 2..=20 {
        // Each of a higher priority than those before it.
        let claim = Claim { priority: job as i16, ..of("", "a") };
        cluster.submit(job, 1, 1_500, claim);
        cluster.pass(4_000);
    }
    let of_first = |attempt: &&AttemptId| attempt.task.job == JobId(1);
    assert_eq!(cluster.preempted.iter().filter(of_first).count(), 8);
    assert_eq!(cluster.running_of(1), 1);

    let mut cluster = Cluster::new(Policy::default(), 1, 1);
    let shape = JobShape { sinks: 1, ..one_stage() };
    cluster.submit_shape(1, shape, (0, 10_000_000), of("", "a"));
    cluster.pass(1_000);
    cluster.submit(2, 1, 1_500, Claim { priority: 1, ..of("", "a") });
    cluster.pass(600_000);
    assert_eq!((cluster.running_of(1), cluster.preempted.len()), (1, 0));
}
