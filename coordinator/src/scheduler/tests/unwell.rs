//! Stories of attempts that are slow, and of workers that are, or on which all fails.

use super::*;

#[test]
fn a_slow_attempt_gets_a_backup_and_the_first_to_commit_wins() {
    let mut story = Story::new(2, 2);
    story.submit(1, two_stages()).list(0, 4);
    story.now = Millis(1_000);
    story.done(Compute, 0, 0).done(Compute, 0, 1).done(Compute, 0, 2);
    story.now = Millis(9_000);
    story.tell(Event::Tick);
    let slow = story.running();
    assert_eq!(slow.len(), 2);
    let (worker, attempt) = *slow.iter().find(|(_, a)| a.number == 1).expect("a backup");
    story.tell(Event::AttemptDone { worker, attempt, pages: 0, written: Vec::new() });
    assert_eq!((story.marked(Mark::BackupWon), story.marked(Mark::OtherRevoked)), (1, 1));
    assert_eq!(story.running().len(), 2, "the readers run");
}

#[test]
fn the_attempt_with_the_longest_way_to_go_gets_a_backup_first() {
    let mut story = Story::new(4, 1);
    story.submit(1, two_stages()).list(0, 8);
    story.now = Millis(1_000);
    for partition in 0..4 {
        story.done(Compute, 0, partition);
    }
    // Two are done in time; of the others one is nearly done, and one has just begun.
    story.now = Millis(2_000);
    story.done(Compute, 0, 4).done(Compute, 0, 5);
    for (partition, permille) in [(6, 900), (7, 100)] {
        let (worker, attempt) = story.find(Compute, 0, partition);
        story.tell(Event::Progress { worker, attempt, permille });
    }
    story.now = Millis(6_000);
    story.tell(Event::Tick);
    let backups: Vec<u32> = story
        .running()
        .iter()
        .filter(|(_, a)| a.number == 1)
        .map(|(_, a)| a.task.partition)
        .collect();
    // One at a time may, of four slots; and what is nearly done would be done before.
    assert_eq!(backups, [7]);
    let twice = story.running().into_iter().filter(|(_, a)| a.task.partition == 7);
    for (worker, attempt) in twice.collect::<Vec<_>>() {
        story.tell(Event::AttemptDone { worker, attempt, pages: 0, written: Vec::new() });
    }
    story.tell(Event::Tick);
    assert_eq!(story.marked(Mark::Backup), 1);
}

/// As far as slots are free, on other workers, and once; when both are done, one of them counts.
#[test]
fn tasks_of_a_small_job_run_twice_at_once() {
    let backup = BackupConfig { twice_below: 10, ..BackupConfig::default() };
    let mut story = Story::with(Config { backup, ..Config::default() }, 3, 2);
    story.submit(1, two_stages()).list(0, 4);
    let running = story.running();
    assert_eq!(running.len(), 6, "{running:?}");
    for partition in 0..4 {
        let of = running.iter().filter(|(_, a)| a.task.partition == partition);
        let workers: Vec<WorkerId> = of.map(|(worker, _)| *worker).collect();
        assert!(matches!(workers[..], [_]) || workers[0] != workers[1], "{running:?}");
    }
    assert_eq!(story.marked(Mark::Doubled), 2);
    let twice: Vec<_> =
        running.iter().filter(|(_, a)| a.task.partition == running[0].1.task.partition).collect();
    let [(first, a), (second, b)] = twice[..] else { panic!("{running:?}") };
    for (worker, attempt) in [(*first, *a), (*second, *b)] {
        story.tell(Event::AttemptDone { worker, attempt, pages: 0, written: Vec::new() });
    }
    assert_eq!((story.marked(Mark::OtherRevoked), story.marked(Mark::LateReport)), (1, 1));
    // A task whose first attempt has failed is tried again as any other.
    let (worker, attempt) = story.find(Compute, 0, 3);
    let failure = Box::new(Failure::new(FailureClass::UserCode, "no"));
    story.tell(Event::AttemptFailed { worker, attempt, failure });
    // A larger job has each task once.
    let mut story = Story::with(story.scheduler.config().clone(), 6, 4);
    story.submit(1, two_stages()).list(0, 10);
    assert_eq!((story.running().len(), story.marked(Mark::Doubled)), (10, 0));
}

