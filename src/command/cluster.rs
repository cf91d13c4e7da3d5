//! `cluster up|status|down`: a cluster that outlives the command, of processes on this machine or over hosts; `cluster
//! drain|init|token`: for any cluster.

use super::hosts::{HostsFlags, SshFlag, UpHosts};
use super::security::{ClientSecurity, Init, OnCluster, TokenFlags};
use super::state::{Remembered, State};
use super::up::{Up, because};
use super::{Failed, down};
use crate::cluster;
use clap::{Args, Subcommand};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use windrow_protocol::client::Client;
use windrow_protocol::ids::WorkerId;
use windrow_protocol::security::Credentials;

/// `windrow cluster`.
#[derive(Args, Debug)]
pub(crate) struct ClusterFlags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Starts a coordinator here, and workers on this machine or on others, or again what has died of those that it started before:
    /// their jobs go on
    Up {
        /// How many workers
        #[arg(long, default_value_t = 2)]
        workers: u16,
        /// Threads of each worker [default: 1; over hosts, as many as the host has, or as the file says]
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        threads: Option<u16>,
        /// Where the coordinator listens; port 0 takes any. One that is started again listens where it did [default: 127.0.0.1:0;
        /// over hosts, the address at which these see this machine, and any port]
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Where its page is, and what programs and monitors ask; port 0 takes any
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        http: SocketAddr,
        /// The file with the queues, and what users may have; to be named again when what has died is started again [default: one
        /// queue]
        #[arg(long, value_name = "FILE")]
        queues: Option<PathBuf>,
        /// A worker that was not heard for so long is lost
        #[arg(long, value_name = "MS", default_value_t = 10_000)]
        lease_ms: u64,
        /// Memory of each worker: what does not fit goes to scratch
        #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = super::quantity::bytes)]
        memory: u64,
        /// The folder for shuffle files, and for what does not fit the memory; several, if given more than once, are
        /// used by turns [default: that of the system for temporary files]
        #[arg(long, value_name = "DIR")]
        scratch: Vec<PathBuf>,
        #[command(flatten)]
        state: State,
        #[command(flatten)]
        hosts: HostsFlags,
    },
    /// Shows the workers and jobs of a cluster
    Status {
        #[command(flatten)]
        state: State,
        /// The coordinator of another cluster than that of `up`
        #[arg(long, value_name = "HOST:PORT", conflicts_with = "state")]
        cluster: Option<String>,
        #[command(flatten)]
        security: ClientSecurity,
        #[command(flatten)]
        ssh: SshFlag,
    },
    /// Lets a worker finish what it has, and end
    Drain {
        /// The worker, as in w2
        #[arg(value_parser = worker_id)]
        worker: WorkerId,
        #[command(flatten)]
        on: OnCluster,
    },
    /// Makes what secures a cluster: an authority, a token for workers and one for you
    Init(Init),
    /// Makes, lists and revokes tokens
    Token(TokenFlags),
    /// Ends a cluster that `up` started, on all its machines
    Down {
        #[command(flatten)]
        state: State,
        /// Over hosts, remove the binary too, which else stays there for the next cluster
        #[arg(long)]
        remove_binaries: bool,
        #[command(flatten)]
        ssh: SshFlag,
    },
}

impl ClusterFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self.action {
            Action::Up {
                workers,
                threads,
                listen,
                http,
                queues,
                lease_ms,
                memory,
                scratch,
                mut hosts,
                state,
            } => match hosts.hosts.take() {
                Some(file) => {
                    let flags = hosts;
                    UpHosts { flags, threads, listen, http, queues, lease_ms, memory, scratch }
                        .run(&file, &state)
                }
                None => {
                    let threads = threads.unwrap_or(1);
                    let listen = listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
                    Up { workers, threads, listen, http, queues, lease_ms, memory, scratch }
                        .run(&state)
                }
            },
            // A folder that is named comes before the cluster of a profile.
            Action::Status {
                state: State { state: None },
                cluster: Some(address),
                security,
                ..
            } => status(&address, security.credentials()?),
            Action::Status { state, ssh, .. } => {
                let there = state.read()?;
                let shown = status(&there.address, there.credentials()?);
                down::show_hosts(&there, ssh.ssh.as_deref())?;
                shown?;
                if there.http.is_empty() { Ok(()) } else { page_at(&there) }
            }
            Action::Drain { worker, on } => drain(worker, &on),
            Action::Init(init) => init.run(),
            Action::Token(token) => token.run(),
            Action::Down { state, ssh, remove_binaries } => {
                down::down(&state, ssh.ssh.as_deref(), remove_binaries)
            }
        }
    }
}

/// Says where the page of a cluster is.
fn page_at(cluster: &Remembered) -> Result<(), Failed> {
    let scheme = if cluster.over.is_some() { "https" } else { "http" };
    super::print(&format!("page {scheme}://{}/\n", cluster.http))
}

/// Reads a worker's name.
fn worker_id(text: &str) -> Result<WorkerId, String> {
    let number = text.strip_prefix('w').unwrap_or(text).parse();
    number.map(WorkerId).map_err(|_| format!("`{text}` is no worker; they are named as in w2"))
}

fn drain(worker: WorkerId, on: &OnCluster) -> Result<(), Failed> {
    let credentials = on.security.credentials()?;
    cluster::runtime()?.block_on(async {
        let client = Client::connect(&on.cluster, credentials).await.map_err(because)?;
        client.drain(worker).await.map_err(because)
    })
}

fn status(address: &str, credentials: Credentials) -> Result<(), Failed> {
    cluster::runtime()?.block_on(async {
        let client = Client::connect(address, credentials).await.map_err(because)?;
        println!("coordinator {address}");
        for worker in client.workers().await.map_err(because)? {
            println!(
                "worker {} {}, {} of {} slots in use, {}{}",
                worker.worker,
                worker.state,
                worker.running,
                worker.slots,
                worker.binary.name,
                worker.labels.iter().map(|label| format!(", {label}")).collect::<String>()
            );
        }
        let queues = client.queues().await.map_err(because)?;
        // One that nobody has set is all there is.
        for queue in queues.iter().filter(|_| queues.len() > 1) {
            println!(
                "queue {} weight {}, {} slots in use, {} jobs run, {} wait for a place",
                queue.name, queue.weight, queue.slots, queue.running, queue.waiting
            );
        }
        for job in client.jobs().await.map_err(because)? {
            println!("{}", super::jobs::line(&job));
        }
        Ok(())
    })
}
