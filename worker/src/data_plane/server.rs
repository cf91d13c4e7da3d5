//! The side of the data plane that has blocks.

use super::wire::{receive_body, send, within};
use crate::blocks::{BlockError, BlockFile, Blocks};
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use windrow_protocol::data::{
    ANSWER_BYTES_MAX, BlockAnswer, BlockHead, BlockRequest, DATA_VERSION, PREFACE_BYTES,
    REQUEST_ATTEMPTS_MAX, REQUEST_BYTES_MAX, preface, preface_version,
};

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
    /// The size of the two buffers of a connection, in bytes.
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

/// Serves a supervisor's blocks until it is dropped.
pub struct DataServer {
    address: SocketAddr,
    task: AbortHandle,
}

impl DataServer {
    /// Serves the blocks to whoever connects. `host` is the worker's: readers that are on the same are given files.
    /// Must be called in a tokio runtime.
    ///
    /// # Errors
    /// If the listener has no address.
    pub fn start(
        listener: TcpListener,
        blocks: Arc<Blocks>,
        host: String,
        limits: ServerLimits,
    ) -> io::Result<DataServer> {
        let address = listener.local_addr()?;
        let serving = Serving { blocks, host, limits };
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
    host: String,
    limits: ServerLimits,
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
    async fn peer(&self, mut stream: TcpStream) -> io::Result<()> {
        let limits = &self.limits;
        stream.set_nodelay(true)?;
        let mut theirs = [0; PREFACE_BYTES];
        within(limits.request, "the preface", stream.read_exact(&mut theirs)).await?;
        let Some(version) = preface_version(&theirs) else {
            return Err(io::Error::other("the peer does not speak the data plane's protocol"));
        };
        within(limits.request, "the preface", stream.write_all(&preface())).await?;
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
            self.answer(&mut stream, request).await?;
        }
    }

    async fn answer(&self, stream: &mut TcpStream, request: BlockRequest) -> io::Result<()> {
        let answer = self.judge(&request);
        let sent = send(stream, &answer, ANSWER_BYTES_MAX);
        within(self.limits.stall, "sending an answer", sent).await?;
        if answer != BlockAnswer::Stream {
            return Ok(());
        }
        let cursor = Cursor::new(self.blocks.clone(), request, self.limits.buffer);
        let (mut cursor, mut full) = cursor.fill(Vec::new()).await?;
        let mut empty = Vec::new();
        while !full.is_empty() {
            // One buffer is sent while the other is filled.
            let sent = within(self.limits.stall, "sending blocks", stream.write_all(&full));
            let (sent, filled) = tokio::join!(sent, cursor.fill(empty));
            sent?;
            (empty, (cursor, full)) = (full, filled?);
        }
        if cursor.failed {
            return Err(io::Error::other("a block could not be read"));
        }
        Ok(())
    }

    /// What is to be answered.
    fn judge(&self, request: &BlockRequest) -> BlockAnswer {
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

/// How far a stream of blocks has come.
struct Cursor {
    blocks: Arc<Blocks>,
    request: BlockRequest,
    room: usize,
    /// The block that is sent, in the order of the request.
    at: u64,
    /// The bytes of it that were sent.
    offset: u64,
    /// The file of that block, its place in the file, once its head was sent.
    open: Option<(Arc<BlockFile>, Range<u64>)>,
    /// Whether a block could not be read; nothing comes after that.
    failed: bool,
}

impl Cursor {
    fn new(blocks: Arc<Blocks>, request: BlockRequest, room: usize) -> Cursor {
        let (at, offset) = (request.blocks_seen, request.bytes_seen);
        Cursor { blocks, request, room, at, offset, open: None, failed: false }
    }

    /// Fills a buffer with what comes next, on a thread that may block; an empty buffer is the end.
    async fn fill(mut self, mut buffer: Vec<u8>) -> io::Result<(Cursor, Vec<u8>)> {
        let filled = tokio::task::spawn_blocking(move || {
            buffer.clear();
            self.fill_now(&mut buffer);
            (self, buffer)
        });
        filled.await.map_err(io::Error::other)
    }

    fn fill_now(&mut self, buffer: &mut Vec<u8>) {
        while !self.failed && buffer.len() + BlockHead::BYTES < self.room {
            match self.step(buffer) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "a block cannot be sent");
                    self.failed = true;
                    if self.open.is_none() {
                        buffer.extend_from_slice(&BlockHead::UNREADABLE.encode());
                    }
                }
            }
        }
    }

    /// Appends the next head or the next bytes; whether there was anything left.
    fn step(&mut self, buffer: &mut Vec<u8>) -> Result<bool, BlockError> {
        if let Some((file, range)) = &self.open {
            let left = range.end - range.start - self.offset;
            let take = left.min((self.room - buffer.len()) as u64);
            let before = buffer.len();
            buffer.resize(before + take as usize, 0);
            if let Err(error) = file.read_raw(range.start + self.offset, &mut buffer[before..]) {
                buffer.truncate(before);
                return Err(error);
            }
            self.offset += take;
            if take == left {
                (self.open, self.offset) = (None, 0);
                self.at += 1;
            }
            return Ok(true);
        }
        let attempts = self.request.attempts.len() as u64;
        let buckets = u64::from(self.request.end_bucket - self.request.first_bucket);
        if self.at >= attempts * buckets {
            return Ok(false);
        }
        let attempt = self.request.attempts[(self.at % attempts) as usize];
        let bucket = self.request.first_bucket + (self.at / attempts) as u32;
        let file = self.blocks.open(attempt, self.request.shuffle)?;
        let found = file.and_then(|file| file.block(bucket).map(|block| (file, block)));
        let Some((file, (range, crc))) = found else {
            // The job is over, or the reader asks for a bucket that there is not.
            self.failed = true;
            buffer.extend_from_slice(&BlockHead::UNREADABLE.encode());
            return Ok(false);
        };
        let len = range.end - range.start;
        self.offset = self.offset.min(len);
        buffer.extend_from_slice(&BlockHead { len, crc }.encode());
        self.open = Some((file, range));
        Ok(true)
    }
}
