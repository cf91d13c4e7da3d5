//! Stories of attempts that are slow, and of workers that are, or on which all fails.

use super::*;
use windrow_protocol::ids::LaneRange;

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
    story.tell(ran(worker, attempt));
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
    story.now = Millis(5_900);
    for (partition, permille) in [(6, 900), (7, 100)] {
        let (worker, attempt) = story.find(Compute, 0, partition);
        story.tell(Event::Progress { worker, attempt, permille });
    }
    story.now = Millis(6_000);
    story.tell(Event::Tick);
    // It was asked for its rest, and does not answer.
    assert_eq!((story.marked(Mark::RestAsked), story.marked(Mark::Backup)), (1, 0));
    let (worker, attempt) = story.find(Compute, 0, 6);
    story.tell(Event::Progress { worker, attempt, permille: 990 });
    story.now = Millis(9_500);
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
        story.tell(ran(worker, attempt));
    }
    story.tell(Event::Tick);
    assert_eq!(story.marked(Mark::Backup), 1);
}

/// A task of eight with a tenth done after the time that others take.
fn slow_at_a_tenth() -> Story {
    let mut story = Story::new(4, 1);
    story.submit(1, two_stages()).list(0, 8);
    story.now = Millis(1_000);
    for partition in 0..4 {
        story.done(Compute, 0, partition);
    }
    story.now = Millis(2_000);
    for partition in 4..7 {
        story.done(Compute, 0, partition);
    }
    story.now = Millis(6_000);
    let (worker, attempt) = story.find(Compute, 0, 7);
    story.tell(Event::Progress { worker, attempt, permille: 100 });
    story
}

#[test]
fn the_rest_of_a_slow_attempt_is_run_by_another_worker() {
    let mut story = slow_at_a_tenth();
    let (worker, attempt) = story.find(Compute, 0, 7);
    story.tell(Event::Tick);
    // 45 seconds are left, which another does in one: so it keeps little.
    let Some(Outcome::RestAsked { attempt: asked, keep_permille, .. }) = story.last.last() else {
        panic!("{:?}", story.last);
    };
    assert!(*asked == attempt && (10..50).contains(keep_permille), "{keep_permille}");
    story.tell(Event::LanesGivenUp { worker, attempt, from: 3 });
    let (by, rest) = story.find(Compute, 0, 8);
    assert!(by != worker);
    let lanes = |task| story.scheduler.state().lanes_of(task);
    assert_eq!((lanes(attempt.task).end, lanes(rest.task).start), (3, 3));
    // It is told again, once more with the end, and late what it had given up before.
    for from in [3, 5] {
        story.tell(Event::LanesGivenUp { worker, attempt, from });
    }
    let given_up = Some(3);
    story.tell(Event::AttemptDone { worker, attempt, pages: 0, written: Vec::new(), given_up });
    assert_eq!((story.marked(Mark::RestSplitOff), story.marked(Mark::Backup)), (1, 0));
    assert_eq!(story.running().len(), 1, "the readers wait for the rest");
    story.done(Compute, 0, 8);
    story.done(Compute, 1, 0).done(Compute, 1, 1).done(TaskKind::Commit, 0, 0);
    assert_eq!(story.end(1), Some(&JobEnd::Succeeded));
}

#[test]
fn lanes_that_are_given_up_when_another_runs_them_all_count_for_nothing() {
    let mut story = slow_at_a_tenth();
    let (worker, attempt) = story.find(Compute, 0, 7);
    story.tell(Event::Tick);
    story.now = Millis(9_500);
    story.tell(Event::Progress { worker, attempt, permille: 110 });
    story.tell(Event::Tick);
    assert_eq!(story.marked(Mark::Backup), 1);
    let given_up = Some(3);
    story.tell(Event::AttemptDone { worker, attempt, pages: 0, written: Vec::new(), given_up });
    assert_eq!((story.marked(Mark::GivenUpLate), story.marked(Mark::RestSplitOff)), (1, 0));
    assert_eq!(story.scheduler.state().lanes_of(attempt.task), LaneRange::ALL);
    story.done(Compute, 0, 7);
    assert_eq!(story.running().len(), 2, "the readers run");
}

/// Both parts are tasks like any other: what is lost of them runs again, with its own lanes.
#[test]
fn a_task_and_its_rest_are_made_again_each_alone() {
    let mut story = slow_at_a_tenth();
    let (worker, attempt) = story.find(Compute, 0, 7);
    story.tell(Event::Tick);
    story.tell(Event::LanesGivenUp { worker, attempt, from: 3 });
    let (by, _) = story.find(Compute, 0, 8);
    story.done(Compute, 0, 8);
    story.tell(Event::WorkerLeft { worker });
    let (_, again) = story.find(Compute, 0, 7);
    assert_eq!((again.number, story.scheduler.state().lanes_of(again.task).end), (1, 3));
    story.tell(Event::WorkerLeft { worker: by });
    assert!(story.marked(Mark::OutputReopened) > 0);
    let again = |outcome: &&Outcome| matches!(outcome, Outcome::Assigned { attempt, lanes, .. } if attempt.task.partition == 8 && lanes.start == 3);
    for _ in 0..20 {
        let running = story.running();
        for (worker, attempt) in running {
            let (pages, written, given_up) = (0, Vec::new(), None);
            story.tell(Event::AttemptDone { worker, attempt, pages, written, given_up });
        }
    }
    assert_eq!(story.all.iter().filter(again).count(), 2);
    assert_eq!(story.end(1), Some(&JobEnd::Succeeded));
}

