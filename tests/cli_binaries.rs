//! Jobs of programs that the workers do not know, as users run them: the real binary, and others that differ from it.

mod harness;

use harness::binaries::{binary_of, other_binary};
use harness::processes::{children, kill, listening};
use harness::{Room, Running};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A coordinator with a state folder, and where it listens.
fn coordinator(room: &Room) -> (Running<'_>, String) {
    let mut running = room.windrow("coordinator --listen 127.0.0.1:0 --state state").start();
    let id = running.id();
    running.until("a coordinator that listens", || !listening(id).is_empty());
    (running, format!("127.0.0.1:{}", listening(id)[0]))
}

/// A worker with a folder of its own.
fn worker<'r>(room: &'r Room, folder: &str, coordinator: &str) -> Running<'r> {
    let scratch = room.path(folder);
    std::fs::create_dir_all(&scratch).unwrap();
    let arguments = format!("worker --threads 1 --coordinator {coordinator} --host {folder}");
    let run = room.windrow(&arguments).arg("--scratch").arg(&scratch);
    let mut running = run.arg("--binaries").arg(scratch.join("binaries")).start();
    let id = running.id();
    running.until("a worker that listens", || !listening(id).is_empty());
    running
}

/// The binaries that a worker of this folder has.
fn binaries(room: &Room, folder: &str) -> BTreeSet<PathBuf> {
    let Ok(entries) = std::fs::read_dir(room.path(folder).join("binaries")) else {
        return BTreeSet::new();
    };
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// What the coordinator keeps of binaries, with when it was written.
fn kept(room: &Room) -> BTreeSet<(PathBuf, std::time::SystemTime)> {
    let entries = std::fs::read_dir(room.path("state/binaries")).unwrap();
    let written = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), written(&path))).collect()
}

/// Words in so many files: each is a task.
fn write_words(room: &Room, files: u32) {
    for file in 0..files {
        room.write(&format!("words/{file}.txt"), "b a b\n".repeat(100));
    }
}

fn count(room: &Room, program: &Path, coordinator: &str, output: &str) {
    let run = format!("run wordcount --input words --output {output} --cluster {coordinator}");
    room.program(program, &run).ok();
    let mut rows = room.rows(output);
    rows.sort();
    assert_eq!(rows, ["a\t1200", "b\t2400"]);
}

const FILES: u32 = 12;

#[test]
fn a_job_of_other_code_gets_to_workers_once() {
    let room = room!();
    let Some(other) = other_binary(&room, 0xff) else { return };
    write_words(&room, FILES);
    let (_coordinator, address) = coordinator(&room);
    let folders = ["one", "two", "three"];
    let workers: Vec<Running<'_>> =
        folders.iter().map(|folder| worker(&room, folder, &address)).collect();
    // The workers' own needs none.
    count(&room, Path::new(env!("CARGO_BIN_EXE_windrow")), &address, "own");
    assert!(!room.path("state/binaries").exists());

    count(&room, &other, &address, "first");
    room.same_output("own", "first");
    let have: Vec<_> = folders.iter().map(|folder| binaries(&room, folder)).collect();
    assert!(have.iter().any(|have| have.len() == 1), "{have:?}");
    assert!(have.iter().all(|have| have.len() <= 1), "{have:?}");
    let sent = kept(&room);
    count(&room, &other, &address, "second");
    assert_eq!(kept(&room), sent, "a binary was sent twice");
    drop(workers);
}

#[test]
fn programs_share_a_cluster() {
    let room = room!();
    let Some(others) = [1, 2].map(|number| other_binary(&room, number)).into_iter().collect()
    else {
        return;
    };
    let others: Vec<PathBuf> = others;
    write_words(&room, FILES);
    let (_coordinator, address) = coordinator(&room);
    let _worker = worker(&room, "one", &address);
    let runs: Vec<Running<'_>> = others
        .iter()
        .enumerate()
        .map(|(at, other)| {
            let run = format!("run wordcount --input words --output out{at} --cluster {address}");
            room.program(other, &run).start()
        })
        .collect();
    for run in runs {
        run.ok();
    }
    room.same_output("out0", "out1");
    assert_eq!(binaries(&room, "one").len(), 2);
}

