//! How many tasks a coordinator dispatches in a second: workers over loopback that do nothing but say so.
//!
//! `cargo run --release -p windrow-coordinator --example dispatch -- [TASKS] [WORKERS] [SLOTS]`
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use windrow_coordinator::{Config, Coordinator};
use windrow_protocol::client::Client;
use windrow_protocol::control::*;
use windrow_protocol::ids::*;
use windrow_protocol::link::draw_token;
use windrow_protocol::security::Credentials;
use windrow_protocol::shape::*;
use windrow_protocol::task::*;
use windrow_protocol::transport::{call, connect};

type AnyError = Box<dyn Error + Send + Sync>;

fn binary() -> BinaryId {
    BinaryId { build: "empty".to_owned(), name: "empty tasks".to_owned() }
}

/// One stage of `tasks` tasks, which write nothing into one sink.
fn job() -> JobSubmission {
    let source = RootShape::Source { listed_by: StageId(0) };
    let stage = StageShape::new("nothing", source, vec![OutputShape::Sink(SinkId(0))]);
    JobSubmission {
        token: draw_token(),
        name: "dispatch".to_owned(),
        arguments: "{}".to_owned(),
        options: JobOptions::default(),
        binary: binary(),
        fingerprint: 0,
        shape: JobShape { stages: vec![stage], sinks: 1, ..JobShape::default() },
        weight: 1,
    }
}

/// Registers, and ends each attempt in the poll after the one that brought it. Gives the number of its polls.
async fn work(address: SocketAddr, slots: u32, tasks: u32) -> Result<u64, AnyError> {
    let client = connect(&address.to_string(), &Credentials::off(), Duration::from_secs(5)).await?;
    let hello = WorkerHello {
        version: PROTOCOL_VERSION,
        token: draw_token(),
        host: "here".to_owned(),
        data_address: "127.0.0.1:1".to_owned(),
        slots,
        memory: 1 << 30,
        binary: binary(),
    };
    let worker =
        call(Duration::from_secs(5), |ctx| client.register(ctx, hello, Vec::new())).await??.worker;
    let mut poll = Poll { wait_ms: 1_000, ..Poll::default() };
    let mut polls = 0;
    loop {
        let answer = call(Duration::from_secs(10), |ctx| client.poll(ctx, worker, poll)).await?;
        polls += 1;
        if answer.drained || answer.unknown {
            return Ok(polls);
        }
        let ended = answer.assigned.into_iter().map(|order| {
            let splits = match order.work {
                Work::Split => (0..tasks).map(split).collect(),
                _ => Vec::new(),
            };
            let output = TaskOutput { splits, ..TaskOutput::default() };
            AttemptEnd::of(order.attempt, Ok(output))
        });
        let ended = ended.collect();
        poll = Poll { seen: answer.number, wait_ms: 1_000, ended, ..Poll::default() };
    }
}

fn split(at: u32) -> Split {
    let payload = at.to_be_bytes().to_vec();
    Split { payload, bytes: TASK_BYTES, lanes: 1, hosts: Vec::new() }
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let numbers: Vec<u32> =
        std::env::args().skip(1).map(|arg| arg.parse()).collect::<Result<_, _>>()?;
    let [tasks, workers, slots] =
        [(0, 200_000), (1, 8), (2, 256)].map(|(at, or)| numbers.get(at).copied().unwrap_or(or));
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let coordinator = Coordinator::start(listen, Config::default()).await?;
    let workers: Vec<_> =
        (0..workers).map(|_| tokio::spawn(work(coordinator.address, slots, tasks))).collect();
    let client = Client::connect(&coordinator.address.to_string(), Credentials::off()).await?;
    let begun = Instant::now();
    let job = client.submit(&job()).await?;
    let status = client.wait(job, |_| ()).await?;
    let took = begun.elapsed();
    if status.state != JobState::Succeeded {
        return Err(format!("the job ended otherwise: {:?}", status.state).into());
    }
    coordinator.shut_down().await.expect("it keeps nothing, so that nothing can fail");
    let mut polls = 0;
    for worker in workers {
        polls += worker.await??;
    }
    println!(
        "{tasks} tasks in {:.2} s, stage {} ms: {:.0} dispatches/s, {polls} polls",
        took.as_secs_f64(),
        status.stages[0].elapsed_ms,
        f64::from(tasks) / took.as_secs_f64(),
    );
    Ok(())
}
