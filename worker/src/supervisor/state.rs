//! What a supervisor knows of its attempts: which it holds, in which executor, and which ends the coordinator has not
//! been told yet.
//!
//! Its size is bounded by the attempts that the coordinator hands out: each is in it once, with one order and at most
//! one cancellation.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use windrow_protocol::control::{AttemptEnd, GiveUp, JobOver, Poll, Progress, Term};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, JobId};
use windrow_protocol::task::{Split, TaskOrder, TaskOutput};

/// Ends that were told are remembered, in case their attempts are assigned once more: so many.
const RECENT: usize = 4096;

/// A poll tells no more ends than have about so many bytes, but at least one.
const POLL_BYTES: usize = 8 << 20;

/// The most bytes of splits that are told at a time, unless a single one has more.
const PAGE_BYTES: usize = 4 << 20;

/// What an executor is to do.
#[derive(Debug, PartialEq)]
pub(super) enum ToDo {
    Run(Box<TaskOrder>),
    Cancel(AttemptId),
    GiveUp(GiveUp),
}

/// An executor's name: its job, and a number that no other has.
pub(super) type ExecutorName = (JobId, u64);

/// What an assignment needs of the caller.
#[derive(Debug)]
pub(super) enum Assigned {
    /// Nothing.
    Queued,
    /// That this executor is started. It is woken by the notification when there is something to do.
    Start(ExecutorName, Arc<Notify>),
}

/// See the module.
#[derive(Default)]
pub(super) struct State {
    inner: Mutex<Inner>,
    /// Notified when there is something to tell.
    pub(super) news: Notify,
}

#[derive(Default)]
struct Inner {
    executors: HashMap<JobId, Executor>,
    last_executor: u64,
    ended: VecDeque<AttemptEnd>,
    progress: HashMap<AttemptId, Progress>,
    /// What was copied of others' attempts, or cannot be, as far as it was not told.
    replicated: VecDeque<(AttemptId, bool)>,
    told: VecDeque<AttemptId>,
    told_set: HashSet<AttemptId>,
    /// Jobs that are to be aborted once their executors are dead.
    to_abort: HashSet<JobId>,
    /// The last coordinator that was heard.
    term: Term,
}

struct Executor {
    number: u64,
    to_do: VecDeque<ToDo>,
    /// The attempts that it holds.
    attempts: HashSet<AttemptId>,
    /// When those of them that were cancelled must have ended.
    cancelled: HashMap<AttemptId, Instant>,
    /// When those that run, and whose job has a limit, must have ended.
    limited: HashMap<AttemptId, Instant>,
    wake: Arc<Notify>,
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a coordinator is to be obeyed: not if a later one was heard.
    pub(super) fn hears(&self, term: Term) -> bool {
        let mut inner = self.lock();
        let is_outdated = term.is_before(inner.term);
        if !is_outdated {
            inner.term = term;
        }
        !is_outdated
    }

    /// The coordinator assigned an attempt; it may do so several times.
    pub(super) fn assign(&self, order: TaskOrder) -> Assigned {
        let mut inner = self.lock();
        let attempt = order.attempt;
        if inner.told_set.contains(&attempt) || inner.ended.iter().any(|e| e.attempt == attempt) {
            return Assigned::Queued;
        }
        let number = inner.last_executor + 1;
        let (executor, new) = match inner.executors.entry(attempt.task.job) {
            Entry::Occupied(there) => (there.into_mut(), false),
            Entry::Vacant(place) => (place.insert(Executor::new(number)), true),
        };
        if executor.attempts.insert(attempt) {
            executor.to_do.push_back(ToDo::Run(Box::new(order)));
            executor.wake.notify_one();
        }
        let wake = executor.wake.clone();
        if !new {
            return Assigned::Queued;
        }
        inner.last_executor = number;
        Assigned::Start((attempt.task.job, number), wake)
    }

