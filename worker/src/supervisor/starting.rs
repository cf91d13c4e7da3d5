//! How an executor process comes to be ready: what its job is, its program, its certificate, and its first words.

use super::certificates;
use super::config::SupervisorConfig;
use super::control::{Control, ControlError};
use super::executor::Running;
use super::keeping::Keeping;
use super::programs::{self, Program};
use super::state::ExecutorName;
use super::suspects::Suspects;
use crate::frames::{self, Writer};
use crate::process::{self, Account, Group, Limits};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, spawn_blocking};
use windrow_protocol::control::JobSpec;
use windrow_protocol::executor::{ExecutorStart, FromExecutor, ToExecutor};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::WorkerId;

/// A program that somebody still has open to write is tried again so often, after such a pause.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Asks what the job is, until the coordinator says it.
async fn spec<C: Control>(
    keeping: &Keeping<C>,
    (job, _): ExecutorName,
) -> Result<JobSpec, Failure> {
    let mut pause = Duration::from_millis(20);
    loop {
        let asked = super::within(keeping.config.limits.answer, keeping.control.job_spec(job));
        match asked.await {
            Ok(spec) => return Ok(spec),
            Err(ControlError::Refused(refusal)) => {
                return Err(Failure::new(FailureClass::Collateral, refusal.to_string()));
            }
            Err(error) => tracing::debug!(%job, %error, "asking again what the job is"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}

/// What an executor is started in.
#[derive(Clone, Copy)]
struct Inside<'i> {
    group: Option<&'i Group>,
    account: Option<&'i Account>,
}

/// A control group for an executor, where executors have one.
fn group(config: &SupervisorConfig, (job, number): ExecutorName) -> io::Result<Option<Group>> {
    let Some(confined) = &config.confined else { return Ok(None) };
    let limits = Limits {
        memory: config.memory_limit,
        processors: config.threads,
        processes: confined.processes,
    };
    // Several workers may have their groups in one.
    let name = format!("windrow-{}-{job}-{number}", std::process::id());
    confined.group.make(&name, limits).map(Some)
}

/// The account of the one who submitted a job, with folders that it may write to.
async fn account_of(submitter: String, folders: Vec<PathBuf>) -> io::Result<Account> {
    let found = move || {
        let account = match Account::of(&submitter)? {
            Some(account) if !account.is_root() => account,
            Some(_) => {
                let text = format!("jobs of `{submitter}` would run as root, which they may not");
                return Err(io::Error::other(text));
            }
            None => {
                let text = format!(
                    "`{submitter}`, who submitted the job, has no account on this machine, and jobs run as who submits them (--run-as-submitter)"
                );
                return Err(io::Error::other(text));
            }
        };
        folders.iter().try_for_each(|folder| account.make_folder(folder))?;
        Ok(account)
    };
    spawn_blocking(found).await.map_err(io::Error::other)?
}

impl Running {
    /// Starts an executor, up to its being ready, once its program is here.
    pub(super) async fn of_job<C: Control>(
        keeping: &Keeping<C>,
        name: ExecutorName,
        worker: WorkerId,
        scratch: &[PathBuf],
    ) -> Result<Running, Failure> {
        let spec = spec(keeping, name).await?;
        let program = programs::of_job(keeping, worker, name.0, &spec).await?;
        let limit = keeping.config.limits.start;
        let starting = Running::start(keeping, name, worker, scratch, spec, program);
        tokio::time::timeout(limit, starting).await.unwrap_or_else(|_| {
            let text = format!("the executor was not ready within {} s", limit.as_secs());
            Err(Failure::new(FailureClass::LostExecutor, text))
        })
    }

    async fn start<C: Control>(
        keeping: &Keeping<C>,
        name: ExecutorName,
        worker: WorkerId,
        scratch: &[PathBuf],
        spec: JobSpec,
        program: Program,
    ) -> Result<Running, Failure> {
        let credentials = certificates::of_executor(&keeping.config, &*keeping.control, name.0);
        let credentials = credentials.await.map_err(|error| {
            let text = format!("there is no certificate for an executor: {error}");
            Failure::new(FailureClass::LostExecutor, text)
        })?;
        let cannot = |error: io::Error| {
            let text = format!("cannot start an executor ({}): {error}", program.path.display());
            Failure::new(FailureClass::LostWorker, text)
        };
        let blocks = texts(keeping.blocks.folders(name.0).paths());
        let account = match keeping.config.run_as_submitter {
            true => {
                let folders = scratch.iter().cloned().chain(blocks.iter().map(PathBuf::from));
                let (submitter, folders) = (spec.submitter.clone(), folders.collect());
                Some(account_of(submitter, folders).await.map_err(cannot)?)
            }
            false => None,
        };
        let group = group(&keeping.config, name).map_err(cannot)?;
        let inside = Inside { group: group.as_ref(), account: account.as_ref() };
        let spawned = Running::spawn(&keeping.config, name, &program.path, inside).await;
        let (child, socket) = spawned.map_err(cannot)?;
        let mut running = Running::greeted(child, socket, &program).await?;
        running.group = group;
        let start = ExecutorStart {
            job: name.0,
            spec,
            worker,
            host: keeping.config.host.clone(),
            // Nobody elsewhere could reach its data plane.
            peers_are_here: keeping.config.data_listen.ip().is_loopback(),
            credentials,
            threads: keeping.config.threads,
            memory: keeping.config.memory,
            scratch: texts(scratch),
            blocks,
        };
        running.limit = start.spec.options.task_timeout_ms.map(Duration::from_millis);
        running.leaves_out = start.spec.options.bad_records_max > 0;
        running.introduce(start).await?;
        Ok(running)
    }

    async fn spawn(
        config: &SupervisorConfig,
        (job, _): ExecutorName,
        program: &Path,
        inside: Inside<'_>,
    ) -> io::Result<(Child, UnixStream)> {
        let mut tries = 0..BUSY_TRIES;
        loop {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let mut command = Command::new(program);
            command.args(&config.executor.arguments).stdin(Stdio::null()).kill_on_drop(true);
            command.envs(config.executor.environment.iter().map(|(name, value)| (name, value)));
            // In this order: a group is joined as this user, and whoever becomes another one forgets its parent.
            if let Some(group) = inside.group {
                group.joined_by(&mut command)?;
            }
            if let Some(account) = inside.account {
                account.taken_by(&mut command);
            }
            process::die_with_parent(&mut command);
            process::pass_socket(&mut command, theirs);
            process::ignore_termination(&mut command);
            match process::spawn_from_lasting_thread(command).await {
                // Another process that starts just now may still have it open, as it was written.
                Err(error)
                    if error.kind() == io::ErrorKind::ExecutableFileBusy
                        && tries.next().is_some() =>
                {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                Err(error) => return Err(error),
                Ok(child) => {
                    tracing::debug!(%job, pid = child.id(), "an executor has started");
                    return Ok((child, UnixStream::from_std(ours)?));
                }
            }
        }
    }

    /// An executor process that speaks as one.
    async fn greeted(
        mut child: Child,
        mut socket: UnixStream,
        program: &Program,
    ) -> Result<Running, Failure> {
        if let Err(error) = frames::greet(&mut socket).await {
            if error.kind() == io::ErrorKind::InvalidData {
                let text = format!("the job's binary cannot be used: {error}");
                return Err(Failure::new(FailureClass::WrongBinary, text));
            }
            let hint = if program.is_foreign {
                "; what it said is in the worker's log: a binary that needs a newer C library than this machine has can be linked statically"
            } else {
                ""
            };
            let how = bury(&mut child).await;
            let text = format!("the executor died while it started: {how}{hint}");
            return Err(Failure::new(FailureClass::LostExecutor, text));
        }
        Ok(Running::of(child, socket))
    }

    fn of(child: Child, socket: UnixStream) -> Running {
        let (reader, writer) = frames::split(socket);
        let (out, messages) = mpsc::channel(256);
        // Ends when the executor is dead, or `out` is dropped.
        tokio::spawn(write(writer, messages));
        Running {
            child,
            group: None,
            reader,
            out,
            backlog: VecDeque::new(),
            inputs: Vec::new(),
            limit: None,
            leaves_out: false,
            suspects: Suspects::default(),
            waiting: HashMap::new(),
            asking: JoinSet::new(),
            told: HashMap::new(),
        }
    }

    /// Tells the executor what it is for, and hears whether it can do it.
    async fn introduce(&mut self, start: ExecutorStart) -> Result<(), Failure> {
        // If it is dead, reading says so.
        let _ = self.out.send(ToExecutor::Start(Box::new(start))).await;
        match self.reader.next().await {
            Ok(Some(FromExecutor::Ready { inputs, .. })) => {
                self.inputs = inputs;
                Ok(())
            }
            Ok(Some(FromExecutor::Refused(failure))) => Err(failure),
            Ok(Some(other)) => {
                let text = format!("the executor said {other:?} before it was ready");
                Err(Failure::new(FailureClass::Internal, text))
            }
            Ok(None) => {
                let text = format!("the executor died while it started: {}", self.bury().await);
                Err(Failure::new(FailureClass::LostExecutor, text))
            }
            Err(error) => {
                let text = format!("the executor cannot be understood: {error}");
                Err(Failure::new(FailureClass::LostExecutor, text))
            }
        }
    }
}

/// Kills what may still live, and says how it ended.
pub(super) async fn bury(child: &mut Child) -> String {
    // It closes its socket just before it is dead: its own end says more than ours.
    let limit = Duration::from_millis(200);
    if tokio::time::timeout(limit, child.wait()).await.is_err() {
        let _ = child.start_kill();
    }
    match child.wait().await {
        Ok(status) => status.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Writes to an executor until it is dead or there is nothing more to say.
async fn write(mut writer: Writer, mut messages: mpsc::Receiver<ToExecutor>) -> io::Result<()> {
    while let Some(message) = messages.recv().await {
        writer.feed(&message).await?;
        while let Ok(message) = messages.try_recv() {
            writer.feed(&message).await?;
        }
        writer.flush().await?;
    }
    Ok(())
}
