//! Reading and writing what the data plane says: a length, then postcard.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Waits for at most so long; too long is an error of kind [`io::ErrorKind::TimedOut`], which says for what.
pub(super) async fn within<T>(
    limit: Duration,
    what: &str,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => {
            let text = format!("{what} took longer than {} ms", limit.as_millis());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
    }
}

/// Writes a message.
pub(super) async fn send<T: Serialize>(
    io: &mut (impl AsyncWrite + Unpin),
    message: &T,
    most: usize,
) -> io::Result<()> {
    let mut bytes = vec![0; 4];
    bytes = postcard::to_extend(message, bytes).map_err(io::Error::other)?;
    let len = bytes.len() - 4;
    if len > most {
        return Err(io::Error::other(format!("a message of {len} bytes: {most} are the most")));
    }
    bytes[..4].copy_from_slice(&(len as u32).to_le_bytes());
    io.write_all(&bytes).await?;
    io.flush().await
}

/// Reads the body of a message whose length has come.
pub(super) async fn receive_body<T: DeserializeOwned>(
    io: &mut (impl AsyncRead + Unpin),
    len: [u8; 4],
    most: usize,
) -> io::Result<T> {
    let len = u32::from_le_bytes(len) as usize;
    if len > most {
        let text = format!("a message of {len} bytes: {most} are the most");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut bytes = Vec::new();
    // Grows as bytes come: a length alone takes no memory.
    (&mut *io).take(len as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    postcard::from_bytes(&bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))
}

/// Reads a message.
pub(super) async fn receive<T: DeserializeOwned>(
    io: &mut (impl AsyncRead + Unpin),
    most: usize,
) -> io::Result<T> {
    let mut len = [0; 4];
    io.read_exact(&mut len).await?;
    receive_body(io, len, most).await
}
