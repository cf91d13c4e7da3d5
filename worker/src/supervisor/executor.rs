//! One executor process, as its supervisor keeps it: started, given its orders, listened to.

use super::certificates;
use super::config::SupervisorConfig;
use super::control::{Control, ControlError};
use super::ending::{Next, Over};
use super::keeping::Keeping;
use super::locations::Located;
use super::programs::{self, Program};
use super::state::{ExecutorName, ToDo, cancelled};
use super::suspects::Suspects;
use crate::frames::{self, Reader, Writer};
use crate::process;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use windrow_protocol::control::{AttemptEnd, JobSpec};
use windrow_protocol::executor::{BlockPlaces, ExecutorStart, FromExecutor, ToExecutor};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, ShuffleId, StageId, WorkerId};
use windrow_protocol::task::{TaskInput, TaskOrder, Work};

/// How often it is looked at how much memory an executor has.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

/// A program that somebody still has open to write is tried again so often, after such a pause.
const BUSY_TRIES: u32 = 50;
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// Removes an executor's scratch folders. What cannot be removed now goes with those of the worker.
pub(super) async fn remove(scratch: Vec<PathBuf>) {
    for folder in scratch {
        let _ = tokio::fs::remove_dir_all(folder).await;
    }
}

fn texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| path.to_string_lossy().into_owned()).collect()
}

/// Keeps an executor until it is dead. Whether its job still goes on, as far as is known.
pub(super) async fn keep<C: Control>(
    keeping: Arc<Keeping<C>>,
    name: ExecutorName,
    worker: WorkerId,
    wake: Arc<Notify>,
) -> bool {
    let (job, number) = name;
    let scratch = keeping.scratch_of(&format!("{job}-{number}"));
    let mut suspects = Suspects::default();
    let goes_on = loop {
        let started = start(&keeping, name, worker, &wake, &scratch).await;
        match started {
            Ok(Some(mut running)) => {
                suspects.starts(running.leaves_out, scratch.first());
                running.suspects = suspects;
                match running.run(&keeping, name, &wake).await {
                    Next::Over(goes_on) => break goes_on,
                    Next::Again(known) => suspects = known,
                }
            }
            Ok(None) => break false,
            Err(failure) => {
                tracing::warn!(%job, %failure, "there is no executor");
                break keeping.state.executor_gone(name, |_, cancelled_at| match cancelled_at {
                    Some(_) => cancelled(),
                    None => failure.clone(),
                });
            }
        }
    };
    remove(scratch).await;
    goes_on
}

