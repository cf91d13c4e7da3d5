//! Jobs over worker processes, by the real binary: the same bytes as in one process, also when processes are killed.

mod harness;

use harness::processes::{children, executors, is_alive, kill, signal};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// Records of 100 bytes that make three map tasks.
const RECORDS: u64 = 1_400_000;

#[test]
fn over_workers_the_bytes_are_the_same() {
    let room = room!();
    let text = "the quick brown fox jumps over the lazy dog and runs\n".repeat(5000);
    for file in 0..20 {
        room.write(&format!("in/{file}.txt"), text.replace("fox", &format!("fox{file}")));
    }
    room.windrow("run wordcount --input in --output quiet").ok();
    for workers in [1, 2, 5] {
        let output = format!("workers-{workers}");
        let command = format!("run wordcount --input in --workers {workers} --output {output}");
        room.windrow(&command).timeout(PATIENCE).ok();
        room.same_output("quiet", &output);
    }
    assert_eq!(room.temporary(), Vec::<std::path::PathBuf>::new(), "scratch files are left");
}

#[test]
fn a_killed_worker_changes_nothing() {
    let room = room!();
    room.windrow(&format!("generate tera --records {RECORDS} --output in")).timeout(PATIENCE).ok();
    room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
    let command = "run terasort --input in --output faulted --workers 3 --lease-ms 3000";
    let mut run = room.windrow(command).timeout(PATIENCE).start();
    let id = run.id();
    run.until("a worker with an executor", || !executors(id).is_empty());
    // One that has work: nobody would miss another before the job ends.
    let workers = children(id).into_iter().map(|(worker, _)| worker);
    let victim = workers.filter(|&worker| !children(worker).is_empty()).min();
    kill(victim.expect("a worker with an executor"));
    let done = run.wait();
    assert_eq!(done.code(), Some(0), "{}", done.stderr());
    done.says(&["lost"]);
    room.same_output("quiet", "faulted");
}

