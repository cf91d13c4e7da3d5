//! Tests of workers that are to end when nobody needs them any more.

use super::*;

#[tokio::test]
async fn a_worker_drains() {
    let worker = Worker::start(|_| ()).await;
    worker.fake.assign([map(1, 0)]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    worker.handle.drain();
    worker.fake.until("draining", |told| told.draining.then_some(())).await;
    assert_eq!(worker.block_files(), 1, "blocks are served until the coordinator says so");
    worker.fake.tell(|answer| answer.drained = true);
    let ended = tokio::time::timeout(Duration::from_secs(5), worker.ended).await.unwrap();
    ended.unwrap().unwrap();
}

#[tokio::test]
async fn a_worker_that_drains_ends_without_a_coordinator() {
    let worker = Worker::start(|config| config.limits.alone = Duration::from_millis(300)).await;
    worker.fake.assign([map(1, 1)]);
    worker.fake.end(attempt(1, 0, 1, 0)).await.unwrap();
    worker.fake.lock().absent = true;
    // Without a word to drain it waits for another one.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(!worker.ended.is_finished());
    worker.handle.drain();
    let ended = tokio::time::timeout(Duration::from_secs(20), worker.ended).await;
    ended.expect("it waits for ever").unwrap().unwrap();
}
