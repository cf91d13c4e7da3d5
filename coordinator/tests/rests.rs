//! The rest of a slow attempt is run by another worker, over the real protocol, and whatever becomes of the coordinator.

mod common;

use common::*;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use windrow_coordinator::Config;
use windrow_protocol::control::*;
use windrow_protocol::ids::*;
use windrow_protocol::security::Credentials;
use windrow_protocol::task::{TaskInput, Work};
use windrow_protocol::transport::{call, connect};

const MAPS: u32 = 4;

fn config_at(state: &Path, with_snapshots: bool) -> Config {
    let mut config = config();
    config.scheduler.lease_ms = 60_000;
    config.scheduler.tick_ms = 4;
    config.scheduler.backup.elapsed_ms_min = 1;
    config.scheduler.backup.answer_ms = 60_000;
    let snapshot_bytes = if with_snapshots { 1 } else { config.snapshot_bytes };
    Config { state: Some(state.into()), snapshot_bytes, ..config }
}

/// A poll that says how far an attempt is.
fn tells(worker: &Worker, attempt: AttemptId, given_up: Option<u32>) -> Poll {
    let progress = Progress { lanes_done: 1, lanes: 10, records: 1, given_up };
    Poll { seen: worker.seen, progress: vec![(attempt, progress)], ..Poll::default() }
}

/// Longer than it takes on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn is_run_by_another_whatever_the_coordinator_does(with_snapshots: bool) {
    let state = tempfile::tempdir().unwrap();
    let mut running = start_with(config_at(state.path(), with_snapshots)).await;
    let mut slow = Worker::register(running.address, hello("b1", 1)).await;
    let mut fast = Worker::register(running.address, hello("b1", 2)).await;
    let job = client(&running).await.submit(&submission(two_stages(2))).await.unwrap();
    let done = |order: &windrow_protocol::task::TaskOrder| {
        AttemptEnd::of(order.attempt, Ok(output(order, MAPS)))
    };
    let listing = slow.poll(1000, vec![]).await.assigned.remove(0);
    let first = slow.poll(1000, vec![done(&listing)]).await.assigned.remove(0);
    assert_eq!(first.lanes, LaneRange::ALL);
    slow.poll_with(tells(&slow, first.attempt, None)).await;
    let mut ends = Vec::new();
    let mut maps = BTreeSet::new();
    while maps.len() < MAPS as usize - 1 || !ends.is_empty() {
        let answer = fast.poll(20, std::mem::take(&mut ends)).await;
        ends.extend(answer.assigned.iter().filter(|order| maps.insert(order.attempt)).map(done));
    }
    // It is asked once it takes longer than the others.
    let mut asked = Vec::new();
    while asked.is_empty() {
        let answer =
            slow.poll_with(Poll { wait_ms: 20, ..tells(&slow, first.attempt, None) }).await;
        slow.seen = answer.number;
        asked = answer.give_up;
    }
    assert_eq!(asked.iter().map(|asked| asked.attempt).collect::<Vec<_>>(), [first.attempt]);
    slow.poll_with(tells(&slow, first.attempt, Some(4))).await;
    let rest = fast.poll(1000, vec![]).await.assigned.remove(0);
    assert_eq!(rest.attempt.task.partition, MAPS);
    assert_eq!(rest.lanes, LaneRange { start: 4, end: u32::MAX });
    let input = |work: &Work| match work {
        Work::Compute { input: TaskInput::Splits(splits), .. } => splits.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(input(&rest.work), input(&first.work), "it has the splits of the first task");

    if with_snapshots {
        // One is made once the journal has doubled.
        let client = client(&running).await;
        for _ in 0..40 {
            let other = JobSubmission { binary: binary("b2"), ..submission(two_stages(2)) };
            client.submit(&other).await.unwrap();
        }
        client.status(job, SECOND / 5).await.unwrap();
    }
    running.stop().await.unwrap();
    running = start_with(config_at(state.path(), with_snapshots)).await;
    for worker in [&mut slow, &mut fast] {
        worker.client =
            connect(&running.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    }
    // The answer that was lost is told again.
    slow.poll_with(tells(&slow, first.attempt, Some(4))).await;
    let end = AttemptEnd { given_up: Some(4), ..done(&first) };
    slow.poll(0, vec![end]).await;
    fast.poll(0, vec![done(&rest)]).await;
    let page = call(SECOND, |ctx| slow.client.blocks(ctx, job, ShuffleId(0), 0)).await.unwrap();
    let outputs = page.unwrap().outputs;
    let in_order: Vec<u32> = outputs.iter().map(|(of, _)| of.task.partition).collect();
    assert_eq!(in_order, [0, MAPS, 1, 2, 3], "the rows of the rest come after those of its task");
    let (id, kind) = (StageId(0), TaskKind::Compute);
    let of_rest = call(SECOND, |ctx| slow.client.task_record(ctx, job, id, kind, MAPS)).await;
    assert_eq!(of_rest.unwrap().unwrap().order, rest, "and it can be run again");

    let (mut of_fast, mut of_slow) = (Vec::new(), Vec::new());
    let status = loop {
        let answer = fast.poll(20, std::mem::take(&mut of_fast)).await;
        of_fast.extend(answer.assigned.iter().map(done));
        let answer = slow.poll(20, std::mem::take(&mut of_slow)).await;
        of_slow.extend(answer.assigned.iter().map(done));
        let status = client(&running).await.status(job, SECOND / 100).await.unwrap();
        if !matches!(status.state, JobState::Running { .. }) {
            break status;
        }
    };
    assert_eq!(status.state, JobState::Succeeded, "{status:?}");
    assert_eq!((status.stages[0].tasks, status.stages[0].done), (Some(MAPS + 1), MAPS + 1));
}

#[tokio::test]
async fn the_rest_of_a_slow_attempt_is_known_from_the_journal() {
    let run = is_run_by_another_whatever_the_coordinator_does(false);
    tokio::time::timeout(PATIENCE, run).await.expect("it ends");
}

#[tokio::test]
async fn the_rest_of_a_slow_attempt_is_known_from_a_snapshot() {
    let run = is_run_by_another_whatever_the_coordinator_does(true);
    tokio::time::timeout(PATIENCE, run).await.expect("it ends");
}
