//! One attempt, from its order to its end.

use super::compute::compute;
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
use windrow_protocol::control::{AttemptEnd, Progress};
use windrow_protocol::executor::{BlockPlaces, FromExecutor, WrittenBlocks};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::AttemptId;
use windrow_protocol::task::{TaskInput, TaskOrder, TaskOutput, Work};

/// Progress is told no more often than this.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// Stops an attempt: what waits for it, and the lane that runs.
#[derive(Default)]
pub(super) struct Stop {
    token: CancellationToken,
    run: Mutex<Option<Arc<dyn TaskRun>>>,
}

impl Stop {
    /// Stops it, now or as soon as it begins.
    pub(super) fn stop(&self) {
        self.token.cancel();
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(run) = run {
            run.cancel();
        }
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
    inputs: Result<Vec<Arc<BlockPlaces>>, Failure>,
    stop: Arc<Stop>,
) {
    let attempt = order.attempt;
    let ran = work(&executor, order, inputs, &stop).await;
    let (result, files) = match ran {
        Ok((mut output, files)) => {
            output.counts.memory_peak_bytes = memory_peak_bytes();
            let counts = &mut output.counts;
            (counts.traffic, counts.scan, counts.spilled_bytes) = executor.untold();
            counts.fetched_ahead_bytes = executor.fetcher.copied.swap(0, Ordering::Relaxed);
            (Ok(output), files)
        }
        // A lane that was told to stop ends with any error.
        Err(_) if stop.token.is_cancelled() => (Err(cancelled()), Vec::new()),
        Err(failure) => (Err(failure), Vec::new()),
    };
    executor.ended(attempt);
    let end = Box::new(AttemptEnd { attempt, result });
    // If nobody listens, the supervisor is gone, and this process ends.
    let _ = executor.out.send(Note(FromExecutor::Ended { end, files })).await;
}

type Made = (TaskOutput, Vec<WrittenBlocks>);

async fn work(
    executor: &Arc<Executor>,
    order: TaskOrder,
    inputs: Result<Vec<Arc<BlockPlaces>>, Failure>,
    stop: &Arc<Stop>,
) -> Result<Made, Failure> {
    let pool = &executor.pool;
    let Executor { engine, plan, env, .. } = &**executor;
    let (engine, plan, env) = (engine.clone(), plan.clone(), env.clone());
    let attempt = order.attempt;
    match &order.work {
        Work::Split => {
            let splits = compute(pool, move || engine.split(&plan, &order, &env)).await?;
            Ok((TaskOutput { splits, ..TaskOutput::default() }, Vec::new()))
        }
        Work::Commit { .. } => {
            let manifests = compute(pool, move || engine.commit(&plan, &order, &env)).await?;
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
            let sides = tokio::select! {
                sides = executor.sides.of(executor, lookups, of_tables) => sides?,
                () = stop.token.cancelled() => return Err(cancelled()),
            };
            let start = move || engine.start(&plan, &order, &sides, &env);
            let run = compute(pool, start).await?;
            stop.begins(&run);
            let lanes: Vec<u32> = (range.start..range.end.min(run.lanes())).collect();
            let progress = Telling::new(executor.clone(), attempt, lanes.len() as u32);
            if let Some(piece) = piece {
                let places = Places::new(executor.fetcher.clone(), of_root, piece)?;
                run_reading(executor, &run, places, lanes, progress, stop).await?;
            } else {
                let (run, stop) = (run.clone(), stop.clone());
                let all = move || run_all(&*run, &lanes, progress, &stop);
                compute(pool, all).await?;
            }
            stop.check()?;
            let executor = executor.clone();
            let finish = move || {
                let mut out = FileOut::new(&executor.fetcher.folders, attempt, &executor.wanted);
                let output = run.finish(&mut out)?;
                Ok((output, out.keep()))
            };
            compute(pool, finish).await
        }
    }
}

/// Runs the lanes of a source, on this compute thread.
fn run_all(
    run: &dyn TaskRun,
    lanes: &[u32],
    mut progress: Telling,
    stop: &Stop,
) -> Result<(), Failure> {
    for &lane in lanes {
        stop.check()?;
        run.run_lane(lane, None)?;
        progress.lane_done(run);
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
    stop: &Arc<Stop>,
) -> Result<(), Failure> {
    let count = lanes.len();
    let of_run = run.clone();
    let buckets = move || Ok(lanes.into_iter().map(|lane| (lane, of_run.bucket(lane))).collect());
    let lanes = compute(&executor.pool, buckets).await?;
    let mut window =
        Window::start(places, lanes, executor.window, executor.env.memory.spills.clone());
    for _ in 0..count {
        let next = tokio::select! {
            next = window.next() => next,
            () = stop.token.cancelled() => return Err(cancelled()),
        };
        let Some(next) = next else {
            return Err(Failure::new(FailureClass::Internal, "fetching ended early: a defect"));
        };
        let (lane, blocks, bytes) = next?;
        let run_lane = {
            let run = run.clone();
            move || run.run_lane(lane, blocks)
        };
        compute(&executor.pool, run_lane).await?;
        window.freed(bytes);
        progress.lane_done(&**run);
    }
    Ok(())
}

/// Tells the progress of an attempt, not too often.
struct Telling {
    executor: Arc<Executor>,
    attempt: AttemptId,
    progress: Progress,
    told: Instant,
}

impl Telling {
    fn new(executor: Arc<Executor>, attempt: AttemptId, lanes: u32) -> Telling {
        let progress = Progress { lanes, ..Progress::default() };
        Telling { executor, attempt, progress, told: Instant::now() }
    }

    fn lane_done(&mut self, run: &dyn TaskRun) {
        self.progress.lanes_done += 1;
        if self.told.elapsed() < PROGRESS_EVERY {
            return;
        }
        self.told = Instant::now();
        self.progress.records = run.records();
        // If there is no room, the next one is told.
        let _ =
            self.executor.out.try_send(Note(FromExecutor::Progress(self.attempt, self.progress)));
    }
}