#[test]
fn a_binary_that_was_changed_on_a_worker_is_fetched_again() {
    let room = room!();
    let Some(other) = other_binary(&room, 0xff) else { return };
    write_words(&room, FILES);
    let (_coordinator, address) = coordinator(&room);
    let _worker = worker(&room, "one", &address);
    count(&room, &other, &address, "first");
    let there = binaries(&room, "one").pop_first().unwrap();
    let right = std::fs::read(&there).unwrap();
    std::fs::remove_file(&there).unwrap();
    std::fs::copy("/bin/true", &there).unwrap();
    count(&room, &other, &address, "second");
    assert!(std::fs::read(&there).unwrap() == right);
}

#[test]
fn a_coordinator_that_is_started_again_has_the_binary() {
    let room = room!();
    let Some(other) = other_binary(&room, 0xff) else { return };
    write_words(&room, FILES);
    let (first, address) = coordinator(&room);
    let one = worker(&room, "one", &address);
    count(&room, &other, &address, "first");
    let sent = kept(&room);
    kill(first.id());
    first.wait();
    kill(one.id());
    one.wait();
    let again = format!("coordinator --listen {address} --state state");
    let mut again = room.windrow(&again).start();
    let id = again.id();
    again.until("a coordinator that listens again", || !listening(id).is_empty());
    let _two = worker(&room, "two", &address);
    count(&room, &other, &address, "second");
    assert_eq!(binaries(&room, "two").len(), 1);
    assert_eq!(kept(&room), sent, "a binary was sent twice");
}

#[test]
fn what_cannot_be_started_fails_the_job_and_says_why() {
    let room = room!();
    write_words(&room, 1);
    let (_coordinator, address) = coordinator(&room);
    let _worker = worker(&room, "one", &address);
    let run = format!("run wordcount --input words --output out --cluster {address}");
    for (file, says) in [
        ("words/0.txt", &["words/0.txt", "is no binary"][..]),
        ("nowhere", &["nowhere", "cannot be read"]),
        // It is a binary, and has no jobs.
        ("/bin/true", &["the executor died while it started", "exit status: 0"]),
    ] {
        let done = room.windrow(&format!("{run} --binary {file}")).fails(1);
        done.says(says);
        assert!(!room.path("out").exists(), "{}", done.report);
    }
    // The machine's number in the ELF header.
    let mut bytes = std::fs::read(env!("CARGO_BIN_EXE_windrow")).unwrap();
    bytes[18] = match bytes[18] {
        0x3e => 0xb7,
        _ => 0x3e,
    };
    let foreign = binary_of(&room, "foreign", bytes);
    let done = room.windrow(&format!("{run} --binary {}", foreign.display())).fails(1);
    done.says(&["no connected worker runs binaries for", "--binary"]);
    assert!(!room.path("out").exists(), "{}", done.report);
}

#[test]
fn a_file_of_the_same_program_takes_the_place_of_the_binary_here() {
    let room = room!();
    let Some(other) = other_binary(&room, 0xff) else { return };
    write_words(&room, FILES);
    let (_coordinator, address) = coordinator(&room);
    let mut one = worker(&room, "one", &address);
    let run = format!("run wordcount --input words --output out --cluster {address}");
    let running = room.windrow(&format!("{run} --binary {}", other.display())).start();
    let id = one.id();
    one.until("an executor of it", || {
        children(id).iter().any(|(child, _)| {
            let program = std::fs::read_link(format!("/proc/{child}/exe")).unwrap_or_default();
            binaries(&room, "one").contains(&program)
        })
    });
    running.ok();
}
