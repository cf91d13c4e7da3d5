//! One executor process, as its supervisor keeps it: started, given its orders, listened to.

use super::control::Control;
use super::ending::{Next, Over};
use super::keeping::Keeping;
use super::locations::Located;
use super::starting;
use super::state::{ExecutorName, ToDo, cancelled};
use super::suspects::Suspects;
use crate::frames::Reader;
use crate::process;
use crate::process::Group;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Child;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use windrow_protocol::control::AttemptEnd;
use windrow_protocol::executor::{BlockPlaces, FromExecutor, ToExecutor};
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, ShuffleId, StageId, WorkerId};
use windrow_protocol::task::{TaskInput, TaskOrder, Work};

/// How often it is looked at how much memory an executor has.
const MEMORY_EVERY: Duration = Duration::from_millis(100);

/// Removes an executor's scratch folders. What cannot be removed now goes with those of the worker.
pub(super) async fn remove(scratch: Vec<PathBuf>) {
    for folder in scratch {
        let _ = tokio::fs::remove_dir_all(folder).await;
    }
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

/// Orders of one stage that wait to know where blocks are.
#[derive(Default)]
pub(super) struct Waiting {
    /// Those for which it is asked now.
    asked: Vec<TaskOrder>,
    /// Those that came since.
    next: Vec<TaskOrder>,
}

pub(super) type Answer = (StageId, Result<Vec<Located>, Failure>);

/// An executor process that runs.
pub(super) struct Running {
    pub(super) child: Child,
    /// Its control group. Behind the process: what is left in it is killed.
    pub(super) group: Option<Group>,
    pub(super) reader: Reader,
    /// To the task that writes to the socket: an executor that does not read holds up nothing else.
    pub(super) out: mpsc::Sender<ToExecutor>,
    /// What does not fit into that; bounded by the orders that there are.
    pub(super) backlog: VecDeque<ToExecutor>,
    pub(super) inputs: Vec<Vec<ShuffleId>>,
    /// How long an attempt may run.
    pub(super) limit: Option<Duration>,
    /// Whether the job may leave records out.
    pub(super) leaves_out: bool,
    pub(super) suspects: Suspects,
    pub(super) waiting: HashMap<StageId, Waiting>,
    pub(super) asking: JoinSet<Answer>,
    /// The versions of the lists of blocks that the executor has.
    pub(super) told: HashMap<ShuffleId, u64>,
}

impl Running {
    /// Kills what may still live, and says how it ended.
    pub(super) async fn bury(&mut self) -> String {
        starting::bury(&mut self.child).await
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
