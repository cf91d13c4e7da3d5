//! The transport against well-behaved callers, strangers and nonsense, over loopback.

use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tarpc::client::RpcError;
use tarpc::context::Context;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use windrow_protocol::attempts::{AttemptsPage, LogsPage};
use windrow_protocol::binary::{BinaryContent, BinarySource};
use windrow_protocol::claim::{Claim, QueueStatus};
use windrow_protocol::codec::preface;
use windrow_protocol::control::*;
use windrow_protocol::events::{Cursor, EventPage, Since};
use windrow_protocol::ids::*;
use windrow_protocol::link::{Link, LinkConfig};
use windrow_protocol::security::Credentials;
use windrow_protocol::transport::{ConnectError, Limits, call, connect, serve, serve_connection};

const SECOND: Duration = Duration::from_secs(1);

/// Answers `hello`, panics at `jobs`, and never answers `workers`.
#[derive(Clone, Default)]
struct Dummy {
    version: u32,
    waiting: Arc<AtomicUsize>,
}

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Coordinator for Dummy {
    async fn hello(self, _: Context) -> (u32, BinaryId) {
        (self.version, BinaryId { build: "b".into(), name: "dummy".into() })
    }
    async fn submit(
        self,
        _: Context,
        _: u32,
        _: JobSubmission,
        _: Claim,
        _: Option<String>,
    ) -> Result<JobId, Refusal> {
        Ok(JobId(1))
    }
    async fn status(self, _: Context, job: JobId, _: u32) -> Result<JobStatus, Refusal> {
        Err(Refusal::NoJob(job))
    }
    async fn collected(
        self,
        _: Context,
        _: JobId,
        _: CollectId,
        _: u64,
    ) -> Result<Vec<u8>, Refusal> {
        Ok(Vec::new())
    }
    async fn jobs(self, _: Context) -> Vec<JobStatus> {
        panic!("the dummy panics")
    }
    async fn cancel(self, _: Context, _: JobId) -> Result<(), Refusal> {
        Ok(())
    }
    async fn workers(self, _: Context) -> Vec<WorkerStatus> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let _counted = Counted(self.waiting.clone());
        std::future::pending().await
    }
    async fn drain(self, _: Context, _: WorkerId) -> Result<(), Refusal> {
        Ok(())
    }
    async fn shut_down(self, _: Context) {}
    async fn register(
        self,
        _: Context,
        _: WorkerHello,
        _: Vec<String>,
    ) -> Result<Registered, Refusal> {
        Ok(Registered { worker: WorkerId(1), lease_ms: 1, term: Term::default() })
    }
    async fn poll(self, _: Context, _: WorkerId, _: Poll) -> PollAnswer {
        PollAnswer::default()
    }
    async fn job_spec(self, _: Context, job: JobId) -> Result<JobSpec, Refusal> {
        Err(Refusal::NoJob(job))
    }
    async fn blocks(
        self,
        _: Context,
        _: JobId,
        _: ShuffleId,
        _: u32,
    ) -> Result<BlockPage, Refusal> {
        Ok(BlockPage::default())
    }
    async fn gone(self, _: Context, _: Vec<u128>) {}
    async fn offer_binary(self, _: Context, _: JobId, _: BinaryContent) -> Result<u32, Refusal> {
        Ok(0)
    }
    async fn put_binary(self, _: Context, _: JobId, _: u32, _: Bytes) -> Result<(), Refusal> {
        Ok(())
    }
    async fn job_binary(self, _: Context, _: JobId) -> Result<Option<BinaryContent>, Refusal> {
        Ok(None)
    }
    async fn binary_source(
        self,
        _: Context,
        _: WorkerId,
        _: BinaryContent,
    ) -> Result<BinarySource, Refusal> {
        Ok(BinarySource::NotYet)
    }
    async fn binary_piece(self, _: Context, _: BinaryContent, _: u32) -> Result<Bytes, Refusal> {
        Ok(Bytes::new())
    }
    async fn binary_fetched(self, _: Context, _: WorkerId, _: BinaryContent, _: bool) {}
    async fn queues(self, _: Context) -> Vec<QueueStatus> {
        Vec::new()
    }
    async fn attempts(self, _: Context, job: JobId, _: u64) -> Result<AttemptsPage, Refusal> {
        Err(Refusal::NoJob(job))
    }
    async fn logs(self, _: Context, job: JobId, _: u64) -> Result<LogsPage, Refusal> {
        Err(Refusal::NoJob(job))
    }
    async fn bounds(self, _: Context, job: JobId) -> Result<Vec<String>, Refusal> {
        Err(Refusal::NoJob(job))
    }
    async fn submitted(self, _: Context, _: u128) -> Option<JobId> {
        None
    }
    async fn events(self, _: Context, _: Since, _: Option<JobId>, _: u32) -> EventPage {
        EventPage { events: Vec::new(), cursor: Cursor { stream: 0, number: 0 }, missed: None }
    }
    async fn certify(self, _: Context, _: Vec<u8>, _: CertificateOf) -> Result<Issued, Refusal> {
        Err(Refusal::CertifiesNobody)
    }
    async fn explain(self, _: Context, job: JobId, _: Option<TaskId>) -> Result<String, Refusal> {
        Err(Refusal::NoJob(job))
    }
    async fn job_record(self, _: Context, job: JobId) -> Result<JobRecord, Refusal> {
        Err(Refusal::NoJob(job))
    }
    async fn task_record(
        self,
        _: Context,
        job: JobId,
        _: StageId,
        _: TaskKind,
        _: u32,
    ) -> Result<TaskRecord, Refusal> {
        Err(Refusal::NoJob(job))
    }
}

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

