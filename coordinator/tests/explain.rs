//! Why jobs did what they did, as a coordinator tells it over the real protocol.

#![allow(clippy::disallowed_methods, reason = "the server is driven in real time here")]

mod common;

use common::*;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use windrow_coordinator::{Config, Coordinator};
use windrow_protocol::client::Client;
use windrow_protocol::control::*;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::*;
use windrow_protocol::security::Credentials;

fn task(job: JobId, stage: u32, kind: TaskKind, partition: u32) -> TaskId {
    TaskId { job, stage: StageId(stage), round: Round::default(), kind, partition }
}

async fn explained(client: &Client, job: JobId, task: Option<TaskId>) -> String {
    client.explain(job, task).await.unwrap()
}

fn says(text: &str, parts: &[&str]) {
    parts.iter().for_each(|part| assert!(text.contains(part), "no `{part}` in\n{text}"));
}

#[tokio::test]
async fn a_job_is_told_with_what_failed_and_where_each_task_ran() {
    let running = start_patient().await;
    let client = client(&running).await;
    let job = client.submit(&submission(two_stages(2))).await.unwrap();
    // It waits, since there is no worker.
    tokio::time::sleep(SECOND / 5).await;
    let text = explained(&client, job, None).await;
    says(&text, &["job j1 test runs, for", "before anything began"]);
    let failed = AtomicBool::new(false);
    spawn(running.address, hello("b1", 2), move |order| {
        let is_second = order.attempt.task == task(JobId(1), 0, TaskKind::Compute, 1);
        let fails = is_second && !failed.swap(true, Ordering::Relaxed);
        let failure = || Failure::new(FailureClass::UserCode, "division by zero");
        Some(if fails { Err(failure()) } else { Ok(output(order, 3)) })
    });
    let status = tokio::time::timeout(10 * SECOND, client.wait(job, |_| ())).await.unwrap();
    assert_eq!(status.unwrap().state, JobState::Succeeded);
    let text = explained(&client, job, None).await;
    says(
        &text,
        &[
            "job j1 test succeeded after",
            "commit: the output was made visible",
            "stage s1: 2 tasks (reduce > write)",
            "stage s0: 3 tasks (read > shuffle)",
            "stage s0: what it reads was listed",
            "in which there was no worker",
            "where its attempts ran (1 worker), and why",
            "1  it had run before, and comes before tasks that had not",
            "worker w1 came, with 2 slots",
            "attempt j1/s0/1#0 on w1 ended: the job's code failed: division by zero",
        ],
    );
    let text = explained(&client, job, Some(task(job, 0, TaskKind::Compute, 1))).await;
    says(
        &text,
        &[
            "task j1/s0/1 (read > shuffle)",
            "could start: all that it reads was there",
            "#0 began on w1: it was the next task",
            "#0 ended after",
            "division by zero (its task's failure",
            "#1 began on w1: it had run before",
            "#1 was done after",
        ],
    );
    let listing = explained(&client, job, Some(task(job, 0, TaskKind::Split, 0))).await;
    says(&listing, &["j1/s0/split", "in which there was no worker"]);
    let none = client.explain(job, Some(task(job, 1, TaskKind::Compute, 2))).await.unwrap_err();
    says(&none.to_string(), &["job j1 had no task j1/s1/2"]);
    let none = client.explain(JobId(2), None).await.unwrap_err();
    says(&none.to_string(), &["there is no job j2"]);
}

#[tokio::test]
async fn a_lost_worker_is_told_with_what_ran_again() {
    let running = start().await;
    let client = client(&running).await;
    let mut silent = Worker::register(running.address, hello("b1", 3)).await;
    let job = client.submit(&submission(two_stages(1))).await.unwrap();
    let split = silent.poll(1000, vec![]).await.assigned.remove(0);
    let end = AttemptEnd::of(split.attempt, Ok(output(&split, 2)));
    let maps = silent.poll(1000, vec![end]).await.assigned;
    // One output goes down with the worker, one attempt is cut off.
    let end = AttemptEnd::of(maps[0].attempt, Ok(output(&maps[0], 2)));
    silent.poll(0, vec![end]).await;
    spawn(running.address, hello("b1", 2), |order| Some(Ok(output(order, 2))));
    tokio::time::timeout(10 * SECOND, client.wait(job, |_| ())).await.unwrap().unwrap();
    says(
        &explained(&client, job, None).await,
        &[
            "worker w1 is lost: it was not heard for the length of its lease",
            "attempt j1/s0/1#0 on w1 ended: the worker is lost",
            "task j1/s0/0 runs again: the worker that had its output is gone",
        ],
    );
    says(
        &explained(&client, job, Some(task(job, 0, TaskKind::Compute, 1))).await,
        &["counts apart, since its worker went", "#1 began on w2: it had run before"],
    );
}

/// A coordinator that keeps all in a folder, and is started on it twice: in the second, what was kept by the first is
/// told, and that something is not known if a job had not ended.
#[tokio::test]
async fn what_is_kept_is_told_by_the_next_coordinator() {
    let state = tempfile::tempdir().unwrap();
    let start = async |state: &Path| {
        let mut config = Config { state: Some(state.into()), ..config() };
        config.scheduler.lease_ms = 60_000;
        Coordinator::start("127.0.0.1:0".parse().unwrap(), config).await.unwrap()
    };
    let first = start(state.path()).await;
    let mut worker = Worker::register(first.address, hello("b1", 2)).await;
    let of_first = client(&first).await;
    let job = of_first.submit(&submission(two_stages(1))).await.unwrap();
    let split = worker.poll(1000, vec![]).await.assigned.remove(0);
    first.stop().await.unwrap();
    let second = start(state.path()).await;
    worker.client = windrow_protocol::transport::connect(
        &second.address.to_string(),
        &Credentials::off(),
        SECOND,
    )
    .await
    .unwrap();
    let end = AttemptEnd::of(split.attempt, Ok(output(&split, 1)));
    let mut ended = vec![end];
    let client = client(&second).await;
    loop {
        let answer = worker.poll(50, std::mem::take(&mut ended)).await;
        let done = |order| AttemptEnd::of(order, Ok(Default::default()));
        for order in &answer.assigned {
            let mut end = done(order.attempt);
            end.result = Ok(output(order, 1));
            ended.push(end);
        }
        let status = client.status(job, std::time::Duration::ZERO).await.unwrap();
        if status.state == JobState::Succeeded {
            break;
        }
    }
    let text = explained(&client, job, Some(task(job, 0, TaskKind::Split, 0))).await;
    says(&text, &["#0 began on w1", "#0 was done after"]);
    says(&explained(&client, job, None).await, &["job j1 test succeeded after"]);
    // Without what was kept there is nothing to tell.
    second.stop().await.unwrap();
    for entry in std::fs::read_dir(state.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy().starts_with("events-") {
            std::fs::remove_file(path).unwrap();
        }
    }
    let third = start(state.path()).await;
    let gone = self::client(&third).await.explain(job, None).await.unwrap_err();
    says(&gone.to_string(), &["what happened to job j1 is not kept any more"]);
}
