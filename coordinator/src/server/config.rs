//! What can be set about a coordinator.

use super::scaling::Scaling;
use crate::http::Webhook;
use crate::journal::Home;
use crate::scheduler;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use windrow_protocol::control::BinaryId;
use windrow_protocol::security::Gate;
use windrow_protocol::transport::Limits;

/// The settings of a coordinator.
#[derive(Clone, Debug)]
pub struct Config {
    /// The scheduler's; the lease is among them.
    pub scheduler: scheduler::Config,
    /// What connections may do.
    pub limits: Limits,
    /// The coordinator's own code, for people.
    pub binary: BinaryId,
    /// A job whose code no connected worker has, while others are connected, fails after so long.
    pub wrong_binary_ms: u64,
    /// A job fails whose binary workers want, if none of it has come for so long.
    pub binary_ms: u64,
    /// Jobs that have ended and are remembered.
    pub ended_jobs: usize,
    /// About how many bytes are kept of what the tasks of ended jobs read and made, so that they can be run again; of the
    /// job that ended last all is kept.
    pub details_bytes: usize,
    /// The bytes that all tasks of a job may collect.
    pub collected_bytes: usize,
    /// Where all is kept that is decided, so that a coordinator that is started again goes on; without one nothing is kept.
    pub state: Option<Home>,
    /// Where monitors connect, over HTTP; without one, nowhere.
    pub http: Option<SocketAddr>,
    /// The folder with the programs whose jobs are submitted over HTTP: they are started on this machine, to make the plans of
    /// jobs. Without one there are none.
    pub programs: Option<PathBuf>,
    /// Where the ends of jobs are told.
    pub webhooks: Vec<Webhook>,
    /// How the number of workers follows the work; without one, it does not.
    pub scaling: Option<Scaling>,
    /// Who is let in; without one, who can connect.
    pub gate: Option<Arc<Gate>>,
    /// A coordinator with a state in a store that has not said for so long that it is there counts as gone.
    pub gone_after_ms: u64,
    /// What is kept is written anew, without what is superfluous, once it has grown by so many bytes, and has doubled.
    pub snapshot_bytes: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            scheduler: scheduler::Config::default(),
            limits: Limits::default(),
            binary: BinaryId {
                build: String::new(),
                name: format!("windrow {}", env!("CARGO_PKG_VERSION")),
            },
            wrong_binary_ms: 10_000,
            binary_ms: 60_000,
            ended_jobs: 100,
            details_bytes: 32 << 20,
            collected_bytes: 64 << 20,
            state: None,
            http: None,
            programs: None,
            webhooks: Vec::new(),
            scaling: None,
            gate: None,
            gone_after_ms: 5_000,
            snapshot_bytes: 16 << 20,
        }
    }
}
