//! Jobs over the real protocol: to the end, over lost workers, doubled calls, failures, limits.

#![allow(clippy::disallowed_methods, reason = "the server is driven in real time here")]

mod common;

use common::*;
use std::time::Duration;
use windrow_coordinator::{Coordinator, StartError};
use windrow_protocol::control::*;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::*;
use windrow_protocol::security::Credentials;
use windrow_protocol::shape::*;
use windrow_protocol::task::*;
use windrow_protocol::transport::{call, connect};

/// Waits for a job's end, but not for ever.
async fn end_of(client: &windrow_protocol::client::Client, job: JobId) -> JobStatus {
    tokio::time::timeout(10 * SECOND, client.wait(job, |_| ())).await.expect("no end").unwrap()
}

#[tokio::test]
async fn a_job_of_two_stages_runs_to_its_end() {
    let running = start().await;
    let client = client(&running).await;
    let workers =
        [0, 1].map(|_| spawn(running.address, hello("b1", 2), |order| Some(Ok(output(order, 5)))));
    let job = client.submit(&submission(two_stages(3))).await.unwrap();
    let status = end_of(&client, job).await;
    assert_eq!(status.state, JobState::Succeeded);
    assert_eq!(status.manifests, [(SinkId(0), "part-0,part-1,part-2".to_owned())]);
    let tasks: Vec<_> = status.stages.iter().map(|s| (s.tasks, s.done, s.running)).collect();
    assert_eq!(tasks, [(Some(5), 5, 0), (Some(3), 3, 0)]);
    assert_eq!((status.counts.records_read, status.shuffle_bytes), (50, 500));
    let rows = client.collected(job, CollectId(0)).await.unwrap();
    assert_eq!(rows, [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 2]);
    assert!(client.collected(job, CollectId(1)).await.is_err());
    eventually("all workers learn that the job is over", async || {
        workers.iter().all(|(_, log)| log.lock().unwrap().jobs_over.get(&job) == Some(&false))
    })
    .await;
    let logs = workers.iter().map(|(_, log)| log.lock().unwrap());
    let mut orders: Vec<TaskOrder> = logs.flat_map(|log| log.orders.clone()).collect();
    orders.sort_by_key(|order| (order.attempt.task.kind, order.attempt));
    assert_eq!(orders.len(), 1 + 5 + 3 + 1);
    let cut = Cut { buckets: 3, partitions: 3 };
    for (order, at) in orders[1..6].iter().zip(0..) {
        let cuts = vec![(ShuffleId(0), cut)];
        let input = TaskInput::Splits(vec![splits(5)[at].clone()]);
        assert_eq!(
            order.work,
            Work::Compute { input, cuts, whole_inputs: Vec::new(), lookups: Vec::new() }
        );
    }
    for (order, at) in orders[6..9].iter().zip(0..) {
        let input = TaskInput::Buckets { cut, buckets: vec![at], piece: None };
        let (cuts, whole_inputs) = (Vec::new(), Vec::new());
        assert_eq!(order.work, Work::Compute { input, cuts, whole_inputs, lookups: Vec::new() });
    }
    let parts = (0..3).map(staged).collect();
    assert_eq!(
        orders[9].work,
        Work::Commit {
            outputs: vec![(SinkId(0), parts)],
            counters: Vec::new(),
            left_out: Vec::new(),
        }
    );
    assert_eq!(client.jobs().await.unwrap().len(), 1);
    running.shut_down().await.unwrap();
    for (task, log) in workers {
        task.await.unwrap();
        assert!(log.lock().unwrap().told_end);
    }
}

/// Ends the split task, which makes so many splits, and gives the tasks that come then.
async fn maps_of(worker: &mut Worker, count: u32) -> Vec<TaskOrder> {
    let split = worker.poll(1000, vec![]).await.assigned.remove(0);
    let end = AttemptEnd::of(split.attempt, Ok(output(&split, count)));
    worker.poll(1000, vec![end]).await.assigned
}

