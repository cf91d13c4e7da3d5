//! `coordinator`: the daemon that decides.

use super::Failed;
use crate::{binary, cluster};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
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
    /// Never run a second attempt beside one that is slow
    #[arg(long)]
    no_backups: bool,
    /// The folder in which all is kept that is decided, so that jobs go on when the coordinator is started again; without it
    /// they end with its process
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

impl CoordinatorFlags {
    /// Serves until a signal or a client says stop. After a signal, jobs go on with the next coordinator, if there is a
    /// folder for that.
    pub(super) fn run(self) -> Result<(), Failed> {
        let because =
            |error: &dyn std::fmt::Display| Failed::Because(format!("coordinator: {error}"));
        cluster::runtime()?.block_on(async {
            let (binary, state) = (binary::own().clone(), self.state);
            let mut config = Config { binary, state, ..Config::default() };
            config.scheduler.lease_ms = self.lease_ms;
            config.scheduler.backup.enabled = !self.no_backups;
            let mut running =
                Coordinator::start(self.listen, config).await.map_err(|error| because(&error))?;
            println!("coordinator on {}", running.address);
            let mut terminate = signal(SignalKind::terminate()).map_err(|error| because(&error))?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| because(&error))?;
            tokio::select! {
                ended = running.ended() => return ended.map_err(|error| because(&error)),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            running.stop().await.map_err(|error| because(&error))
        })
    }
}
