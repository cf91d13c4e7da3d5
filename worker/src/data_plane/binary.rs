//! Binaries of jobs, from worker to worker.

use super::client::ClientLimits;
use super::dial::dial;
use super::wire::{receive, send, within};
use crate::binaries::{Binaries, Part};
use std::io::{self, SeekFrom};
use std::sync::Arc;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};
use tokio::task::spawn_blocking;
use windrow_protocol::binary::BinaryContent;
use windrow_protocol::data::{
    ANSWER_BYTES_MAX, BinaryAnswer, BinaryRequest, DataRequest, REQUEST_BYTES_MAX,
};
use windrow_protocol::security::{Credentials, Identity, Wire};

/// So many bytes are sent at a time.
const STEP: usize = 256 << 10;

/// Answers a request, with a binary if it is here, and the reader may have it.
pub(super) async fn answer_binary(
    stream: &mut Wire,
    who: &Identity,
    request: BinaryRequest,
    binaries: Option<&Arc<Binaries>>,
    stall: Duration,
) -> io::Result<()> {
    let found = match who {
        Identity::Unsecured | Identity::Worker { .. } => find(binaries, request.content).await,
        _ => Err(format!("{who} may not read binaries")),
    };
    let (file, answer) = match found {
        Ok(file) => (Some(file), BinaryAnswer::Stream),
        Err(why) => (None, BinaryAnswer::Refused(why)),
    };
    within(stall, "sending an answer", send(stream, &answer, ANSWER_BYTES_MAX)).await?;
    let Some(mut file) = file else { return Ok(()) };
    file.seek(SeekFrom::Start(request.from)).await?;
    let mut left = request.content.bytes.saturating_sub(request.from);
    let mut buffer = vec![0; STEP];
    while left > 0 {
        let most = buffer.len().min(left as usize);
        // One that is too short ends the connection.
        let read = match file.read(&mut buffer[..most]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        within(stall, "sending a binary", stream.write_all(&buffer[..read])).await?;
        left -= read as u64;
    }
    within(stall, "sending a binary", stream.flush()).await
}

async fn find(binaries: Option<&Arc<Binaries>>, content: BinaryContent) -> Result<File, String> {
    let Some(binaries) = binaries.cloned() else {
        return Err("this worker keeps no binaries".to_owned());
    };
    let found = spawn_blocking(move || binaries.read(content)).await.map_err(io::Error::other);
    match found.and_then(|found| found) {
        Ok(Some(file)) => Ok(File::from_std(file)),
        Ok(None) => Err(format!("binary {content} is not here")),
        Err(error) => Err(format!("binary {content} cannot be read: {error}")),
    }
}

/// Reads what is missing of a binary from the worker whose data plane is at `HOST:PORT`; what came stays in `part`, also after
/// an error.
///
/// # Errors
/// It cannot be had there, or not be written.
pub(crate) async fn fetch_binary(
    address: &str,
    credentials: &Credentials,
    limits: &ClientLimits,
    content: BinaryContent,
    part: &mut Part,
) -> io::Result<()> {
    let mut stream = dial(address, credentials, limits.connect).await?;
    let request = DataRequest::Binary(BinaryRequest { content, from: part.bytes() });
    let answer = within(limits.stall, "an answer", async {
        send(&mut stream, &request, REQUEST_BYTES_MAX).await?;
        receive(&mut stream, ANSWER_BYTES_MAX).await
    });
    if let BinaryAnswer::Refused(why) = answer.await? {
        return Err(io::Error::other(why));
    }
    let mut buffer = vec![0; STEP];
    while part.bytes() < content.bytes {
        let most = buffer.len().min((content.bytes - part.bytes()) as usize);
        let read = within(limits.stall, "a binary", stream.read(&mut buffer[..most])).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // Into the page cache.
        part.write(&buffer[..read])?;
    }
    Ok(())
}
