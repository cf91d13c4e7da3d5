//! Connections of control: a server that nonsense does not harm, and a caller that says clearly why it gets no answer.
//!
//! A server reads a preface and the first request within [`Limits::first_request`], or hangs up; a frame that is too
//! long or does not decode ends its connection and nothing else. A handler that panics answers with an error. When a
//! caller is gone its handlers are dropped. All this is debug log: strangers cause no noise.

use crate::codec::{Peer, Postcard, answer_greeting, frames, greet};
use crate::control::{CoordinatorClient, PROTOCOL_VERSION};
use crate::security::{Allowed, Callee, Credentials, Gate, Identity, introduce};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, Sink, Stream, StreamExt};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use std::{future::Future, io};
use tarpc::client::RpcError;
use tarpc::server::{BaseChannel, Channel, Serve};
use tarpc::{ClientMessage, Response, ServerError, context};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::codec::Framed;

/// A long poll is answered so long before its caller's deadline, that the answer arrives in time.
pub const ANSWER_EARLY: Duration = Duration::from_millis(50);

/// After a failed `accept` (no file descriptors, mostly) the server waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A server that stops gives answers that are under way so long.
const STOP_GRACE: Duration = Duration::from_secs(1);

/// Why there is no connection to a coordinator.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address cannot be resolved.
    #[error("`{address}` is no address of a coordinator, which is HOST:PORT: {source}")]
    Address {
        /// As given.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error(
        "no coordinator listens at {address}: start one with `windrow coordinator --listen {address}`, or check host and port"
    )]
    Refused {
        /// As given.
        address: String,
    },
    /// The network does not get there, or the connection broke.
    #[error("cannot connect to the coordinator at {address}: {source}")]
    Io {
        /// As given.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error(
        "the coordinator at {address} did not answer within {} s: is the host up, and does a firewall let the port through?", .after.as_secs_f32()
    )]
    Timeout {
        /// As given.
        address: String,
        /// How long it was waited for.
        after: Duration,
    },
    /// Something else answered.
    #[error("what listens at {address} is not a Windrow coordinator: check host and port")]
    NotACoordinator {
        /// As given.
        address: String,
    },
    /// Another version of the protocol.
    #[error(
        "the coordinator at {address} speaks version {theirs} of the protocol, and this process version {ours}: run the same release of Windrow everywhere"
    )]
    Version {
        /// As given.
        address: String,
        /// The coordinator's version.
        theirs: u32,
        /// This process' version.
        ours: u32,
    },
    /// It wants TLS.
    #[error(
        "the coordinator at {address} is secured: name the folder with its `ca.pem` and your token, with `--security` or WINDROW_SECURITY"
    )]
    Secured {
        /// As given.
        address: String,
    },
    /// TLS is spoken, and each side wants a certificate of an authority that it believes; or what is there speaks no TLS.
    #[error("there is no secure connection to the coordinator at {address}: {why}")]
    Insecure {
        /// As given.
        address: String,
        /// What is wrong.
        why: String,
    },
    /// It refuses this process.
    #[error("the coordinator at {address} refuses this process: {why}")]
    Denied {
        /// As given.
        address: String,
        /// What it says.
        why: String,
    },
}

/// What failed while a connection was secured, for people; none if that may be the network.
fn insecurity(error: &io::Error) -> Option<String> {
    use rustls::Error;
    let tls = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match tls {
        Error::InvalidCertificate(why) => format!(
            "its certificate is none that `ca.pem` stands for ({why:?}): is this folder of that cluster?"
        ),
        Error::AlertReceived(alert) => format!(
            "it does not accept the certificate of this process ({alert:?}): is this folder of that cluster, and its certificate still good?"
        ),
        Error::InvalidMessage(_) => {
            format!("what is there does not speak TLS ({tls}): was it started with `--security`?")
        }
        other => other.to_string(),
    })
}

impl ConnectError {
    /// Whether another try may succeed, with the coordinator started again meanwhile.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            ConnectError::Refused { .. } | ConnectError::Io { .. } | ConnectError::Timeout { .. }
        )
    }
}

/// Connects to a coordinator at `HOST:PORT`, and makes sure that it is one, of this version of the protocol.
///
/// # Errors
/// [`ConnectError`] says what is there instead. Cancel safe: a connection that was begun is closed.
pub async fn connect(
    address: &str,
    credentials: &Credentials,
    timeout: Duration,
) -> Result<CoordinatorClient, ConnectError> {
    match tokio::time::timeout(timeout, connect_now(address, credentials, timeout)).await {
        Ok(result) => result,
        Err(_) => Err(ConnectError::Timeout { address: address.to_owned(), after: timeout }),
    }
}

