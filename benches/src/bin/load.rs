//! Load for a coordinator: many workers, each with a connection of its own and real calls, that run tasks by waiting; and a job
//! for them. It tells how many tasks were dispatched in a second, how long polls took, and what the coordinator needed.
//!
//! `windrow coordinator --http 127.0.0.1:7078 & load --coordinator 127.0.0.1:7077 --workers 2000 --tasks 1000000`
//!
//! A poll that brings the ends of attempts is answered at once; how long that takes is told. What a task reads and how long it
//! takes follows from its number: three in a hundred take four times as long, and one stage has larger ones among its tasks.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use windrow_protocol::client::Client;
use windrow_protocol::control::*;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::*;
use windrow_protocol::link::draw_token;
use windrow_protocol::parts::BucketSizes;
use windrow_protocol::security::Credentials;
use windrow_protocol::shape::*;
use windrow_protocol::task::*;
use windrow_protocol::transport::{call, connect};

type AnyError = Box<dyn Error + Send + Sync>;

/// Splits in one page of a listing.
const PAGE: u32 = 20_000;

/// The most attempts whose ends one poll tells.
const ENDS_MAX: usize = 2_000;

const USAGE: &str = "load --coordinator HOST:PORT [--workers N] [--slots N] [--tasks N] [--reduces N] \
[--task-ms MS] [--fail-permille N] [--process PID] [--stay SECONDS]";

/// What is wanted.
#[derive(Clone, Debug)]
struct Wanted {
    coordinator: String,
    workers: u32,
    slots: u32,
    /// Tasks that read splits.
    tasks: u32,
    /// Tasks that read what those wrote; none without a shuffle.
    reduces: u32,
    /// About how long a task takes; 0 for no time.
    task_ms: u64,
    /// So many first attempts of a thousand fail.
    fail_permille: u64,
    /// The coordinator's process, whose memory is told.
    process: Option<u32>,
    /// The workers stay for so long after the job.
    stay_s: u64,
}

impl Wanted {
    fn read(words: impl Iterator<Item = String>) -> Result<Wanted, AnyError> {
        let mut wanted = Wanted {
            coordinator: String::new(),
            workers: 8,
            slots: 16,
            tasks: 100_000,
            reduces: 0,
            task_ms: 0,
            fail_permille: 0,
            process: None,
            stay_s: 0,
        };
        let mut words = words;
        while let Some(flag) = words.next() {
            let value = words.next().ok_or(USAGE)?;
            match flag.as_str() {
                "--coordinator" => wanted.coordinator = value,
                "--workers" => wanted.workers = value.parse()?,
                "--slots" => wanted.slots = value.parse()?,
                "--tasks" => wanted.tasks = value.parse()?,
                "--reduces" => wanted.reduces = value.parse()?,
                "--task-ms" => wanted.task_ms = value.parse()?,
                "--fail-permille" => wanted.fail_permille = value.parse()?,
                "--process" => wanted.process = Some(value.parse()?),
                "--stay" => wanted.stay_s = value.parse()?,
                _ => return Err(USAGE.into()),
            }
        }
        if wanted.coordinator.is_empty() { Err(USAGE.into()) } else { Ok(wanted) }
    }

    fn job(&self) -> JobSubmission {
        let source = RootShape::Source { listed_by: StageId(0) };
        let sink = OutputShape::Sink(SinkId(0));
        let mut shape = JobShape { sinks: 1, ..JobShape::default() };
        if self.reduces == 0 {
            shape.stages = vec![StageShape::new("read > write", source, vec![sink])];
        } else {
            let into = OutputShape::Shuffle(ShuffleId(0));
            let read = RootShape::Shuffles(vec![ShuffleId(0)]);
            shape.stages = vec![
                StageShape::new("read_text > emit > count_by_key", source, vec![into]),
                StageShape::new("count_by_key > write_parquet", read, vec![sink]),
            ];
            let cut = CutShape::Fixed(self.reduces);
            shape.shuffles = vec![ShuffleShape { producers: vec![StageId(0)], cut }];
        }
        JobSubmission {
            token: draw_token(),
            name: "load".to_owned(),
            arguments: format!("{{\"tasks\":{}}}", self.tasks),
            options: JobOptions::default(),
            binary: binary(),
            fingerprint: 0,
            shape,
            weight: 1,
        }
    }