async fn start_at(address: SocketAddr, dummy: Dummy, limits: Limits) -> Server {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    let task = tokio::spawn(async move {
        let for_each = stopped.clone();
        serve(listener, &limits.clone(), stopped, move |io| {
            serve_connection(io, dummy.clone().serve(), limits.clone(), for_each.clone())
        })
        .await
    });
    Server { address, stop, task }
}

async fn start(dummy: Dummy) -> Server {
    let limits = Limits { first_request: Duration::from_millis(300), ..Limits::default() };
    start_at("127.0.0.1:0".parse().unwrap(), dummy, limits).await
}

fn dummy() -> Dummy {
    Dummy { version: PROTOCOL_VERSION, ..Dummy::default() }
}

/// Waits until the server closes the connection, and says how long that took.
async fn closed(mut io: TcpStream) -> Duration {
    let begun = Instant::now();
    let mut sink = Vec::new();
    let _ = tokio::time::timeout(5 * SECOND, io.read_to_end(&mut sink)).await.expect("not closed");
    begun.elapsed()
}

#[tokio::test]
async fn nonsense_ends_its_connection_and_nothing_else() {
    let server = start(dummy()).await;
    let request = |bytes: &[u8]| [&preface()[..], bytes].concat();
    let nonsense: Vec<(&str, Vec<u8>)> = vec![
        ("another protocol", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        (
            "random bytes",
            (0..4096_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect(),
        ),
        ("a giant length", request(&u32::MAX.to_be_bytes())),
        ("a frame that does not decode", request(&[0, 0, 0, 4, 255, 255, 255, 255])),
        (
            "a far deadline",
            request(&[0, 0, 0, 40, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
    ];
    for (what, bytes) in nonsense {
        let mut io = TcpStream::connect(server.address).await.unwrap();
        let _ = io.write_all(&bytes).await;
        closed(io).await;
        let client = connect(&server.address.to_string(), &Credentials::off(), SECOND).await;
        assert!(client.is_ok(), "after {what}: {:?}", client.err());
    }
}

#[tokio::test]
async fn silence_is_dropped_before_the_first_request_only() {
    let server = start(dummy()).await;
    let client = connect(&server.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    let cases = [Vec::new(), preface()[..3].to_vec(), preface().to_vec(), {
        [&preface()[..], &[0, 0, 0, 200, 0, 0, 0]].concat()
    }];
    for bytes in cases {
        let mut io = TcpStream::connect(server.address).await.unwrap();
        io.write_all(&bytes).await.unwrap();
        let took = closed(io).await;
        assert!(took > Duration::from_millis(200) && took < 2 * SECOND, "{took:?}");
    }
    call(SECOND, |ctx| client.hello(ctx)).await.unwrap();
}

#[tokio::test]
async fn who_is_not_a_coordinator_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let answers: [&[u8]; 3] = [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", &{
        let mut other = preface();
        other[7] = 9;
        other
    }];
    let answers = answers.map(<[u8]>::to_vec);
    tokio::spawn(async move {
        for answer in answers {
            let (mut io, _) = listener.accept().await.unwrap();
            let mut greeting = [0; 8];
            io.read_exact(&mut greeting).await.unwrap();
            io.write_all(&answer).await.unwrap();
        }
        let _silent = listener.accept().await;
        std::future::pending::<()>().await;
    });
    let refused = |result: Result<CoordinatorClient, _>| result.map(|_| ()).unwrap_err();
    let err = refused(connect(&address, &Credentials::off(), SECOND).await);
    assert!(matches!(err, ConnectError::NotACoordinator { .. }), "{err}");
    // A proxy, perhaps, behind which nobody listens yet.
    let err = refused(connect(&address, &Credentials::off(), SECOND).await);
    assert!(err.is_transient() && err.to_string().contains("without a word"), "{err}");
    let err = refused(connect(&address, &Credentials::off(), SECOND).await);
    assert!(err.to_string().contains("version 9 of the protocol"), "{err}");
    let err = refused(connect(&address, &Credentials::off(), SECOND / 5).await);
    assert!(matches!(err, ConnectError::Timeout { .. }), "{err}");
    let err = refused(connect("no address", &Credentials::off(), SECOND).await);
    assert!(matches!(err, ConnectError::Address { .. }), "{err}");
}

#[tokio::test]
async fn a_caller_of_another_version_learns_ours() {
    let server = start(dummy()).await;
    let mut io = TcpStream::connect(server.address).await.unwrap();
    let mut other = preface();
    other[7] = 200;
    io.write_all(&other).await.unwrap();
    let mut answer = Vec::new();
    io.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, preface());
}

#[tokio::test]
async fn a_version_that_only_hello_tells_is_refused() {
    let server = start(Dummy { version: PROTOCOL_VERSION + 256, ..dummy() }).await;
    let err = connect(&server.address.to_string(), &Credentials::off(), SECOND)
        .await
        .map(|_| ())
        .unwrap_err();
    assert!(matches!(err, ConnectError::Version { .. }), "{err}");
}

#[tokio::test]
async fn a_panic_is_an_answer() {
    let server = start(dummy()).await;
    let client = connect(&server.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    match call(30 * SECOND, |ctx| client.jobs(ctx)).await {
        Err(RpcError::Server(err)) => assert!(err.detail.contains("the dummy panics"), "{err}"),
        other => panic!("{other:?}"),
    }
    call(SECOND, |ctx| client.hello(ctx)).await.unwrap();
}

#[tokio::test]
async fn handlers_end_with_their_caller() {
    let dummy = dummy();
    let waiting = dummy.waiting.clone();
    let server = start(dummy).await;
    let client = connect(&server.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    let caller = tokio::spawn(async move { call(60 * SECOND, |ctx| client.workers(ctx)).await });
    let until = async |count| {
        while waiting.load(Ordering::SeqCst) != count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SECOND, until(1)).await.unwrap();
    caller.abort();
    tokio::time::timeout(SECOND, until(0)).await.expect("the handler runs on");
}

#[tokio::test]
async fn deadlines_end_calls() {
    let server = start(dummy()).await;
    let client = connect(&server.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    let begun = Instant::now();
    let result = call(SECOND / 10, |ctx| client.workers(ctx)).await;
    assert!(matches!(result, Err(RpcError::DeadlineExceeded)), "{result:?}");
    assert!(begun.elapsed() < SECOND);
}

#[tokio::test]
async fn more_connections_than_allowed_are_closed() {
    let limits = Limits { connections: 2, ..Limits::default() };
    let server = start_at("127.0.0.1:0".parse().unwrap(), dummy(), limits).await;
    let address = server.address.to_string();
    let _first = connect(&address, &Credentials::off(), SECOND).await.unwrap();
    let second = connect(&address, &Credentials::off(), SECOND).await.unwrap();
    assert!(connect(&address, &Credentials::off(), SECOND).await.is_err());
    drop(second);
    tokio::time::sleep(SECOND / 10).await;
    assert!(connect(&address, &Credentials::off(), SECOND).await.is_ok());
}

#[tokio::test]
async fn a_link_outlives_its_server() {
    let server = start(dummy()).await;
    let address = server.address;
    let link = Link::connect(address.to_string(), Credentials::off(), LinkConfig::default())
        .await
        .unwrap();
    let hello = || link.call(SECOND, |client, ctx| async move { client.hello(ctx).await });
    assert!(hello().await.is_ok());
    server.stop.send(true).unwrap();
    server.task.await.unwrap();
    let (answer, _server) = tokio::join!(hello(), async {
        tokio::time::sleep(SECOND / 5).await;
        start_at(address, dummy(), Limits::default()).await
    });
    assert!(answer.is_ok(), "{answer:?}");
}
