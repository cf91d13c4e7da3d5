//! Connects to a worker's data plane.

use super::wire::within;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use windrow_protocol::data::{DATA_VERSION, PREFACE_BYTES, preface, preface_version};
use windrow_protocol::security::{Callee, Credentials, Wire};

/// A connection to the data plane at `HOST:PORT`, on which both sides have said who they are.
pub(super) async fn dial(
    address: &str,
    credentials: &Credentials,
    limit: Duration,
) -> io::Result<Wire> {
    within(limit, "connecting", async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut stream = credentials.connect(stream, Callee::Worker).await?;
        stream.write_all(&preface()).await?;
        stream.flush().await?;
        let mut theirs = [0; PREFACE_BYTES];
        stream.read_exact(&mut theirs).await?;
        match preface_version(&theirs) {
            Some(DATA_VERSION) => Ok(stream),
            Some(version) => Err(io::Error::other(format!(
                "it speaks version {version} of the data plane, and this process version {DATA_VERSION}: run the same release of Windrow everywhere"
            ))),
            None => Err(io::Error::other("it is no worker's data plane")),
        }
    })
    .await
}