    /// How long an attempt takes.
    fn takes(&self, attempt: AttemptId) -> Duration {
        let drawn = mix(attempt);
        let slow = if drawn % 100 < 3 { 4 } else { 1 };
        Duration::from_micros(self.task_ms * slow * (500 + drawn / 100 % 1_000))
    }

    /// What an attempt brings.
    fn result(&self, order: &TaskOrder) -> Result<TaskOutput, Failure> {
        let drawn = mix(order.attempt);
        if order.attempt.number == 0
            && order.attempt.task.kind == TaskKind::Compute
            && drawn / 1_000 % 1_000 < self.fail_permille
        {
            let text = "record 17 of its split is not what was thought: a made failure";
            return Err(Failure::new(FailureClass::UserCode, text));
        }
        let mut output = TaskOutput::default();
        match &order.work {
            Work::Split => {}
            Work::Commit { .. } => {
                let manifest = r#"{"files":[{},{}],"rows":200,"bytes":4000}"#;
                output.manifests = vec![(SinkId(0), manifest.to_owned())];
            }
            Work::Compute { cuts, .. } => {
                let large = if drawn.is_multiple_of(50) { 8 } else { 1 };
                output.counts.records_read = 1_000 * large;
                output.counts.bytes_read = (40_000 + drawn % 20_000) * large;
                let made = |shuffle| ShuffleOutput {
                    shuffle,
                    stage: order.attempt.task.stage,
                    rows: 100,
                    bytes: 2_000,
                    encoded: 4_000,
                    sizes: BucketSizes::default(),
                    content: 1,
                };
                output.shuffles = cuts.iter().map(|(shuffle, _)| made(*shuffle)).collect();
            }
        }
        Ok(output)
    }
}

fn binary() -> BinaryId {
    BinaryId { build: "load".to_owned(), name: "load".to_owned() }
}

/// A number that looks drawn: SplitMix64's last steps.
fn mix(attempt: AttemptId) -> u64 {
    let AttemptId { task, number } = attempt;
    let mut z = u64::from(task.partition) << 20 ^ u64::from(task.stage.0) << 8 ^ u64::from(number);
    z = z.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// The ends that tell the listing of so many splits.
fn listed(attempt: AttemptId, tasks: u32) -> impl Iterator<Item = AttemptEnd> {
    let pages = tasks.div_ceil(PAGE).max(1);
    (0..pages).map(move |page| {
        let of = |at: u32| Split {
            payload: at.to_be_bytes().to_vec(),
            bytes: TASK_BYTES,
            lanes: 1,
            hosts: Vec::new(),
        };
        let splits = (page * PAGE..tasks.min((page + 1) * PAGE)).map(of).collect();
        let output = TaskOutput { splits, page, more: page + 1 < pages, ..TaskOutput::default() };
        AttemptEnd::of(attempt, Ok(output))
    })
}

/// How long polls took, in microseconds.
type Took = Arc<Mutex<Vec<u32>>>;

/// A worker, until it is told to end.
async fn work(wanted: Wanted, number: u32, took: Took) -> Result<(), AnyError> {
    let patience = Duration::from_secs(60);
    let client = connect(&wanted.coordinator, &Credentials::off(), patience).await?;
    let hello = WorkerHello {
        version: PROTOCOL_VERSION,
        token: draw_token(),
        host: format!("host-{}", number / 4),
        data_address: "127.0.0.1:1".to_owned(),
        slots: wanted.slots,
        memory: 1 << 30,
        binary: binary(),
    };
    let worker = call(patience, |ctx| client.register(ctx, hello, Vec::new())).await??.worker;
    let (mut running, mut ended) = (Vec::<(Instant, TaskOrder)>::new(), Vec::new());
    let (mut seen, mut own) = (0, Vec::new());
    loop {
        let told: Vec<AttemptEnd> = ended.drain(..ended.len().min(ENDS_MAX)).collect();
        let next = running.iter().map(|(at, _)| *at).min();
        let until = next.map(|at| at.saturating_duration_since(Instant::now()));
        let wait_ms = match until {
            // What has ended makes room for more: the answer comes at once.
            _ if !told.is_empty() || !ended.is_empty() => 0,
            Some(until) => until.as_millis() as u32,
            None => 1_000,
        };
        let tells = !told.is_empty();
        let poll = Poll { seen, wait_ms, ended: told, ..Poll::default() };
        let begun = Instant::now();
        let answer = call(patience, |ctx| client.poll(ctx, worker, poll)).await?;
        if tells {
            own.push(begun.elapsed().as_micros() as u32);
        }
        seen = answer.number;
        if answer.drained || answer.unknown {
            took.lock().await.append(&mut own);
            return Ok(());
        }
        running.retain(|(_, order)| !answer.cancelled.contains(&order.attempt));
        let now = Instant::now();
        for order in answer.assigned {
            running.push((now + wanted.takes(order.attempt), order));
        }
        let (done, on): (Vec<_>, Vec<_>) = running.into_iter().partition(|(at, _)| *at <= now);
        running = on;
        for (_, order) in done {
            match order.work {
                Work::Split => ended.extend(listed(order.attempt, wanted.tasks)),
                _ => ended.push(AttemptEnd::of(order.attempt, wanted.result(&order))),
            }
        }
    }
}

/// The memory of a process, in MB: now, and the most it had.
fn memory(process: u32) -> Option<(u64, u64)> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? / 1_000)
    };
    Some((of("VmRSS:")?, of("VmHWM:")?))
}

