//! A cluster that is secured, by the real binary: who has the right token does what that allows, and nobody else anything.

mod harness;

use harness::processes::{children, listening};
use harness::{Room, Running};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// A coordinator that others could reach.
fn coordinator<'r>(room: &'r Room, cluster: &str) -> (Running<'r>, String) {
    room.windrow(&format!("cluster init {cluster}")).ok();
    let command = format!("coordinator --listen 0.0.0.0:0 --security {cluster}/coordinator");
    let mut coordinator = room.windrow(&command).timeout(PATIENCE).start();
    let id = coordinator.id();
    coordinator.until("it listens", || !listening(id).is_empty());
    let address = format!("127.0.0.1:{}", listening(id)[0]);
    (coordinator, address)
}

/// A worker that seems to be on a host of its own, so that others read its blocks over the network.
fn worker<'r>(room: &'r Room, address: &str, host: &str, folder: &str) -> Running<'r> {
    let command = format!(
        "worker --coordinator {address} --host {host} --threads 1 --listen 0.0.0.0:0 --advertise 127.0.0.1 --security {folder}"
    );
    room.windrow(&command).timeout(PATIENCE).start()
}

/// A process that was interrupted: what it has said.
fn end(running: Running<'_>) -> String {
    running.signal(libc::SIGINT);
    running.wait().stderr().to_owned()
}

/// The workers that a coordinator knows.
fn workers(room: &Room, address: &str, folder: &str) -> usize {
    let status = format!("cluster status --cluster {address} --security {folder}");
    let done = room.windrow(&status).ok();
    done.stdout().lines().filter(|line| line.contains(" ready, ")).count()
}

#[test]
fn a_job_over_a_secured_cluster_gives_the_same_bytes() {
    let room = room!();
    room.windrow("generate tera --records 300000 --output in").timeout(PATIENCE).ok();
    room.windrow("run terasort --input in --output quiet").timeout(PATIENCE).ok();
    let (mut coordinator, address) = coordinator(&room, "cluster");
    let workers = ["a", "b"].map(|host| worker(&room, &address, host, "cluster/worker"));
    coordinator
        .until("both workers are there", || self::workers(&room, &address, "cluster/admin") == 2);
    let run = format!("run terasort --input in --cluster {address} --json --output");
    let run = |more: &str| room.windrow(&format!("{run} {more}"));
    let done = run("secured --security cluster/admin").timeout(PATIENCE).ok();
    room.same_output("quiet", "secured");
    let summary: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(summary["retries"], 0, "{summary}");
    // By the environment, too.
    run("by_environment").env("WINDROW_SECURITY", "cluster/admin").timeout(PATIENCE).ok();
    room.same_output("quiet", "by_environment");
    assert!(workers.iter().all(|worker| children(worker.id()).is_empty()), "executors are left");
    let log = end(coordinator);
    assert_eq!(log, "", "nobody was refused");
    for worker in workers {
        end(worker);
    }
}

#[test]
fn who_may_not_is_refused_and_logged() {
    let room = room!();
    room.write("in/a.txt", "b a b\n");
    let (mut coordinator, address) = coordinator(&room, "cluster");
    let token = |name: &str, role: &str| {
        let command = format!(
            "cluster token new --security cluster/coordinator --name {name} --role {role} --output {name}"
        );
        room.windrow(&command).ok().stdout().trim().to_owned()
    };
    let (viewer, joiner) = (token("victor", "view"), token("walter", "join"));
    token("susan", "submit");
    let joined = worker(&room, &address, "here", "walter");
    coordinator.until("a worker is there", || workers(&room, &address, "cluster/admin") == 1);
    let run = |more: &str| {
        let run = format!("run wordcount --input in --cluster {address} {more}");
        room.windrow(&run).timeout(PATIENCE)
    };
    run("--output out --security susan").ok();
    // Without the role.
    run("--output no --security victor").fails(1).says(&[
        "needs the role submit",
        &viewer,
        "victor",
    ]);
    let drain = format!("cluster drain w1 --cluster {address} --security");
    room.windrow(&format!("{drain} susan"))
        .fails(1)
        .says(&["`drain` needs the role admin", "susan"]);
    room.windrow(&format!("jobs list --cluster {address} --security victor")).ok();
    // Without anything, and of another cluster.
    run("--output no").fails(1).says(&["is secured", "--security", "WINDROW_SECURITY"]);
    room.windrow("cluster init other").ok();
    run("--output no --security other/admin").fails(1).says(&["none that `ca.pem` stands for"]);
    worker(&room, &address, "here", "other/worker").fails(1).says(&["`ca.pem`"]);
    std::fs::copy(room.path("cluster/worker/ca.pem"), room.path("other/worker/ca.pem")).unwrap();
    worker(&room, &address, "here", "other/worker").fails(1).says(&["there is no token"]);
    // A token of people makes no worker.
    worker(&room, &address, "here", "susan").fails(1).says(&["is for workers", "susan"]);
    // Strangers, on both ports.
    for port in [address.clone(), format!("127.0.0.1:{}", listening(joined.id())[0])] {
        let mut stream = TcpStream::connect(port).unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    }
    // A token that is revoked, of a worker that is there.
    let revoke = format!("cluster token revoke {joiner} --security cluster/coordinator");
    room.windrow(&revoke).ok();
    joined.fails(1).says(&["walter) was revoked"]);
    worker(&room, &address, "here", "walter").fails(1).says(&["walter) was revoked"]);
    let list = room.windrow("cluster token list --security cluster/coordinator").ok();
    assert!(
        list.stdout().contains(&format!("{joiner} join walter: it was revoked")),
        "{}",
        list.stdout()
    );
    let log = end(coordinator);
    for says in [
        "needs the role submit",
        "needs the role admin",
        "it does not speak TLS",
        "the TLS handshake failed",
        "there is no token",
        "is for workers",
        "it is no Windrow process",
        "walter) was revoked",
    ] {
        assert!(log.contains(says), "{says}: {log}");
    }
    assert!(!log.contains("wr-"), "a secret is in the log: {log}");
    assert!(!log.contains('\u{1b}'), "signs of a terminal are in the log: {log}");
}

#[test]
fn what_others_can_reach_must_be_secured() {
    let room = room!();
    let needs = ["can be reached from other machines", "--security", "cluster init"];
    room.windrow("coordinator --listen 0.0.0.0:0").fails(1).says(&needs);
    let worker = "worker --coordinator 127.0.0.1:9 --listen 0.0.0.0:0";
    room.windrow(worker).fails(1).says(&needs);
    room.windrow("coordinator --security nowhere").fails(1).says(&["nowhere", "ca-key.pem"]);
    room.windrow("cluster init cluster").ok();
    room.windrow("cluster init cluster").fails(1).says(&["cluster", "File exists"]);
}