/// Starts an executor, up to its being ready; `None` if it is not needed any more.
async fn start<C: Control>(
    keeping: &Arc<Keeping<C>>,
    name: ExecutorName,
    worker: WorkerId,
    wake: &Notify,
    scratch: &[PathBuf],
) -> Result<Option<Running>, Failure> {
    let starting = Running::of_job(keeping, name, worker, scratch);
    let dropped = async {
        // Woken for each order; what counts is whether it is to end.
        while keeping.state.is_wanted(name) {
            wake.notified().await;
        }
    };
    tokio::select! {
        started = starting => {
            // Orders came while it started.
            wake.notify_one();
            started.map(Some)
        }
        () = dropped => Ok(None),
    }
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

/// Orders of one stage that wait to know where blocks are.
#[derive(Default)]
struct Waiting {
    /// Those for which it is asked now.
    asked: Vec<TaskOrder>,
    /// Those that came since.
    next: Vec<TaskOrder>,
}

type Answer = (StageId, Result<Vec<Located>, Failure>);

/// An executor process that runs.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) reader: Reader,
    /// To the task that writes to the socket: an executor that does not read holds up nothing else.
    pub(super) out: mpsc::Sender<ToExecutor>,
    /// What does not fit into that; bounded by the orders that there are.
    backlog: VecDeque<ToExecutor>,
    inputs: Vec<Vec<ShuffleId>>,
    /// How long an attempt may run.
    pub(super) limit: Option<Duration>,
    /// Whether the job may leave records out.
    leaves_out: bool,
    pub(super) suspects: Suspects,
    waiting: HashMap<StageId, Waiting>,
    asking: JoinSet<Answer>,
    /// The versions of the lists of blocks that the executor has.
    told: HashMap<ShuffleId, u64>,
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
        let spawned = Running::spawn(&keeping.config, name, &program.path).await;
        let (child, socket) = spawned.map_err(|error| {
            let text = format!("cannot start an executor ({}): {error}", program.path.display());
            Failure::new(FailureClass::LostWorker, text)
        })?;
        let mut running = Running::greeted(child, socket, &program).await?;
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
            blocks: texts(keeping.blocks.folders(name.0).paths()),
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
    ) -> io::Result<(Child, UnixStream)> {
        let mut tries = 0..BUSY_TRIES;
        loop {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            let mut command = Command::new(program);
            command.args(&config.executor.arguments).stdin(Stdio::null()).kill_on_drop(true);
            command.envs(config.executor.environment.iter().map(|(name, value)| (name, value)));
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

    /// Kills what may still live, and says how it ended.
    pub(super) async fn bury(&mut self) -> String {
        bury(&mut self.child).await
    }

    /// Kills it at once.
    pub(super) async fn kill(&mut self) {
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// Hands over orders and hears what comes of them, until that is over.
    pub(super) async fn serve<C: Control>(
        &mut self,
        keeping: &Arc<Keeping<C>>,
        name: ExecutorName,
        wake: &Notify,
    ) -> Over {
        let state = &keeping.state;
        let (pid, limit) = (self.child.id(), keeping.config.memory_limit);
        let beside = keeping.config.limits.grace_beside_others;
        for order in self.suspects.next() {
            self.take(keeping, name, ToDo::Run(Box::new(order)));
        }
        let mut looks = tokio::time::interval(MEMORY_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let Some(to_do) = state.take(name) else { return Over::Unwanted };
            for to_do in to_do {
                self.take(keeping, name, to_do);
            }
            let deadline = state.deadline(name, beside);
            let overdue = tokio::time::sleep_until(
                deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600)).into(),
            );
            let mut freed = Vec::new();
            let answer = tokio::select! {
                () = wake.notified() => None,
                message = self.reader.next() => match message {
                    Ok(Some(message)) => {
                        let ended = match &message {
                            FromExecutor::Ended { end, .. } => Some(end.attempt),
                            _ => None,
                        };
                        if let Some(over) = hear(keeping, name, message) {
                            return over;
                        }
                        freed = ended.map(|of| self.suspects.ended(of)).unwrap_or_default();
                        None
                    }
                    Ok(None) => return Over::Died(None),
                    // A socket that is reset is the end of the process as well.
                    Err(error) if error.kind() != io::ErrorKind::InvalidData => {
                        return Over::Died(None);
                    }
                    Err(error) => return Over::Died(Some(error.to_string())),
                },
                room = self.out.reserve(), if !self.backlog.is_empty() => match room {
                    Ok(room) => {
                        if let Some(message) = self.backlog.pop_front() {
                            room.send(message);
                        }
                        None
                    }
                    Err(_) => {
                        // The writer has failed; reading will say why.
                        self.backlog.clear();
                        None
                    }
                },
                Some(answer) = self.asking.join_next() => answer.ok(),
                _ = looks.tick(), if limit.is_some() => {
                    let bytes = pid.and_then(process::memory_of).unwrap_or_default();
                    if limit.is_some_and(|limit| bytes > limit) {
                        return Over::Oversized(bytes);
                    }
                    None
                }
                () = overdue, if deadline.is_some() => {
                    if state.deadline(name, beside).is_some_and(|deadline| deadline <= Instant::now()) {
                        return Over::Killed;
                    }
                    None
                }
            };
            for order in freed {
                self.take(keeping, name, ToDo::Run(Box::new(order)));
            }
            if let Some((stage, located)) = answer {
                self.located(keeping, name, stage, located);
            }
        }
    }

    /// Lets an attempt run.
    fn begin<C: Control>(
        &mut self,
        keeping: &Arc<Keeping<C>>,
        name: ExecutorName,
        order: Box<TaskOrder>,
    ) {
        if let Some(limit) = self.limit {
            keeping.state.begins(name, order.attempt, Instant::now() + limit);
        }
        let careful = self.suspects.begins(order.attempt);
        let careful = careful.map(|(note, fatal)| (note.to_string_lossy().into_owned(), fatal));
        self.say(match careful {
            None => ToExecutor::Run(order),
            Some((note, fatal)) => ToExecutor::RunCarefully { order, note, fatal },
        });
    }

    pub(super) fn say(&mut self, message: ToExecutor) {
        if !self.backlog.is_empty() {
            self.backlog.push_back(message);
        } else if let Err(mpsc::error::TrySendError::Full(message)) = self.out.try_send(message) {
            self.backlog.push_back(message);
        }
    }

    fn take<C: Control>(&mut self, keeping: &Arc<Keeping<C>>, name: ExecutorName, to_do: ToDo) {
        match to_do {
            ToDo::Run(order) if !self.suspects.may_begin(&order) => {}
            ToDo::Run(order) => {
                let stage = order.attempt.task.stage;
                let Work::Compute { input, lookups, .. } = &order.work else {
                    return self.begin(keeping, name, order);
                };
                if matches!(input, TaskInput::Splits(_)) && lookups.is_empty() {
                    return self.begin(keeping, name, order);
                }
                self.waiting.entry(stage).or_default().next.push(*order);
                self.ask(keeping, name, stage);
            }
            ToDo::GiveUp(asked) => self.say(ToExecutor::GiveUp(asked)),
            ToDo::Cancel(attempt) => {
                let found = self.waiting.get_mut(&attempt.task.stage).is_some_and(|waiting| {
                    let before = waiting.asked.len() + waiting.next.len();
                    waiting.asked.retain(|order| order.attempt != attempt);
                    waiting.next.retain(|order| order.attempt != attempt);
                    waiting.asked.len() + waiting.next.len() < before
                });
                if found || self.suspects.cancel_waiting(attempt) {
                    self.suspects.ended(attempt);
                    keeping.state.ended(name, AttemptEnd::of(attempt, Err(cancelled())));
                } else {
                    self.say(ToExecutor::Cancel(attempt));
                }
            }
        }
    }

    /// Asks where the blocks are for the orders of a stage, unless that is being asked already: one question at a time
    /// does for all orders that wait.
    fn ask<C: Control>(
        &mut self,
        keeping: &Arc<Keeping<C>>,
        (job, _): ExecutorName,
        stage: StageId,
    ) {
        let Some(waiting) = self.waiting.get_mut(&stage) else { return };
        if !waiting.asked.is_empty() || waiting.next.is_empty() {
            return;
        }
        waiting.asked = std::mem::take(&mut waiting.next);
        let mut shuffles = self.inputs.get(stage.0 as usize).cloned().unwrap_or_default();
        // All orders of a stage look rows up in the same tables.
        shuffles.extend(waiting.asked.iter().take(1).flat_map(TaskOrder::tables));
        let keeping = keeping.clone();
        self.asking.spawn(async move {
            let mut located = Vec::new();
            for shuffle in shuffles {
                match keeping.locations.of(job, shuffle).await {
                    Ok(found) => located.push(found),
                    Err(failure) => return (stage, Err(failure)),
                }
            }
            (stage, Ok(located))
        });
    }

    /// It is known where the blocks are that orders of a stage wait for.
    fn located<C: Control>(
        &mut self,
        keeping: &Arc<Keeping<C>>,
        name: ExecutorName,
        stage: StageId,
        located: Result<Vec<Located>, Failure>,
    ) {
        let waiting = self.waiting.get_mut(&stage);
        let orders = waiting.map(|waiting| std::mem::take(&mut waiting.asked)).unwrap_or_default();
        match located {
            Ok(located) => {
                for (version, places) in located {
                    if self.told.insert(places.shuffle, version) != Some(version) {
                        let copies = keeping.ahead.copies(name.0, places.shuffle);
                        self.say(ToExecutor::Blocks(BlockPlaces { copies, ..(*places).clone() }));
                    }
                }
                for order in orders {
                    self.begin(keeping, name, Box::new(order));
                }
            }
            Err(failure) => {
                for order in orders {
                    let end = AttemptEnd::of(order.attempt, Err(failure.clone()));
                    keeping.state.ended(name, end);
                }
            }
        }
        self.ask(keeping, name, stage);
    }
}

async fn bury(child: &mut Child) -> String {
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

/// An executor said something.
fn hear<C: Control>(
    keeping: &Keeping<C>,
    name: ExecutorName,
    message: FromExecutor,
) -> Option<Over> {
    let foreign = |attempt: AttemptId| attempt.task.job != name.0;
    match message {
        FromExecutor::Progress(attempt, progress) if !foreign(attempt) => {
            keeping.state.progress(attempt, progress);
        }
        FromExecutor::Ended { end, files } if !foreign(end.attempt) => {
            if end.result.is_ok() {
                for file in files {
                    keeping.blocks.add(end.attempt, file.shuffle, PathBuf::from(file.path));
                }
            }
            keeping.state.ended(name, *end);
        }
        other => {
            return Some(Over::Died(Some(format!("it said {other:?} at a wrong time"))));
        }
    }
    None
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