#[tokio::main]
async fn main() -> Result<(), AnyError> {
    let wanted = Wanted::read(std::env::args().skip(1))?;
    let took = Took::default();
    let client = Client::connect(&wanted.coordinator, Credentials::off()).await?;
    let workers: Vec<_> = (0..wanted.workers)
        .map(|number| tokio::spawn(work(wanted.clone(), number, took.clone())))
        .collect();
    while client.workers().await?.len() < wanted.workers as usize {
        if let Some(ended) = workers.iter().position(|worker| worker.is_finished()) {
            return Err(
                format!("worker {ended} has ended: may a process have so many files?").into()
            );
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let before = wanted.process.and_then(memory);
    let begun = Instant::now();
    let job = client.submit(&wanted.job()).await?;
    println!("job {job}");
    let status = client.wait(job, |_| ()).await?;
    let seconds = begun.elapsed().as_secs_f64();
    if status.state != JobState::Succeeded {
        return Err(format!("the job ended otherwise: {:?}", status.state).into());
    }
    let after = wanted.process.and_then(memory);
    tokio::time::sleep(Duration::from_secs(wanted.stay_s)).await;
    client.shut_down().await?;
    for worker in workers {
        // The coordinator may be gone before it has told everybody.
        let _ = worker.await?;
    }
    let mut took = took.lock().await;
    took.sort_unstable();
    let of = |part: f64| {
        let at = (took.len() as f64 * part) as usize;
        took.get(at.min(took.len().saturating_sub(1))).map_or(0.0, |us| f64::from(*us) / 1_000.0)
    };
    let tasks = u64::from(wanted.tasks + wanted.reduces);
    let all = tasks + status.retries;
    println!(
        "{tasks} tasks, {} workers of {} slots: {seconds:.2} s, {:.0} dispatches/s; {} polls, median {:.1} ms, 99th percentile {:.1} ms",
        wanted.workers,
        wanted.slots,
        all as f64 / seconds,
        took.len(),
        of(0.5),
        of(0.99)
    );
    if let (Some((before, _)), Some((now, most))) = (before, after) {
        println!("coordinator: {before} MB before the job, {now} MB at its end, {most} MB at most");
    }
    Ok(())
}