#[test]
fn a_slow_worker_gets_no_backup_attempts() {
    let mut story = Story::new(2, 1);
    story.submit(1, two_stages()).list(0, 9);
    let done = |story: &mut Story, id| {
        let of = story.running().into_iter().find(|(by, a)| by.0 == id && a.task.stage.0 == 0);
        let (worker, attempt) = of.expect("it works");
        story.tell(Event::AttemptDone { worker, attempt, pages: 0, written: Vec::new() });
    };
    // The second takes three times what the first takes.
    for round in 1..=6 {
        story.now = Millis(round * 1_000);
        done(&mut story, 1);
        if round % 3 == 0 {
            done(&mut story, 2);
        }
    }
    // The first hangs, and the second has nothing to do.
    story.now = Millis(20_000);
    story.tell(Event::Heartbeat { worker: WorkerId(1) });
    story.tell(Event::Tick);
    assert_eq!((story.marked(Mark::Backup), story.marked(Mark::SlowPassedOver)), (0, 1));
}

#[test]
fn a_worker_on_which_all_fails_is_set_aside_and_comes_back() {
    let mut story = Story::new(3, 1);
    story.submit(1, two_stages()).list(0, 30);
    let sick = WorkerId(2);
    let fail = |story: &mut Story| {
        let of = story.running().into_iter().find(|(by, _)| *by == sick);
        let (worker, attempt) = of.expect("it works");
        let failure = Box::new(Failure::new(FailureClass::Storage, "its disk is full"));
        story.tell(Event::AttemptFailed { worker, attempt, failure });
    };
    fail(&mut story);
    fail(&mut story);
    assert_eq!(story.marked(Mark::SetAside), 0);
    fail(&mut story);
    assert!(story.last.contains(&Outcome::WorkerSetAside { worker: sick, until: Millis(30_000) }));
    let works = |story: &Story| story.running().iter().any(|(by, _)| *by == sick);
    story.done(Compute, 0, 0);
    assert!(!works(&story));
    let tick = |story: &mut Story, now| {
        story.now = Millis(now);
        for worker in 1..=3 {
            story.tell(Event::Heartbeat { worker: WorkerId(worker) });
        }
        story.tell(Event::Tick);
    };
    tick(&mut story, 29_000);
    assert!(!works(&story));
    tick(&mut story, 30_000);
    assert!(works(&story), "it has work again");
    // Again, for twice as long; and not if nobody else is there.
    for _ in 0..3 {
        fail(&mut story);
    }
    assert!(story.last.contains(&Outcome::WorkerSetAside { worker: sick, until: Millis(90_000) }));
    story.tell(Event::WorkerLeft { worker: WorkerId(1) });
    story.tell(Event::WorkerLeft { worker: WorkerId(3) });
    assert!(story.last.contains(&Outcome::WorkerBack { worker: sick }));
    assert!(works(&story));
}

#[test]
fn where_tasks_fail_everywhere_no_worker_is_set_aside() {
    let mut story = Story::new(2, 1);
    story.submit(1, two_stages()).list(0, 30);
    for _ in 0..3 {
        let (worker, attempt) = story.running()[0];
        let failure = Box::new(Failure::new(FailureClass::UserCode, "no"));
        story.tell(Event::AttemptFailed { worker, attempt, failure });
        let (worker, attempt) = story.running()[1];
        let failure = Box::new(Failure::new(FailureClass::UserCode, "no"));
        story.tell(Event::AttemptFailed { worker, attempt, failure });
    }
    assert_eq!(story.marked(Mark::SetAside), 0);
}
