//! Coordinators that go on from a journal, over the real protocol: whatever the last one had done, the job ends as if there
//! had been one, and what is done is not done again.

mod common;

use common::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use windrow_coordinator::journal::Journal;
use windrow_coordinator::{Config, Coordinator, Running, StartError};
use windrow_protocol::binary::{BinaryContent, any_build};
use windrow_protocol::claim::Claim;
use windrow_protocol::control::*;
use windrow_protocol::ids::*;
use windrow_protocol::security::Credentials;
use windrow_protocol::transport::{call, connect};

const MAPS: u32 = 5;
const PARTITIONS: u32 = 3;

fn config_at(state: &Path) -> Config {
    let mut config = config();
    config.scheduler.lease_ms = 60_000;
    Config { state: Some(state.into()), ..config }
}

/// With a snapshot at each tick.
fn config_with_snapshots(state: &Path) -> Config {
    let mut config = config_at(state);
    config.scheduler.tick_ms = 4;
    Config { snapshot_bytes: 1, ..config }
}

/// The snapshots in a state folder.
fn snapshots(state: &Path) -> usize {
    let names = std::fs::read_dir(state).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_string_lossy().starts_with("snapshot-")).count()
}

async fn start_at(state: &TempDir) -> Running {
    start_with(config_at(state.path())).await
}

/// The state folder as it would be found if the machine died now.
fn as_it_is(state: &TempDir) -> TempDir {
    let found = tempfile::tempdir().unwrap();
    copy(state.path(), found.path());
    found
}

/// A worker that runs all that it is told at once, and tells it with the next poll.
struct Hand {
    worker: Worker,
    known: BTreeSet<AttemptId>,
    ended: Vec<AttemptEnd>,
}

impl Hand {
    async fn new(running: &Running) -> Hand {
        Hand::of(running, "b1").await
    }

    async fn of(running: &Running, build: &str) -> Hand {
        let worker = Worker::register(running.address, hello(build, 2)).await;
        Hand { worker, known: BTreeSet::new(), ended: Vec::new() }
    }

