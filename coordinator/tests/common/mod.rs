//! A coordinator with short leases, and workers that speak the real protocol but compute nothing.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its own part")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use windrow_coordinator::{Config, Coordinator, Running};
use windrow_protocol::client::Client;
use windrow_protocol::control::*;
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::*;
use windrow_protocol::link::{LinkConfig, draw_token};
use windrow_protocol::parts::BucketSizes;
use windrow_protocol::security::{Callee, Credentials};
use windrow_protocol::shape::*;
use windrow_protocol::task::*;
use windrow_protocol::transport::{call, connect};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const LEASE_MS: u64 = 400;

pub(crate) fn config() -> Config {
    let mut config = Config { wrong_binary_ms: 300, ..Config::default() };
    config.scheduler.lease_ms = LEASE_MS;
    config.scheduler.tick_ms = 50;
    config.limits.first_request = SECOND / 2;
    config
}

pub(crate) async fn start() -> Running {
    start_with(config()).await
}

/// With leases that outlast a slow machine.
pub(crate) async fn start_patient() -> Running {
    let mut config = config();
    config.scheduler.lease_ms = 60_000;
    start_with(config).await
}

pub(crate) async fn start_with(config: Config) -> Running {
    Coordinator::start("127.0.0.1:0".parse().unwrap(), config).await.unwrap()
}

/// One that is asked over HTTP too.
pub(crate) async fn start_with_http(config: Config) -> Running {
    start_with(Config { http: Some("127.0.0.1:0".parse().unwrap()), ..config }).await
}

/// What is answered to a request, with its head.
pub(crate) async fn get(
    running: &Running,
    credentials: &Credentials,
    path: &str,
    token: &str,
) -> String {
    let shown =
        if token.is_empty() { String::new() } else { format!("Authorization: {token}\r\n") };
    ask(running, credentials, &format!("GET {path}"), &format!("Host: 127.0.0.1\r\n{shown}")).await
}

/// As [`get`], with a method, and these heads.
pub(crate) async fn ask(
    running: &Running,
    credentials: &Credentials,
    what: &str,
    heads: &str,
) -> String {
    let stream = TcpStream::connect(running.http.unwrap()).await.unwrap();
    let mut wire = credentials.connect(stream, Callee::Coordinator).await.unwrap();
    let request = format!("{what} HTTP/1.1\r\nConnection: close\r\n{heads}\r\n");
    wire.write_all(request.as_bytes()).await.unwrap();
    wire.flush().await.unwrap();
    let mut answer = Vec::new();
    // That the other side is gone without a word is no harm once all has come.
    let _ = wire.read_to_end(&mut answer).await;
    String::from_utf8(answer).unwrap()
}

/// Waits until something holds.
#[allow(clippy::disallowed_methods, reason = "the server is driven in real time here")]
pub(crate) async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

pub(crate) async fn client(running: &Running) -> Client {
    let config = LinkConfig { patience: 2 * SECOND, ..LinkConfig::default() };
    Client::connect_with(&running.address.to_string(), Credentials::off(), config).await.unwrap()
}

pub(crate) fn binary(build: &str) -> BinaryId {
    BinaryId { build: build.to_owned(), name: format!("job-{build}") }
}

pub(crate) fn hello(build: &str, slots: u32) -> WorkerHello {
    let token = draw_token();
    WorkerHello {
        version: PROTOCOL_VERSION,
        token,
        host: format!("host-{:x}", token as u16),
        data_address: format!("127.0.0.1:{}", token as u16),
        slots,
        memory: 1 << 30,
        binary: binary(build),
    }
}

pub(crate) fn submission(shape: JobShape) -> JobSubmission {
    JobSubmission {
        token: draw_token(),
        name: "test".to_owned(),
        arguments: "{}".to_owned(),
        options: JobOptions::default(),
        binary: binary("b1"),
        fingerprint: 7,
        shape,
        weight: 1,
    }
}

/// A source into a shuffle of so many partitions, which is collected and written to a sink.
pub(crate) fn two_stages(partitions: u32) -> JobShape {
    JobShape {
        stages: vec![
            StageShape::new(
                "read > shuffle",
                RootShape::Source { listed_by: StageId(0) },
                vec![OutputShape::Shuffle(ShuffleId(0))],
            ),
            StageShape::new(
                "reduce > write",
                RootShape::Shuffles(vec![ShuffleId(0)]),
                vec![OutputShape::Collect(CollectId(0)), OutputShape::Sink(SinkId(0))],
            ),
        ],
        shuffles: vec![ShuffleShape {
            producers: vec![StageId(0)],
            cut: CutShape::Fixed(partitions),
        }],
        sinks: 1,
        collects: vec![vec![StageId(1)]],
        lookups: Vec::new(),
    }
}

/// As many splits as are told, each a task of its own.
pub(crate) fn splits(count: u32) -> Vec<Split> {
    let split = |at: u32| Split {
        payload: at.to_be_bytes().to_vec(),
        bytes: TASK_BYTES,
        lanes: 1,
        hosts: Vec::new(),
    };
    (0..count).map(split).collect()
}