#[test]
fn workers_die_with_the_process_that_started_them() {
    let room = room!();
    room.windrow(&format!("generate tera --records {RECORDS} --output in")).timeout(PATIENCE).ok();
    let command = "run terasort --input in --output out --workers 2";
    let mut run = room.windrow(command).timeout(PATIENCE).start();
    let id = run.id();
    run.until("two workers with an executor each", || {
        let workers = children(id);
        workers.len() == 2 && workers.iter().all(|(worker, _)| !children(*worker).is_empty())
    });
    let workers = children(id);
    let mut all: Vec<u32> = workers.iter().map(|(worker, _)| *worker).collect();
    all.extend(workers.iter().flat_map(|(worker, _)| children(*worker)).map(|(pid, _)| pid));
    kill(id);
    run.wait();
    for _ in 0..500 {
        if !all.iter().any(|&pid| is_alive(pid)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("processes are left: {all:?}");
}

#[test]
fn a_cluster_runs_jobs_and_ends() {
    let room = room!();
    room.write("in/a.txt", "b a b\n");
    let up = room.windrow("cluster up --workers 2 --state state --memory 1MiB");
    let up = up.timeout(PATIENCE).ok();
    let address = up.stdout().trim().to_string();
    room.windrow("generate tera --records 20000 --output tera").ok();
    let sort = format!("run terasort --input tera --output sorted --json --cluster {address}");
    let sorted = room.windrow(&sort).timeout(PATIENCE).ok();
    let summary: serde_json::Value = serde_json::from_str(sorted.stdout()).unwrap();
    assert!(summary["spilled_bytes"].as_u64().unwrap() > 0, "{summary}");
    let run = format!("run wordcount --input in --output out --cluster {address}");
    room.windrow(&run).timeout(PATIENCE).ok();
    let mut rows = room.rows("out");
    rows.sort();
    assert_eq!(rows, ["a\t1", "b\t2"]);
    room.windrow("cluster status --state state").ok();
    room.windrow(&format!("jobs list --cluster {address}")).ok();
    room.windrow("cluster up --workers 1 --state state").fails(1).says(&["running already"]);
    room.windrow("cluster down --state state").timeout(PATIENCE).ok();
    let down = room.windrow(&format!("jobs list --cluster {address}")).fails(1);
    down.says(&["no coordinator"]);
}

#[test]
fn a_killed_coordinator_changes_nothing() {
    let room = room!();
    room.windrow(&format!("generate tera --records {RECORDS} --output in")).timeout(PATIENCE).ok();
    room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let address = format!("127.0.0.1:{port}");
    let coordinator = format!("coordinator --listen {address} --state state");
    let start = || room.windrow(&coordinator).timeout(PATIENCE).start();
    let mut first = start();
    first.until("it listens", || TcpStream::connect(&address).is_ok());
    let worker = format!("worker --coordinator {address} --threads 1");
    let workers = [(); 2].map(|()| room.windrow(&worker).timeout(PATIENCE).start());
    let command = format!("run terasort --input in --output faulted --cluster {address} --json");
    let mut run = room.windrow(&command).timeout(PATIENCE).start();
    let busy = |worker: &harness::Running<'_>| !children(worker.id()).is_empty();
    run.until("both workers have an executor", || workers.iter().all(busy));
    kill(first.id());
    first.wait();
    let _second = start();
    let done = run.wait();
    assert_eq!(done.code(), Some(0), "{}", done.stderr());
    room.same_output("quiet", "faulted");
    let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(summary["retries"], 0, "{summary}");
}

#[test]
fn a_worker_drains_though_all_of_its_processes_are_told_to_end() {
    let room = room!();
    room.windrow(&format!("generate tera --records {RECORDS} --output in")).timeout(PATIENCE).ok();
    room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
    let up = room.windrow("cluster up --workers 1 --state state").timeout(PATIENCE).ok();
    let address = up.stdout().trim().to_string();
    let worker = format!("worker --coordinator {address} --threads 1");
    let mut leaves = room.windrow(&worker).timeout(PATIENCE).start();
    let command = format!("run terasort --input in --output drained --cluster {address} --json");
    let run = room.windrow(&command).timeout(PATIENCE).start();
    let id = leaves.id();
    leaves.until("it has an executor", || !children(id).is_empty());
    // As Slurm does, or systemd.
    for process in children(id).into_iter().map(|(pid, _)| pid).chain([id]) {
        signal(process, libc::SIGTERM);
    }
    leaves.ok();
    let done = run.ok();
    room.same_output("quiet", "drained");
    let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(summary["retries"], 0, "{summary}");
    room.windrow("cluster down --state state").timeout(PATIENCE).ok();
}

#[test]
fn a_cluster_that_has_lost_its_coordinator_goes_on_with_another() {
    let room = room!();
    room.windrow(&format!("generate tera --records {RECORDS} --output in")).timeout(PATIENCE).ok();
    room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
    let up = || room.windrow("cluster up --workers 2 --state state").timeout(PATIENCE).ok();
    let address = up().stdout().trim().to_string();
    let remembered = || -> serde_json::Value {
        let json = std::fs::read(room.path("state/cluster.json")).unwrap();
        serde_json::from_slice(&json).unwrap()
    };
    let first = remembered();
    let workers: Vec<u32> = serde_json::from_value(first["workers"].clone()).unwrap();
    let command = format!("run terasort --input in --output faulted --cluster {address} --json");
    let mut run = room.windrow(&command).timeout(PATIENCE).start();
    run.until("both workers have an executor", || {
        workers.iter().all(|&worker| !children(worker).is_empty())
    });
    kill(first["coordinator"].as_u64().unwrap() as u32);
    kill(workers[0]);
    assert_eq!(up().stdout().trim(), address);
    let done = run.wait();
    assert_eq!(done.code(), Some(0), "{}", done.stderr());
    room.same_output("quiet", "faulted");
    let second = remembered();
    assert_eq!(second["workers"][0], workers[1], "a worker that is alive stays");
    assert_eq!(second["workers"].as_array().unwrap().len(), 2);
    let down = room.windrow("cluster down --state state").timeout(PATIENCE);
    down.ok();
    assert!(!room.path("state/journal").exists());
}
