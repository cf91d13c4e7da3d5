//! `cluster up|status|down`: a cluster of local processes that outlives the command; `cluster drain|init|token`: for any
//! cluster.

use super::Failed;
use super::security::{ClientSecurity, Init, OnCluster, TokenFlags};
use crate::cluster;
use crate::launcher::scratch_flags;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use windrow_protocol::client::Client;
use windrow_protocol::ids::WorkerId;
use windrow_protocol::security::Credentials;

/// How long the processes of a cluster may take to start, or to end.
const PATIENCE: Duration = Duration::from_secs(20);

/// `windrow cluster`.
#[derive(Args, Debug)]
pub(crate) struct ClusterFlags {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Starts a coordinator and workers on this machine, or again what has died of those that it started before: their
    /// jobs go on
    Up {
        /// How many workers
        #[arg(long, default_value_t = 2)]
        workers: u16,
        /// Threads of each worker
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
        threads: u16,
        /// Where the coordinator listens; port 0 takes any. One that is started again listens where it did
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        listen: SocketAddr,
        /// Where its page is, and what programs and monitors ask; port 0 takes any
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        http: SocketAddr,
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
    /// Ends a cluster that `up` started
    Down {
        #[command(flatten)]
        state: State,
    },
}

#[derive(Args, Debug)]
struct State {
    /// The folder that remembers the cluster [default: ~/.windrow/cluster]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

/// What `up` remembers of a cluster.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    address: String,
    /// Where its page is; empty for one that an earlier release started.
    #[serde(default)]
    http: String,
    coordinator: u32,
    workers: Vec<u32>,
}

impl State {
    fn folder(&self) -> PathBuf {
        self.state.clone().unwrap_or_else(|| {
            let home = std::env::var_os("HOME").map_or_else(std::env::temp_dir, PathBuf::from);
            home.join(".windrow").join("cluster")
        })
    }

    fn file(&self) -> PathBuf {
        self.folder().join("cluster.json")
    }

    /// Where the coordinator keeps what it decides.
    fn journal(&self) -> PathBuf {
        self.folder().join("journal")
    }

    fn read(&self) -> Result<Remembered, Failed> {
        let file = self.file();
        let because = |why: String| {
            Failed::Because(format!("cluster: {}: {why}; `cluster up` starts one", file.display()))
        };
        let json = fs::read_to_string(&file).map_err(|error| because(error.to_string()))?;
        serde_json::from_str(&json).map_err(|error| because(error.to_string()))
    }
}

impl ClusterFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        match self.action {
            Action::Up { workers, threads, listen, http, lease_ms, memory, scratch, state } => {
                let up = Up { threads, listen, http, lease_ms, memory, scratch };
                up.run(workers, &state)
            }
            // A folder that is named comes before the cluster of a profile.
            Action::Status { state: State { state: None }, cluster: Some(address), security } => {
                status(&address, security.credentials()?)
            }
            Action::Status { state, .. } => {
                let there = state.read()?;
                status(&there.address, Credentials::off())?;
                if there.http.is_empty() { Ok(()) } else { page_at(&there.http) }
            }
            Action::Drain { worker, on } => drain(worker, &on),
            Action::Init(init) => init.run(),
            Action::Token(token) => token.run(),
            Action::Down { state } => down(&state),
        }
    }
}

struct Up {
    threads: u16,
    listen: SocketAddr,
    http: SocketAddr,
    lease_ms: u64,
    memory: u64,
    scratch: Vec<PathBuf>,
}

fn because(error: impl std::fmt::Display) -> Failed {
    Failed::Because(format!("cluster: {error}"))
}

/// A process of this program that outlives this one. What it writes goes to the end of `log`.
fn detached(log: &Path) -> Result<Command, Failed> {
    let named = |error| because(format!("{}: {error}", log.display()));
    let log = fs::OpenOptions::new().create(true).append(true).open(log).map_err(named)?;
    let mut command = Command::new(std::env::current_exe().map_err(because)?);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    Ok(command)
}

