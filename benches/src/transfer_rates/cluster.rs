//! A coordinator and workers, each with its share of the processors.

use super::{AnyError, SLOW, TransferRates, WORKERS};
use crate::chaos::group::Group;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A worker that was not heard for so long is lost, in milliseconds.
const LEASE_MS: &str = "1000";

/// All of them; they are killed when this is dropped.
pub(super) struct Cluster {
    pub(super) address: String,
    windrow: PathBuf,
    scratch: PathBuf,
    coordinator: Child,
    workers: Vec<Child>,
    /// By worker. Removed when its processes are gone.
    groups: Vec<Group>,
}

impl Cluster {
    pub(super) fn start(of: &TransferRates, backups: bool) -> Result<Cluster, AnyError> {
        let processors = std::thread::available_parallelism()?.get() as f64;
        let share = processors * 1000.0 / WORKERS as f64;
        let group = |at: usize| {
            let share = if at + 1 == WORKERS { share * SLOW } else { share };
            let name = format!("windrow-rates-{}-{at}", std::process::id());
            Group::make(&name, share as u32).ok_or("control groups cannot be made: run it as root")
        };
        let groups = (0..WORKERS).map(group).collect::<Result<Vec<_>, _>>()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let mut coordinator = Command::new(&of.windrow);
        coordinator.args(["coordinator", "--listen", &address, "--lease-ms", LEASE_MS]);
        coordinator.args((!backups).then_some("--no-backups"));
        let coordinator = coordinator.stdout(Stdio::null()).spawn()?;
        let (windrow, scratch, workers) = (of.windrow.clone(), of.scratch.clone(), Vec::new());
        let mut cluster = Cluster { address, windrow, scratch, coordinator, workers, groups };
        let begun = Instant::now();
        while TcpStream::connect(&cluster.address).is_err() {
            if begun.elapsed() > Duration::from_secs(10) {
                return Err("the coordinator does not listen".into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        for at in 0..WORKERS {
            let worker = cluster.worker(at)?;
            cluster.workers.push(worker);
        }
        // They register.
        std::thread::sleep(Duration::from_secs(1));
        Ok(cluster)
    }

    fn worker(&self, at: usize) -> Result<Child, AnyError> {
        let worker = Command::new(&self.windrow)
            .args(["worker", "--coordinator", &self.address, "--threads", "1", "--scratch"])
            .arg(self.scratch.join("scratch"))
            .stdout(Stdio::null())
            .spawn()?;
        // What it starts is in the group as well.
        self.groups[at].take(worker.id());
        Ok(worker)
    }

    /// Kills a worker, and starts another one in its place.
    pub(super) fn kill_and_start_again(&mut self, at: usize) -> Result<(), AnyError> {
        self.workers[at].kill()?;
        self.workers[at].wait()?;
        self.workers[at] = self.worker(at)?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in self.workers.iter_mut().chain([&mut self.coordinator]) {
            // It may have ended.
            let _ = process.kill();
            let _ = process.wait();
        }
        // Executors end when they see that their worker is gone.
        std::thread::sleep(Duration::from_millis(500));
    }
}