/// What is seen to have so many tasks, or was read by others, is run as a whole.
#[test]
fn no_lanes_are_asked_for_of_what_writes_files() {
    let mut story = Story::new(4, 1);
    let source = RootShape::Source { listed_by: StageId(0) };
    let stages = vec![stage(source, vec![OutputShape::Sink(SinkId(0))])];
    story.submit(1, JobShape { stages, sinks: 1, ..JobShape::default() }).list(0, 4);
    story.now = Millis(1_000);
    for partition in 0..3 {
        story.done(Compute, 0, partition);
    }
    story.now = Millis(6_000);
    let (worker, attempt) = story.find(Compute, 0, 3);
    story.tell(Event::Progress { worker, attempt, permille: 100 });
    story.tell(Event::Tick);
    assert_eq!((story.marked(Mark::RestAsked), story.marked(Mark::Backup)), (0, 1));
}

/// It has run all of its lanes, and hangs as it writes.
#[test]
fn an_attempt_that_stands_still_at_the_end_gets_a_backup() {
    let mut story = slow_at_a_tenth();
    let (worker, attempt) = story.find(Compute, 0, 7);
    story.tell(Event::Progress { worker, attempt, permille: 1000 });
    for (at, backups) in [(7_000, 0), (9_000, 1)] {
        story.now = Millis(at);
        story.tell(Event::Progress { worker, attempt, permille: 1000 });
        story.tell(Event::Tick);
        assert_eq!(
            (story.marked(Mark::Backup), story.marked(Mark::RestAsked)),
            (backups, 0),
            "{at}"
        );
    }
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
        story.tell(ran(worker, attempt));
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
        story.tell(ran(worker, attempt));
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

#[test]
fn a_silent_worker_is_lost_and_its_late_reports_change_nothing() {
    let mut story = Story::new(2, 1);
    story.submit(1, two_stages());
    let (silent, attempt) = story.find(TaskKind::Split, 0, 0);
    let other = WorkerId(3 - silent.0);
    story.now = Millis(20_000);
    story.tell(Event::Heartbeat { worker: other });
    story.now = Millis(30_000);
    story.tell(Event::Tick);
    assert_eq!(story.find(TaskKind::Split, 0, 0).0, other);
    story.tell(Event::AttemptDone {
        worker: silent,
        attempt,
        pages: 0,
        written: Vec::new(),
        given_up: None,
    });
    assert!(story.last.is_empty());
    assert_eq!(story.marked(Mark::LateReport), 1);
}

/// It could hear nobody meanwhile.
#[test]
fn a_coordinator_that_stood_still_for_longer_than_a_lease_takes_no_worker_for_lost() {
    let mut story = slow_at_a_tenth();
    let workers: Vec<WorkerId> = (1..=4).map(WorkerId).collect();
    story.tell(Event::Heartbeat { worker: workers[0] }).tell(Event::Tick);
    let (asked, backups) = (story.marked(Mark::RestAsked), story.marked(Mark::Backup));
    story.now = Millis(106_000);
    story.tell_late(Event::Tick);
    assert_eq!((story.marked(Mark::StoodStill), story.marked(Mark::LeaseEnded)), (1, 0));
    // How far attempts are is not known yet.
    assert_eq!((story.marked(Mark::RestAsked), story.marked(Mark::Backup)), (asked, backups));
    // What was silent before still is: each has what is left of its lease, at most all of it.
    let state = story.scheduler.state();
    let heard = |id: &WorkerId| state.workers[id].heard.0;
    assert_eq!(heard(&workers[0]), Millis(105_000));
    let silent = workers.iter().min_by_key(|id| heard(id)).copied().unwrap();
    let silent_ms = Millis(106_000).since(heard(&silent));
    for &worker in workers.iter().filter(|&&id| id != silent) {
        story.tell(Event::Heartbeat { worker });
    }
    for after_ms in (1_000..=30_000 - silent_ms).step_by(1_000) {
        assert_eq!(story.marked(Mark::LeaseEnded), 0, "{after_ms} ms later");
        story.now = Millis(106_000 + after_ms);
        story.tell_late(Event::Tick);
    }
    assert_eq!(story.marked(Mark::LeaseEnded), 1);
    assert!(!story.scheduler.state().is_alive(silent));
}