    /// The coordinator wants an attempt to stop, within `grace`.
    pub(super) fn cancel(&self, attempt: AttemptId, grace: Duration) {
        let mut inner = self.lock();
        let Some(executor) = inner.executors.get_mut(&attempt.task.job) else { return };
        if !executor.attempts.contains(&attempt) || executor.cancelled.contains_key(&attempt) {
            return;
        }
        let waits = |todo: &ToDo| matches!(todo, ToDo::Run(order) if order.attempt == attempt);
        if let Some(at) = executor.to_do.iter().position(waits) {
            executor.to_do.remove(at);
            executor.attempts.remove(&attempt);
            inner.ended.push_back(AttemptEnd::of(attempt, Err(cancelled())));
            drop(inner);
            self.news.notify_one();
            return;
        }
        executor.cancelled.insert(attempt, Instant::now() + grace);
        executor.to_do.push_back(ToDo::Cancel(attempt));
        executor.wake.notify_one();
    }

    /// The coordinator wants an attempt to give up lanes that it has not begun.
    pub(super) fn give_up(&self, asked: GiveUp) {
        let mut inner = self.lock();
        let executor = inner.executors.get_mut(&asked.attempt.task.job);
        if let Some(executor) = executor.filter(|of| of.attempts.contains(&asked.attempt)) {
            executor.to_do.push_back(ToDo::GiveUp(asked));
            executor.wake.notify_one();
        }
    }

    /// What an executor is to do now; `None` if it is to end.
    pub(super) fn take(&self, (job, number): ExecutorName) -> Option<VecDeque<ToDo>> {
        let mut inner = self.lock();
        let executor = inner.executors.get_mut(&job).filter(|there| there.number == number)?;
        Some(std::mem::take(&mut executor.to_do))
    }

    /// An attempt of an executor begins; it must have ended at `deadline`.
    pub(super) fn begins(
        &self,
        (job, number): ExecutorName,
        attempt: AttemptId,
        deadline: Instant,
    ) {
        let mut inner = self.lock();
        let executor = inner.executors.get_mut(&job).filter(|there| there.number == number);
        if let Some(executor) = executor.filter(|there| there.attempts.contains(&attempt)) {
            executor.limited.insert(attempt, deadline);
        }
    }

    /// The attempts of an executor that have run for longer than they may.
    pub(super) fn overdue(&self, (job, number): ExecutorName, now: Instant) -> HashSet<AttemptId> {
        let inner = self.lock();
        let executor = inner.executors.get(&job).filter(|there| there.number == number);
        let limited = executor.into_iter().flat_map(|executor| &executor.limited);
        limited.filter(|(_, deadline)| **deadline <= now).map(|(attempt, _)| *attempt).collect()
    }

    /// The next time at which an attempt of an executor must have ended. One that was cancelled may take so much longer
    /// while others run `beside` it.
    pub(super) fn deadline(
        &self,
        (job, number): ExecutorName,
        beside: Duration,
    ) -> Option<Instant> {
        let inner = self.lock();
        let executor = inner.executors.get(&job).filter(|there| there.number == number)?;
        let is_alone = executor.attempts.len() <= executor.cancelled.len();
        let more = if is_alone { Duration::ZERO } else { beside };
        let cancelled = executor.cancelled.values().map(|deadline| *deadline + more);
        cancelled.chain(executor.limited.values().copied()).min()
    }

    /// An attempt of an executor has come so far.
    pub(super) fn progress(&self, attempt: AttemptId, progress: Progress) {
        let mut inner = self.lock();
        let held = inner.executors.get(&attempt.task.job);
        if held.is_some_and(|executor| executor.attempts.contains(&attempt)) {
            let before = inner.progress.insert(attempt, progress);
            let told = before.and_then(|before| before.given_up);
            if progress.given_up != told {
                // Somebody waits for lanes.
                self.news.notify_one();
            }
        }
    }

