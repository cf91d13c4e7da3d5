//! `worker`: the supervisor's process; `__executor`: the process of an executor, which a supervisor starts.

use super::advertised::{Advertised, advertised, of_listening};
use super::{Failed, security};
use crate::registry::JobEntry;
use crate::{binary, cluster};
use clap::Args;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use windrow_datasets::storage::Storage;
use windrow_jobs::library::GenerateTpch;
use windrow_jobs::plan::Plan;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::link::{LinkConfig, connect_any};
use windrow_protocol::security::Credentials;
use windrow_protocol::transport::ConnectError;
use windrow_worker::executor::task::Tasks;
use windrow_worker::executor_process::{self, ExecutorConfig, PlanSource};
use windrow_worker::process::ParentGroup;
use windrow_worker::supervisor::{
    Confined, ExecutorCommand, Supervisor, SupervisorConfig, SupervisorLimits, supervisor_link,
};

/// The name of the hidden command that supervisors start executors by.
pub(super) const EXECUTOR: &str = "__executor";

/// `windrow worker`.
#[derive(Args, Debug)]
pub(crate) struct Worker {
    /// The coordinator; where others stand by, all their addresses with commas between
    #[arg(long, value_name = "HOST:PORT")]
    coordinator: String,
    /// Where other workers fetch blocks
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// The address that other workers are told, where it is not that of `--listen`: behind a proxy, say, or in a container
    #[arg(long, value_name = "HOST[:PORT]", value_parser = advertised)]
    advertise: Option<Advertised>,
    /// A name that all workers on this machine have in common, and no others: they read one another's files [default: that
    /// of the machine]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Tasks at once, each on a thread [default: as many as the machine has]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    threads: Option<u16>,
    /// Memory for tasks: what does not fit goes to scratch
    #[arg(long, value_name = "SIZE", default_value = "4GiB", value_parser = super::quantity::bytes)]
    memory: u64,
    /// End an executor that has more memory [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = super::quantity::bytes)]
    memory_limit: Option<u64>,
    /// What is special about this worker, for jobs whose tasks need it; several, if given more than once
    #[arg(long, value_name = "LABEL", value_parser = super::claim::label)]
    label: Vec<String>,
    /// Confine each executor, and what its job starts, to a control group of its own in this one, which the worker may make
    /// groups in: it gets as many processors as it has threads, and no more memory than --memory-limit
    #[arg(long, value_name = "GROUP")]
    cgroup: Option<String>,
    /// The most processes and threads of an executor that is confined
    #[arg(long, value_name = "N", requires = "cgroup", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(16..))]
    processes: u32,
    /// Run executors under the accounts of those who submit jobs, by the names of their tokens: for a worker of root
    #[arg(long, requires = "security")]
    run_as_submitter: bool,
    /// The folder for shuffle files, and for what does not fit the memory; several, if given more than once, are used by
    /// turns [default: that of the system for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Vec<PathBuf>,
    /// The folder in which binaries of jobs are kept, which nobody else may write to, and from which programs can be started;
    /// workers of one user may share it [default: windrow-binaries-UID in the first folder for scratch]
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    /// The folder with the `ca.pem` of a cluster that is secured, and a token or certificate of workers
    #[arg(long, value_name = "DIR")]
    security: Option<PathBuf>,
    /// End when the process that started this one does
    #[arg(long, hide = true)]
    die_with_parent: bool,
}

/// The plans of a program's jobs.
pub(super) struct Plans(Vec<JobEntry>);

impl Plans {
    pub(super) fn of(mut jobs: Vec<JobEntry>) -> Plans {
        // Behind the program's own: `generate tpch` is there in each program.
        jobs.push(JobEntry::of::<GenerateTpch>());
        Plans(jobs)
    }
}

impl PlanSource for Plans {
    fn plan(&self, name: &str, arguments: &str) -> Result<Plan, Failure> {
        let wrong = |message: String| Failure::new(FailureClass::WrongBinary, message);
        let Some(entry) = self.0.iter().find(|job| job.name == name) else {
            let own = &binary::own().name;
            return Err(wrong(format!(
                "{own} has no job `{name}`: run the same program everywhere"
            )));
        };
        let job = (entry.of_json)(arguments)
            .map_err(|error| wrong(format!("the arguments of job `{name}` do not fit: {error}")))?;
        job.plan().map_err(|error| Failure::new(FailureClass::UserCode, error.to_string()))
    }
}

