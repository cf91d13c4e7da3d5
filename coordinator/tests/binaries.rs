//! Jobs that any worker runs, over the real protocol: who submitted one is asked for its binary, and workers read it.

mod common;

use bytes::Bytes;
use common::*;
use std::path::Path;
use windrow_coordinator::{Config, Running};
use windrow_protocol::binary::{BinaryContent, BinarySource, PIECE_BYTES, any_build};
use windrow_protocol::claim::Claim;
use windrow_protocol::client::Client;
use windrow_protocol::control::*;
use windrow_protocol::ids::*;
use windrow_protocol::transport::call;

const MACHINE: &str = "abacus-linux";

/// A binary of three pieces.
fn bytes() -> Vec<u8> {
    (0..2 * PIECE_BYTES + 100).map(|at| (at / 7) as u8).collect()
}

fn config_at(state: &Path) -> Config {
    let mut config = config();
    config.scheduler.lease_ms = 60_000;
    Config { state: Some(state.into()), ..config }
}

async fn submit(client: &Client) -> JobId {
    client
        .submit_claiming(&submission(two_stages(1)), &Claim::default(), Some(MACHINE))
        .await
        .unwrap()
}

async fn worker(running: &Running) -> Worker {
    Worker::register(running.address, hello(&any_build(MACHINE), 1)).await
}

async fn binary_of(worker: &Worker, job: JobId) -> Result<Option<BinaryContent>, Refusal> {
    call(SECOND, |ctx| worker.client.job_binary(ctx, job)).await.unwrap()
}

async fn source(worker: &Worker, content: BinaryContent) -> BinarySource {
    call(SECOND, |ctx| worker.client.binary_source(ctx, worker.id, content)).await.unwrap().unwrap()
}

async fn put(worker: &Worker, job: JobId, piece: u32, bytes: &[u8]) -> Result<(), Refusal> {
    let bytes = Bytes::copy_from_slice(bytes);
    call(10 * SECOND, |ctx| worker.client.put_binary(ctx, job, piece, bytes)).await.unwrap()
}

async fn offer(worker: &Worker, job: JobId, content: BinaryContent) -> Result<u32, Refusal> {
    call(10 * SECOND, |ctx| worker.client.offer_binary(ctx, job, content)).await.unwrap()
}

async fn read(worker: &Worker, content: BinaryContent) -> Vec<u8> {
    let mut all = Vec::new();
    for piece in 0..content.pieces() {
        let piece = call(10 * SECOND, |ctx| worker.client.binary_piece(ctx, content, piece)).await;
        all.extend(piece.unwrap().unwrap());
    }
    all
}

#[tokio::test]
async fn who_submitted_a_job_is_asked_for_its_binary_and_workers_read_it() {
    let running = start_patient().await;
    let client = client(&running).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("program");
    std::fs::write(&path, bytes()).unwrap();
    let job = submit(&client).await;
    let worker = worker(&running).await;
    assert!(!client.status(job, SECOND / 10).await.unwrap().wants_binary);
    let content = BinaryContent::of(&*bytes()).unwrap();
    let waited = async {
        let mut waiting = Vec::new();
        client
            .wait_and_send(job, &path, |status| {
                if let JobState::Running { waiting: Some(text) } = &status.state {
                    waiting.push(text.clone());
                }
            })
            .await
            .map(|status| (status, waiting))
    };
    let worked = async {
        assert_eq!(binary_of(&worker, job).await, Ok(None));
        loop {
            if let Some(content) = binary_of(&worker, job).await.unwrap()
                && source(&worker, content).await == BinarySource::Coordinator
            {
                break;
            }
            client.status(job, SECOND / 100).await.unwrap();
        }
        assert!(read(&worker, content).await == bytes());
        let tell = |ctx| worker.client.binary_fetched(ctx, worker.id, content, true);
        call(SECOND, tell).await.unwrap();
        client.cancel(job).await.unwrap();
    };
    let (waited, ()) = tokio::join!(waited, worked);
    let (status, waiting) = waited.unwrap();
    assert_eq!(status.state, JobState::Cancelled);
    // Who removes what it has left may still need it.
    assert_eq!(binary_of(&worker, job).await, Ok(Some(content)));
    assert!(waiting.iter().any(|text| text.contains("its binary")), "{waiting:?}");
    // Another job of it, and another worker: nothing is asked for, and the first worker has it.
    let other = submit(&client).await;
    let two = Worker::register(running.address, hello(&any_build(MACHINE), 1)).await;
    assert_eq!(offer(&two, other, content).await, Ok(content.pieces()));
    assert_eq!(binary_of(&two, other).await, Ok(Some(content)));
    assert!(matches!(source(&two, content).await, BinarySource::Worker(id, _) if id == worker.id));
    assert!(!client.status(other, SECOND / 100).await.unwrap().wants_binary);
}

