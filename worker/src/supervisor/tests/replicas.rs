//! Tests of replicas: blocks that a worker copies of another one's attempts.

use super::*;
use windrow_protocol::control::Replicate;
use windrow_protocol::ids::AttemptId;

fn order(of: AttemptId, address: &str) -> Replicate {
    let (worker, host) = (WorkerId(2), "there".to_owned());
    let shuffles = vec![(ShuffleId(0), BUCKETS)];
    Replicate { attempt: of, shuffles, worker, host, address: address.to_owned() }
}

async fn told(worker: &Worker, of: AttemptId) -> bool {
    let told = |told: &mut Told| told.replicated.iter().find(|(it, _)| *it == of).copied();
    worker.fake.until("what becomes of a replica", told).await.1
}

#[tokio::test]
async fn a_worker_has_what_it_copied_when_the_other_one_is_gone() {
    let near = Worker::start(|_| ()).await;
    let far = Worker::start(|config| config.host = "there".into()).await;
    far.fake.assign([map(1, 1)]);
    far.fake.end(attempt(1, 0, 1, 0)).await.unwrap();
    let far_address = far.fake.lock().hellos[0].data_address.clone();
    let made = attempt(1, 0, 1, 0);
    // It may be told several times.
    for _ in 0..2 {
        near.fake.tell(|answer| answer.replicate.push(order(made, &far_address)));
        assert!(told(&near, made).await);
    }
    // What was never made cannot be copied, and is no harm.
    let never = attempt(1, 0, 7, 0);
    near.fake.tell(|answer| answer.replicate.push(order(never, &far_address)));
    assert!(!told(&near, never).await);
    assert_eq!(near.block_files(), 1);
    far.stop().await;

    let here = (WorkerId(1), "here".to_string(), "nowhere:1".to_string());
    let (outputs, workers) = (vec![(made, 0)], vec![here]);
    near.fake.lock().pages =
        vec![BlockPage { version: 1, complete: true, outputs, workers, more: false }];
    let buckets: Vec<u32> = (0..BUCKETS).collect();
    near.fake.assign([reduce(1, buckets.clone())]);
    let output = near.fake.end(attempt(1, 1, 0, 0)).await.unwrap();
    let of_bucket = |bucket| {
        let block = block(1, bucket);
        [block[0], block[0], (block.len() >> 8) as u8]
    };
    assert_eq!(output.collected[0].1, buckets.into_iter().flat_map(of_bucket).collect::<Vec<u8>>());
    // They go with the job, as all blocks do.
    let (job, abort) = (JobId(1), false);
    near.fake.tell(|answer| answer.jobs_over.push(JobOver { job, abort }));
    near.fake.until("the files to go", |_| (near.block_files() == 0).then_some(())).await;
    near.stop().await;
}
