//! Reading from a connection: what comes in small pieces by way of a buffer, large pieces straight to where they belong.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use windrow_protocol::data::BlockHead;
use windrow_protocol::security::Wire;

/// The size of the buffer, in bytes.
const BUFFER: usize = 256 << 10;

/// Where so many bytes are wanted, they do not go through the buffer; with them comes the head of the next block.
const LARGE: usize = 16 << 10;

/// No more is read at once, so that what was read is still in the cache when its checksum is made.
const AT_ONCE: usize = 512 << 10;

/// A connection with a buffer for what was read ahead.
pub(super) struct Connection {
    stream: Wire,
    buffer: Box<[u8]>,
    /// What of the buffer is not consumed.
    from: usize,
    to: usize,
}

impl Connection {
    pub(super) fn new(stream: Wire) -> Connection {
        Connection { stream, buffer: vec![0; BUFFER].into(), from: 0, to: 0 }
    }

    /// Reads into `space`, and ahead, what has come; how much of `space`.
    fn poll_read_on(
        &mut self,
        context: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let len = space.len().min(AT_ONCE);
        if len < LARGE {
            let mut buffer = ReadBuf::new(&mut self.buffer);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer))?;
            (self.from, self.to) = (0, buffer.filled().len());
            return Poll::Ready(Ok(self.take(space)));
        }
        let Wire::Plain(stream) = &self.stream else {
            let mut space = ReadBuf::new(&mut space[..len]);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut space))?;
            return Poll::Ready(Ok(space.filled().len()));
        };
        loop {
            ready!(stream.poll_read_ready(context))?;
            let head = IoSliceMut::new(&mut self.buffer[..BlockHead::BYTES]);
            let mut into = [IoSliceMut::new(&mut space[..len]), head];
            match stream.try_read_vectored(&mut into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => {
                    let read = read?;
                    (self.from, self.to) = (0, read.saturating_sub(len));
                    return Poll::Ready(Ok(read.min(len)));
                }
            }
        }
    }

    /// Takes what is in the buffer.
    fn take(&mut self, space: &mut [u8]) -> usize {
        let take = space.len().min(self.to - self.from);
        space[..take].copy_from_slice(&self.buffer[self.from..self.from + take]);
        self.from += take;
        take
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let space = into.initialize_unfilled();
        let read = if self.from < self.to || space.is_empty() {
            self.take(space)
        } else {
            ready!(self.poll_read_on(context, space))?
        };
        into.advance(read);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
