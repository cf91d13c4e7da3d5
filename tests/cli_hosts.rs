//! `cluster up --hosts`, by the real binary, over servers of ssh on this machine.

mod harness;

use harness::processes::{is_alive, kill, signal};
use harness::sshd::Hosts;
use harness::{Done, Room, Run};
use std::path::PathBuf;
use std::time::Duration;

/// Long enough for a slow machine that has other work: binaries with debug information are sent.
const PATIENCE: Duration = Duration::from_secs(400);

/// A command on a cluster over these hosts.
fn on<'r>(room: &'r Room, hosts: &Hosts, command: &str) -> Run<'r> {
    room.windrow(&format!("{command} --state state"))
        .env("WINDROW_SSH", hosts.command())
        .timeout(PATIENCE)
}

/// The process of the coordinator that the folder remembers.
fn coordinator(room: &Room) -> u32 {
    let json = std::fs::read(room.path("state/cluster.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    json["coordinator"].as_u64().unwrap() as u32
}

/// Panics unless nothing of a cluster is left, on this machine or on its hosts.
fn nothing_is_left(room: &Room, hosts: &Hosts, names: &[&str], coordinator: Option<u32>) {
    assert!(!room.path("state/cluster.json").exists(), "it is still remembered");
    assert!(!coordinator.is_some_and(is_alive), "the coordinator runs");
    for name in names {
        // What a worker has started ends a moment later.
        let mut tries = 0..500;
        while !hosts.processes(name).is_empty() {
            assert!(tries.next().is_some(), "{name}: processes are left");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(hosts.files(name), Vec::<PathBuf>::new(), "{name}: files are left");
    }
}

fn has(done: &Done, texts: &[&str]) {
    for text in texts {
        assert!(done.stdout().contains(text), "does not print `{text}`\n{}", done.report);
    }
}

#[test]
fn a_cluster_over_hosts_runs_jobs_and_leaves_nothing() {
    let room = room!();
    let Some(hosts) = Hosts::start(&room, &["one", "two"]) else { return };
    room.write("hosts", "# two machines\none slots=1 memory=64MiB\ntwo slots=2\n");
    room.windrow("generate tera --records 200000 --output in").timeout(PATIENCE).ok();
    room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
    let up = on(&room, &hosts, "cluster up --hosts hosts").ok();
    let address = up.stdout().trim().to_owned();
    up.says(&["state/security/admin"]);
    let pid = coordinator(&room);
    // The right slots, and secured.
    let status = on(&room, &hosts, "cluster status").ok();
    has(&status, &["0 of 1 slots", "0 of 2 slots", "host one: its worker runs", "page https://"]);
    let list = format!("jobs list --cluster {address}");
    room.windrow(&list).fails(1).says(&["is secured"]);
    let run = format!("run terasort --input in --output sorted --cluster {address} --json");
    let run = room.windrow(&run).args(["--security", "state/security/admin"]);
    let done = run.timeout(PATIENCE).ok();
    room.same_output("quiet", "sorted");
    let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert!(summary["shuffle_bytes"].as_u64().unwrap() > 0, "{summary}");
    // The token is in no argument of a process, and in no file that others may read.
    let token = std::fs::read_to_string(room.path("state/security/worker/token")).unwrap();
    for name in ["one", "two"] {
        let workers = hosts.processes(name);
        assert!(!workers.is_empty(), "{name}: no worker");
        for worker in workers {
            let line = std::fs::read(format!("/proc/{worker}/cmdline")).unwrap_or_default();
            assert!(!String::from_utf8_lossy(&line).contains(token.trim()), "{name}: the token");
        }
    }
    on(&room, &hosts, "cluster up --hosts hosts").fails(1).says(&["running already"]);
    on(&room, &hosts, "cluster down").ok();
    nothing_is_left(&room, &hosts, &["one", "two"], Some(pid));
    on(&room, &hosts, "cluster down").ok().says(&["nothing to end"]);
    room.windrow(&list).args(["--security", "state/security/admin"]).fails(1);
    // The binary is there for the next one, until it is said that there is none.
    let binaries = |name: &str| std::fs::read_dir(hosts.home(name).join("cache/windrow/binaries"));
    assert_eq!(binaries("one").unwrap().count(), 1);
    on(&room, &hosts, "cluster up --hosts hosts").ok();
    on(&room, &hosts, "cluster down --remove-binaries").ok();
    assert!(binaries("one").is_err(), "the binary is left");
}

#[test]
fn hosts_that_fail_are_named_and_nothing_goes_on_without_them_unless_it_may() {
    let room = room!();
    let Some(hosts) = Hosts::start(&room, &["one", "two"]) else { return };
    room.write("hosts", "one slots=1\nstranger\nnowhere\n");
    let failed = on(&room, &hosts, "cluster up --hosts hosts").fails(1);
    failed.says(&["2 hosts failed", "--allow-missing", "BatchMode=yes"]);
    failed.says(&["host stranger: ssh could not connect", "Permission denied"]);
    failed.says(&["host nowhere: ssh could not connect", "Connection refused"]);
    nothing_is_left(&room, &hosts, &["one"], None);
    // One that takes all but does not start its worker: the port is somebody else's.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    room.write("later", format!("one slots=1\ntwo port={port}\n"));
    let failed = on(&room, &hosts, "cluster up --hosts later").fails(1);
    failed.says(&["1 host failed", "host two: its worker has ended", "in use"]);
    nothing_is_left(&room, &hosts, &["one", "two"], None);
    // And without them.
    room.write("some", format!("one slots=1\nstranger\ntwo port={port}\n"));
    let up = on(&room, &hosts, "cluster up --hosts some --allow-missing").ok();
    up.says(&["without one: host stranger", "without one: host two"]);
    let pid = coordinator(&room);
    let status = on(&room, &hosts, "cluster status").ok();
    has(&status, &["host one: its worker runs"]);
    assert!(!status.stdout().contains("host two"), "{}", status.report);
    assert_eq!(hosts.files("two"), Vec::<PathBuf>::new());
    on(&room, &hosts, "cluster down").ok();
    nothing_is_left(&room, &hosts, &["one", "two"], Some(pid));
    // None is left.
    room.write("none", "stranger\n");
    let up = on(&room, &hosts, "cluster up --hosts none --allow-missing");
    up.fails(1).says(&["host stranger"]);
}

#[test]
fn what_died_is_started_again_and_a_host_that_cannot_be_reached_stays_remembered() {
    let room = room!();
    let Some(hosts) = Hosts::start(&room, &["one", "two"]) else { return };
    room.write("hosts", "one slots=1\n");
    room.windrow("cluster init secured").ok();
    let up = "cluster up --hosts hosts --security secured";
    let first = on(&room, &hosts, up).ok();
    first.says(&["secured/admin"]);
    let worker = hosts.processes("one");
    kill(coordinator(&room));
    let again = on(&room, &hosts, "cluster up --hosts hosts").ok();
    assert_eq!(first.stdout(), again.stdout(), "the address is another one");
    assert_eq!(hosts.processes("one"), worker, "the worker is another one");
    on(&room, &hosts, "cluster up").fails(1).says(&["running already"]);
    // The worker and the coordinator.
    worker.into_iter().for_each(kill);
    let status = on(&room, &hosts, "cluster status").ok();
    has(&status, &["host one: its worker has ended"]);
    kill(coordinator(&room));
    on(&room, &hosts, "cluster up").fails(1).says(&["a cluster over hosts"]);
    on(&room, &hosts, "cluster up --hosts hosts").ok();
    // A host more, which fails: what was there stays.
    kill(coordinator(&room));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    room.write("more", format!("one slots=1\ntwo port={port}\n"));
    let failed = on(&room, &hosts, "cluster up --hosts more").fails(1);
    failed.says(&["host two: its worker has ended", "the others go on"]);
    let pid = coordinator(&room);
    assert!(is_alive(pid), "the coordinator has ended");
    // It is not there for a while, and its worker is stuck.
    hosts.processes("one").into_iter().for_each(|worker| signal(worker, libc::SIGSTOP));
    let away = on(&room, &hosts, "cluster down --ssh no-such-ssh").fails(1);
    away.says(&["`no-such-ssh` cannot be started", "`cluster down` again"]);
    assert!(!is_alive(pid), "the coordinator runs");
    on(&room, &hosts, "cluster down").ok();
    nothing_is_left(&room, &hosts, &["one", "two"], Some(pid));
}

#[test]
fn files_of_hosts_and_flags_that_are_wrong_are_refused_before_anything_is_started() {
    let room = room!();
    room.write("hosts", "one slots=0\n");
    let up = "cluster up --state state --hosts";
    room.windrow(&format!("{up} hosts")).fails(1).says(&["hosts:1", "slots: `0`"]);
    room.windrow(&format!("{up} nowhere")).fails(1).says(&["nowhere: No such file"]);
    room.windrow(&format!("{up} hosts --workers 2")).fails(2).says(&["--workers"]);
    room.windrow("cluster up --allow-missing").fails(2).says(&["--hosts"]);
    room.write("hosts", "one\n");
    let none = room.windrow(&format!("{up} hosts --ssh no-such-ssh")).fails(1);
    none.says(&["`no-such-ssh` cannot be started", "OpenSSH"]);
    assert!(!room.path("state/cluster.json").exists());
}