    /// An attempt of an executor has ended.
    pub(super) fn ended(&self, (job, number): ExecutorName, end: AttemptEnd) {
        let attempt = end.attempt;
        let mut inner = self.lock();
        let executor = inner.executors.get_mut(&job).filter(|there| there.number == number);
        let held = executor.is_some_and(|executor| {
            executor.cancelled.remove(&attempt);
            executor.limited.remove(&attempt);
            executor.attempts.remove(&attempt)
        });
        if held {
            inner.progress.remove(&attempt);
            inner.ended.extend(in_pages(end));
            drop(inner);
            self.news.notify_one();
        }
    }

    /// The attempts of an executor that were cancelled, and have ended with its process. They are told.
    pub(super) fn end_cancelled(&self, (job, number): ExecutorName) -> Vec<AttemptId> {
        let cancelled: Vec<AttemptId> = {
            let inner = self.lock();
            let executor = inner.executors.get(&job).filter(|there| there.number == number);
            executor.into_iter().flat_map(|there| there.cancelled.keys().copied()).collect()
        };
        for &attempt in &cancelled {
            self.ended((job, number), AttemptEnd::of(attempt, Err(self::cancelled())));
        }
        cancelled
    }

    /// How many attempts an executor holds, those that were cancelled among them.
    pub(super) fn attempts(&self, (job, number): ExecutorName) -> usize {
        let inner = self.lock();
        let executor = inner.executors.get(&job).filter(|there| there.number == number);
        executor.map_or(0, |executor| executor.attempts.len())
    }

    /// An executor is no more: all its attempts have ended. `why` says of each how, given its deadline if it was
    /// cancelled. False if the executor was not wanted any more.
    pub(super) fn executor_gone(
        &self,
        (job, number): ExecutorName,
        why: impl Fn(AttemptId, Option<Instant>) -> Failure,
    ) -> bool {
        let mut inner = self.lock();
        let Entry::Occupied(entry) = inner.executors.entry(job) else { return false };
        if entry.get().number != number {
            return false;
        }
        let executor = entry.remove();
        for attempt in executor.attempts {
            let deadline = executor.cancelled.get(&attempt).copied();
            inner.progress.remove(&attempt);
            inner.ended.push_back(AttemptEnd::of(attempt, Err(why(attempt, deadline))));
        }
        drop(inner);
        self.news.notify_one();
        true
    }

    /// Whether an executor is not to end.
    pub(super) fn is_wanted(&self, (job, number): ExecutorName) -> bool {
        self.lock().executors.get(&job).is_some_and(|executor| executor.number == number)
    }

    /// A job is over: its attempts are forgotten, and its executor is to end. Whether there is one: then it is
    /// [remembered](State::take_abort) whether the job is to be aborted.
    pub(super) fn job_over(&self, over: JobOver) -> bool {
        let JobOver { job, abort } = over;
        let mut inner = self.lock();
        inner.ended.retain(|end| end.attempt.task.job != job);
        inner.progress.retain(|attempt, _| attempt.task.job != job);
        inner.replicated.retain(|(attempt, _)| attempt.task.job != job);
        let Some(executor) = inner.executors.remove(&job) else { return false };
        executor.wake.notify_one();
        if abort {
            inner.to_abort.insert(job);
        }
        true
    }

    /// Whether a job whose executor is dead is to be aborted; says so once.
    pub(super) fn take_abort(&self, job: JobId) -> bool {
        self.lock().to_abort.remove(&job)
    }

    /// Forgets everything; all executors are to end.
    pub(super) fn clear(&self) {
        let mut inner = self.lock();
        let (last_executor, term) = (inner.last_executor, inner.term);
        let fresh = Inner { last_executor, term, ..Inner::default() };
        let before = std::mem::replace(&mut *inner, fresh);
        before.executors.values().for_each(|executor| executor.wake.notify_one());
    }

