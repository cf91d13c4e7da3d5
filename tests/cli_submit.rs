//! Jobs that go on without who submitted them: `run --detach`, `run --submit-once`, and jobs of programs of the coordinator's machine,
//! submitted over HTTP.

mod harness;

use harness::processes::free_port;
use harness::{Room, Running};
use serde_json::{Value, json};
use std::net::TcpStream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use windrow_protocol::security::{Callee, Credentials};

/// A coordinator and a worker, and where they are reached.
struct Cluster<'r> {
    room: &'r Room,
    address: String,
    http: String,
    _processes: [Running<'r>; 2],
}

impl<'r> Cluster<'r> {
    fn start(room: &'r Room, coordinator: &str, worker: &str) -> Cluster<'r> {
        let (address, http) = (free_port(), free_port());
        let (address, http) = (format!("127.0.0.1:{address}"), format!("127.0.0.1:{http}"));
        let command = format!("coordinator --listen {address} --http {http} {coordinator}");
        let mut coordinator = room.windrow(&command).start();
        for at in [&address, &http] {
            coordinator.until("it listens", || TcpStream::connect(at).is_ok());
        }
        let worker = format!("worker --threads 1 --coordinator {address} {worker}");
        let worker = room.windrow(&worker).start();
        Cluster { room, address, http, _processes: [coordinator, worker] }
    }

    /// Sends JSON; the status and what is answered.
    fn post(
        &self,
        credentials: &Credentials,
        path: &str,
        token: &str,
        body: &Value,
    ) -> (u16, Value) {
        let body = body.to_string();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Authorization: Bearer {token}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = tokio::runtime::Runtime::new().unwrap().block_on(async {
            let stream = tokio::net::TcpStream::connect(&self.http).await.unwrap();
            let mut wire = credentials.connect(stream, Callee::Coordinator).await.unwrap();
            wire.write_all(request.as_bytes()).await.unwrap();
            wire.flush().await.unwrap();
            let mut answer = Vec::new();
            let _ = wire.read_to_end(&mut answer).await;
            String::from_utf8(answer).unwrap()
        });
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    fn submit(&self, body: &Value) -> (u16, Value) {
        self.post(&Credentials::off(), "/api/v1/jobs", "", body)
    }

    fn attach(&self, job: &str) {
        self.room.windrow(&format!("jobs attach {job} --cluster {}", self.address)).ok();
    }

    /// The rows that jobs count of these words.
    fn counted(&self, output: &str) {
        let mut rows = self.room.rows(output);
        rows.sort();
        assert_eq!(rows, ["a\t1", "b\t2"]);
    }
}

/// The words that are counted, and the folder of programs.
fn prepare(room: &Room) {
    room.write("in/a.txt", "b a b\n");
    room.write("programs/notes.txt", "no program\n");
    let program = room.path("programs/windrow");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_windrow"), program).unwrap();
}

#[test]
fn a_detached_job_needs_nobody() {
    let room = room!();
    prepare(&room);
    let Some(other) = harness::binaries::other_binary(&room, 0x0f) else { return };
    let cluster = Cluster::start(&room, "", "");
    let run =
        format!("run wordcount --input in --output out --cluster {} --detach", cluster.address);
    let done = room.program(&other, &run).ok();
    assert_eq!((done.stdout(), done.stderr()), ("j1\n", ""));
    cluster.attach("j1");
    cluster.counted("out");
    room.windrow("run wordcount --input in --output other --detach").fails(2).says(&["--cluster"]);
}

#[test]
fn with_one_key_a_job_runs_once() {
    let room = room!();
    prepare(&room);
    let cluster = Cluster::start(&room, "", "");
    let run = |job: &str, more: &str| {
        room.windrow(&format!(
            "run {job} --input in --output out --cluster {} {more}",
            cluster.address
        ))
    };
    run("wordcount", "--submit-once monday --quiet").ok();
    // Another job would find that its output is there.
    let again = run("wordcount", "--submit-once monday").ok();
    again.says(&["wordcount succeeded"]);
    assert_eq!(run("wordcount", "--submit-once monday --detach").ok().stdout(), "j1\n");
    run("wordcount", "--submit-once tuesday").fails(1).says(&["out", "holds files already"]);
    run("distinct", "--submit-once monday")
        .fails(1)
        .says(&["job j1 (`wordcount`)", "--submit-once"]);
    cluster.counted("out");
}

#[test]
fn programs_of_the_coordinator_are_submitted_over_http() {
    let room = room!();
    prepare(&room);
    let cluster = Cluster::start(&room, "--programs programs", "");
    let of = |arguments: &[&str]| json!({ "program": "windrow", "job": "wordcount", "arguments": arguments });
    let mut body = of(&["--input", "in", "--output", "out"]);
    body["once"] = json!("monday");
    assert_eq!(cluster.submit(&body), (200, json!({ "job": "j1" })));
    assert_eq!(cluster.submit(&body), (200, json!({ "job": "j1" })));
    cluster.attach("j1");
    cluster.counted("out");
    body["once"] = json!(null);
    body["mode"] = json!("overwrite");
    assert_eq!(cluster.submit(&body), (200, json!({ "job": "j2" })));
    cluster.attach("j2");
    cluster.counted("out");

    let with = |field: &str, value: Value| {
        let mut body = of(&["--input", "in", "--output", "new"]);
        body[field] = value;
        body
    };
    for (body, status, says) in [
        (of(&["--input", "in"]), 400, "--output"),
        // How the program runs is not for who asks.
        (
            of(&["--input", "in", "--output", "new", "--workers", "2"]),
            400,
            "unexpected argument '--workers'",
        ),
        (of(&["--input", "in", "--output", "new", "--binary", "/etc/passwd"]), 400, "--binary"),
        (of(&["--input", "in", "--output", "out"]), 400, "holds files already"),
        (with("job", json!("nothing")), 400, "there is no job `nothing`; there are wordcount"),
        (with("mode", json!("error --detach")), 400, "invalid value"),
        (with("program", json!("nothing")), 404, "no program `nothing`"),
        (with("program", json!("notes.txt")), 404, "no program"),
        (with("program", json!("../programs/windrow")), 404, "no program"),
        (with("cluster", json!("elsewhere:1")), 400, "unknown field `cluster`"),
        (json!([]), 400, "expected"),
    ] {
        let (answered, answer) = cluster.submit(&body);
        let error = answer["error"].as_str().unwrap_or_default();
        assert!(answered == status && error.contains(says), "{body}: {answered} {answer}");
    }
}

#[test]
fn without_programs_there_are_none() {
    let room = room!();
    let cluster = Cluster::start(&room, "", "");
    let (status, answer) = cluster.submit(&json!({ "program": "windrow", "job": "wordcount" }));
    assert!(status == 404 && answer["error"].as_str().unwrap().contains("--programs"), "{answer}");
}

#[test]
fn who_submits_over_http_shows_a_token_and_is_who_submitted() {
    let room = room!();
    prepare(&room);
    room.windrow("cluster init cluster").ok();
    for (name, role) in [("sue", "submit"), ("victor", "view")] {
        let new = format!(
            "cluster token new --security cluster/coordinator --name {name} --role {role} --output {name}"
        );
        room.windrow(&new).ok();
    }
    let flags = "--programs programs --security cluster/coordinator";
    let cluster = Cluster::start(&room, flags, "--security cluster/worker");
    let token = |name: &str| std::fs::read_to_string(room.path(name).join("token")).unwrap();
    let credentials = Credentials::of_folder(&room.path("sue")).unwrap();
    let arguments = ["--input", "in", "--output", "out"];
    let body = json!({ "program": "windrow", "job": "wordcount", "arguments": arguments });
    let submit = |token: &str| cluster.post(&credentials, "/api/v1/jobs", token, &body);
    assert_eq!(submit(token("victor").trim()).0, 403);
    assert_eq!(submit("wr-0-0").0, 401);
    assert_eq!(submit(token("sue").trim()), (200, json!({ "job": "j1" })));
    let attach = format!("jobs attach j1 --cluster {} --security sue", cluster.address);
    room.windrow(&attach).ok();
    cluster.counted("out");
    let listing = room.listing();
    let is_left = |line: &str| line.trim().starts_with("tmp/") && line.contains("token");
    assert!(!listing.lines().any(is_left), "a token is left: {listing}");
}
