//! Coordinators with one state, by the real binary: one leads, and another one takes its place when it is gone.

mod harness;
mod s3;

use harness::processes::{children, is_alive, kill};
use harness::{Room, Run, Running};
use s3::S3;
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// Records of 100 bytes that make three map tasks.
const RECORDS: u64 = 1_400_000;

/// An address at which nobody listens for a while: not among those that the system gives to whoever asks for any.
fn free_address() -> String {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 11_000 + (std::process::id() % 1_000) as u16 * 16;
    loop {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return format!("127.0.0.1:{port}");
        }
    }
}

fn listens(address: &str) -> bool {
    TcpStream::connect(address).is_ok()
}

/// Two coordinators with one state, of which the first leads, two workers, and a job that has begun.
struct Cluster<'r> {
    room: &'r Room,
    server: &'r S3,
    addresses: [String; 2],
    /// What is said of the state.
    flags: String,
}

impl<'r> Cluster<'r> {
    fn new(room: &'r Room, server: &'r S3, state: &str, records: u64) -> Cluster<'r> {
        let generate = format!("generate tera --records {records} --output in");
        room.windrow(&generate).timeout(PATIENCE).ok();
        room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
        let flags = format!("--state {state} --gone-after-ms 2000");
        Cluster { room, server, addresses: [free_address(), free_address()], flags }
    }

    fn run(&self, command: &str) -> Run<'r> {
        self.room.windrow(command).envs(self.server.environment()).timeout(PATIENCE)
    }

    /// A coordinator at one of the addresses.
    fn coordinator(&self, at: usize, more: &str) -> Run<'r> {
        let (address, flags) = (&self.addresses[at], &self.flags);
        self.run(&format!("coordinator --listen {address} {flags} {more}"))
    }

    fn both(&self) -> String {
        self.addresses.join(",")
    }

    fn worker(&self) -> Running<'r> {
        self.run(&format!("worker --coordinator {} --threads 1", self.both())).start()
    }

    /// A job of which both workers have an executor by now.
    fn job(&self, workers: &[Running<'r>]) -> Running<'r> {
        let command =
            format!("run terasort --input in --output faulted --cluster {} --json", self.both());
        let mut run = self.run(&command).start();
        let busy = |worker: &Running<'_>| !children(worker.id()).is_empty();
        run.until("both workers have an executor", || workers.iter().all(busy));
        run
    }

    /// The job has ended as if nothing had happened, and no attempt of it failed.
    fn ends_well(&self, job: Running<'r>) {
        let done = job.wait();
        assert_eq!(done.code(), Some(0), "{}", done.report);
        self.room.same_output("quiet", "faulted");
        let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
        assert_eq!(summary["retries"], 0, "{summary}");
    }
}

/// A state in a store, and one in a folder.
fn a_killed_leader_is_replaced(room: &Room, state: &str) {
    let server = S3::start(&room.path("store"));
    server.bucket("state");
    let cluster = Cluster::new(room, &server, state, RECORDS);
    let mut leader = cluster.coordinator(0, "").start();
    leader.until("it listens", || listens(&cluster.addresses[0]));
    let mut standby = cluster.coordinator(1, "--standby").start();
    let workers = [cluster.worker(), cluster.worker()];
    let job = cluster.job(&workers);
    assert!(!listens(&cluster.addresses[1]), "nobody stands by");
    kill(leader.id());
    leader.wait();
    standby.until("it listens", || listens(&cluster.addresses[1]));
    cluster.ends_well(job);
    // The one that was killed comes back, and stands by.
    let mut leader = cluster.coordinator(0, "--standby").start();
    kill(standby.id());
    standby.wait();
    leader.until("it listens", || listens(&cluster.addresses[0]));
    let jobs = cluster.run(&format!("jobs list --cluster {}", cluster.both())).ok();
    assert!(jobs.stdout().contains("succeeded"), "{}", jobs.report);
}

#[test]
fn a_killed_leader_is_replaced_by_one_that_stands_by_over_a_store() {
    a_killed_leader_is_replaced(&room!(), "s3://state/of/cluster");
}

#[test]
fn a_killed_leader_is_replaced_by_one_that_stands_by_over_a_folder() {
    a_killed_leader_is_replaced(&room!(), "state");
}

/// It is alive, and does not know that another one leads: nothing that it says or decides counts, and it ends.
#[test]
fn a_leader_that_stood_still_decides_nothing_any_more() {
    let room = room!();
    let server = S3::start(&room.path("store"));
    server.bucket("state");
    let cluster = Cluster::new(&room, &server, "s3://state/of/cluster", RECORDS);
    let mut leader = cluster.coordinator(0, "").start();
    leader.until("it listens", || listens(&cluster.addresses[0]));
    let refused = cluster.coordinator(1, "").fails(1);
    refused.says(&["s3://state/of/cluster has a coordinator", "--standby"]);
    let mut standby = cluster.coordinator(1, "--standby").start();
    let workers = [cluster.worker(), cluster.worker()];
    let job = cluster.job(&workers);
    let signal = |signal| {
        // SAFETY: it sends a signal to a process that was started here, and was not waited for.
        assert_eq!(unsafe { libc::kill(leader.id() as i32, signal) }, 0);
    };
    signal(libc::SIGSTOP);
    standby.until("it listens", || listens(&cluster.addresses[1]));
    signal(libc::SIGCONT);
    cluster.ends_well(job);
    let ended = leader.wait();
    assert_eq!(ended.code(), Some(1), "{}", ended.report);
    ended.says(&["the state at s3://state/of/cluster has another coordinator by now"]);
}

/// What it costs that the leader is killed every ten seconds, over a store: prints how long the same job takes without and
/// with it.
#[test]
#[ignore = "it measures, for minutes"]
fn what_it_costs_to_replace_leaders() {
    const ROUNDS: usize = 3;
    let room = room!();
    let server = S3::start(&room.path("store"));
    server.bucket("state");
    let cluster = Cluster::new(&room, &server, "s3://state/of/cluster", 20 * RECORDS);
    let mut leader = cluster.coordinator(0, "").start();
    leader.until("it listens", || listens(&cluster.addresses[0]));
    let mut standby = cluster.coordinator(1, "--standby").start();
    let workers = [cluster.worker(), cluster.worker()];
    let mut leads = 0;
    for round in 0..ROUNDS {
        for kills_wanted in [false, true] {
            let job = cluster.job(&workers);
            let (begun, mut kills) = (Instant::now(), 0);
            while is_alive(job.id()) {
                std::thread::sleep(Duration::from_millis(20));
                if !kills_wanted || begun.elapsed() < Duration::from_secs(10 * (kills + 1)) {
                    continue;
                }
                kills += 1;
                kill(leader.id());
                leader.wait();
                leader = standby;
                standby = cluster.coordinator(leads, "--standby").start();
                leads = 1 - leads;
            }
            let done = job.wait();
            assert_eq!(done.code(), Some(0), "{}", done.report);
            let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
            println!(
                "round {round}: {kills} leaders killed, {} ms, {} retries",
                summary["elapsed_ms"], summary["retries"]
            );
            room.same_output("quiet", "faulted");
            std::fs::remove_dir_all(room.path("faulted")).unwrap();
        }
    }
}