    /// What is to be told now.
    pub(super) fn poll(&self, seen: u64, draining: bool) -> Poll {
        let mut inner = self.lock();
        let mut bytes = 0;
        let fits = |end: &&AttemptEnd| {
            let first = bytes == 0;
            bytes += size(end);
            first || bytes <= POLL_BYTES
        };
        let ended = inner.ended.iter().take_while(fits).cloned().collect();
        let progress = inner.progress.iter().map(|(attempt, of)| (*attempt, *of)).collect();
        // Lanes that were given up are told again, as long as the attempt runs.
        inner.progress.retain(|_, progress| progress.given_up.is_some());
        let replicated = inner.replicated.iter().copied().collect();
        Poll { seen, wait_ms: 0, ended, progress, replicated, draining }
    }

    /// What another worker's attempt wrote was copied, or cannot be.
    pub(super) fn replicated(&self, attempt: AttemptId, is_whole: bool) {
        self.lock().replicated.push_back((attempt, is_whole));
        self.news.notify_one();
    }

    /// The first ends of the last poll have come, so many, and so many replicas.
    pub(super) fn told(&self, ends: usize, replicas: usize) {
        let mut inner = self.lock();
        let count = replicas.min(inner.replicated.len());
        inner.replicated.drain(..count);
        let count = ends.min(inner.ended.len());
        let over = |end: &AttemptEnd| !end.result.as_ref().is_ok_and(|output| output.more);
        let told = inner.ended.drain(..count).filter(over).map(|end| end.attempt);
        let told: Vec<AttemptId> = told.collect();
        for attempt in told {
            inner.told.push_back(attempt);
            inner.told_set.insert(attempt);
        }
        while inner.told.len() > RECENT {
            if let Some(old) = inner.told.pop_front() {
                inner.told_set.remove(&old);
            }
        }
    }
}

impl Executor {
    fn new(number: u64) -> Executor {
        Executor {
            number,
            to_do: VecDeque::new(),
            attempts: HashSet::new(),
            cancelled: HashMap::new(),
            limited: HashMap::new(),
            wake: Arc::new(Notify::new()),
        }
    }
}

/// How a cancelled attempt ends.
pub(super) fn cancelled() -> Failure {
    Failure::new(FailureClass::Cancelled, "the attempt was told to stop")
}

/// An end as it is told: the splits that a split task made in pages, each of which fits into a message.
fn in_pages(end: AttemptEnd) -> Vec<AttemptEnd> {
    let AttemptEnd { attempt, result, given_up, spent, log } = end;
    let mut output = match result {
        Ok(output) => output,
        failed @ Err(_) => {
            return vec![AttemptEnd { attempt, result: failed, given_up, spent, log }];
        }
    };
    let mut pages: Vec<Vec<Split>> = Vec::new();
    let mut bytes = 0;
    for split in std::mem::take(&mut output.splits) {
        let size = size_of_split(&split);
        match pages.last_mut() {
            Some(page) if bytes + size <= PAGE_BYTES => page.push(split),
            _ => {
                pages.push(vec![split]);
                bytes = 0;
            }
        }
        bytes += size;
    }
    let last = pages.pop().unwrap_or_default();
    output.page = pages.len() as u32;
    let of_page = |(page, splits)| TaskOutput { splits, page, more: true, ..TaskOutput::default() };
    let mut ends: Vec<TaskOutput> = (0..).zip(pages).map(of_page).collect();
    ends.push(TaskOutput { splits: last, ..output });
    let end = |output| AttemptEnd { spent, given_up, ..AttemptEnd::of(attempt, Ok(output)) };
    let mut ends: Vec<AttemptEnd> = ends.into_iter().map(end).collect();
    if let Some(last) = ends.last_mut() {
        last.log = log;
    }
    ends
}

/// About how many bytes a split has when it is sent.
fn size_of_split(split: &Split) -> usize {
    let hosts: usize = split.hosts.iter().map(|host| host.len() + 2).sum();
    split.payload.len() + hosts + 64
}

