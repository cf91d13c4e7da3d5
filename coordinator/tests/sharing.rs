//! A cluster that several share, over the real protocol: queues, labels, and what people are told of them.

mod common;

use common::*;
use std::time::Duration;
use windrow_coordinator::scheduler::{Policy, QueuePolicy};
use windrow_coordinator::{Config, Running};
use windrow_protocol::claim::{Claim, Needs};
use windrow_protocol::client::Client;
use windrow_protocol::control::*;
use windrow_protocol::ids::*;
use windrow_protocol::security::Credentials;
use windrow_protocol::transport::{call, connect};

fn of_queue(queue: &str) -> Claim {
    Claim { queue: queue.into(), user: "ann".into(), ..Claim::default() }
}

/// A queue that runs one job at once, and lets one wait.
fn one_by_one() -> Config {
    let mut config = config();
    let queue = QueuePolicy { jobs_max: 1, waiting_max: 1, ..QueuePolicy::default() };
    config.scheduler.sharing =
        Policy { queues: [("night".to_owned(), queue)].into(), ..Policy::default() };
    config.scheduler.lease_ms = 60_000;
    config
}

async fn waiting(client: &Client, job: JobId) -> String {
    match client.status(job, Duration::ZERO).await.unwrap().state {
        JobState::Running { waiting } => waiting.unwrap_or_default(),
        state => panic!("{job} is {state:?}"),
    }
}

async fn submit(client: &Client, claim: &Claim) -> Result<JobId, String> {
    let submitted = client.submit_claiming(&submission(two_stages(1)), claim, None).await;
    submitted.map_err(|error| error.to_string())
}

async fn ends(client: &Client, job: JobId) {
    let end = client.wait(job, |_| {}).await.unwrap();
    assert_eq!(end.state, JobState::Succeeded);
}

async fn start(config: Config) -> (Running, Client) {
    let running = start_with(config).await;
    let client = client(&running).await;
    (running, client)
}

/// A job waits for a place in its queue, also over a restart of the coordinator, and is told how many are before it.
#[tokio::test]
async fn a_job_waits_for_a_place_in_its_queue() {
    let state = tempfile::tempdir().unwrap();
    let config = || Config { state: Some(state.path().into()), ..one_by_one() };
    let (running, client) = start(config()).await;
    let of_worker = hello("b1", 2);
    let token = of_worker.token;
    let mut worker = Worker::register(running.address, of_worker).await;
    let first = submit(&client, &of_queue("night")).await.unwrap();
    let second = submit(&client, &of_queue("night")).await.unwrap();
    let text = "a place in queue `night`: it is the next";
    assert_eq!(waiting(&client, second).await, text);
    let refused = submit(&client, &of_queue("night")).await.unwrap_err();
    assert!(refused.contains("queue `night` is full: 1 jobs wait in it"), "{refused}");
    let unknown = submit(&client, &of_queue("day")).await.unwrap_err();
    assert!(unknown.contains("there is no queue `day`; there are: default, night"), "{unknown}");
    let queues = call(SECOND, |ctx| worker.client.queues(ctx)).await.unwrap();
    let night = queues.iter().find(|queue| queue.name == "night").unwrap();
    assert_eq!((night.running, night.waiting, night.slots), (1, 1, 1));
    running.stop().await.unwrap();

    let (running, client) = start(config()).await;
    assert_eq!(waiting(&client, second).await, text);
    let status = client.status(second, Duration::ZERO).await.unwrap();
    assert_eq!((&*status.queue, &*status.user), ("night", "ann"));
    worker.client =
        connect(&running.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    let ran = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = ran.clone();
    let _worker = spawn(running.address, hello("b1", 2), move |order| {
        seen.lock().unwrap().push(order.attempt.task.job);
        Some(Ok(output(order, 2)))
    });
    // The first worker knows nothing of what it was told, and is gone.
    call(SECOND, |ctx| worker.client.gone(ctx, vec![token])).await.unwrap();
    client.cancel(first).await.unwrap();
    ends(&client, second).await;
    assert!(ran.lock().unwrap().contains(&second));
}

/// Tasks that need a label run on the worker that has it, and people are told what is missing as long as there is none.
#[tokio::test]
async fn tasks_run_where_their_label_is() {
    let (running, client) = start(one_by_one()).await;
    let mut plain = Worker::register(running.address, hello("b1", 2)).await;
    let needs = vec![Needs { labels: vec!["gpu".into()], ..Needs::default() }];
    let job = submit(&client, &Claim { needs, ..Claim::default() }).await.unwrap();
    let text = "a worker that has the label gpu: none that is connected has";
    assert_eq!(waiting(&client, job).await, text);
    let odd = hello("b1", 2);
    let labels = vec!["a b".to_owned()];
    let by_hand = connect(&running.address.to_string(), &Credentials::off(), SECOND).await.unwrap();
    let refused = call(SECOND, |ctx| by_hand.register(ctx, odd, labels)).await.unwrap();
    assert!(refused.unwrap_err().to_string().contains("`a b`"));
    let labels = vec!["gpu".to_owned()];
    let (_labelled, of_labelled) =
        spawn_labelled(running.address, hello("b1", 2), labels, |order| Some(Ok(output(order, 2))));
    ends(&client, job).await;
    let orders = of_labelled.lock().unwrap().orders.len();
    assert_eq!((plain.poll(0, Vec::new()).await.assigned.len(), orders), (0, 5));
    let workers = call(SECOND, |ctx| by_hand.workers(ctx)).await.unwrap();
    assert!(workers.iter().any(|worker| worker.labels == ["gpu"]));
}