#[tokio::test]
async fn a_binary_that_changed_on_the_way_fails_the_job() {
    let running = start_patient().await;
    let client = client(&running).await;
    let job = submit(&client).await;
    let worker = worker(&running).await;
    let content = BinaryContent::of(&b"what was offered"[..]).unwrap();
    assert!(put(&worker, job, 0, b"what was offered").await.is_err(), "before it was offered");
    assert_eq!(offer(&worker, job, content).await, Ok(0));
    let other = BinaryContent::of(&b"another"[..]).unwrap();
    assert!(offer(&worker, job, other).await.is_err(), "another one");
    assert!(put(&worker, job, 1, b"what was offered").await.is_err(), "no such piece");
    assert!(put(&worker, job, 0, b"too short").await.is_err(), "of another length");
    let why = put(&worker, job, 0, b"what has changed").await.unwrap_err().to_string();
    assert!(why.contains("did it change"), "{why}");
    let status = client.wait(job, |_| ()).await.unwrap();
    assert!(matches!(&status.state, JobState::Failed(failure) if failure.message == why));
    // Nobody waits for it any more.
    assert_eq!(binary_of(&worker, job).await, Err(Refusal::NoJob(job)));
}

#[tokio::test]
async fn a_binary_that_nobody_sends_fails_the_job() {
    let running = start_with(Config { binary_ms: 300, ..config() }).await;
    let client = client(&running).await;
    let job = submit(&client).await;
    let mut worker = worker(&running).await;
    assert_eq!(binary_of(&worker, job).await, Ok(None));
    let polling = async {
        loop {
            worker.poll(50, Vec::new()).await;
        }
    };
    let status = tokio::select! {
        status = client.wait(job, |_| ()) => status.unwrap(),
        () = polling => unreachable!(),
    };
    let JobState::Failed(failure) = status.state else { panic!("{:?}", status.state) };
    assert!(failure.message.contains("has not sent any of it"), "{failure}");
}

#[tokio::test]
async fn a_coordinator_goes_on_with_what_had_come() {
    for snapshot_bytes in [1, u64::MAX] {
        let state = tempfile::tempdir().unwrap();
        let config = || {
            let mut config = config_at(state.path());
            config.scheduler.tick_ms = 4;
            Config { snapshot_bytes, ..config }
        };
        let content = BinaryContent::of(&*bytes()).unwrap();
        let piece = |at: u32| {
            let from = at as usize * PIECE_BYTES as usize;
            bytes()[from..from + content.piece_bytes(at) as usize].to_vec()
        };
        let hello = hello(&any_build(MACHINE), 1);
        let worker = |running: &Running| Worker::register(running.address, hello.clone());
        let running = start_with(config()).await;
        let job = submit(&client(&running).await).await;
        let one = worker(&running).await;
        assert_eq!(binary_of(&one, job).await, Ok(None));
        assert_eq!(offer(&one, job, content).await, Ok(0));
        put(&one, job, 0, &piece(0)).await.unwrap();
        // Time for a snapshot, where there are any.
        client(&running).await.status(job, SECOND / 5).await.unwrap();
        running.stop().await.unwrap();

        let running = start_with(config()).await;
        let client_again = client(&running).await;
        let one = worker(&running).await;
        assert_eq!(binary_of(&one, job).await, Ok(Some(content)), "{snapshot_bytes}");
        assert!(client_again.status(job, SECOND / 100).await.unwrap().wants_binary);
        assert_eq!(offer(&one, job, content).await, Ok(1));
        put(&one, job, 1, &piece(1)).await.unwrap();
        put(&one, job, 2, &piece(2)).await.unwrap();
        assert!(!client_again.status(job, SECOND / 100).await.unwrap().wants_binary);
        running.stop().await.unwrap();

        let running = start_with(config()).await;
        let mut one = worker(&running).await;
        assert_eq!(binary_of(&one, job).await, Ok(Some(content)));
        assert_eq!(source(&one, content).await, BinarySource::Coordinator);
        assert!(read(&one, content).await == bytes());
        // It is a job of any worker, as before.
        while one.poll(100, Vec::new()).await.assigned.is_empty() {}
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn workers_of_other_machines_get_no_job() {
    let running = start().await;
    let client = client(&running).await;
    let mut other = Worker::register(running.address, hello(&any_build("other"), 1)).await;
    let job = submit(&client).await;
    let polling = async {
        loop {
            assert!(other.poll(50, Vec::new()).await.assigned.is_empty());
        }
    };
    let status = tokio::select! {
        status = client.wait(job, |_| ()) => status.unwrap(),
        () = polling => unreachable!(),
    };
    let JobState::Failed(failure) = status.state else { panic!("{:?}", status.state) };
    assert!(failure.message.contains("binaries for abacus-linux"), "{failure}");
    let (job, long) = (submission(two_stages(1)), "m".repeat(101));
    let long = client.submit_claiming(&job, &Claim::default(), Some(&long)).await;
    assert!(long.unwrap_err().to_string().contains("100 bytes"));
}
