//! Sends the blocks of a request: small ones gathered in a buffer, large ones from the page cache to the socket, without
//! a copy in user space, where nothing encrypts them. What is not in the page cache is waited for by a thread that may block.

use super::server::ServerLimits;
use super::wire::within;
use crate::blocks::{BlockFile, Blocks};
use std::io;
use std::mem::take;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, Interest};
use windrow_protocol::data::{BlockHead, BlockRequest};
use windrow_protocol::ids::AttemptId;
use windrow_protocol::security::Wire;

/// A block of so many bytes is sent from the page cache.
const DIRECT_BYTES: u64 = if cfg!(test) { 1000 } else { 64 << 10 };

/// So many bytes of a block are looked for in the page cache, and sent, at a time.
const STEP: u64 = 256 << 10;

/// A stream of blocks to one reader.
pub(super) struct BlockStream<'s> {
    stream: &'s mut Wire,
    blocks: Arc<Blocks>,
    request: BlockRequest,
    /// What is to be sent next; memory that is used again.
    buffer: Vec<u8>,
    /// What belongs into it, and has not been read yet.
    pieces: Vec<Piece>,
    room: usize,
    stall: Duration,
    /// Whether the system sends from the page cache.
    direct: bool,
}

/// Bytes of a file, and their place in a buffer.
struct Piece {
    file: Arc<BlockFile>,
    from: u64,
    place: Range<usize>,
}

impl<'s> BlockStream<'s> {
    pub(super) fn new(
        stream: &'s mut Wire,
        blocks: Arc<Blocks>,
        request: BlockRequest,
        limits: &ServerLimits,
    ) -> BlockStream<'s> {
        let (room, stall) = (limits.buffer, limits.stall);
        let (buffer, pieces, direct) = (Vec::new(), Vec::new(), stream.plain().is_some());
        BlockStream { stream, blocks, request, buffer, pieces, room, stall, direct }
    }

    /// Sends what the reader has not seen, in the order of the request.
    ///
    /// # Errors
    /// If the reader is gone or takes nothing for too long, and if a block cannot be read, which it is told if it can be.
    pub(super) async fn send_all(mut self) -> io::Result<()> {
        let attempts = self.request.attempts.len() as u64;
        let buckets = u64::from(self.request.end_bucket - self.request.first_bucket);
        let mut seen = self.request.bytes_seen;
        for at in self.request.blocks_seen..attempts * buckets {
            let attempt = self.request.attempts[(at % attempts) as usize];
            let bucket = self.request.first_bucket + (at / attempts) as u32;
            let file = self.open(attempt).await?;
            let found = file.and_then(|file| file.block(bucket).map(|block| (file, block)));
            // The job is over, or the reader asks for a bucket that there is not.
            let Some((file, (range, crc))) = found else {
                self.put(&BlockHead::UNREADABLE.encode()).await?;
                self.flush().await?;
                return Err(io::Error::other("a block could not be read"));
            };
            let len = range.end - range.start;
            self.put(&BlockHead { len, crc }.encode()).await?;
            let rest = range.start + seen.min(len)..range.end;
            seen = 0;
            self.bytes(&file, rest).await.map_err(|error| {
                tracing::warn!(%error, "a block cannot be sent");
                error
            })?;
        }
        self.flush().await
    }

    /// The file of an attempt; none if there is none, or it cannot be opened.
    async fn open(&self, attempt: AttemptId) -> io::Result<Option<Arc<BlockFile>>> {
        let (blocks, shuffle) = (self.blocks.clone(), self.request.shuffle);
        if let Some(file) = blocks.opened(attempt, shuffle) {
            return Ok(Some(file));
        }
        match blocking(move || blocks.open(attempt, shuffle)).await? {
            Ok(file) => Ok(file),
            Err(error) => {
                tracing::warn!(%error, "a block cannot be sent");
                Ok(None)
            }
        }
    }

    /// Sends bytes of a file.
    async fn bytes(&mut self, file: &Arc<BlockFile>, mut range: Range<u64>) -> io::Result<()> {
        if range.end - range.start >= DIRECT_BYTES && self.direct {
            self.flush().await?;
            while range.start < range.end && self.direct {
                let step = range.start..range.end.min(range.start + STEP);
                range.start = self.send(file, step).await?;
            }
        }
        while range.start < range.end {
            if self.buffer.len() >= self.room {
                self.flush().await?;
            }
            let (at, room) = (self.buffer.len(), self.room - self.buffer.len());
            let take = (range.end - range.start).min(room as u64);
            self.buffer.resize(at + take as usize, 0);
            let place = at..self.buffer.len();
            self.pieces.push(Piece { file: file.clone(), from: range.start, place });
            range.start += take;
        }
        Ok(())
    }

    /// Sends some bytes of a file from the page cache, into which they are read before if need be; how far it came.
    async fn send(&mut self, file: &Arc<BlockFile>, range: Range<u64>) -> io::Result<u64> {
        if !file.is_cached(range.clone()) {
            let (file, range) = (file.clone(), range.clone());
            let read = blocking(move || {
                let mut bytes = vec![0; (range.end - range.start) as usize];
                file.read_raw(range.start, &mut bytes)
            });
            read.await?.map_err(io::Error::other)?;
        }
        let mut at = range.start;
        while at < range.end {
            let Some(stream) = self.stream.plain() else { break };
            let sent = stream
                .async_io(Interest::WRITABLE, || file.send(stream, at..range.end).transpose());
            match within(self.stall, "sending blocks", sent).await? {
                None => {
                    self.direct = false;
                    return Ok(at);
                }
                Some(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Some(sent) => at += sent as u64,
            }
        }
        Ok(at)
    }

    /// Reads the pieces that belong into the buffer, if none has to be waited for; whether all are there.
    fn fill_cached(&mut self) -> io::Result<bool> {
        for piece in &self.pieces {
            let bytes = &mut self.buffer[piece.place.clone()];
            if !piece.file.read_cached(piece.from, bytes).map_err(io::Error::other)? {
                return Ok(false);
            }
        }
        self.pieces.clear();
        Ok(true)
    }

    /// Puts few bytes into the buffer.
    async fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.buffer.len() + bytes.len() > self.room {
            self.flush().await?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Sends what is in the buffer, once the pieces of files have been read that belong there.
    async fn flush(&mut self) -> io::Result<()> {
        if !self.fill_cached()? {
            let (mut buffer, mut pieces) = (take(&mut self.buffer), take(&mut self.pieces));
            let filled = blocking(move || {
                let mut pieces = pieces.drain(..);
                let read = pieces.try_for_each(|piece| {
                    piece.file.read_raw(piece.from, &mut buffer[piece.place])
                });
                read.map(|()| buffer)
            });
            self.buffer = filled.await?.map_err(io::Error::other)?;
        }
        if !self.buffer.is_empty() {
            let (stream, buffer) = (&mut *self.stream, &self.buffer);
            let sent = async {
                stream.write_all(buffer).await?;
                stream.flush().await
            };
            within(self.stall, "sending blocks", sent).await?;
            self.buffer.clear();
        }
        Ok(())
    }
}

/// Runs what waits for the disk where that holds nobody up.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)
}
