//! Worker processes on this machine, with a coordinator in this process.

use crate::binary;
use crate::error::RunError;
use std::ffi::OsStr;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::process::{Child, Command};
use tokio::runtime::Runtime;
use windrow_coordinator::{Config, Coordinator, Running};
use windrow_worker::process::{die_with_parent, spawn_from_lasting_thread};

/// How long workers may take to end when they are told to.
const END_WITHIN: Duration = Duration::from_secs(3);

/// What local workers are started with.
#[derive(Clone, Debug)]
pub(crate) struct LocalWorkers {
    /// How many.
    pub(crate) workers: usize,
    /// Compute threads of each.
    pub(crate) threads: usize,
    /// Memory of each, in bytes.
    pub(crate) memory: u64,
    /// The most memory of an executor, in bytes.
    pub(crate) memory_limit: Option<u64>,
    /// The folders for their scratch folders; that of the system for temporary files, if there is none.
    pub(crate) scratch: Vec<PathBuf>,
    /// A worker that was not heard for so long is lost, in milliseconds.
    pub(crate) lease_ms: Option<u64>,
}

/// A coordinator in this process and workers below it, which end with it.
pub(crate) struct Launched {
    runtime: Arc<Runtime>,
    coordinator: Option<Running>,
    workers: Vec<Child>,
}

impl Launched {
    /// Starts them; does not wait for workers to register.
    pub(crate) fn start(
        runtime: Arc<Runtime>,
        options: &LocalWorkers,
    ) -> Result<Launched, RunError> {
        runtime.clone().block_on(async {
            let mut config = Config { binary: binary::own().clone(), ..Config::default() };
            if let Some(lease_ms) = options.lease_ms {
                config.scheduler.lease_ms = lease_ms;
            }
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let coordinator = Coordinator::start(listen, config)
                .await
                .map_err(|error| RunError::Launch(error.to_string()))?;
            let address = coordinator.address;
            let mut launched =
                Launched { runtime, coordinator: Some(coordinator), workers: Vec::new() };
            for _ in 0..options.workers {
                launched.workers.push(start_worker(address, options).await?);
            }
            Ok(launched)
        })
    }

    /// Where the coordinator listens.
    pub(crate) fn address(&self) -> String {
        self.coordinator.as_ref().map_or_else(String::new, |running| running.address.to_string())
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let (coordinator, workers) = (self.coordinator.take(), std::mem::take(&mut self.workers));
        self.runtime.clone().block_on(async {
            if let Some(coordinator) = coordinator {
                // It keeps nothing, so that nothing can fail.
                let _ = coordinator.shut_down().await;
            }
            for mut worker in workers {
                if tokio::time::timeout(END_WITHIN, worker.wait()).await.is_err() {
                    // It may have ended meanwhile, which is all that is wanted.
                    let _ = worker.kill().await;
                }
            }
        });
    }
}

/// The flags of `windrow worker` for these scratch folders.
pub(crate) fn scratch_flags(folders: &[PathBuf]) -> impl Iterator<Item = &OsStr> {
    folders.iter().flat_map(|folder| [OsStr::new("--scratch"), folder.as_os_str()])
}

async fn start_worker(coordinator: SocketAddr, options: &LocalWorkers) -> Result<Child, RunError> {
    let failed = |error: std::io::Error| {
        RunError::Launch(format!("a local worker process could not be started: {error}"))
    };
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command
        .arg("worker")
        .args(["--coordinator", &coordinator.to_string()])
        .args(["--threads", &options.threads.to_string()])
        .args(["--memory", &options.memory.to_string()])
        .args(options.memory_limit.map(|limit| format!("--memory-limit={limit}")))
        .args(scratch_flags(&options.scratch))
        .arg("--die-with-parent")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        // Ctrl-C is for this process alone, which ends the others in good order.
        .process_group(0)
        .kill_on_drop(true);
    die_with_parent(&mut command);
    spawn_from_lasting_thread(command).await.map_err(failed)
}
