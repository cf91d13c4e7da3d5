//! What the real binary does over workers about other code, wrong addresses, nonsense on its ports and full disks: it
//! says what is wrong with which thing and what to do, leaves nothing half-written, and goes on.

mod harness;

use harness::disk::SmallDisk;
use harness::processes::{free_port, listening, memory_peak};
use harness::{Done, Room, Running};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;
use windrow_protocol::codec::preface;
use windrow_protocol::control::PROTOCOL_VERSION;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(120);

/// A coordinator that runs, and where.
fn coordinator(room: &Room) -> (Running<'_>, String) {
    coordinator_at(room, "127.0.0.1:0")
}

fn coordinator_at<'r>(room: &'r Room, address: &str) -> (Running<'r>, String) {
    let mut running = room.windrow(&format!("coordinator --listen {address}")).start();
    let id = running.id();
    running.until("a coordinator that listens", || !listening(id).is_empty());
    (running, format!("127.0.0.1:{}", listening(id)[0]))
}

/// A worker that runs, once it listens for other workers.
fn worker<'r>(room: &'r Room, program: &Path, coordinator: &str) -> Running<'r> {
    let arguments = format!("worker --threads 1 --coordinator {coordinator}");
    let mut running = room.program(program, &arguments).start();
    let id = running.id();
    running.until("a worker that listens", || !listening(id).is_empty());
    running
}

fn windrow() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_windrow"))
}

/// Panics unless a failed job has left no output and no staging.
fn nothing_is_left(room: &Room, done: &Done) {
    assert!(!room.path("out").exists(), "output of a failed job\n{}", done.report);
}

/// Runs a word count on a cluster, which has to succeed.
fn a_job_succeeds(room: &Room, coordinator: &str, output: &str) {
    room.write("words/a.txt", "b a b\n");
    let run = format!("run wordcount --input words --output {output} --cluster {coordinator}");
    room.windrow(&run).ok();
    let mut rows = room.rows(output);
    rows.sort();
    assert_eq!(rows, ["a\t1", "b\t2"]);
}

/// Answers each connection with these bytes, whatever it says.
fn impostor(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8]);
            let _ = stream.write_all(answer);
        }
    });
    address
}

/// What has to talk with a coordinator.
fn callers(room: &Room, address: &str) -> [String; 3] {
    room.write("in/a.txt", "a");
    [
        format!("run wordcount --input in --output out --cluster {address}"),
        format!("jobs list --cluster {address}"),
        format!("worker --coordinator {address}"),
    ]
}

#[test]
fn another_version_of_the_protocol() {
    let room = room!();
    let address = impostor(b"WINDROW\x63");
    for command in callers(&room, &address) {
        let done = room.windrow(&command).fails(1);
        let ours = format!("version {PROTOCOL_VERSION}");
        done.says(&[&address, "version 99", &ours, "the same release"]);
        nothing_is_left(&room, &done);
    }
    // The other way round: whoever is of another version is told ours.
    let (mut coordinator, address) = coordinator(&room);
    let mut caller = TcpStream::connect(&address).unwrap();
    caller.set_read_timeout(Some(PATIENCE)).unwrap();
    caller.write_all(b"WINDROW\x63").unwrap();
    let mut answer = Vec::new();
    caller.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, preface());
    assert!(!coordinator.has_ended());
}

