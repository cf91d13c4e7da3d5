//! How many decisions the scheduler makes in a second on one core, with nothing around it.
//!
//! `decisions [WORKERS] [TASKS]`: a job with a shuffle over workers of four slots; each attempt is done at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};
use windrow_coordinator::scheduler::{
    Config, Event, HostId, JobRequest, Millis, Outcome, Scheduler, SplitInfo,
};
use windrow_protocol::claim::Claim;
use windrow_protocol::ids::{JobId, ShuffleId, StageId, TaskKind, WorkerId};
use windrow_protocol::shape::{
    CutShape, JobShape, OutputShape, RootShape, ShuffleShape, StageShape, TASK_BYTES,
};

fn shape() -> JobShape {
    let stage = |root, outputs| StageShape::new("measured", root, outputs);
    let source = RootShape::Source { listed_by: StageId(0) };
    let map = stage(source, vec![OutputShape::Shuffle(ShuffleId(0))]);
    let reduce = stage(RootShape::Shuffles(vec![ShuffleId(0)]), Vec::new());
    let shuffle = ShuffleShape { producers: vec![StageId(0)], cut: CutShape::ByBytes };
    JobShape { stages: vec![map, reduce], shuffles: vec![shuffle], ..JobShape::default() }
}

#[allow(clippy::disallowed_methods, reason = "it measures")]
fn clock() -> Instant {
    Instant::now()
}

fn main() {
    let mut numbers = std::env::args().skip(1).map(|word| word.parse::<u64>().unwrap_or(1_000));
    let workers = numbers.next().unwrap_or(1_000);
    let tasks = numbers.next().unwrap_or(1_000_000);
    let mut scheduler = Scheduler::new(Config::default());
    let (mut running, mut outcomes) = (VecDeque::new(), Vec::new());
    let (mut decisions, mut worst) = (0, Duration::ZERO);
    let begun = clock();
    let request = JobRequest {
        job: JobId(1),
        name: "measured".into(),
        weight: 1,
        shape: shape(),
        claim: Claim::default(),
    };
    let mut events: VecDeque<Event> = (1..=workers)
        .map(|worker| {
            let (worker, host) = (WorkerId(worker), HostId(worker as u32));
            Event::WorkerJoined {
                worker,
                slots: 4,
                memory: 0,
                host,
                build: "measured".into(),
                labels: Vec::new(),
            }
        })
        .collect();
    events.push_back(Event::SubmitJob(Box::new(request)));
    loop {
        if let Some(event) = events.pop_front() {
            let before = clock();
            scheduler.handle(&event, Millis(1), &mut outcomes);
            if matches!(event, Event::AttemptDone { .. }) {
                worst = worst.max(before.elapsed());
            }
        }
        for outcome in outcomes.drain(..) {
            decisions += 1;
            if let Outcome::Assigned { attempt, worker, .. } = outcome {
                running.push_back((attempt, worker));
            }
        }
        if events.is_empty() {
            let Some((attempt, worker)) = running.pop_front() else { break };
            let mut pages = 0;
            if attempt.task.kind == TaskKind::Split {
                let split = SplitInfo { bytes: TASK_BYTES, lanes: 1, hosts: Box::default() };
                let splits = vec![split; tasks as usize];
                events.push_back(Event::SplitsListed { worker, attempt, page: 0, splits });
                pages = 1;
            }
            events.push_back(Event::AttemptDone {
                worker,
                attempt,
                pages,
                written: Vec::new(),
                given_up: None,
            });
        }
    }
    let seconds = begun.elapsed().as_secs_f64();
    let rate = decisions as f64 / seconds;
    println!(
        "{decisions} decisions in {seconds:.3} s: {rate:.0} a second; the longest event {worst:?}"
    );
    assert!(scheduler.state().jobs().next().is_none(), "the job has not ended");
}