#[tokio::test]
async fn a_worker_that_falls_silent_is_lost_and_its_tasks_run_elsewhere() {
    let running = start().await;
    let client = client(&running).await;
    let mut silent = Worker::register(running.address, hello("b1", 100)).await;
    let job = client.submit(&submission(two_stages(2))).await.unwrap();
    let maps = maps_of(&mut silent, 4).await;
    assert_eq!(maps.len(), 4);
    // One map's output goes down with the worker, three attempts are cut off.
    let done = AttemptEnd::of(maps[0].attempt, Ok(output(&maps[0], 4)));
    silent.poll(0, vec![done]).await;
    let (_, log) = spawn(running.address, hello("b1", 4), |order| Some(Ok(output(order, 4))));
    let status = end_of(&client, job).await;
    assert_eq!(status.state, JobState::Succeeded);
    assert_eq!(status.retries, 3, "{:?}", status.notes);
    assert!(status.notes.iter().any(|note| note.contains("is lost")), "{:?}", status.notes);
    assert_eq!(status.counts.records_read, 40, "a task that runs again counts once");
    let again = log.lock().unwrap().orders.iter().filter(|o| o.attempt.number == 1).count();
    assert_eq!(again, 4);
    assert!(silent.poll(0, vec![]).await.unknown);
    let workers = client.workers().await.unwrap();
    assert!(workers[0].state.starts_with("lost"), "{workers:?}");
}

