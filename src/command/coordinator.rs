//! `coordinator`: the daemon that decides.

use super::stores::StoreFlags;
use super::{Failed, queues, security};
use crate::{binary, cluster, state};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;
use tokio::signal::unix::{SignalKind, signal};
use windrow_coordinator::{Config, Coordinator, Scaling, Webhook};
use windrow_datasets::location::Location;
use windrow_datasets::storage::Storage;

/// `windrow coordinator`.
#[derive(Args, Debug)]
pub(crate) struct CoordinatorFlags {
    /// Where clients and workers connect
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:7077")]
    listen: SocketAddr,
    /// Where its page is, and what programs and monitors ask over HTTP: `/api/v1/`, `/metrics` for Prometheus, and `/healthz`
    /// [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// The folder with programs whose jobs may be submitted over HTTP: they are started on this machine, to make plans
    #[arg(long, value_name = "DIR", requires = "http")]
    programs: Option<PathBuf>,
    /// The file with addresses, one a line, to which the end of each job is posted, as JSON
    #[arg(long, value_name = "FILE")]
    webhooks: Option<PathBuf>,
    /// The file with the queues, and what users may have: how jobs share the cluster [default: one queue, in which all users
    /// have the same share]
    #[arg(long, value_name = "FILE")]
    queues: Option<PathBuf>,
    #[command(flatten)]
    scaling: ScalingFlags,
    /// A worker that was not heard for so long is lost
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    lease_ms: u64,
    /// Never run a second attempt beside one that is slow
    #[arg(long)]
    no_backups: bool,
    /// Run each task of a job of fewer tasks twice at once, if slots are free that nobody else wants
    #[arg(long, value_name = "TASKS", default_value_t = 0, hide_default_value = true)]
    twice_below: u32,
    /// Keep what a task wrote into shuffles on a second worker too, if the task took so long: it need not run again then if
    /// the first worker is lost
    #[arg(long, value_name = "MS")]
    replicate_shuffle: Option<u64>,
    /// The folder in which all is kept that is decided, on a disk or in an object store, so that jobs go on when the
    /// coordinator is started again; without it they end with its process
    #[arg(long, value_name = "LOCATION")]
    state: Option<Location>,
    /// Wait until the coordinator is gone that has this state, and take its place
    #[arg(long, requires = "state")]
    standby: bool,
    /// A coordinator with a state in an object store that has not said for so long that it is there counts as gone
    #[arg(long, value_name = "MS", default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..))]
    gone_after_ms: u64,
    /// The folder with the cluster's authority and its tokens, which `cluster init` makes: all who connect have to prove who
    /// they are, and what is said is encrypted
    #[arg(long, value_name = "DIR")]
    security: Option<PathBuf>,
    #[command(flatten)]
    stores: StoreFlags,
}

// How the number of workers follows the work.
#[derive(Args, Debug)]
struct ScalingFlags {
    /// A command for sh that starts workers: run when there is more to do than those that are there can do at once. It sees
    /// WINDROW_WORKERS, how many there are, and WINDROW_WORKERS_WANTED
    #[arg(long, value_name = "COMMAND", requires = "workers_max")]
    scale_up: Option<String>,
    /// A command for sh that ends workers: run when some had nothing to do for a while. It sees WINDROW_WORKERS_IDLE too, the
    /// names of those that are superfluous
    #[arg(long, value_name = "COMMAND", requires = "scale_up")]
    scale_down: Option<String>,
    /// The fewest workers
    #[arg(long, value_name = "N", default_value_t = 0, requires = "scale_up")]
    workers_min: u32,
    /// The most workers
    #[arg(long, value_name = "N", requires = "scale_up")]
    workers_max: Option<u32>,
    /// The slots of a worker, as long as none is there that tells
    #[arg(long, value_name = "N", default_value_t = 1, requires = "scale_up")]
    worker_slots: u32,
    /// Workers are superfluous that had nothing to do for so long
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "scale_down")]
    scale_down_after: u64,
    /// Workers that were asked for have so long to come, before they are asked for again
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "scale_up")]
    scale_pause: u64,
}

impl ScalingFlags {
    fn scaling(self) -> Option<Scaling> {
        Some(Scaling {
            up: self.scale_up?,
            down: self.scale_down,
            workers_min: self.workers_min,
            workers_max: self.workers_max?,
            slots: self.worker_slots,
            idle_ms: self.scale_down_after.saturating_mul(1_000),
            pause_ms: self.scale_pause.saturating_mul(1_000),
        })
    }
}

impl CoordinatorFlags {
    /// Serves until a signal or a client says stop. After a signal, jobs go on with the next coordinator, if there is a
    /// folder for that.
    pub(super) fn run(self) -> Result<(), Failed> {
        let because =
            |error: &dyn std::fmt::Display| Failed::Because(format!("coordinator: {error}"));
        let storage = Storage::with_options(self.stores.options()?);
        let state = self.state.map(|location| state::home(storage, location));
        let state = state.transpose().map_err(|error| because(&error))?;
        let webhooks = self.webhooks.as_deref().map(Webhook::of_file);
        let webhooks = webhooks.transpose().map_err(|error| because(&error))?.unwrap_or_default();
        let sharing = self.queues.as_deref().map(queues::of_file).transpose();
        let sharing = sharing.map_err(|error| because(&error))?.unwrap_or_default();
        let gate = security::gate(self.security.as_deref())?;
        cluster::runtime()?.block_on(async {
            let (binary, gone_after_ms) = (binary::own().clone(), self.gone_after_ms);
            let mut config =
                Config { binary, state, gate, http: self.http, gone_after_ms, ..Config::default() };
            (config.programs, config.webhooks) = (self.programs, webhooks);
            config.scaling = self.scaling.scaling();
            config.scheduler.sharing = sharing;
            config.scheduler.lease_ms = self.lease_ms;
            config.scheduler.backup.enabled = !self.no_backups;
            config.scheduler.backup.twice_below = self.twice_below;
            config.scheduler.replicate_from_ms = self.replicate_shuffle;
            let mut terminate = signal(SignalKind::terminate()).map_err(|error| because(&error))?;
            let mut interrupt = signal(SignalKind::interrupt()).map_err(|error| because(&error))?;
            let started = async {
                match self.standby {
                    true => Coordinator::stand_by(self.listen, config).await,
                    false => Coordinator::start(self.listen, config).await,
                }
            };
            let mut running = tokio::select! {
                started = started => started.map_err(|error| because(&error))?,
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
            };
            println!("coordinator on {}", running.address);
            if let Some(http) = running.http {
                super::print(&format!("http on {http}\n"))?;
            }
            tokio::select! {
                ended = running.ended() => return ended.map_err(|error| because(&error)),
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            running.stop().await.map_err(|error| because(&error))
        })
    }
}
