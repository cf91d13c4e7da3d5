//! The side of the data plane that has blocks.

use super::binary::answer_binary;
use super::stream::BlockStream;
use super::wire::{receive_body, send, within};
use crate::binaries::Binaries;
use crate::blocks::Blocks;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use windrow_protocol::data::{
    ANSWER_BYTES_MAX, BlockAnswer, BlockRequest, DATA_VERSION, DataRequest, PREFACE_BYTES,
    REQUEST_ATTEMPTS_MAX, REQUEST_BYTES_MAX, preface, preface_version,
};
use windrow_protocol::security::{Credentials, Identity, Wire};

/// What a server allows its peers.
#[derive(Clone, Debug)]
pub struct ServerLimits {
    /// The most connections; more are closed at once, and their readers try again.
    pub connections: usize,
    /// How long a peer may take for its preface, and for a request once that has begun.
    pub request: Duration,
    /// How long a connection may be without a request.
    pub idle: Duration,
    /// How long a peer may take nothing of what is sent to it.
    pub stall: Duration,
    /// The size of a connection's buffer, in bytes.
    pub buffer: usize,
}

impl Default for ServerLimits {
    fn default() -> ServerLimits {
        ServerLimits {
            connections: 512,
            request: Duration::from_secs(5),
            idle: Duration::from_secs(60),
            stall: Duration::from_secs(30),
            buffer: 256 << 10,
        }
    }
}

/// Serves a supervisor's blocks, and binaries of jobs, until it is dropped.
pub struct DataServer {
    address: SocketAddr,
    task: AbortHandle,
}

impl DataServer {
    /// Serves the blocks to whoever connects, and may, by these credentials. `host` is the worker's: readers that are on the
    /// same are given files.
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn start(
        listener: TcpListener,
        blocks: Arc<Blocks>,
        binaries: Option<Arc<Binaries>>,
        host: String,
        limits: ServerLimits,
        credentials: Credentials,
    ) -> io::Result<DataServer> {
        let address = listener.local_addr()?;
        let serving = Serving { blocks, binaries, host, limits, credentials };
        let task = tokio::spawn(accept(listener, Arc::new(serving))).abort_handle();
        Ok(DataServer { address, task })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for DataServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Serving {
    blocks: Arc<Blocks>,
    binaries: Option<Arc<Binaries>>,
    host: String,
    limits: ServerLimits,
    credentials: Credentials,
}

async fn accept(listener: TcpListener, serving: Arc<Serving>) {
    let room = Arc::new(Semaphore::new(serving.limits.connections));
    // Ends the peers' tasks when this one is dropped.
    let mut peers = tokio::task::JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, or a peer that was gone at once.
                tracing::warn!(%error, "the data plane cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        while peers.try_join_next().is_some() {}
        let Ok(permit) = room.clone().try_acquire_owned() else {
            tracing::warn!("the data plane has as many connections as it may");
            continue;
        };
        let serving = serving.clone();
        peers.spawn(async move {
            let peer = stream.peer_addr().ok();
            if let Err(error) = serving.peer(stream).await {
                tracing::debug!(?peer, %error, "a connection of the data plane ended");
            }
            drop(permit);
        });
    }
}

impl Serving {
    /// Talks with one peer, until it goes, says nothing for too long, or nothing sensible.
    async fn peer(&self, stream: TcpStream) -> io::Result<()> {
        let limits = &self.limits;
        stream.set_nodelay(true)?;
        let secured = self.credentials.accept(stream);
        let (mut stream, who) = within(limits.request, "the TLS handshake", secured).await?;
        let mut theirs = [0; PREFACE_BYTES];
        within(limits.request, "the preface", stream.read_exact(&mut theirs)).await?;
        let Some(version) = preface_version(&theirs) else {
            return Err(io::Error::other("the peer does not speak the data plane's protocol"));
        };
        within(limits.request, "the preface", async {
            stream.write_all(&preface()).await?;
            stream.flush().await
        })
        .await?;
        if version != DATA_VERSION {
            return Err(io::Error::other(format!("the peer speaks version {version}")));
        }
        loop {
            let mut len = [0; 4];
            within(limits.idle, "the next request", stream.read_exact(&mut len[..1])).await?;
            let request = within(limits.request, "a request", async {
                stream.read_exact(&mut len[1..]).await?;
                receive_body(&mut stream, len, REQUEST_BYTES_MAX).await
            })
            .await?;
            match request {
                DataRequest::Blocks(request) => self.answer(&mut stream, &who, request).await?,
                DataRequest::Binary(request) => {
                    let (binaries, stall) = (self.binaries.as_ref(), limits.stall);
                    answer_binary(&mut stream, &who, request, binaries, stall).await?;
                }
            }
        }
    }

    async fn answer(
        &self,
        stream: &mut Wire,
        who: &Identity,
        request: BlockRequest,
    ) -> io::Result<()> {
        let answer = self.judge(who, &request);
        let sent = send(stream, &answer, ANSWER_BYTES_MAX);
        within(self.limits.stall, "sending an answer", sent).await?;
        if answer != BlockAnswer::Stream {
            return Ok(());
        }
        let Serving { blocks, limits, .. } = self;
        BlockStream::new(stream, blocks.clone(), request, limits).send_all().await
    }

    /// What is to be answered.
    fn judge(&self, who: &Identity, request: &BlockRequest) -> BlockAnswer {
        if matches!(who, Identity::Executor(job) if *job != request.job) {
            return BlockAnswer::Refused(format!(
                "{who} may not read blocks of job {}",
                request.job
            ));
        }
        if request.attempts.len() > REQUEST_ATTEMPTS_MAX
            || request.first_bucket > request.end_bucket
        {
            let text = format!(
                "{} attempts and buckets {}..{} in one request",
                request.attempts.len(),
                request.first_bucket,
                request.end_bucket
            );
            return BlockAnswer::Refused(text);
        }
        let mut files = Vec::new();
        let mut missing = Vec::new();
        for &attempt in &request.attempts {
            let ours = attempt.task.job == request.job;
            match self.blocks.path(attempt, request.shuffle).filter(|_| ours) {
                Some(path) => files.push(path),
                None => missing.push(attempt),
            }
        }
        if !missing.is_empty() {
            return BlockAnswer::Missing(missing);
        }
        if !request.host.is_empty() && request.host == self.host {
            let texts = files.iter().map(|path| path.to_str().map(str::to_owned));
            // A path that is no text cannot be told; the blocks can be sent.
            if let Some(files) = texts.collect() {
                return BlockAnswer::Files(files);
            }
        }
        BlockAnswer::Stream
    }
}
