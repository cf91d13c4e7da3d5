//! One attempt, from its order to its end.

use super::careful::Careful;
use super::compute::compute;
use super::lanes::Lanes;
use super::log;
use super::output::FileOut;
use super::places::Places;
use super::run::TaskRun;
use super::window::Window;
use super::{Executor, Note};
use crate::process::memory_peak_bytes;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};
use windrow_protocol::control::{AttemptEnd, Progress};
use windrow_protocol::executor::{BlockPlaces, FromExecutor, WrittenBlocks};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::AttemptId;
use windrow_protocol::task::{Spent, TaskInput, TaskOrder, TaskOutput, Work};

/// Progress is told no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What an attempt is told while it runs: to stop, which what waits for it and the lane that runs hear, and to give up lanes.
#[derive(Default)]
pub(super) struct Handle {
    token: CancellationToken,
    run: Mutex<Option<Arc<dyn TaskRun>>>,
    lanes: Lanes,
    /// What the attempt waited for.
    waited: Mutex<Spent>,
}

impl Handle {
    fn run(&self) -> Option<Arc<dyn TaskRun>> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It gives up lanes that it has not begun, but so many of them, in thousandths: what is to be told then, if there are any.
    pub(super) fn give_up(&self, keep_permille: u16) -> Option<Progress> {
        let records = self.run()?.records();
        self.lanes.give_up(keep_permille).then(|| self.lanes.progress(records))
    }

    /// Stops it, now or as soon as it begins.
    pub(super) fn stop(&self) {
        self.token.cancel();
        if let Some(run) = self.run() {
            run.cancel();
        }
    }

    /// What the attempt waited for, and what it did.
    fn spent(&self) -> Spent {
        let mut spent = *self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(run) = self.run() {
            spent.add(run.spent());
        }
        spent
    }

    fn waited(&self, for_what: impl FnOnce(&mut Spent) -> &mut u32, since: Instant) {
        let mut waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = for_what(&mut waited);
        *sum = sum.saturating_add(Spent::units(since.elapsed()));
    }

    fn begins(&self, run: &Arc<dyn TaskRun>) {
        *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.clone());
        if self.token.is_cancelled() {
            run.cancel();
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.token.is_cancelled() { Err(cancelled()) } else { Ok(()) }
    }
}

fn cancelled() -> Failure {
    Failure::new(FailureClass::Cancelled, "the attempt was told to stop")
}

/// Runs an attempt to its end, and tells it. `inputs` are the places of the blocks that its stage reads.
pub(super) async fn run(
    executor: Arc<Executor>,
    order: TaskOrder,
    careful: Option<Careful>,
    inputs: Result<Vec<Arc<BlockPlaces>>, Failure>,
    handle: Arc<Handle>,
) {
    let attempt = order.attempt;
    let short_id = &executor.env.options.short_id;
    let told = tracing::info_span!(target: "windrow::trace", "attempt", job = %short_id, task = %attempt, failed = tracing::field::Empty);
    let ran = work(&executor, order, careful, inputs, &handle).instrument(told.clone()).await;
    if let Err(failure) = &ran {
        told.record("failed", failure.to_string());
    }
    let (result, files) = match ran {
        Ok((mut output, files)) => {
            output.counts.memory_peak_bytes = memory_peak_bytes();
            let counts = &mut output.counts;
            (counts.traffic, counts.scan, counts.spilled_bytes) = executor.untold();
            counts.fetched_ahead_bytes = executor.fetcher.copied.swap(0, Ordering::Relaxed);
            (Ok(output), files)
        }
        // A lane that was told to stop ends with any error.
        Err(_) if handle.token.is_cancelled() => (Err(cancelled()), Vec::new()),
        Err(failure) => (Err(failure), Vec::new()),
    };
    executor.ended(attempt);
    let given_up = handle.lanes.given_up();
    let end = Box::new(AttemptEnd {
        attempt,
        result,
        given_up,
        spent: handle.spent(),
        log: log::take(attempt),
    });
    // If nobody listens, the supervisor is gone, and this process ends.
    let _ = executor.out.send(Note(FromExecutor::Ended { end, files })).await;
}

type Made = (TaskOutput, Vec<WrittenBlocks>);