/// The life of an executor process.
pub(super) fn executor(jobs: Vec<JobEntry>) -> ExitCode {
    windrow_worker::process::outlive_termination();
    let config = ExecutorConfig {
        binary: binary::own().clone(),
        fetch: windrow_worker::data_plane::ClientLimits::default(),
        wanted: executor_process::Wanted::default(),
    };
    executor_process::main(Arc::new(Plans::of(jobs)), Arc::new(Tasks::new(Storage::new())), config)
}

/// The name that workers of one host have in common.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    format!("{}-{}", name.trim(), boot.trim())
}

/// Where binaries of jobs are kept, if nobody says where.
fn binaries_in(scratch: &Path) -> PathBuf {
    scratch.join(format!("windrow-binaries-{}", rustix::process::geteuid().as_raw()))
}

/// Makes sure that it is no wrong address; where nobody is yet, the worker waits, and says so.
async fn look_for(coordinator: &str, credentials: &Credentials) -> Result<(), ConnectError> {
    match connect_any(coordinator, credentials, LinkConfig::default().connect).await {
        Err(error) if error.is_transient() => {
            super::tell(&format!("windrow: worker: {error}; trying until it is there\n"));
            Ok(())
        }
        other => other.map(drop),
    }
}

impl Worker {
    /// Works until the coordinator or a signal says stop.
    pub(super) fn run(self) -> Result<(), Failed> {
        let because = |error: &dyn std::fmt::Display| Failed::Because(format!("worker: {error}"));
        let threads = self.threads.map_or_else(crate::local::threads, usize::from) as u32;
        let program = std::env::current_exe().map_err(|error| because(&error))?;
        let credentials = security::credentials(self.security.as_deref())?;
        let executor = ExecutorCommand {
            program,
            arguments: vec![OsString::from(EXECUTOR)],
            environment: Vec::new(),
        };
        let told = match self.advertise {
            Some(told) => told,
            None => {
                of_listening(self.listen, &self.coordinator).map_err(|error| because(&error))?
            }
        };
        let scratch = match self.scratch.is_empty() {
            true => vec![std::env::temp_dir()],
            false => self.scratch,
        };
        let group = self.cgroup.as_deref().map(ParentGroup::open).transpose();
        let group = group.map_err(|error| because(&error))?;
        let confined = group.map(|group| Confined { group, processes: self.processes });
        let binaries = self.binaries.unwrap_or_else(|| binaries_in(&scratch[0]));
        let config = SupervisorConfig {
            host: self.host.unwrap_or_else(host),
            data_listen: self.listen,
            data_host: told.host,
            data_port: told.port,
            credentials: credentials.clone(),
            slots: threads,
            threads,
            memory: self.memory,
            memory_limit: self.memory_limit,
            labels: self.label,
            scratch,
            binary: binary::own().clone(),
            binaries: Some(binaries),
            confined,
            run_as_submitter: self.run_as_submitter,
            executor,
            die_with_parent: self.die_with_parent,
            give_up_after: None,
            limits: SupervisorLimits::default(),
        };
        let runtime = cluster::runtime()?;
        runtime.block_on(async {
            if !self.die_with_parent {
                look_for(&self.coordinator, &credentials).await.map_err(|error| because(&error))?;
            }
            let link = supervisor_link(self.coordinator, credentials);
            let supervisor =
                Supervisor::start(config, link).await.map_err(|error| because(&error))?;
            let handle = supervisor.handle();
            let mut drain = signal(SignalKind::terminate()).map_err(|error| because(&error))?;
            let mut stop = signal(SignalKind::interrupt()).map_err(|error| because(&error))?;
            let signals = async {
                tokio::select! {
                    _ = drain.recv() => handle.drain(),
                    _ = stop.recv() => handle.stop(),
                }
                stop.recv().await;
                handle.stop();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                ended = supervisor.run() => ended.map_err(|error| because(&error)),
                () = signals => Ok(()),
            }
        })
    }
}
