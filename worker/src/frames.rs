//! Messages in postcard, each in a frame with its length, over any stream of bytes.

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use windrow_protocol::executor::{
    EXECUTOR_MESSAGE_BYTES_MAX, EXECUTOR_VERSION, PREFACE_BYTES, preface, preface_version,
};

/// Reads messages.
pub(crate) struct Reader(FramedRead<OwnedReadHalf, LengthDelimitedCodec>);

/// Writes messages.
pub(crate) struct Writer(FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>);

/// Says on a new socket which version this process speaks, and hears that of the other side.
pub(crate) async fn greet(socket: &mut UnixStream) -> io::Result<()> {
    socket.write_all(&preface()).await?;
    let mut theirs = [0; PREFACE_BYTES];
    socket.read_exact(&mut theirs).await?;
    let text = match preface_version(&theirs) {
        Some(EXECUTOR_VERSION) => return Ok(()),
        Some(version) => format!(
            "it speaks version {version} of what workers and executors say, and this process version {EXECUTOR_VERSION}: build jobs with the release of Windrow that the workers run"
        ),
        None => "it does not speak as a program with Windrow's jobs does".to_owned(),
    };
    Err(io::Error::new(io::ErrorKind::InvalidData, text))
}

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