#[test]
fn what_is_no_coordinator() {
    let room = room!();
    let address = impostor(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    for command in callers(&room, &address) {
        let done = room.windrow(&command).fails(1);
        done.says(&[&address, "is not a Windrow coordinator", "check host and port"]);
        nothing_is_left(&room, &done);
    }
    for address in ["nowhere", "127.0.0.1:port"] {
        for command in callers(&room, address) {
            let done = room.windrow(&command).fails(1);
            done.says(&[address, "HOST:PORT"]);
            nothing_is_left(&room, &done);
        }
    }
}

#[test]
fn a_port_in_use() {
    let room = room!();
    let (mut running, address) = coordinator(&room);
    let port = address.rsplit(':').next().unwrap();
    let done = room.windrow(&format!("coordinator --listen {address}")).fails(1);
    done.says(&[&format!("port {port} is in use"), "--listen"]);
    let worker = format!("worker --coordinator {address} --listen {address}");
    room.windrow(&worker).fails(1).says(&[&address, "in use", "another address with --listen"]);
    assert!(!running.has_ended());
    assert_eq!(room.temporary(), Vec::<PathBuf>::new(), "scratch of a worker that did not start");
}

#[test]
fn no_coordinator_at_an_address() {
    let room = room!();
    let address = format!("127.0.0.1:{}", free_port());
    let [run, list, _] = callers(&room, &address);
    for command in [run, list] {
        let done = room.windrow(&command).fails(1);
        done.says(&[&format!("no coordinator listens at {address}"), "windrow coordinator"]);
        nothing_is_left(&room, &done);
    }
    // A worker may be there before its coordinator: it waits, and says so.
    let waiting = worker(&room, &windrow(), &address);
    let (coordinator, _) = coordinator_at(&room, &address);
    a_job_succeeds(&room, &address, "after");
    drop(coordinator);
    drop(waiting);
    let mut waiting = worker(&room, &windrow(), &address);
    waiting.until_it_catches(libc::SIGTERM);
    waiting.signal(libc::SIGTERM);
    let done = waiting.wait();
    assert_eq!(done.code(), Some(0), "{}", done.report);
    done.says(&[&format!("no coordinator listens at {address}"), "trying until it is there"]);
}

/// The beginning of a connection to a worker's blocks. Of one of control it is [`preface`].
const BLOCKS_PREFACE: &[u8] = b"WRDATA\r\n\x02\0\0\0";

/// What nobody should send: all of these begin as if they meant it.
fn nonsense(preface: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let random = |bytes: u64| {
        (0..bytes).map(|at| windrow::record::mix(at, bytes) as u8).collect::<Vec<u8>>()
    };
    let after = |rest: &[u8]| [preface, rest].concat();
    let framed = |length: u32, rest: Vec<u8>| {
        // Control has its lengths in one byte order, blocks in the other.
        let length =
            if preface == BLOCKS_PREFACE { length.to_le_bytes() } else { length.to_be_bytes() };
        after(&[&length[..], &rest].concat())
    };
    vec![
        ("random bytes", random(100_000)),
        ("a request of the web", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("random bytes behind a preface", after(&random(100_000))),
        ("a giant length", framed(u32::MAX, random(1000))),
        ("the longest length, and no more", framed(1 << 20, random(10))),
        ("random bytes in a frame", framed(5000, random(5000))),
        ("a frame of nothing", framed(0, Vec::new())),
        ("half a preface", preface[..5].to_vec()),
        ("half a length", after(&[0, 0])),
        ("half a message", framed(5000, random(700))),
        ("silence", Vec::new()),
    ]
}

#[test]
fn nonsense_on_all_ports() {
    let room = room!();
    let (mut running, address) = coordinator(&room);
    let mut workers = [worker(&room, &windrow(), &address), worker(&room, &windrow(), &address)];
    let control = preface();
    let mut ports = vec![(listening(running.id())[0], &control[..])];
    for worker in &workers {
        ports.push((listening(worker.id())[0], BLOCKS_PREFACE));
    }
    let mut open = Vec::new();
    for (port, preface) in ports {
        for (what, bytes) in nonsense(preface) {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            // It may have been closed at the first bytes.
            let _ = stream.write_all(&bytes);
            open.push((what, port, stream));
        }
    }
    a_job_succeeds(&room, &address, "beside");
    // All that is no request ends its connection, sooner or later.
    for (what, port, mut stream) in open {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = Vec::new();
        let ended = stream.read_to_end(&mut answer);
        let reset = |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionReset;
        assert!(
            ended.as_ref().map_or_else(reset, |_| true),
            "{what} on port {port}: {ended:?}, and still open"
        );
    }
    a_job_succeeds(&room, &address, "behind");
    let ids = [running.id(), workers[0].id(), workers[1].id()];
    assert!(!running.has_ended() && workers.iter_mut().all(|worker| !worker.has_ended()));
    for id in ids {
        assert!(memory_peak(id) < 512 << 20, "process {id} had {} bytes", memory_peak(id));
    }
}

#[test]
fn a_full_disk_for_scratch() {
    let room = room!();
    let Some(disk) = SmallDisk::at(room.path("disk"), "1m") else { return };
    room.windrow("generate tera --records 100000 --output in").ok();
    let run = "run terasort --input in --output out --workers 2 --scratch disk";
    let done = room.windrow(run).fails(1);
    done.says(&["disk", "No space left", "--scratch"]);
    nothing_is_left(&room, &done);
    assert!(room.tree("disk").is_empty(), "{:?}\n{}", room.tree("disk").keys(), done.report);

    // With another disk beside it, attempts that failed go there.
    std::fs::create_dir(room.path("roomy")).unwrap();
    room.windrow(&format!("{run} --scratch roomy")).ok();
    room.windrow("run terasort --input in --output expected").ok();
    room.same_output("out", "expected");
    assert!(room.tree("disk").is_empty() && room.tree("roomy").is_empty());
    drop(disk);
}

#[test]
fn a_full_disk_for_output() {
    let room = room!();
    let Some(disk) = SmallDisk::at(room.path("disk"), "64k") else { return };
    room.windrow("generate tera --records 100000 --output in").ok();
    let done = room.windrow("run terasort --input in --output disk/out --workers 2").fails(1);
    done.says(&[&room.path("disk/out").display().to_string(), "disk is full", "free space"]);
    assert!(room.tree("disk").is_empty(), "{:?}\n{}", room.tree("disk").keys(), done.report);
    drop(disk);
}