impl Up {
    fn run(&self, workers: u16, state: &State) -> Result<(), Failed> {
        let folder = state.folder();
        let before = state.read().ok();
        if let Some(there) = before.as_ref().filter(|there| is_alive(there.coordinator)) {
            return Err(because(format!(
                "one is running already on {} ({}); `cluster down` ends it",
                there.address,
                folder.display()
            )));
        }
        fs::create_dir_all(&folder)
            .map_err(|error| because(format!("{}: {error}", folder.display())))?;
        // Clients and workers of one that has died know its address.
        let listen = before.as_ref().map_or(self.listen.to_string(), |there| there.address.clone());
        let http = before.as_ref().map(|there| there.http.clone()).filter(|http| !http.is_empty());
        let http = http.unwrap_or_else(|| self.http.to_string());
        let mut coordinator = detached(&folder.join("coordinator.log"))?;
        coordinator
            .args(["coordinator", "--listen", &listen, "--http", &http])
            .args(["--lease-ms", &self.lease_ms.to_string(), "--state"])
            .arg(state.journal())
            .stdout(Stdio::piped());
        let mut coordinator = coordinator.spawn().map_err(because)?;
        let mut told = coordinator.stdout.take();
        let mut line = |begins: &str| match told.as_mut().map(next_line) {
            Some(Ok(line)) => line.trim_start_matches(begins).to_string(),
            _ => String::new(),
        };
        let (address, http) = (line("coordinator on "), line("http on "));
        if address.is_empty() {
            let log = fs::read_to_string(folder.join("coordinator.log")).unwrap_or_default();
            return Err(because(format!("the coordinator did not start: {}", log.trim())));
        }
        let mut alive = before.map(|there| there.workers).unwrap_or_default();
        alive.retain(|&worker| is_alive(worker));
        let there = alive.len() as u16;
        let coordinator = coordinator.id();
        let mut remembered =
            Remembered { address: address.clone(), http, coordinator, workers: alive };
        for number in there..workers {
            let mut worker = detached(&folder.join(format!("worker-{number}.log")))?;
            worker
                .args(["worker", "--coordinator", &address])
                .args(["--threads", &self.threads.to_string()])
                .args(["--memory", &self.memory.to_string()])
                .args(scratch_flags(&self.scratch));
            remembered.workers.push(worker.spawn().map_err(because)?.id());
        }
        let json = serde_json::to_string_pretty(&remembered).map_err(because)?;
        fs::write(state.file(), json).map_err(because)?;
        wait_for_workers(&address, usize::from(workers))?;
        println!("{address}");
        Ok(())
    }
}

/// Says where the page of a cluster is.
fn page_at(http: &str) -> Result<(), Failed> {
    super::print(&format!("page http://{http}/\n"))
}

/// The next line that a process writes, without its end.
fn next_line(from: &mut impl Read) -> std::io::Result<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while from.read(&mut byte)? == 1 && byte[0] != b'\n' {
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

fn wait_for_workers(address: &str, workers: usize) -> Result<(), Failed> {
    let runtime = cluster::runtime()?;
    runtime.block_on(async {
        let client = Client::connect(address, Credentials::off()).await.map_err(because)?;
        let started = Instant::now();
        loop {
            let ready = client.workers().await.map_err(because)?.len();
            if ready >= workers {
                return Ok(());
            }
            if started.elapsed() > PATIENCE {
                return Err(because(format!("{ready} of {workers} workers came; see the logs")));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
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
                "worker {} {}, {} of {} slots in use, {}",
                worker.worker, worker.state, worker.running, worker.slots, worker.binary.name
            );
        }
        for job in client.jobs().await.map_err(because)? {
            println!("{}", super::jobs::line(&job));
        }
        Ok(())
    })
}

fn down(state: &State) -> Result<(), Failed> {
    let remembered = state.read()?;
    let ended = cluster::runtime()?.block_on(async {
        let client =
            Client::connect(&remembered.address, Credentials::off()).await.map_err(because)?;
        client.shut_down().await.map_err(because)
    });
    let all = || remembered.workers.iter().chain([&remembered.coordinator]);
    let started = Instant::now();
    while ended.is_ok() && all().any(|&pid| is_alive(pid)) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(20));
    }
    for &pid in all() {
        if is_alive(pid) {
            // SAFETY: a signal to a process; it may have ended meanwhile, which is no harm.
            unsafe { libc::kill(pid as libc::pid_t, libc::SIGKILL) };
        }
    }
    // Its jobs were cancelled; those of the next one are others.
    fs::remove_dir_all(state.journal()).or_else(nothing_there).map_err(because)?;
    fs::remove_file(state.file()).map_err(because)
}

/// To remove what is not there is no error.
fn nothing_there(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Whether a process of this program has this number.
fn is_alive(pid: u32) -> bool {
    let own = std::env::current_exe().ok();
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok();
    // The state `Z` is of processes that have ended, and whose parent has not looked.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    path.is_some() && path == own && !zombie
}
