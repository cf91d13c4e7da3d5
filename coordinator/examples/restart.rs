//! How long a coordinator needs until it goes on: a job of two stages whose map tasks are all done but one is left in a state
//! folder, and another coordinator takes it over.
//!
//! `cargo run --release -p windrow-coordinator --example restart -- FOLDER [TASKS]`: with records alone, then with snapshots;
//! the folder is made, and removed.
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::error::Error;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use windrow_coordinator::{Config, Coordinator, Running};
use windrow_protocol::claim::Claim;
use windrow_protocol::control::*;
use windrow_protocol::ids::*;
use windrow_protocol::link::draw_token;
use windrow_protocol::parts::BucketSizes;
use windrow_protocol::security::Credentials;
use windrow_protocol::shape::*;
use windrow_protocol::task::*;
use windrow_protocol::transport::{call, connect};

type AnyError = Box<dyn Error + Send + Sync>;

const PATIENCE: Duration = Duration::from_secs(60);

/// The buckets of the shuffle.
const BUCKETS: usize = 64;

fn binary() -> BinaryId {
    BinaryId { build: "empty".to_owned(), name: "empty tasks".to_owned() }
}

fn job() -> JobSubmission {
    let source = RootShape::Source { listed_by: StageId(0) };
    let read = RootShape::Shuffles(vec![ShuffleId(0)]);
    let map = StageShape::new("map", source, vec![OutputShape::Shuffle(ShuffleId(0))]);
    let reduce = StageShape::new("reduce", read, vec![OutputShape::Sink(SinkId(0))]);
    let shuffle =
        ShuffleShape { producers: vec![StageId(0)], cut: CutShape::Fixed(BUCKETS as u32) };
    JobSubmission {
        token: draw_token(),
        name: "restart".to_owned(),
        arguments: "{}".to_owned(),
        options: JobOptions::default(),
        binary: binary(),
        fingerprint: 0,
        shape: JobShape {
            stages: vec![map, reduce],
            shuffles: vec![shuffle],
            sinks: 1,
            ..JobShape::default()
        },
        weight: 1,
    }
}

fn output(order: &TaskOrder, tasks: u32) -> TaskOutput {
    let split = |at: u32| {
        let payload = at.to_be_bytes().to_vec();
        Split { payload, bytes: TASK_BYTES, lanes: 1, hosts: Vec::new() }
    };
    match &order.work {
        Work::Split => TaskOutput { splits: (0..tasks).map(split).collect(), ..Default::default() },
        _ => TaskOutput {
            shuffles: vec![ShuffleOutput {
                shuffle: ShuffleId(0),
                stage: StageId(0),
                rows: 1_000_000,
                bytes: 64 << 20,
                encoded: 64 << 20,
                sizes: BucketSizes::of([1 << 20; BUCKETS]),
                content: 7,
            }],
            ..TaskOutput::default()
        },
    }
}

fn config(state: &Path, snapshot_bytes: u64) -> Config {
    let mut config = Config { state: Some(state.into()), snapshot_bytes, ..Config::default() };
    config.scheduler.lease_ms = 600_000;
    config
}

async fn start(config: Config) -> Result<Running, AnyError> {
    Ok(Coordinator::start(SocketAddr::from(([127, 0, 0, 1], 0)), config).await?)
}

/// Does all tasks but the last map task. Gives the worker, and the longest time that a poll with ends took.
async fn most_of_it(running: &Running, tasks: u32) -> Result<(WorkerId, Duration), AnyError> {
    let client = connect(&running.address.to_string(), &Credentials::off(), PATIENCE).await?;
    let hello = WorkerHello {
        version: PROTOCOL_VERSION,
        token: draw_token(),
        host: "here".to_owned(),
        data_address: "127.0.0.1:1".to_owned(),
        slots: 64,
        memory: 1 << 30,
        binary: binary(),
    };
    let worker = call(PATIENCE, |ctx| client.register(ctx, hello, Vec::new())).await??.worker;
    call(PATIENCE, |ctx| client.submit(ctx, PROTOCOL_VERSION, job(), Claim::default(), None))
        .await??;
    let mut poll = Poll { wait_ms: 1_000, ..Poll::default() };
    let (mut done, mut longest) = (0, Duration::ZERO);
    while done < tasks {
        let asked = Instant::now();
        let answer = call(PATIENCE, |ctx| client.poll(ctx, worker, poll)).await?;
        if done > 0 {
            longest = longest.max(asked.elapsed());
        }
        let mut ended = Vec::new();
        for order in &answer.assigned {
            let is_last = order.attempt.task.partition + 1 == tasks;
            if order.attempt.task.kind == TaskKind::Split || !is_last {
                let result = Ok(output(order, tasks));
                ended.push(AttemptEnd::of(order.attempt, result));
            }
            done += u32::from(order.attempt.task.kind == TaskKind::Compute);
        }
        poll = Poll { seen: answer.number, wait_ms: 1_000, ended, ..Poll::default() };
    }
    // Tells the last ends.
    let poll = Poll { wait_ms: 0, ..poll };
    call(PATIENCE, |ctx| client.poll(ctx, worker, poll)).await?;
    Ok((worker, longest))
}

/// From the start of a coordinator until a worker has the order that was left.
async fn go_on(config: Config, worker: WorkerId) -> Result<(Duration, Duration), AnyError> {
    let begun = Instant::now();
    let running = start(config).await?;
    let started = begun.elapsed();
    let client = connect(&running.address.to_string(), &Credentials::off(), PATIENCE).await?;
    let poll = Poll { wait_ms: 1_000, ..Poll::default() };
    let answer = call(PATIENCE, |ctx| client.poll(ctx, worker, poll)).await?;
    let dispatched = begun.elapsed();
    if answer.assigned.len() != 1 {
        return Err(
            format!("{} orders, and not the one that is left", answer.assigned.len()).into()
        );
    }
    running.stop().await?;
    Ok((started, dispatched))
}

fn bytes_in(folder: &Path) -> std::io::Result<u64> {
    std::fs::read_dir(folder)?.map(|entry| Ok(entry?.metadata()?.len())).sum()
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("a folder for the journal is missing")?);
    let tasks = arguments.next().map_or(Ok(1_000_000), |tasks| tasks.parse())?;
    for (name, snapshot_bytes) in
        [("records", u64::MAX), ("snapshots", Config::default().snapshot_bytes)]
    {
        let running = start(config(&folder, snapshot_bytes)).await?;
        let (worker, longest) = most_of_it(&running, tasks).await?;
        running.stop().await?;
        let megabytes = bytes_in(&folder)? / 1_000_000;
        let (started, dispatched) = go_on(config(&folder, snapshot_bytes), worker).await?;
        println!(
            "{name}: {tasks} tasks, {megabytes} MB, longest poll {} ms; started after {} ms, dispatched after {} ms",
            longest.as_millis(),
            started.as_millis(),
            dispatched.as_millis()
        );
        std::fs::remove_dir_all(&folder)?;
    }
    Ok(())
}
