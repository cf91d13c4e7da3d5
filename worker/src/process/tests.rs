//! Tests of processes that are bound to this one.

use super::*;
use std::path::Path;
use std::time::{Duration, Instant};

const PART: &str = "WINDROW_TEST_PROCESS_PART";

/// Not a test, but a process that is to be killed: it starts one that knows nothing of it.
#[test]
fn part() {
    let Ok(file) = std::env::var(PART) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let child = sleeper().await;
        std::fs::write(format!("{file}.part"), child.id().unwrap().to_string()).unwrap();
        std::fs::rename(format!("{file}.part"), file).unwrap();
        tokio::time::sleep(Duration::from_secs(20)).await;
    });
}

async fn sleeper() -> Child {
    let mut command = Command::new("sleep");
    command.arg("20");
    die_with_parent(&mut command);
    spawn_from_lasting_thread(command).await.unwrap()
}

fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(5), "waited for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn children_die_with_their_parent() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "process::tests::part", "--nocapture", "-q"])
        .env(PART, &file)
        .spawn()
        .unwrap();
    let there = |file: &Path| std::fs::read_to_string(file).ok();
    until("the child", || there(&file).is_some());
    let pid: u32 = there(&file).unwrap().parse().unwrap();
    assert!(is_alive(pid));
    parent.kill().unwrap();
    parent.wait().unwrap();
    until("the child's end", || !is_alive(pid));
}

#[test]
fn children_outlive_the_thread_that_asked_for_them() {
    let (mut child, runtime) = std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        (runtime.block_on(sleeper()), runtime)
    })
    .join()
    .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let pid = child.id().unwrap();
    assert!(is_alive(pid));
    runtime.block_on(child.kill()).unwrap();
}

#[test]
fn a_process_that_nobody_started_has_no_socket() {
    let error = inherited_socket().unwrap_err();
    assert!(error.to_string().contains("a worker starts"), "{error}");
}