/// What an attempt of a two-stage job of `maps` splits brings, if all is well.
pub(crate) fn output(order: &TaskOrder, maps: u32) -> TaskOutput {
    let partition = order.attempt.task.partition;
    let mut output = TaskOutput::default();
    match &order.work {
        Work::Split => output.splits = splits(maps),
        Work::Compute { input: TaskInput::Splits(_), cuts, .. } => {
            output.counts.records_read = 10;
            output.shuffles = cuts
                .iter()
                .map(|(shuffle, _)| ShuffleOutput {
                    shuffle: *shuffle,
                    stage: order.attempt.task.stage,
                    rows: 10,
                    bytes: 100,
                    encoded: 100,
                    sizes: BucketSizes::default(),
                    content: 1,
                })
                .collect();
        }
        Work::Compute { .. } => {
            output.collected = vec![(CollectId(0), partition.to_be_bytes().to_vec())];
            output.staged = vec![(SinkId(0), staged(partition))];
        }
        Work::Commit { outputs, .. } => {
            let staged = outputs.iter().flat_map(|(_, staged)| staged);
            let names = staged.map(|staged| staged.attempt.as_str());
            output.manifests = vec![(SinkId(0), names.collect::<Vec<_>>().join(","))];
        }
    }
    output
}

pub(crate) fn staged(partition: u32) -> StagedFiles {
    let attempt = format!("part-{partition}");
    StagedFiles { attempt, files: 1, rows: 1, bytes: 1, list: StagedList::Record }
}

/// A worker by hand: each call is one of the protocol.
pub(crate) struct Worker {
    pub(crate) client: CoordinatorClient,
    pub(crate) id: WorkerId,
    pub(crate) seen: u64,
}

impl Worker {
    pub(crate) async fn register(address: SocketAddr, hello: WorkerHello) -> Worker {
        Worker::register_with(address, hello, Vec::new()).await
    }

    /// With what is special about it.
    pub(crate) async fn register_with(
        address: SocketAddr,
        hello: WorkerHello,
        labels: Vec<String>,
    ) -> Worker {
        let client = connect(&address.to_string(), &Credentials::off(), SECOND).await.unwrap();
        let registered = call(SECOND, |ctx| client.register(ctx, hello, labels)).await;
        let registered = registered.unwrap().unwrap();
        Worker { client, id: registered.worker, seen: 0 }
    }

    /// Polls, and remembers the answer's number.
    pub(crate) async fn poll(&mut self, wait_ms: u32, ended: Vec<AttemptEnd>) -> PollAnswer {
        let poll = Poll { seen: self.seen, wait_ms, ended, ..Poll::default() };
        let answer = self.poll_with(poll).await;
        self.seen = answer.number;
        answer
    }

    pub(crate) async fn poll_with(&self, poll: Poll) -> PollAnswer {
        call(10 * SECOND, |ctx| self.client.poll(ctx, self.id, poll)).await.unwrap()
    }
}

/// What a worker was told in its life.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) orders: Vec<TaskOrder>,
    pub(crate) cancelled: Vec<AttemptId>,
    pub(crate) jobs_over: BTreeMap<JobId, bool>,
    pub(crate) told_end: bool,
}

pub(crate) type Shared = Arc<Mutex<Log>>;

/// A worker that runs all that it is told with `run`, until it is told to end; `None` runs for ever.
pub(crate) fn spawn(
    address: SocketAddr,
    hello: WorkerHello,
    run: impl Fn(&TaskOrder) -> Option<Result<TaskOutput, Failure>> + Send + 'static,
) -> (JoinHandle<()>, Shared) {
    spawn_labelled(address, hello, Vec::new(), run)
}

/// With what is special about it.
pub(crate) fn spawn_labelled(
    address: SocketAddr,
    hello: WorkerHello,
    labels: Vec<String>,
    run: impl Fn(&TaskOrder) -> Option<Result<TaskOutput, Failure>> + Send + 'static,
) -> (JoinHandle<()>, Shared) {
    let log = Shared::default();
    let shared = log.clone();
    let task = tokio::spawn(async move {
        let mut worker = Worker::register_with(address, hello, labels).await;
        let mut ended = Vec::new();
        let mut known = BTreeSet::new();
        loop {
            let answer = worker.poll(100, std::mem::take(&mut ended)).await;
            let mut log = shared.lock().unwrap();
            for order in answer.assigned {
                if known.insert(order.attempt) {
                    if let Some(result) = run(&order) {
                        ended.push(AttemptEnd::of(order.attempt, result));
                    }
                    log.orders.push(order);
                }
            }
            log.cancelled.extend(answer.cancelled);
            log.jobs_over.extend(answer.jobs_over.iter().map(|over| (over.job, over.abort)));
            log.told_end |= answer.drained;
            if answer.drained || answer.unknown {
                return;
            }
        }
    });
    (task, log)
}