/// About how many bytes an end has when it is sent.
fn size(end: &AttemptEnd) -> usize {
    let of_output = |output: &TaskOutput| {
        let splits: usize = output.splits.iter().map(size_of_split).sum();
        let collected: usize = output.collected.iter().map(|(_, frames)| frames.len()).sum();
        let manifests: usize = output.manifests.iter().map(|(_, text)| text.len()).sum();
        let staged: usize = output.staged.iter().map(|(_, staged)| staged.message_bytes()).sum();
        splits + collected + manifests + 64 * output.shuffles.len() + staged
    };
    let of_failure = |failure: &Failure| failure.message.len() + 48 * failure.lost.len();
    64 + end.result.as_ref().map_or_else(of_failure, of_output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_protocol::ids::{LaneRange, Round, StageId, TaskId, TaskKind};
    use windrow_protocol::task::Work;

    fn attempt() -> AttemptId {
        let (job, stage, round) = (JobId(1), StageId(0), Round(0));
        let task = TaskId { job, stage, round, kind: TaskKind::Split, partition: 0 };
        AttemptId { task, number: 0 }
    }

    fn split(number: u64, bytes: usize) -> Split {
        Split { payload: vec![7; bytes], bytes: number, lanes: 1, hosts: Vec::new() }
    }

    #[test]
    fn splits_are_told_in_pages_that_fit_and_only_the_last_has_the_rest() {
        for (count, bytes, pages) in [(0, 0, 1), (1, PAGE_BYTES * 2, 1), (9, PAGE_BYTES, 9)] {
            let splits: Vec<Split> = (0..count).map(|number| split(number, bytes)).collect();
            let output = TaskOutput {
                splits: splits.clone(),
                manifests: vec![(windrow_protocol::ids::SinkId(0), "told once".into())],
                ..TaskOutput::default()
            };
            let retold = in_pages(AttemptEnd::of(attempt(), Ok(output)));
            assert_eq!(retold.len(), pages);
            let outputs: Vec<TaskOutput> =
                retold.into_iter().map(|end| end.result.unwrap()).collect();
            for (page, output) in (0..).zip(&outputs) {
                let last = page as usize == pages - 1;
                assert_eq!((output.page, output.more), (page, !last));
                assert_eq!(output.manifests.len(), usize::from(last));
                let sum: usize = output.splits.iter().map(size_of_split).sum();
                assert!(output.splits.len() <= 1 || sum <= PAGE_BYTES);
            }
            let all: Vec<Split> = outputs.into_iter().flat_map(|output| output.splits).collect();
            assert_eq!(all, splits);
        }
        // Many small ones go together.
        let splits: Vec<Split> = (0..100_000).map(|number| split(number, 100)).collect();
        let output = TaskOutput { splits, ..TaskOutput::default() };
        let pages = in_pages(AttemptEnd::of(attempt(), Ok(output)));
        assert!((4..8).contains(&pages.len()), "{}", pages.len());
        let failed = AttemptEnd::of(attempt(), Err(cancelled()));
        assert_eq!(in_pages(failed.clone()), [failed]);
    }

    #[test]
    fn an_attempt_that_does_not_stop_may_take_longer_while_others_run_beside_it() {
        let state = State::default();
        let name = (JobId(1), 1);
        let other = AttemptId { number: 1, ..attempt() };
        for attempt in [attempt(), other] {
            state.assign(TaskOrder { attempt, lanes: LaneRange::ALL, work: Work::Split });
        }
        // Both have begun.
        state.take(name).unwrap();
        let grace = Duration::from_secs(1);
        state.cancel(attempt(), grace);
        let soon = || Instant::now() + 2 * grace;
        assert!(state.deadline(name, 10 * grace).unwrap() > soon());
        state.ended(name, AttemptEnd::of(other, Ok(TaskOutput::default())));
        assert!(state.deadline(name, 10 * grace).unwrap() < soon());
    }
}
