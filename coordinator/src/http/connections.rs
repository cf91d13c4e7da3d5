//! Connections of HTTP: how many there may be, how long they may take, and TLS where it is wanted.

use super::router;
use crate::server::Service;
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use windrow_protocol::security::Gate;
use windrow_protocol::transport::{Dropped, Limits, serve};

/// So many connections may be there; more are closed at once.
const CONNECTIONS: usize = 256;

/// A connection without a whole request for so long is closed.
const REQUEST: Duration = Duration::from_secs(10);

/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// Answers requests until `stop` is true or its sender is gone; those that are under way then, for a moment more. Cancel safe:
/// all connections are closed when it is dropped.
pub(crate) async fn serve_http(
    listener: TcpListener,
    service: Service,
    stop: watch::Receiver<bool>,
) {
    let limits = Limits { connections: CONNECTIONS, ..Limits::default() };
    let (gate, router) = (service.gate(), router(service));
    let each = move |stream| {
        let (gate, router) = (gate.clone(), router.clone());
        async move { answer(stream, gate, router).await.map_err(Dropped::Io) }
    };
    serve(listener, &limits, stop, each).await;
}

async fn answer(stream: TcpStream, gate: Option<Arc<Gate>>, router: Router) -> io::Result<()> {
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(REQUEST).max_buf_size(HEAD_BYTES_MAX);
    let answers = TowerToHyperService::new(router);
    let answered = match gate {
        None => http.serve_connection(TokioIo::new(stream), answers).await,
        Some(gate) => {
            let wire = tokio::time::timeout(REQUEST, gate.secure(stream)).await??;
            http.serve_connection(TokioIo::new(wire), answers).await
        }
    };
    answered.map_err(io::Error::other)
}