async fn work(
    executor: &Arc<Executor>,
    order: TaskOrder,
    careful: Option<Careful>,
    inputs: Result<Vec<Arc<BlockPlaces>>, Failure>,
    handle: &Arc<Handle>,
) -> Result<Made, Failure> {
    let Executor { engine, plan, env, .. } = &**executor;
    let (engine, plan, env) = (engine.clone(), plan.clone(), env.clone());
    let attempt = order.attempt;
    match &order.work {
        Work::Split => {
            let split = move || engine.split(&plan, &order, &env);
            let splits = on_thread(executor, handle, split).await?;
            Ok((TaskOutput { splits, ..TaskOutput::default() }, Vec::new()))
        }
        Work::Commit { .. } => {
            let commit = move || engine.commit(&plan, &order, &env);
            let manifests = on_thread(executor, handle, commit).await?;
            Ok((TaskOutput { manifests, ..TaskOutput::default() }, Vec::new()))
        }
        Work::Compute { input, lookups, .. } => {
            let piece = match input {
                TaskInput::Buckets { piece, .. } => Some(*piece),
                TaskInput::Splits(_) => None,
            };
            let range = order.lanes;
            let inputs = inputs?;
            let (of_root, of_tables) = inputs.split_at(inputs.len() - lookups.len());
            let asked = Instant::now();
            let sides = tokio::select! {
                sides = executor.sides.of(executor, lookups, of_tables) => sides?,
                () = handle.token.cancelled() => return Err(cancelled()),
            };
            handle.waited(|spent| &mut spent.fetching, asked);
            let start = move || engine.start(&plan, &order, careful, &sides, &env);
            let run = on_thread(executor, handle, start).await?;
            handle.begins(&run);
            let lanes = handle.lanes.begin(range, run.lanes());
            let progress = Telling::new(executor.clone(), attempt);
            if let Some(piece) = piece {
                let places = Places::new(executor.fetcher.clone(), of_root, piece)?;
                run_reading(executor, &run, places, lanes, progress, handle).await?;
            } else {
                let (run, of) = (run.clone(), handle.clone());
                on_thread(executor, handle, move || run_all(&*run, progress, &of)).await?;
            }
            handle.check()?;
            let of = executor.clone();
            let finish = move || {
                let mut out = FileOut::new(&of.fetcher.folders, attempt, &of.wanted);
                let output = run.finish(&mut out)?;
                Ok((output, out.keep()))
            };
            on_thread(executor, handle, finish).await
        }
    }
}

/// Runs work of an attempt on a compute thread, and counts how long it waited for one.
async fn on_thread<T: Send + 'static>(
    executor: &Executor,
    handle: &Arc<Handle>,
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (handle, asked, span) = (handle.clone(), Instant::now(), Span::current());
    let counted = move || {
        let _within = span.entered();
        handle.waited(|spent| &mut spent.queued, asked);
        work()
    };
    compute(&executor.pool, counted).await
}

/// Runs the lanes of a source, on this compute thread.
fn run_all(run: &dyn TaskRun, mut progress: Telling, handle: &Handle) -> Result<(), Failure> {
    while let Some(lane) = handle.lanes.take() {
        handle.check()?;
        run.run_lane(lane, None)?;
        progress.lane_done(handle, run);
    }
    Ok(())
}

/// Runs lanes that read blocks: each on a compute thread once its blocks are there.
async fn run_reading(
    executor: &Arc<Executor>,
    run: &Arc<dyn TaskRun>,
    places: Places,
    lanes: Vec<u32>,
    mut progress: Telling,
    handle: &Arc<Handle>,
) -> Result<(), Failure> {
    let of_run = run.clone();
    let buckets = move || Ok(lanes.into_iter().map(|lane| (lane, of_run.bucket(lane))).collect());
    let lanes = on_thread(executor, handle, buckets).await?;
    let mut window =
        Window::start(places, lanes, executor.window, executor.env.memory.spills.clone());
    // What was fetched of lanes that are given up goes with the window.
    while let Some(lane) = handle.lanes.take() {
        let asked = Instant::now();
        let next = tokio::select! {
            next = window.next() => next,
            () = handle.token.cancelled() => return Err(cancelled()),
        };
        handle.waited(|spent| &mut spent.fetching, asked);
        let Some(next) = next else {
            return Err(Failure::new(FailureClass::Internal, "fetching ended early: a defect"));
        };
        let (fetched, blocks, bytes) = next?;
        debug_assert_eq!(fetched, lane, "lanes are fetched in order");
        let run_lane = {
            let run = run.clone();
            move || run.run_lane(lane, blocks)
        };
        on_thread(executor, handle, run_lane).await?;
        window.freed(bytes);
        progress.lane_done(handle, &**run);
    }
    Ok(())
}

/// Tells the progress of an attempt, not too often.
struct Telling {
    executor: Arc<Executor>,
    attempt: AttemptId,
    told: Instant,
}

impl Telling {
    fn new(executor: Arc<Executor>, attempt: AttemptId) -> Telling {
        Telling { executor, attempt, told: Instant::now() }
    }

    fn lane_done(&mut self, handle: &Handle, run: &dyn TaskRun) {
        handle.lanes.done();
        if self.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.told = Instant::now();
        let progress = handle.lanes.progress(run.records());
        // If there is no room, the next one is told.
        let _ = self.executor.out.try_send(Note(FromExecutor::Progress(self.attempt, progress)));
    }
}
