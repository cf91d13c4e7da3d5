//! Jobs of other code: their binaries come, from wherever they are told to be.

use super::*;
use std::os::unix::fs::PermissionsExt;
use windrow_protocol::binary::{BinaryContent, BinarySource};

/// A worker of other code than jobs, which takes any.
async fn worker_of_other_code() -> Worker {
    Worker::start(|config| {
        config.binary.build = "beef".into();
        config.binaries = Some(config.scratch[0].join("../binaries"));
    })
    .await
}

/// The job's binary is this test's.
fn offer(worker: &Worker, bytes: &[u8], sources: impl IntoIterator<Item = BinarySource>) {
    let mut told = worker.fake.lock();
    told.binary = Some(BinaryContent::of(bytes).unwrap());
    told.binary_bytes = bytes.to_vec();
    told.sources = sources.into_iter().collect();
}

fn own_bytes() -> Vec<u8> {
    std::fs::read(std::env::current_exe().unwrap()).unwrap()
}

fn kept(worker: &Worker) -> Vec<String> {
    let names = walk(&worker.scratch.path().join("binaries"));
    names.iter().map(|path| path.rsplit('/').next().unwrap().to_string()).collect()
}

async fn stop(worker: Worker) {
    std::fs::remove_dir_all(worker.scratch.path().join("binaries")).unwrap();
    worker.stop().await;
}

#[tokio::test]
async fn a_binary_comes_from_the_coordinator_and_stays() {
    let worker = worker_of_other_code().await;
    let hello = worker.fake.until("a registration", |told| told.hellos.first().cloned()).await;
    assert!(hello.binary.build.starts_with("any-"), "{hello:?}");
    let bytes = own_bytes();
    worker.fake.assign([map(1, 0)]);
    // Nobody knows it yet, and then it is nowhere yet.
    tokio::time::sleep(Duration::from_millis(100)).await;
    offer(&worker, &bytes, [BinarySource::NotYet, BinarySource::Coordinator]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    assert_eq!(worker.fake.lock().fetched, [true]);
    assert_eq!(kept(&worker), [BinaryContent::of(&*bytes).unwrap().to_string()]);
    // It is there for another job.
    worker.fake.assign([map(2, 0)]);
    worker.fake.end(attempt(2, 0, 0, 0)).await.unwrap();
    assert_eq!(worker.fake.lock().fetched, [true, true]);
    stop(worker).await;
}

#[tokio::test]
async fn a_binary_comes_from_another_worker() {
    let (one, two) = (worker_of_other_code().await, worker_of_other_code().await);
    let bytes = own_bytes();
    offer(&one, &bytes, [BinarySource::Coordinator]);
    one.fake.assign([map(1, 0)]);
    one.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    let address = one.fake.lock().hellos[0].data_address.clone();

    let nowhere = BinarySource::Worker(WorkerId(7), "127.0.0.1:1".into());
    offer(&two, &bytes, [nowhere, BinarySource::Worker(WorkerId(1), address)]);
    // None of it comes from the coordinator.
    two.fake.lock().binary_bytes.clear();
    two.fake.assign([map(1, 0)]);
    two.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    assert_eq!(two.fake.lock().fetched, [false, true]);
    stop(one).await;
    stop(two).await;
}

#[tokio::test]
async fn another_binary_than_was_said_is_not_started() {
    let worker = worker_of_other_code().await;
    let bytes = own_bytes();
    offer(&worker, &bytes, [BinarySource::Coordinator]);
    worker.fake.lock().binary_bytes[5000] ^= 1;
    worker.fake.assign([map(1, 0)]);
    worker.fake.until("a refusal", |told| (told.fetched == [false]).then_some(())).await;
    assert!(kept(&worker).is_empty(), "{:?}", kept(&worker));
    offer(&worker, &bytes, [BinarySource::Coordinator]);
    worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap();
    assert_eq!(worker.fake.lock().fetched, [false, true]);
    stop(worker).await;
}

#[tokio::test]
async fn a_program_that_is_none_of_jobs_says_so() {
    let worker = worker_of_other_code().await;
    offer(&worker, b"#!/bin/sh\nexit 3\n", [BinarySource::Coordinator]);
    worker.fake.assign([map(1, 0)]);
    let failure = worker.fake.end(attempt(1, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::LostExecutor);
    assert!(failure.message.contains("exit status: 3"), "{failure}");
    assert!(failure.message.contains("statically"), "{failure}");

    let other =
        b"#!/bin/bash\nprintf 'WREXEC\\r\\n\\x63\\0\\0\\0' >&$WINDROW_EXECUTOR_SOCKET\nsleep 9\n";
    offer(&worker, other, [BinarySource::Coordinator]);
    worker.fake.assign([map(2, 0)]);
    let failure = worker.fake.end(attempt(2, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::WrongBinary);
    assert!(failure.message.contains("version 99"), "{failure}");

    let other = b"#!/bin/bash\necho '<html><body>' >&$WINDROW_EXECUTOR_SOCKET\nsleep 9\n";
    offer(&worker, other, [BinarySource::Coordinator]);
    worker.fake.assign([map(3, 0)]);
    let failure = worker.fake.end(attempt(3, 0, 0, 0)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::WrongBinary);
    assert!(failure.message.contains("Windrow's jobs"), "{failure}");
    stop(worker).await;
}

#[tokio::test]
async fn a_folder_that_others_may_write_to_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let config = SupervisorConfig { binaries: Some(folder.path().into()), ..config(folder.path()) };
    let refused = Supervisor::start(config, Fake::default()).await.err().unwrap().to_string();
    assert!(refused.contains("--binaries"), "{refused}");
}