/// Long before its lease ends; of numbers that nobody knows nothing comes.
#[tokio::test]
async fn a_worker_whose_process_is_known_to_be_dead_is_lost_at_once() {
    let running = start_patient().await;
    let client = client(&running).await;
    let of_dead = hello("b1", 100);
    let token = of_dead.token;
    let mut dead = Worker::register(running.address, of_dead).await;
    let job = client.submit(&submission(two_stages(2))).await.unwrap();
    assert_eq!(maps_of(&mut dead, 4).await.len(), 4);
    spawn(running.address, hello("b1", 4), |order| Some(Ok(output(order, 4))));
    let tell = connect(&running.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    call(SECOND, |ctx| tell.gone(ctx, vec![1, token, 2])).await.unwrap();
    let status = end_of(&client, job).await;
    assert_eq!(status.state, JobState::Succeeded);
    assert!(status.notes.iter().any(|note| note.contains("it has left")), "{:?}", status.notes);
}

/// A job of two maps, whose first runs twice and writes something else the second time; with readers that have begun
/// before, or not.
async fn status_with_other_rows(readers_begin: bool) -> JobStatus {
    let running = start().await;
    let client = client(&running).await;
    let mut first = Worker::register(running.address, hello("b1", 100)).await;
    let job = client.submit(&submission(two_stages(2))).await.unwrap();
    let maps = maps_of(&mut first, 2).await;
    let done = maps.iter().take(if readers_begin { 2 } else { 1 });
    let done = done.map(|map| AttemptEnd::of(map.attempt, Ok(output(map, 2))));
    let reduces = first.poll(if readers_begin { 1000 } else { 0 }, done.collect()).await.assigned;
    assert_eq!(reduces.len(), if readers_begin { 2 } else { 0 });
    // The outputs go down with the worker.
    let (_, log) = spawn(running.address, hello("b1", 4), |order| {
        let mut output = output(order, 2);
        output.shuffles.iter_mut().for_each(|made| made.content += order.attempt.number);
        Some(Ok(output))
    });
    let status = end_of(&client, job).await;
    assert!(log.lock().unwrap().orders.iter().any(|order| order.attempt.number > 0));
    status
}

#[tokio::test]
async fn a_job_whose_code_is_not_deterministic_is_told_so() {
    let status = status_with_other_rows(false).await;
    assert_eq!(status.state, JobState::Succeeded);
    let told = |note: &&String| note.contains("is not deterministic");
    let note = status.notes.iter().find(told).unwrap();
    assert!(note.contains("stage 0 (read > shuffle)"), "{note}");
}

#[tokio::test]
async fn a_job_fails_when_rows_of_two_attempts_may_have_been_read() {
    let status = status_with_other_rows(true).await;
    let JobState::Failed(failure) = status.state else { panic!("{status:?}") };
    assert!(failure.message.contains("stage 0 (read > shuffle)"), "{failure}");
    assert!(failure.message.contains("rows of both may have been read"), "{failure}");
}

#[tokio::test]
async fn doubled_calls_change_nothing() {
    let running = start_patient().await;
    let client = client(&running).await;
    let greeting = hello("b1", 8);
    let mut worker = Worker::register(running.address, greeting.clone()).await;
    assert_eq!(Worker::register(running.address, greeting).await.id, worker.id);
    let submitted = submission(two_stages(1));
    let job = client.submit(&submitted).await.unwrap();
    assert_eq!(client.submit(&submitted).await.unwrap(), job);
    // An answer that did not arrive is told again, under another number.
    let first = worker.poll_with(Poll { wait_ms: 1000, ..Poll::default() }).await;
    let again = worker.poll(1000, vec![]).await;
    assert_eq!(first.assigned, again.assigned);
    assert!(again.number > first.number);
    let split = &again.assigned[0];
    let end = AttemptEnd::of(split.attempt, Ok(output(split, 3)));
    let maps = worker.poll(1000, vec![end.clone()]).await;
    assert_eq!((maps.assigned.len(), maps.ended_seen), (3, 1));
    // The end again: nothing happens twice, and what was seen is not told again.
    let nothing = worker.poll(0, vec![end.clone(), end]).await;
    assert_eq!((nothing.assigned.len(), nothing.ended_seen), (0, 2));
    // A second poll at once answers the first one, which is not to be waited for any more.
    let waiting = Worker { client: worker.client.clone(), ..worker };
    let first = tokio::spawn(async move {
        let begun = std::time::Instant::now();
        let seen = waiting.seen;
        let answer = waiting.poll_with(Poll { seen, wait_ms: 5000, ..Poll::default() }).await;
        (answer, begun.elapsed())
    });
    tokio::time::sleep(SECOND / 20).await;
    worker.poll(0, vec![]).await;
    let (answer, took) = first.await.unwrap();
    assert!(answer.assigned.is_empty() && took < 3 * SECOND, "{took:?}");
    let ends =
        maps.assigned.iter().map(|order| AttemptEnd::of(order.attempt, Ok(output(order, 3))));
    let ends: Vec<_> = ends.collect();
    let reduce = worker.poll(1000, ends.clone()).await;
    let more = worker.poll(0, ends).await;
    assert_eq!((reduce.assigned.len(), more.assigned.len()), (1, 0));
    let status = client.status(job, Duration::ZERO).await.unwrap();
    assert_eq!(status.counts.records_read, 30);
}

#[tokio::test]
async fn workers_hear_what_they_may_fetch_ahead() {
    let running = start_patient().await;
    let client = client(&running).await;
    let mut first = Worker::register(running.address, hello("b1", 1)).await;
    let mut second = Worker::register(running.address, hello("b1", 1)).await;
    let job = client.submit(&submission(two_stages(4))).await.unwrap();
    let maps = 3;
    let done = |order: &TaskOrder| AttemptEnd::of(order.attempt, Ok(output(order, maps)));
    let listing = first.poll(1000, vec![]).await.assigned.remove(0);
    let map = first.poll(1000, vec![done(&listing)]).await;
    assert_eq!(map.ahead, []);
    let other = second.poll(1000, vec![]).await.assigned.remove(0);
    // The third map task goes to the first worker, and its stage goes on.
    let last = first.poll(1000, vec![done(&map.assigned[0])]).await;
    let ahead = |buckets| vec![Ahead { job, shuffle: ShuffleId(0), buckets }];
    assert_eq!(last.ahead, ahead(0..2));
    assert_eq!(second.poll(0, vec![]).await.ahead, ahead(2..4));
    first.poll(0, vec![done(&last.assigned[0])]).await;
    let reduce = second.poll(1000, vec![done(&other)]).await;
    assert_eq!(reduce.ahead, []);
    assert_eq!(reduce.assigned[0].attempt.task.partition, 2);
}

#[tokio::test]
async fn blocks_come_in_pages_and_versions() {
    let running = start_patient().await;
    let client = client(&running).await;
    let greeting = hello("b1", 20_000);
    let mut worker = Worker::register(running.address, greeting.clone()).await;
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    let maps = 6_001;
    let mut ended = 0;
    while ended < maps + 1 {
        let answer = worker.poll(1000, vec![]).await;
        assert!(!answer.unknown);
        let orders = answer.assigned;
        let ends =
            orders.iter().map(|order| AttemptEnd::of(order.attempt, Ok(output(order, maps))));
        ended += orders.len() as u32;
        // The answer to the ends may have orders: it is told again, for it counts as not seen.
        let seen = worker.seen;
        worker.poll_with(Poll { seen, ended: ends.collect(), ..Poll::default() }).await;
    }
    let caller = worker.client.clone();
    let page =
        async |from| call(SECOND, |ctx| caller.blocks(ctx, job, ShuffleId(0), from)).await.unwrap();
    let first = page(0).await.unwrap();
    assert!(first.complete && first.more);
    assert_eq!(first.workers, [(worker.id, greeting.host, greeting.data_address)]);
    let rest = page(first.outputs.len() as u32).await.unwrap();
    assert!(!rest.more && rest.version == first.version);
    let all = first.outputs.iter().chain(&rest.outputs);
    let partitions: Vec<u32> = all.map(|(attempt, _)| attempt.task.partition).collect();
    assert_eq!(partitions, (0..maps).collect::<Vec<_>>());
    // A block that a reader finds missing is made again: the list has another version meanwhile.
    let reduce = worker.poll(1000, vec![]).await.assigned.remove(0);
    let lost = Failure::lost_block(first.outputs[3].0, worker.id, "gone");
    let end = AttemptEnd::of(reduce.attempt, Err(lost));
    worker.poll(0, vec![end]).await;
    let later = page(0).await.unwrap();
    assert!(!later.complete && later.version > first.version);
    let none = call(SECOND, |ctx| worker.client.blocks(ctx, job, ShuffleId(9), 0)).await.unwrap();
    assert!(matches!(none, Err(Refusal::Invalid(_))));
}

#[tokio::test]
async fn a_cancelled_job_ends_and_its_attempts_are_stopped() {
    let running = start().await;
    let client = client(&running).await;
    let (_, log) = spawn(running.address, hello("b1", 1), |_| None);
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    eventually("the split task runs", async || !log.lock().unwrap().orders.is_empty()).await;
    let (_, idle) = spawn(running.address, hello("b1", 1), |_| None);
    eventually("both are there", async || client.workers().await.unwrap().len() == 2).await;
    let (status, ()) = tokio::join!(end_of(&client, job), async {
        client.cancel(job).await.unwrap();
    });
    assert_eq!(status.state, JobState::Cancelled);
    eventually("the worker is told", async || {
        let log = log.lock().unwrap();
        log.cancelled == [log.orders[0].attempt] && log.jobs_over.get(&job) == Some(&true)
    })
    .await;
    eventually("the other is told as well, and has nothing to remove", async || {
        idle.lock().unwrap().jobs_over.get(&job) == Some(&false)
    })
    .await;
    client.cancel(job).await.unwrap();
    assert!(client.cancel(JobId(99)).await.is_err());
}

#[tokio::test]
async fn other_code_gets_no_work_and_fails_the_job_by_name() {
    let running = start().await;
    let client = client(&running).await;
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    let waiting = async || match client.status(job, Duration::ZERO).await.unwrap().state {
        JobState::Running { waiting } => waiting.unwrap_or_default(),
        other => format!("{other:?}"),
    };
    assert!(waiting().await.contains("no worker is connected"), "{}", waiting().await);
    let (_, log) = spawn(running.address, hello("b2", 8), |order| Some(Ok(output(order, 1))));
    eventually("both builds are named", async || {
        let text = waiting().await;
        text.contains("build b1") && text.contains("build b2")
    })
    .await;
    let status = end_of(&client, job).await;
    match status.state {
        JobState::Failed(failure) => assert_eq!(failure.class, FailureClass::WrongBinary),
        other => panic!("{other:?}"),
    }
    assert!(log.lock().unwrap().orders.is_empty());
    // With a worker of its code beside the others a job runs.
    let (_, right) = spawn(running.address, hello("b1", 8), |order| Some(Ok(output(order, 1))));
    eventually("the worker is there", async || client.workers().await.unwrap().len() == 2).await;
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    assert_eq!(end_of(&client, job).await.state, JobState::Succeeded);
    assert!(log.lock().unwrap().orders.is_empty());
    assert_eq!(right.lock().unwrap().orders.len(), 4);
}

#[tokio::test]
async fn a_task_that_always_fails_fails_its_job() {
    let running = start().await;
    let client = client(&running).await;
    spawn(running.address, hello("b1", 2), |order| match order.attempt.task.kind {
        TaskKind::Compute => Some(Err(Failure::new(FailureClass::UserCode, "division by zero"))),
        _ => Some(Ok(output(order, 1))),
    });
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    let status = end_of(&client, job).await;
    let JobState::Failed(failure) = status.state else { panic!("{:?}", status.state) };
    assert_eq!(failure.class, FailureClass::UserCode);
    assert!(failure.message.contains("j1/s0/0") && failure.message.contains("division by zero"));
    assert_eq!(status.retries, 4);
}

#[tokio::test]
async fn what_a_task_had_to_do_is_told_until_there_is_no_room_for_it() {
    let mut config = config();
    config.details_bytes = 0;
    let running = start_with(config).await;
    let client = client(&running).await;
    let (_, log) = spawn(running.address, hello("b1", 2), |order| Some(Ok(output(order, 3))));
    let run = async || {
        let job = client.submit(&submission(two_stages(2))).await.unwrap();
        assert_eq!(end_of(&client, job).await.state, JobState::Succeeded);
        job
    };
    let first = run().await;
    let record = client.job_record(first).await.unwrap();
    assert_eq!((record.tasks, record.shape), (vec![Some(3), Some(2)], two_stages(2)));
    let orders = log.lock().unwrap().orders.clone();
    let computed = |order: &&TaskOrder| order.attempt.task.kind == TaskKind::Compute;
    for order in orders.iter().filter(computed) {
        let TaskId { stage, kind, partition, .. } = order.attempt.task;
        let told = client.task_record(first, stage, kind, partition).await.unwrap();
        assert_eq!(told.order, *order);
        let (made, by_worker) = (told.made.unwrap(), output(order, 3));
        assert_eq!(made.shuffles, shuffles_content(&by_worker.shuffles));
        assert_eq!((made.staged, made.collected), (by_worker.staged, by_worker.collected));
    }
    let last = run().await;
    let (stage, kind) = (StageId(0), TaskKind::Compute);
    let gone = client.task_record(first, stage, kind, 0).await.unwrap_err();
    assert!(gone.to_string().contains("not kept any more"), "{gone}");
    client.task_record(last, stage, kind, 0).await.unwrap();
}

#[tokio::test]
async fn a_job_that_collects_too_much_fails_with_its_sizes() {
    let mut config = config();
    config.collected_bytes = 10_000;
    let running = start_with(config).await;
    let client = client(&running).await;
    spawn(running.address, hello("b1", 1), |order| {
        let mut output = output(order, 1);
        for (_, frames) in &mut output.collected {
            *frames = vec![0; 1_000];
        }
        Some(Ok(output))
    });
    let job = client.submit(&submission(two_stages(20))).await.unwrap();
    let status = end_of(&client, job).await;
    let JobState::Failed(failure) = status.state else { panic!("{:?}", status.state) };
    assert!(failure.message.contains("10000 bytes (11000 by now)"), "{failure}");
    assert!(status.stages[1].done < 20);
}

#[tokio::test]
async fn a_job_without_input_succeeds() {
    let running = start().await;
    let client = client(&running).await;
    spawn(running.address, hello("b1", 1), |order| Some(Ok(output(order, 0))));
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    let status = end_of(&client, job).await;
    assert_eq!(status.state, JobState::Succeeded, "{status:?}");
    assert_eq!(status.counts.records_read, 0);
    // A plan that does nothing at all is a mistake, and is called one.
    let nothing = client.submit(&submission(JobShape::default())).await.unwrap_err();
    assert!(nothing.to_string().contains("no stage"), "{nothing}");
}

#[tokio::test]
async fn broadcasts_and_samples_get_what_they_read() {
    let shape = |name: &str, root, whole_inputs, outputs, sample| StageShape {
        whole_inputs,
        sample,
        ..StageShape::new(name, root, outputs)
    };
    let source = || RootShape::Source { listed_by: StageId(0) };
    let job = JobShape {
        stages: vec![
            shape("sample", source(), vec![], vec![OutputShape::Collect(CollectId(0))], true),
            shape(
                "cut",
                source(),
                vec![CollectId(0)],
                vec![OutputShape::Collect(CollectId(1))],
                false,
            ),
        ],
        shuffles: Vec::new(),
        sinks: 0,
        collects: vec![vec![StageId(0)], vec![StageId(1)]],
        lookups: Vec::new(),
    };
    let running = start().await;
    let client = client(&running).await;
    let (_, log) = spawn(running.address, hello("b1", 3), |order| {
        let mut output = TaskOutput::default();
        match order.work {
            Work::Split => output.splits = splits(200),
            _ => {
                let collect = CollectId(order.attempt.task.stage.0);
                output.collected = vec![(collect, vec![order.attempt.task.partition as u8])];
            }
        }
        Some(Ok(output))
    });
    let job = client.submit(&submission(job)).await.unwrap();
    assert_eq!(end_of(&client, job).await.state, JobState::Succeeded);
    let rows = client.collected(job, CollectId(1)).await.unwrap();
    assert_eq!(rows, (0..200_u32).map(|at| at as u8).collect::<Vec<_>>());
    for order in &log.lock().unwrap().orders {
        let Work::Compute { input: TaskInput::Splits(got), whole_inputs, .. } = &order.work else {
            continue;
        };
        if order.attempt.task.stage == StageId(0) {
            let at: Vec<usize> = sample_positions(200).collect();
            assert_eq!(*got, at.iter().map(|&at| splits(200)[at].clone()).collect::<Vec<_>>());
        } else {
            assert_eq!(*whole_inputs, [(CollectId(0), vec![0])]);
        }
    }
}

#[tokio::test]
async fn a_drained_worker_ends_when_nobody_needs_it() {
    let running = start().await;
    let client = client(&running).await;
    let (task, log) = spawn(running.address, hello("b1", 1), |order| Some(Ok(output(order, 1))));
    eventually("the worker is there", async || client.workers().await.unwrap().len() == 1).await;
    let worker = client.workers().await.unwrap()[0].worker;
    client.drain(worker).await.unwrap();
    tokio::time::timeout(5 * SECOND, task).await.expect("it does not end").unwrap();
    assert!(log.lock().unwrap().told_end);
    assert_eq!(client.workers().await.unwrap()[0].state, "drained");
    assert!(client.drain(WorkerId(77)).await.is_err());
}

#[tokio::test]
async fn a_client_ends_the_coordinator_and_its_workers() {
    let mut running = start().await;
    let client = client(&running).await;
    let (task, log) = spawn(running.address, hello("b1", 1), |_| None);
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    eventually("the job runs", async || !log.lock().unwrap().orders.is_empty()).await;
    let (status, ()) = tokio::join!(end_of(&client, job), async {
        tokio::time::sleep(SECOND / 20).await;
        client.shut_down().await.unwrap();
    });
    assert_eq!(status.state, JobState::Cancelled);
    let ended = tokio::time::timeout(5 * SECOND, running.ended()).await;
    ended.expect("it does not end").unwrap();
    task.await.unwrap();
    assert!(log.lock().unwrap().told_end);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let running = start().await;
    let err = Coordinator::start(running.address, config()).await.unwrap_err();
    assert!(matches!(err, StartError::PortInUse(_)));
    assert!(err.to_string().contains(&running.address.port().to_string()), "{err}");
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let running = start().await;
    let client = client(&running).await;
    let worker = Worker::register(running.address, hello("b1", 1)).await;
    let old = WorkerHello { version: PROTOCOL_VERSION + 1, ..hello("b1", 1) };
    let refused = call(SECOND, |ctx| worker.client.register(ctx, old, Vec::new())).await.unwrap();
    assert!(matches!(refused, Err(Refusal::Version { .. })));
    let none =
        call(SECOND, |ctx| worker.client.register(ctx, hello("b1", 0), Vec::new())).await.unwrap();
    assert!(matches!(none, Err(Refusal::Invalid(_))));
    let mut broken = two_stages(1);
    broken.stages[1].root = RootShape::Shuffles(vec![ShuffleId(5)]);
    assert!(client.submit(&submission(broken)).await.is_err());
    assert!(client.jobs().await.unwrap().is_empty(), "a refused job is not listed");
    assert!(client.status(JobId(5), Duration::ZERO).await.is_err());
}

#[tokio::test]
async fn nonsense_on_the_port_does_not_disturb_a_job() {
    use tokio::io::AsyncWriteExt;
    let running = start().await;
    let client = client(&running).await;
    let job = client.submit(&submission(two_stages(2))).await.unwrap();
    let giant = [&windrow_protocol::codec::preface()[..], &[0xff; 4]].concat();
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &giant, b"WIN", b"WINDROW\x09"] {
        let mut io = tokio::net::TcpStream::connect(running.address).await.unwrap();
        io.write_all(nonsense).await.unwrap();
    }
    spawn(running.address, hello("b1", 1), |order| Some(Ok(output(order, 2))));
    assert_eq!(end_of(&client, job).await.state, JobState::Succeeded);
}

#[tokio::test]
async fn splits_come_in_pages_that_may_be_told_twice() {
    let running = start_patient().await;
    let client = client(&running).await;
    let mut worker = Worker::register(running.address, hello("b1", 8)).await;
    client.submit(&submission(two_stages(1))).await.unwrap();
    let split = worker.poll(1000, vec![]).await.assigned.remove(0);
    let whole = output(&split, 5);
    let page = |page, splits: std::ops::Range<usize>, more| {
        let splits = whole.splits[splits].to_vec();
        let output = TaskOutput { splits, page, more, ..TaskOutput::default() };
        AttemptEnd::of(split.attempt, Ok(output))
    };
    let pages = [page(0, 0..2, true), page(1, 2..3, true), page(2, 3..5, false)];
    let answer = worker.poll(0, vec![pages[0].clone()]).await;
    assert_eq!((answer.assigned.len(), answer.ended_seen), (0, 1));
    // As if that answer had not come.
    let answer = worker.poll(0, pages[..2].to_vec()).await;
    assert_eq!((answer.assigned.len(), answer.ended_seen), (0, 2));
    let answer = worker.poll(1000, pages[1..].to_vec()).await;
    assert_eq!((answer.assigned.len(), answer.ended_seen), (5, 2));
}