    /// Goes on with another coordinator.
    async fn turn_to(&mut self, running: &Running) {
        self.worker.client =
            connect(&running.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    }

    async fn step(&mut self) {
        let answer = self.worker.poll(20, self.ended.clone()).await;
        assert!(!answer.unknown, "a worker is known after a restart");
        self.ended.drain(..answer.ended_seen as usize);
        for order in answer.assigned {
            if self.known.insert(order.attempt) {
                let result = Ok(output(&order, MAPS));
                self.ended.push(AttemptEnd::of(order.attempt, result));
            }
        }
    }
}

fn assert_done(status: &JobStatus, hand: &Hand) {
    assert_eq!(status.manifests, [(SinkId(0), "part-0,part-1,part-2".to_owned())]);
    assert_eq!((status.counts.records_read, status.retries), (10 * u64::from(MAPS), 0));
    assert_eq!(hand.known.len() as u32, 1 + MAPS + PARTITIONS + 1, "each task runs once");
    assert!(hand.known.iter().all(|attempt| attempt.number == 0));
}

#[tokio::test]
async fn a_job_goes_on_wherever_the_coordinator_dies() {
    for moment in 0..14 {
        let mut state = tempfile::tempdir().unwrap();
        let mut running = start_at(&state).await;
        let mut hand = Hand::new(&running).await;
        let submitted = submission(two_stages(PARTITIONS));
        let job = client(&running).await.submit(&submitted).await.unwrap();
        let mut died = Vec::new();
        let mut steps = 0;
        let status = loop {
            if steps == moment {
                state = as_it_is(&state);
                died.push(std::mem::replace(&mut running, start_at(&state).await));
                hand.turn_to(&running).await;
                // Who submits again since no answer came finds the job.
                assert_eq!(client(&running).await.submit(&submitted).await.unwrap(), job);
            }
            hand.step().await;
            steps += 1;
            let status = client(&running).await.status(job, SECOND / 100).await.unwrap();
            if !matches!(status.state, JobState::Running { .. }) {
                break status;
            }
            assert!(steps < 100, "it does not end: {status:?}");
        };
        assert_eq!(status.state, JobState::Succeeded, "died after {moment} steps");
        assert_done(&status, &hand);
        let rows = client(&running).await.collected(job, CollectId(0)).await.unwrap();
        assert_eq!(rows, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    }
}

#[tokio::test]
async fn a_coordinator_that_is_stopped_leaves_jobs_to_the_next_one() {
    let state = tempfile::tempdir().unwrap();
    let mut running = start_at(&state).await;
    let mut hand = Hand::new(&running).await;
    let job = client(&running).await.submit(&submission(two_stages(PARTITIONS))).await.unwrap();
    hand.step().await;
    for _ in 0..30 {
        running.stop().await.unwrap();
        running = start_at(&state).await;
        hand.turn_to(&running).await;
        hand.step().await;
    }
    let status = client(&running).await.status(job, SECOND).await.unwrap();
    assert_eq!(status.state, JobState::Succeeded);
    assert_done(&status, &hand);
    // A job that has ended is known, and one that is submitted now is another one.
    let other = client(&running).await.submit(&submission(two_stages(1))).await.unwrap();
    assert!(other > job);
}

#[tokio::test]
async fn a_job_goes_on_from_snapshots() {
    let state = tempfile::tempdir().unwrap();
    let start = async || start_with(config_with_snapshots(state.path())).await;
    let mut running = start().await;
    let mut hand = Hand::new(&running).await;
    let job = client(&running).await.submit(&submission(two_stages(PARTITIONS))).await.unwrap();
    let mut most = 0;
    for _ in 0..14 {
        hand.step().await;
        // Ticks make snapshots.
        while snapshots(state.path()) == 0 {
            client(&running).await.status(job, SECOND / 50).await.unwrap();
        }
        running.stop().await.unwrap();
        assert_eq!(snapshots(state.path()), 1);
        let names =
            std::fs::read_dir(state.path()).unwrap().map(|entry| entry.unwrap().file_name());
        // What is kept for explanations, and of ended jobs, is bounded by itself.
        let of_journal = |name: &std::ffi::OsString| {
            !name.to_string_lossy().starts_with("events-") && name != "history"
        };
        most = names.filter(of_journal).count().max(most);
        running = start().await;
        hand.turn_to(&running).await;
    }
    let status = client(&running).await.status(job, SECOND).await.unwrap();
    assert_eq!(status.state, JobState::Succeeded, "{status:?}");
    assert_done(&status, &hand);
    assert!(most <= 3, "a lock, a snapshot and a segment, and not {most} files");
    let rows = client(&running).await.collected(job, CollectId(0)).await.unwrap();
    assert_eq!(rows, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    // Time has gone on.
    assert!(status.elapsed_ms > 0);
}

/// Copies the files of a folder, and not those of folders in it.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            continue;
        }
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// The tasks of a job in the fixtures that are done.
const DONE_IN_FIXTURE: usize = 5;

/// What the binary is of the job in those fixtures in which any worker runs it.
const BINARY: BinaryContent = BinaryContent { sha256: [7; 32], bytes: 9 };

/// A journal in the midst of a job, as this release writes it.
async fn write_fixture(folder: &Path, config: fn(&Path) -> Config, for_any: bool) {
    let running = start_with(config(folder)).await;
    let (client, job) = (client(&running).await, submission(two_stages(PARTITIONS)));
    let mut hand = if for_any {
        let hand = Hand::of(&running, &any_build("abacus")).await;
        let claim = Claim { user: "ann".to_owned(), priority: 3, ..Claim::default() };
        let job = client.submit_claiming(&job, &claim, Some("abacus")).await.unwrap();
        let offer = |ctx| hand.worker.client.offer_binary(ctx, job, BINARY);
        call(SECOND, offer).await.unwrap().unwrap();
        hand
    } else {
        client.submit(&job).await.unwrap();
        Hand::new(&running).await
    };
    while hand.known.len() < DONE_IN_FIXTURE {
        hand.step().await;
    }
    // Tells the last ends, and what it is told then is never begun.
    hand.worker.poll(0, std::mem::take(&mut hand.ended)).await;
    // Time for a snapshot, where there are any.
    client.status(JobId(1), SECOND / 5).await.unwrap();
    running.stop().await.unwrap();
    std::fs::remove_file(folder.join("lock")).unwrap();
    std::fs::remove_file(folder.join("events-00000000000000000000")).unwrap();
}

/// What an earlier release has journalled is understood: `WINDROW_BLESS=1` writes what this one does, where there is no fixture.
#[tokio::test]
async fn a_job_goes_on_from_a_journal_of_an_earlier_release() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    for (name, with_snapshots, for_any) in [
        ("records-1", false, false),
        ("snapshot-1", true, false),
        ("records-2", false, true),
        ("snapshot-3", true, true),
        ("snapshot-4", true, true),
        ("records-3", false, true),
        ("snapshot-5", true, true),
    ] {
        let config = if with_snapshots { config_with_snapshots } else { config_at };
        let fixture = fixtures.join(name);
        if std::env::var_os("WINDROW_BLESS").is_some() && !fixture.exists() {
            write_fixture(&fixture, config, for_any).await;
        }
        let state = tempfile::tempdir().unwrap();
        copy(&fixture, state.path());
        let running = start_at(&state).await;
        let client = client(&running).await;
        let job = JobId(1);
        let status = client.status(job, Duration::ZERO).await.unwrap();
        assert!(matches!(status.state, JobState::Running { .. }), "{name}: {status:?}");
        let claims = matches!(name, "records-3" | "snapshot-5");
        let user = if claims { ("ann", 3) } else { ("", 0) };
        assert_eq!((&*status.user, status.priority), user, "{name}");
        let worker =
            connect(&running.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
        let worker = Worker { client: worker, id: WorkerId(1), seen: 0 };
        if for_any {
            let binary = call(SECOND, |ctx| worker.client.job_binary(ctx, job)).await.unwrap();
            assert_eq!(binary, Ok(Some(BINARY)), "{name}");
        }
        let mut hand = Hand { worker, known: BTreeSet::new(), ended: Vec::new() };
        let mut steps = 0;
        while matches!(
            client.status(job, Duration::ZERO).await.unwrap().state,
            JobState::Running { .. }
        ) {
            hand.step().await;
            steps += 1;
            assert!(steps < 100, "{name} does not end");
        }
        let status = client.status(job, Duration::ZERO).await.unwrap();
        assert_eq!(status.state, JobState::Succeeded, "{name}");
        assert_eq!(status.manifests, [(SinkId(0), "part-0,part-1,part-2".to_owned())]);
        let all = 1 + MAPS + PARTITIONS + 1;
        assert_eq!(hand.known.len(), all as usize - DONE_IN_FIXTURE, "{name}: {:?}", hand.known);
    }
}

#[tokio::test]
async fn a_record_of_a_newer_release_is_refused_by_its_kind() {
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(state.path(), |_| Ok(())).unwrap();
    journal.add("job paused", b"");
    journal.end();
    let listen = "127.0.0.1:0".parse().unwrap();
    let error = Coordinator::start(listen, config_at(state.path())).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("`job paused`") && text.contains("journal-"), "{text}");
    // And a snapshot by its version.
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(state.path(), |_| Ok(())).unwrap();
    journal.snapshot(&[99]);
    journal.end();
    let error = Coordinator::start(listen, config_at(state.path())).await.unwrap_err();
    assert!(error.to_string().contains("a snapshot of version 99"), "{error}");
}

#[tokio::test]
async fn a_second_coordinator_on_the_same_folder_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let _running = start_at(&state).await;
    let second = Coordinator::start("127.0.0.1:0".parse().unwrap(), config_at(state.path()));
    let error = second.await.unwrap_err();
    assert!(matches!(&error, StartError::Journal(_)), "{error}");
    assert!(error.to_string().contains("in use by another coordinator"), "{error}");
}
