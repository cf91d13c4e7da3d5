//! `cluster up` on this machine: processes that outlive the command.

use super::Failed;
use super::state::{Remembered, State};
use crate::cluster;
use crate::launcher::scratch_flags;
use std::fmt::Display;
use std::fs;
use std::io::Read;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use windrow_protocol::client::Client;
use windrow_protocol::security::Credentials;

/// How long the processes of a cluster may take to start, or to end.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// What a cluster on this machine is started with.
pub(super) struct Up {
    pub(super) workers: u16,
    pub(super) threads: u16,
    pub(super) listen: SocketAddr,
    pub(super) http: SocketAddr,
    pub(super) queues: Option<PathBuf>,
    pub(super) lease_ms: u64,
    pub(super) memory: u64,
    pub(super) scratch: Vec<PathBuf>,
}

/// What a coordinator is started with.
pub(super) struct CoordinatorFlags<'f> {
    pub(super) listen: &'f str,
    pub(super) http: &'f str,
    pub(super) queues: Option<&'f Path>,
    pub(super) lease_ms: u64,
    pub(super) security: Option<&'f Path>,
}

/// A coordinator that was started: its process, where it listens, and where its page is.
pub(super) struct Started {
    pub(super) process: u32,
    pub(super) address: String,
    pub(super) http: String,
}

pub(super) fn because(error: impl Display) -> Failed {
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

/// Makes the folder of a cluster, and makes sure that none of it runs. What was remembered before, of one that has died.
pub(super) fn prepare(state: &State) -> Result<Option<Remembered>, Failed> {
    let folder = state.folder();
    let before = state.find()?;
    if let Some(there) = before.as_ref().filter(|there| is_alive(there.coordinator)) {
        return Err(because(format!(
            "one is running already on {} ({}); `cluster down` ends it",
            there.address,
            folder.display()
        )));
    }
    fs::create_dir_all(&folder)
        .map_err(|error| because(format!("{}: {error}", folder.display())))?;
    Ok(before)
}

/// Where the page of a coordinator is to be: where that of the one before was.
pub(super) fn page_of(before: Option<&Remembered>, asked: SocketAddr) -> String {
    let http = before.map(|there| there.http.clone()).filter(|http| !http.is_empty());
    http.unwrap_or_else(|| asked.to_string())
}

/// Starts a coordinator, and waits until it listens.
pub(super) fn start_coordinator(
    state: &State,
    flags: &CoordinatorFlags<'_>,
) -> Result<Started, Failed> {
    let folder = state.folder();
    let mut coordinator = detached(&folder.join("coordinator.log"))?;
    coordinator
        .args(["coordinator", "--listen", flags.listen, "--http", flags.http])
        .args(["--lease-ms", &flags.lease_ms.to_string(), "--state"])
        .arg(state.journal());
    if let Some(queues) = flags.queues {
        coordinator.arg("--queues").arg(queues);
    }
    if let Some(security) = flags.security {
        coordinator.arg("--security").arg(security);
    }
    coordinator.stdout(Stdio::piped());
    let mut coordinator = coordinator.spawn().map_err(because)?;
    let mut told = coordinator.stdout.take();
    let mut line = |begins: &str| match told.as_mut().map(next_line) {
        Some(Ok(line)) => line.trim_start_matches(begins).to_string(),
        _ => String::new(),
    };
    let (address, http) = (line("coordinator on "), line("http on "));
    if address.is_empty() {
        // It has ended, or is about to.
        let _ = coordinator.kill();
        let _ = coordinator.wait();
        let log = fs::read_to_string(folder.join("coordinator.log")).unwrap_or_default();
        return Err(because(format!("the coordinator did not start: {}", log.trim())));
    }
    Ok(Started { process: coordinator.id(), address, http })
}

impl Up {
    /// Starts what is not there, and prints the address.
    pub(super) fn run(&self, state: &State) -> Result<(), Failed> {
        let before = prepare(state)?;
        if before.as_ref().is_some_and(|there| there.over.is_some()) {
            return Err(because(format!(
                "{} remembers a cluster over hosts: start that again with --hosts, or end it with `cluster down`",
                state.folder().display()
            )));
        }
        // Clients and workers of one that has died know its address.
        let listen = before.as_ref().map_or(self.listen.to_string(), |there| there.address.clone());
        let http = page_of(before.as_ref(), self.http);
        let flags = CoordinatorFlags {
            listen: &listen,
            http: &http,
            queues: self.queues.as_deref(),
            lease_ms: self.lease_ms,
            security: None,
        };
        let Started { process, address, http } = start_coordinator(state, &flags)?;
        let mut alive = before.map(|there| there.workers).unwrap_or_default();
        alive.retain(|&worker| is_alive(worker));
        let there = alive.len() as u16;
        let mut remembered = Remembered {
            address: address.clone(),
            http,
            coordinator: process,
            workers: alive,
            over: None,
        };
        for number in there..self.workers {
            let mut worker = detached(&state.folder().join(format!("worker-{number}.log")))?;
            worker
                .args(["worker", "--coordinator", &address])
                .args(["--threads", &self.threads.to_string()])
                .args(["--memory", &self.memory.to_string()])
                .args(scratch_flags(&self.scratch));
            remembered.workers.push(worker.spawn().map_err(because)?.id());
        }
        state.write(&remembered)?;
        wait_for_workers(&address, usize::from(self.workers))?;
        println!("{address}");
        Ok(())
    }
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

/// Whether a process of this program has this number.
pub(super) fn is_alive(pid: u32) -> bool {
    let own = std::env::current_exe().ok();
    let path = fs::read_link(format!("/proc/{pid}/exe")).ok();
    // The state `Z` is of processes that have ended, and whose parent has not looked.
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    path.is_some() && path == own && !zombie
}
