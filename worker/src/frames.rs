//! Messages in postcard, each in a frame with its length, over any stream of bytes.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use windrow_protocol::executor::EXECUTOR_MESSAGE_BYTES_MAX;

/// Reads messages.
pub(crate) struct Reader(FramedRead<OwnedReadHalf, LengthDelimitedCodec>);

/// Writes messages.
pub(crate) struct Writer(FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>);

/// Both directions of a socket.
pub(crate) fn split(socket: UnixStream) -> (Reader, Writer) {
    let codec =
        LengthDelimitedCodec::builder().max_frame_length(EXECUTOR_MESSAGE_BYTES_MAX).new_codec();
    let (read, write) = socket.into_split();
    (Reader(FramedRead::new(read, codec.clone())), Writer(FramedWrite::new(write, codec)))
}

impl Reader {
    /// The next message; `None` when the other side has closed. Cancel safe.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(frame) = self.0.next().await else { return Ok(None) };
        let message = postcard::from_bytes(&frame?);
        message
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
    }
}

impl Writer {
    /// Sends a message, or leaves it in the buffer until a [flush](Writer::flush) if there is room.
    pub(crate) async fn feed<T: Serialize>(&mut self, message: &T) -> io::Result<()> {
        let bytes = postcard::to_allocvec(message).map_err(io::Error::other)?;
        self.0.feed(Bytes::from(bytes)).await
    }

    /// Sends what is buffered.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        SinkExt::<Bytes>::flush(&mut self.0).await
    }
}
