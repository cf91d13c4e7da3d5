//! `coordinator`: the daemon that decides.

use super::Failed;
use crate::{binary, cluster};
use clap::Args;
use std::net::SocketAddr;
use tokio::signal::unix::{SignalKind, signal};
use windrow_coordinator::{Config, Coordinator};

/// `windrow coordinator`.
#[derive(Args, Debug)]
pub(crate) struct CoordinatorFlags {
    /// Where clients and workers connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7077")]
    listen: SocketAddr,
    /// A worker that was not heard for so long is lost
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    lease_ms: u64,
}

impl CoordinatorFlags {
    /// Serves until a signal or a client says stop.
    pub(super) fn run(self) -> Result<(), Failed> {
        let because =
            |error: &dyn std::fmt::Display| Failed::Because(format!("coordinator: {error}"));
        cluster::runtime()?.block_on(async {
            let mut config = Config { binary: binary::own().clone(), ..Config::default() };
            config.scheduler.lease_ms = self.lease_ms;
            let mut running =
                Coordinator::start(self.listen, config).await.map_err(|error| because(&error))?;
            println!("coordinator on {}", running.address);
            let mut terminate = signal(SignalKind::terminate()).map_err(|error| because(&error))?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| because(&error))?;
            tokio::select! {
                () = running.ended() => return Ok(()),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            running.shut_down().await;
            Ok(())
        })
    }
}