async fn connect_now(
    address: &str,
    credentials: &Credentials,
    timeout: Duration,
) -> Result<CoordinatorClient, ConnectError> {
    let named = || address.to_owned();
    let version =
        |theirs| ConnectError::Version { address: named(), theirs, ours: PROTOCOL_VERSION };
    let io_error = |source: io::Error| match (source.kind(), insecurity(&source)) {
        (io::ErrorKind::ConnectionRefused, _) => ConnectError::Refused { address: named() },
        (_, Some(why)) => ConnectError::Insecure { address: named(), why },
        (_, None) => ConnectError::Io { address: named(), source },
    };
    let resolved: Vec<_> = tokio::net::lookup_host(address)
        .await
        .map_err(|source| ConnectError::Address { address: named(), source })?
        .collect();
    let io = TcpStream::connect(&resolved[..]).await.map_err(io_error)?;
    io.set_nodelay(true).map_err(io_error)?;
    let mut io = credentials.connect(io, Callee::Coordinator).await.map_err(|source| {
        let ended = source.kind() == io::ErrorKind::UnexpectedEof;
        let text =
            "it closed the connection in the TLS handshake: was it started with `--security`?";
        io_error(if ended { io::Error::new(source.kind(), text) } else { source })
    })?;
    match greet(&mut io).await.map_err(io_error)? {
        Peer::Same => {}
        Peer::Version(theirs) => return Err(version(theirs)),
        Peer::Secured => return Err(ConnectError::Secured { address: named() }),
        Peer::Stranger => return Err(ConnectError::NotACoordinator { address: named() }),
        Peer::Gone => {
            let text = "it closed the connection without a word: is that its port, and is it up?";
            return Err(io_error(io::Error::new(io::ErrorKind::UnexpectedEof, text)));
        }
    }
    if credentials.are_on() {
        let token = credentials.token();
        let token = token.as_ref().map(|token| token.reveal().as_str());
        if let Some(why) = introduce(&mut io, token).await.map_err(io_error)? {
            return Err(ConnectError::Denied { address: named(), why });
        }
    }
    let client = client_over(io);
    match call(timeout, |ctx| client.hello(ctx)).await {
        Ok((PROTOCOL_VERSION, _)) => Ok(client),
        Ok((theirs, _)) => Err(version(theirs)),
        Err(RpcError::DeadlineExceeded) => {
            Err(ConnectError::Timeout { address: named(), after: timeout })
        }
        Err(err) => Err(ConnectError::Io { address: named(), source: io::Error::other(err) }),
    }
}

/// A client of a coordinator over a stream whose preface is done. Its task ends when all clones are dropped, or the
/// stream breaks; calls then fail with [`RpcError::Shutdown`].
pub fn client_over<I>(io: I) -> CoordinatorClient
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let transport = tarpc::serde_transport::new(Framed::new(io, frames()), Postcard);
    let new = CoordinatorClient::new(tarpc::client::Config::default(), transport);
    tokio::spawn(new.dispatch.map(|end| {
        if let Err(err) = end {
            tracing::debug!(%err, "a connection to the coordinator broke");
        }
    }));
    new.client
}

/// Makes a call that must be answered within `within`, by the clock of both sides.
///
/// # Errors
/// [`RpcError::DeadlineExceeded`] when it was not; else as the call. Cancel safe: the handler of a dropped call is
/// dropped as well.
pub async fn call<T, F>(
    within: Duration,
    make: impl FnOnce(context::Context) -> F,
) -> Result<T, RpcError>
where
    F: Future<Output = Result<T, RpcError>>,
{
    let mut ctx = context::current();
    ctx.deadline = Instant::now() + within;
    match tokio::time::timeout(within, make(ctx)).await {
        Ok(result) => result,
        Err(_) => Err(RpcError::DeadlineExceeded),
    }
}

/// How long a handler may wait that was asked to wait `wait_ms`: the answer leaves [`ANSWER_EARLY`] before the deadline.
pub fn wait_for(ctx: &context::Context, wait_ms: u32) -> Duration {
    let left = ctx.deadline.saturating_duration_since(Instant::now());
    Duration::from_millis(u64::from(wait_ms)).min(left.saturating_sub(ANSWER_EARLY))
}

