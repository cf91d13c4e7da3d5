//! What a failure does, as `docs/failures.md` has it: real processes and files are broken in the midst of a job, which ends
//! with the same bytes as if nothing had.

mod harness;

use harness::disk::block_files;
use harness::processes::{Slowed, children, kill};
use harness::{Room, Running};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// Records of 100 bytes that make three map tasks.
const RECORDS: u64 = 1_400_000;

/// A coordinator and two workers of one thread, each with a scratch folder of its own.
struct Cluster<'r> {
    room: &'r Room,
    address: String,
    workers: Vec<Running<'r>>,
    coordinator: Running<'r>,
}

impl<'r> Cluster<'r> {
    fn start(room: &'r Room) -> Cluster<'r> {
        Cluster::start_with(room, "")
    }

    /// The coordinator has these flags.
    fn start_with(room: &'r Room, flags: &str) -> Cluster<'r> {
        room.windrow(&format!("generate tera --records {RECORDS} --output in"))
            .timeout(PATIENCE)
            .ok();
        room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let listen = format!("coordinator --listen {address} {flags}");
        let mut coordinator = room.windrow(&listen).timeout(PATIENCE).start();
        coordinator.until("it listens", || TcpStream::connect(&address).is_ok());
        let workers = [0, 1].map(|number| {
            std::fs::create_dir(room.path(format!("scratch-{number}"))).unwrap();
            let worker =
                format!("worker --coordinator {address} --threads 1 --scratch scratch-{number}");
            room.windrow(&worker).timeout(PATIENCE).start()
        });
        Cluster { room, address, workers: workers.into(), coordinator }
    }

    /// A job that has an executor on both workers.
    fn sort(&self, output: &str) -> Running<'r> {
        let command =
            format!("run terasort --input in --output {output} --cluster {} --json", self.address);
        let mut run = self.room.windrow(&command).timeout(PATIENCE).start();
        let busy = |worker: &Running<'_>| !children(worker.id()).is_empty();
        run.until("both workers have an executor", || self.workers.iter().all(busy));
        run
    }

    /// It succeeds, with the same bytes; how many attempts were made again.
    fn ends_well(&self, run: Running<'_>, output: &str) -> u64 {
        let done = run.wait();
        assert_eq!(done.code(), Some(0), "{}", done.stderr());
        self.room.same_output("quiet", output);
        let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
        summary["retries"].as_u64().unwrap()
    }

    /// The block files of a worker that are whole.
    fn blocks(&self, worker: usize) -> Vec<PathBuf> {
        block_files(&self.room.path(format!("scratch-{worker}")))
    }
}

#[test]
fn a_block_is_missing_or_its_checksum_is_wrong() {
    let room = room!();
    let cluster = Cluster::start(&room);
    for fault in ["flipped", "missing"] {
        let mut run = cluster.sort(fault);
        let mut broken = None;
        run.until("there are blocks", || {
            broken = cluster.blocks(0).pop();
            broken.is_some()
        });
        // Nobody reads it before all map tasks are done.
        let file = broken.unwrap();
        if fault == "missing" {
            std::fs::remove_file(file).unwrap();
        } else {
            let mut bytes = std::fs::read(&file).unwrap();
            bytes[100] ^= 1;
            std::fs::write(&file, bytes).unwrap();
        }
        assert!(cluster.ends_well(run, fault) > 0, "{fault}: nobody has seen it");
    }
}

#[test]
fn an_attempt_is_slow() {
    let room = room!();
    let cluster = Cluster::start(&room);
    let run = cluster.sort("faulted");
    // Its worker lives and is heard; the attempt in it does nothing any more.
    let executor = children(cluster.workers[0].id())[0].0;
    // SAFETY: a signal to a process that this test has started.
    unsafe { libc::kill(executor as libc::pid_t, libc::SIGSTOP) };
    cluster.ends_well(run, "faulted");
}

#[test]
fn an_attempt_goes_on_slowly() {
    let room = room!();
    let cluster = Cluster::start(&room);
    // One that is in the midst of a long lane when it is asked answers too late, and gets a backup attempt.
    let is_split_off = |number: u32| {
        let output = format!("faulted-{number}");
        let slow = Slowed::next_child_of(cluster.workers[0].id());
        let run = cluster.sort(&output);
        cluster.ends_well(run, &output);
        drop(slow);
        let why = room.windrow(&format!("explain j{number} --cluster {}", cluster.address)).ok();
        why.stdout().contains("became a task of their own")
    };
    let job = (1..=5).find(|&number| is_split_off(number)).expect("a rest is split off");
    // Of the part that another worker ran nobody can tell, and each can be run again.
    for task in ["1/2", "1/3"] {
        let again = format!("replay j{job} {task} --cluster {}", cluster.address);
        room.windrow(&again).timeout(PATIENCE).ok();
    }
}

#[test]
fn a_worker_is_told_to_drain() {
    let room = room!();
    let mut cluster = Cluster::start(&room);
    let run = cluster.sort("faulted");
    let drained = cluster.workers.remove(0);
    drained.signal(libc::SIGTERM);
    assert_eq!(cluster.ends_well(run, "faulted"), 0, "what it had begun it has done");
    assert_eq!(drained.wait().code(), Some(0));
}

#[test]
fn a_client_goes_away() {
    let room = room!();
    let cluster = Cluster::start(&room);
    let run = cluster.sort("faulted");
    kill(run.id());
    run.wait();
    let attach = format!("jobs attach j1 --cluster {}", cluster.address);
    room.windrow(&attach).timeout(PATIENCE).ok();
    room.same_output("quiet", "faulted");
}

#[test]
fn a_worker_dies() {
    let room = room!();
    let mut cluster = Cluster::start(&room);
    let run = cluster.sort("faulted");
    let dead = cluster.workers.remove(0);
    kill(dead.id());
    dead.wait();
    // It is lost once its lease has ended, of ten seconds; what it ran may have a backup attempt by then.
    let again = cluster.ends_well(run, "faulted");
    let why = room.windrow(&format!("explain j1 --cluster {}", cluster.address)).ok();
    assert!(again > 0 || why.stdout().contains("got a backup attempt"), "{}", why.stdout());
}

#[test]
fn a_worker_dies_whose_output_has_replicas() {
    let room = room!();
    let mut cluster = Cluster::start_with(&room, "--replicate-shuffle 0");
    // So that there are map tasks still when the other worker has replicas.
    let slow = Slowed::next_child_of(cluster.workers[1].id());
    let mut run = cluster.sort("faulted");
    run.until("there are replicas", || cluster.blocks(1).len() >= 2);
    let dead = cluster.workers.remove(0);
    kill(dead.id());
    dead.wait();
    drop(slow);
    cluster.ends_well(run, "faulted");
    let why = room.windrow(&format!("explain j1 --cluster {}", cluster.address)).ok();
    let told = why.stdout();
    assert!(told.contains("read from its replica"), "{told}");
    assert!(!told.contains("runs again: the worker that had its output is gone"), "{told}");
}

#[test]
fn an_executor_dies() {
    let room = room!();
    let cluster = Cluster::start(&room);
    let run = cluster.sort("faulted");
    kill(children(cluster.workers[1].id())[0].0);
    assert!(cluster.ends_well(run, "faulted") > 0);
}

#[test]
fn a_coordinator_stands_still_for_longer_than_a_lease() {
    let room = room!();
    // So long that a worker of a busy machine is heard in time.
    let cluster = Cluster::start_with(&room, "--lease-ms 4000");
    let run = cluster.sort("faulted");
    cluster.coordinator.signal(libc::SIGSTOP);
    std::thread::sleep(Duration::from_secs(9));
    cluster.coordinator.signal(libc::SIGCONT);
    assert_eq!(cluster.ends_well(run, "faulted"), 0, "something ran again");
}
