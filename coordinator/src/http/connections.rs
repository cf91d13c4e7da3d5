//! Connections of HTTP: how many there may be, how long they may take, and TLS where it is wanted.

use super::router;
use crate::server::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// So many connections may be there; more are closed at once.
const CONNECTIONS: usize = 256;

/// A connection without a whole request for so long is closed.
const REQUEST: Duration = Duration::from_secs(10);

/// After a failed `accept` (no file descriptors, mostly) it waits so long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Answers requests until it is dropped, with all connections.
pub(crate) async fn serve_http(listener: TcpListener, service: Service) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection of HTTP cannot be accepted");
                crate::server::pause(ACCEPT_PAUSE).await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        if let Ok(permit) = room.clone().try_acquire_owned() {
            let service = service.clone();
            connections.spawn(async move {
                if let Err(error) = answer(stream, service).await {
                    tracing::debug!(%error, "a connection of HTTP ended");
                }
                drop(permit);
            });
        }
    }
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn answer(stream: TcpStream, service: Service) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST).max_buf_size(HEAD_BYTES_MAX);
    let gate = service.gate();
    let answers = TowerToHyperService::new(router(service));
    match gate {
        None => http.serve_connection(TokioIo::new(stream), answers).await?,
        Some(gate) => {
            let wire = tokio::time::timeout(REQUEST, gate.secure(stream)).await??;
            http.serve_connection(TokioIo::new(wire), answers).await?;
        }
    }
    Ok(())
}