/// What a server puts up with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once; more are closed at once.
    pub connections: usize,
    /// A connection without a valid request for so long from its start is dropped.
    pub first_request: Duration,
    /// A connection without any request for so long is dropped.
    pub idle: Duration,
    /// Requests at once on a connection; more are answered with an error.
    pub requests: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 4096,
            first_request: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            requests: 256,
        }
    }
}

/// Accepts connections on `listener` until `stop` is true or its sender is gone. Then it accepts no more, gives the
/// answers that are under way a second, and returns. Each connection is a task that runs `each`, mostly
/// [`serve_connection`] with a service: a closure, since only with a known service are a connection's futures `Send`.
///
/// Cancel safe: all connections are closed when it is dropped.
pub async fn serve<F>(
    listener: TcpListener,
    limits: &Limits,
    mut stop: watch::Receiver<bool>,
    each: impl Fn(TcpStream) -> F,
) where
    F: Future<Output = Result<(), Dropped>> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = stopped(&mut stop) => break,
        };
        match accepted {
            Ok((_, peer)) if connections.len() >= limits.connections => {
                tracing::debug!(%peer, "too many connections: one is dropped");
            }
            Ok((io, peer)) => {
                let _ = io.set_nodelay(true);
                let connection = each(io);
                connections.spawn(async move {
                    if let Err(err) = connection.await {
                        tracing::debug!(%peer, %err, "a connection is dropped");
                    }
                });
            }
            Err(err) => {
                tracing::debug!(%err, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(STOP_GRACE, ended).await;
}

/// Waits until `stop` is true or its sender is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Why a connection was dropped.
#[derive(Debug, thiserror::Error)]
pub enum Dropped {
    /// It is no Windrow process.
    #[error("it is no Windrow process")]
    Stranger,
    /// Another version of the protocol; the caller was told ours.
    #[error("it speaks version {0} of the protocol, and this process version {PROTOCOL_VERSION}")]
    Version(u32),
    /// It may not connect.
    #[error("{0}")]
    Refused(String),
    /// It sent nothing valid for too long.
    #[error("it sent no request for too long")]
    Silent,
    /// It broke, or sent what is no message.
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// A service whose requests and answers can travel.
pub trait Answers:
    Serve<Req: serde::de::DeserializeOwned + tarpc::RequestName, Resp: serde::Serialize> + Clone
{
}

impl<S> Answers for S where
    S: Serve<Req: serde::de::DeserializeOwned + tarpc::RequestName, Resp: serde::Serialize> + Clone
{
}

/// Answers a caller's preface.
///
/// # Errors
/// If it is of another version, or a stranger. Not cancel safe, as [`answer_greeting`].
pub(crate) async fn be_greeted<I>(io: &mut I) -> Result<(), Dropped>
where
    I: AsyncRead + AsyncWrite + Unpin,
{
    match answer_greeting(io).await? {
        Peer::Same => Ok(()),
        Peer::Version(version) => Err(Dropped::Version(version)),
        Peer::Stranger | Peer::Gone | Peer::Secured => Err(Dropped::Stranger),
    }
}

/// Serves one connection: preface, then requests, until the caller is gone or `stop` is true and nothing is under way.
///
/// # Errors
/// Why it was dropped, if the caller did not simply close it. Cancel safe: handlers are dropped with it.
pub async fn serve_connection<I, S>(
    mut io: I,
    service: S,
    limits: Limits,
    stop: watch::Receiver<bool>,
) -> Result<(), Dropped>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Answers,
{
    let deadline = tokio::time::Instant::now() + limits.first_request;
    let greeted = tokio::time::timeout_at(deadline, be_greeted(&mut io)).await;
    greeted.map_err(|_| Dropped::Silent)??;
    answer_requests(io, service, limits, deadline, stop).await
}

/// As [`serve_connection`], of a caller who first has to prove who it is, and may do then what that allows.
///
/// # Errors
/// As there.
pub async fn serve_secured<S>(
    stream: TcpStream,
    gate: Arc<Gate>,
    service: impl FnOnce(Identity) -> S,
    limits: Limits,
    stop: watch::Receiver<bool>,
) -> Result<(), Dropped>
where
    S: Answers,
{
    let deadline = tokio::time::Instant::now() + limits.first_request;
    let admitted = tokio::time::timeout_at(deadline, gate.admit(stream)).await;
    let (io, who) = admitted.map_err(|_| Dropped::Silent)??;
    let service = Allowed::new(service(who.clone()), who, gate);
    answer_requests(io, service, limits, deadline, stop).await
}

/// Answers the requests of a caller that was greeted; without a first one by `deadline` it is dropped.
async fn answer_requests<I, S>(
    io: I,
    service: S,
    limits: Limits,
    mut deadline: tokio::time::Instant,
    mut stop: watch::Receiver<bool>,
) -> Result<(), Dropped>
where
    I: AsyncRead + AsyncWrite + Unpin,
    S: Answers,
{
    let gone = Arc::new(AtomicBool::new(false));
    let transport: tarpc::serde_transport::Transport<
        I,
        ClientMessage<S::Req>,
        Response<S::Resp>,
        _,
    > = tarpc::serde_transport::new(Framed::new(io, frames()), Postcard);
    let transport = Watched { inner: transport, gone: gone.clone() };
    let requests =
        BaseChannel::with_defaults(transport).max_concurrent_requests(limits.requests).requests();
    let mut requests = pin!(requests);
    let mut handlers = FuturesUnordered::new();
    let mut silence = pin!(tokio::time::sleep_until(deadline));
    let mut stopping = pin!(stopped(&mut stop).fuse());
    let mut stop_now = false;
    std::future::poll_fn(move |cx| {
        loop {
            match requests.as_mut().poll_next(cx) {
                Poll::Ready(Some(Ok(request))) => {
                    handlers.push(request.execute(Caught(service.clone())));
                    deadline = tokio::time::Instant::now() + limits.idle;
                }
                Poll::Ready(Some(Err(err))) => {
                    return Poll::Ready(Err(Dropped::Io(io::Error::other(err.to_string()))));
                }
                Poll::Ready(None) => return Poll::Ready(Ok(())),
                Poll::Pending if gone.load(Ordering::Relaxed) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    // Handlers that end leave their answers to `requests`, which must be polled again to send them.
                    let before = handlers.len();
                    while let Poll::Ready(Some(())) = handlers.poll_next_unpin(cx) {}
                    if handlers.len() == before {
                        break;
                    }
                }
            }
        }
        stop_now |= stopping.as_mut().poll(cx).is_ready();
        if stop_now && handlers.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while silence.as_mut().poll(cx).is_ready() {
            let now = tokio::time::Instant::now();
            if !handlers.is_empty() {
                deadline = now + limits.idle;
            } else if now >= deadline {
                return Poll::Ready(Err(Dropped::Silent));
            }
            silence.as_mut().reset(deadline);
        }
        Poll::Pending
    })
    .await
}

/// A service whose panics are answers: the caller gets an error at once, instead of waiting for its deadline.
#[derive(Clone, Copy, Debug)]
pub struct Caught<S>(pub S);

impl<S: Serve> Serve for Caught<S> {
    type Req = S::Req;
    type Resp = S::Resp;

    async fn serve(self, ctx: context::Context, req: S::Req) -> Result<S::Resp, ServerError> {
        match AssertUnwindSafe(self.0.serve(ctx, req)).catch_unwind().await {
            Ok(result) => result,
            Err(panic) => {
                let text = panic
                    .downcast_ref::<&str>()
                    .map(|text| (*text).to_owned())
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "a panic".to_owned());
                Err(ServerError::new(
                    io::ErrorKind::Other,
                    format!("a defect of the engine: {text}"),
                ))
            }
        }
    }
}

/// A transport that notes when its peer is gone, which tarpc alone sees only after the last handler's end.
struct Watched<T> {
    inner: T,
    gone: Arc<AtomicBool>,
}

impl<T: Stream + Unpin> Stream for Watched<T> {
    type Item = T::Item;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T::Item>> {
        let item = Pin::new(&mut self.inner).poll_next(cx);
        if let Poll::Ready(None) = item {
            self.gone.store(true, Ordering::Relaxed);
        }
        item
    }
}

impl<T: Sink<I> + Unpin, I> Sink<I> for Watched<T> {
    type Error = T::Error;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        Pin::new(&mut self.inner).poll_ready(cx)
    }

    fn start_send(mut self: Pin<&mut Self>, item: I) -> Result<(), T::Error> {
        Pin::new(&mut self.inner).start_send(item)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
