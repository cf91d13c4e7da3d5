//! What programs and pages ask for over HTTP, and who may.

#![allow(clippy::disallowed_methods, reason = "the server is driven in real time here")]

mod common;

use common::*;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::TcpStream;
use windrow_coordinator::{Config, Running};
use windrow_protocol::control::*;
use windrow_protocol::events::{Cursor, Since};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::*;
use windrow_protocol::security::{ClusterFolders, Credentials, Gate, Role, hand_out};

async fn json_at(running: &Running, path: &str) -> Value {
    let answer = get(running, &Credentials::off(), path, "").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("content-type: application/json"), "{path}: {head}");
    serde_json::from_str(body).unwrap()
}

fn patient(state: Option<&Path>) -> Config {
    let mut config = config();
    config.scheduler.lease_ms = 60_000;
    Config { state: state.map(Into::into), ..config }
}

/// A job that succeeded in its second try, of a cluster of two workers.
async fn with_a_job(config: Config) -> (Running, JobId) {
    let running = start_with_http(config).await;
    let fails = |order: &windrow_protocol::task::TaskOrder| {
        let AttemptId { task, number } = order.attempt;
        let bad = (task.kind, task.partition, number) == (TaskKind::Compute, 1, 0);
        Some(match bad && task.stage == StageId(0) {
            true => Err(Failure::new(FailureClass::UserCode, "it broke")),
            false => Ok(output(order, 5)),
        })
    };
    for _ in 0..2 {
        spawn(running.address, hello("b1", 2), fails);
    }
    let client = client(&running).await;
    let job = client.submit(&submission(two_stages(3))).await.unwrap();
    let status = client.wait(job, |_| ()).await.unwrap();
    assert_eq!(status.state, JobState::Succeeded);
    (running, job)
}

/// Whether a value is as a schema of OpenAPI says; what is not.
fn conforms(value: &Value, schema: &Value, all: &Value, at: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        return conforms(value, all.pointer(&name[1..]).unwrap(), all, at);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        conforms(value, part, all, at);
    }
    let is = |kind: &str| match kind {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => panic!("{kind} is no kind"),
    };
    match &schema["type"] {
        Value::String(kind) => assert!(is(kind), "{at} is no {kind}: {value}"),
        Value::Array(kinds) => {
            let any = kinds.iter().any(|kind| is(kind.as_str().unwrap()));
            assert!(any, "{at} is none of {kinds:?}: {value}");
        }
        _ => {}
    }
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{at} is none of {words:?}: {value}");
    }
    for field in schema["required"].as_array().into_iter().flatten() {
        assert!(value.get(field.as_str().unwrap()).is_some(), "{at} has no {field}: {value}");
    }
    for (field, of) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(field) {
            conforms(value, of, all, &format!("{at}.{field}"));
        }
    }
    let items = value.as_array().filter(|_| schema.get("items").is_some());
    for (number, item) in items.into_iter().flatten().enumerate() {
        conforms(item, &schema["items"], all, &format!("{at}[{number}]"));
    }
}

#[tokio::test]
async fn what_is_answered_is_as_it_is_described() {
    let programs = tempfile::tempdir().unwrap();
    let config = Config { programs: Some(programs.path().to_owned()), ..patient(None) };
    let (running, job) = with_a_job(config).await;
    let described = json_at(&running, "/api/v1/openapi.json").await;
    let mut asked = 0;
    for (path, of) in described["paths"].as_object().unwrap() {
        let answers = &of["get"]["responses"]["200"]["content"];
        let Some(schema) = answers.get("application/json").map(|of| &of["schema"]) else {
            continue;
        };
        let answer = json_at(&running, &path.replace("{job}", &job.to_string())).await;
        conforms(&answer, schema, &described, path);
        asked += 1;
    }
    assert_eq!(asked, 10);
    let nothing = get(&running, &Credentials::off(), "/api/v1/jobs/j99", "").await;
    assert!(nothing.starts_with("HTTP/1.1 404"), "{nothing}");
    assert!(
        nothing.ends_with(
            "{\"error\":\"there is no job j99; `jobs list` shows those that there are\"}"
        )
    );
}

#[tokio::test]
async fn a_job_is_shown_with_its_plan_and_its_attempts() {
    let (running, job) = with_a_job(patient(None)).await;
    let shown = json_at(&running, &format!("/api/v1/jobs/{job}")).await;
    let of = |field: &str| shown[field].clone();
    assert_eq!((of("state"), of("tasks"), of("done")), (json!("succeeded"), json!(8), json!(8)));
    assert_eq!((of("retries"), of("shuffle_bytes")), (json!(1), json!(500)));
    let stages = shown["stages"].as_array().unwrap();
    assert_eq!(stages[0]["operators"], json!(["read", "shuffle"]));
    assert_eq!((&stages[0]["reads_source"], &stages[0]["reads"]), (&json!(true), &json!([])));
    assert_eq!((&stages[1]["reads"], &stages[1]["writes_output"]), (&json!(["s0"]), &json!(true)));
    let path = format!("/api/v1/jobs/{job}/attempts");
    let attempts = json_at(&running, &path).await;
    // A listing, five map tasks and one again, three reduce tasks, a commit; each began and ended.
    assert_eq!((&attempts["attempts"], &attempts["seen"]), (&json!(11), &json!(22)));
    let ends = attempts["end"].as_array().unwrap();
    assert_eq!(ends.iter().filter(|end| **end == json!("done")).count(), 10);
    let failed = ends.iter().position(|end| *end == json!("failed")).unwrap();
    assert_eq!(
        attempts["why"],
        json!([[attempts["row"][failed], "the job's code failed: it broke"]])
    );
    let last = json_at(&running, &format!("{path}?seen=22")).await;
    assert_eq!(
        (&last["row"], &last["seen"], &last["more"]),
        (&json!([]), &json!(22), &json!(false))
    );
    let jobs = json_at(&running, "/api/v1/jobs?state=succeeded").await;
    assert_eq!(jobs["jobs"][0]["job"], json!(job.to_string()));
    assert_eq!(json_at(&running, "/api/v1/jobs?state=failed").await["jobs"], json!([]));
    let workers = json_at(&running, "/api/v1/workers").await;
    assert_eq!(workers["workers"].as_array().unwrap().len(), 2);
    let path = format!("/api/v1/jobs/{job}/explain");
    let explained = get(&running, &Credentials::off(), &path, "").await;
    assert!(explained.contains("it broke"));
}

#[tokio::test]
async fn attempts_are_shown_while_they_run() {
    let running = start_with_http(patient(None)).await;
    spawn(running.address, hello("b1", 2), |order| match order.attempt.task.kind {
        TaskKind::Split => Some(Ok(output(order, 5))),
        _ => None,
    });
    let client = client(&running).await;
    let job = client.submit(&submission(two_stages(3))).await.unwrap();
    let path = format!("/api/v1/jobs/{job}/attempts");
    eventually("two attempts run", async || {
        let attempts = json_at(&running, &path).await;
        attempts["progress"] == json!([[0, 0, 0, 0], [0, 1, 0, 0]])
    })
    .await;
    let attempts = json_at(&running, &path).await;
    assert_eq!(
        attempts["ended_ms"].as_array().unwrap().iter().filter(|end| end.is_null()).count(),
        2
    );
    let heads = "Host: localhost\r\nContent-Type: application/json\r\n";
    let cancel = format!("POST /api/v1/jobs/{job}/cancel");
    let cancelled = ask(&running, &Credentials::off(), &cancel, heads).await;
    assert!(cancelled.starts_with("HTTP/1.1 200"), "{cancelled}");
    assert_eq!(client.wait(job, |_| ()).await.unwrap().state, JobState::Cancelled);
    let attempts = json_at(&running, &path).await;
    assert_eq!(attempts["end"], json!(["done", "revoked", "revoked"]));
}

#[tokio::test]
async fn what_became_of_jobs_is_there_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let (running, job) = with_a_job(patient(Some(state.path()))).await;
    let path = format!("/api/v1/jobs/{job}/attempts");
    let attempts = json_at(&running, &path).await;
    eventually("it is written", async || state.path().join("history").join("j1.2").exists()).await;
    running.stop().await.unwrap();
    let running = start_with_http(patient(Some(state.path()))).await;
    assert_eq!(json_at(&running, &path).await, attempts);
    running.stop().await.unwrap();
    // It follows from the journal, as far as that goes back.
    std::fs::remove_dir_all(state.path().join("history")).unwrap();
    let running = start_with_http(patient(Some(state.path()))).await;
    assert_eq!(json_at(&running, &path).await, attempts);
}

/// Subscribes; the lines that come.
async fn subscribed(running: &Running, query: &str, heads: &str) -> Lines<BufReader<TcpStream>> {
    let mut stream = TcpStream::connect(running.http.unwrap()).await.unwrap();
    let request = format!("GET /api/v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{heads}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    BufReader::new(stream).lines()
}

/// The next event: its kind, id, and data.
async fn next(lines: &mut Lines<BufReader<TcpStream>>) -> (String, String, Value) {
    let (mut kind, mut id) = (String::new(), String::new());
    loop {
        let line = tokio::time::timeout(10 * SECOND, lines.next_line()).await;
        let line = line.expect("an event comes").unwrap().expect("it goes on");
        if let Some(text) = line.strip_prefix("event: ") {
            kind = text.to_owned();
        } else if let Some(text) = line.strip_prefix("id: ") {
            id = text.to_owned();
        } else if let Some(text) = line.strip_prefix("data: ") {
            return (kind, id, serde_json::from_str(text).unwrap());
        }
    }
}

/// All events of a job, until its end.
async fn all_of(lines: &mut Lines<BufReader<TcpStream>>) -> Vec<(String, String, Value)> {
    let mut all = Vec::new();
    loop {
        all.push(next(lines).await);
        if all.last().unwrap().0 == "job_ended" {
            return all;
        }
    }
}

#[tokio::test]
async fn who_subscribes_is_told_all_and_goes_on_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let (running, job) = with_a_job(patient(Some(state.path()))).await;
    let described = json_at(&running, "/api/v1/openapi.json").await;
    let query = format!("?since=oldest&job={job}");
    let all = all_of(&mut subscribed(&running, &query, "").await).await;
    let schema = &described["components"]["schemas"]["Event"];
    all.iter().for_each(|(_, _, data)| conforms(data, schema, &described, "an event"));
    let count = |kind: &str| all.iter().filter(|(of, ..)| of == kind).count();
    for (kind, expected) in [
        ("job_started", 1),
        ("stage_opened", 2),
        ("attempt_started", 11),
        ("task_done", 10),
        ("attempt_failed", 1),
        ("job_ended", 1),
    ] {
        assert_eq!(count(kind), expected, "{kind}");
    }
    let coarse = all_of(&mut subscribed(&running, &format!("{query}&coarse=true"), "").await).await;
    assert_eq!(coarse.len(), 4);
    running.stop().await.unwrap();
    let running = start_with_http(patient(Some(state.path()))).await;
    let again = all_of(&mut subscribed(&running, &query, "").await).await;
    assert_eq!(again, all, "they have other numbers after a restart");
    // As a browser does that has seen the fifth.
    let heads = format!("Last-Event-ID: {}\r\n", all[4].1);
    let rest = all_of(&mut subscribed(&running, &format!("?job={job}"), &heads).await).await;
    assert_eq!(rest, all[5..]);
    let stranger = subscribed(&running, "?since=1-1", "").await;
    let (kind, _, data) = next(&mut { stranger }).await;
    assert_eq!((kind.as_str(), data), ("missed", json!({ "events": 0 })));
    for (query, says) in [("?since=x", "no cursor of events"), ("?job=j9", "there is no job j9")] {
        let answer =
            get(&running, &Credentials::off(), &format!("/api/v1/events{query}"), "").await;
        assert!(answer.starts_with("HTTP/1.1 4") && answer.contains(says), "{answer}");
    }
}

#[tokio::test]
async fn a_cursor_outlives_the_records_that_a_snapshot_has_replaced() {
    let state = tempfile::tempdir().unwrap();
    let config = || {
        let mut config = patient(Some(state.path()));
        config.scheduler.tick_ms = 4;
        Config { snapshot_bytes: 1, ..config }
    };
    let (running, job) = with_a_job(config()).await;
    let is_snapshot =
        |entry: std::fs::DirEntry| entry.file_name().to_string_lossy().starts_with("snapshot-");
    eventually("a snapshot with all of it", async || {
        let entries = std::fs::read_dir(state.path()).unwrap();
        let last = entries.flatten().any(is_snapshot);
        tokio::time::sleep(SECOND / 10).await;
        last
    })
    .await;
    let cursor = json_at(&running, "/api/v1/cluster").await["cursor"].clone();
    running.stop().await.unwrap();
    let running = start_with_http(config()).await;
    assert_eq!(json_at(&running, "/api/v1/cluster").await["cursor"], cursor);
    let client = client(&running).await;
    let second = client.submit(&submission(two_stages(1))).await.unwrap();
    let query = format!("?since={}", cursor.as_str().unwrap());
    let (kind, id, data) = next(&mut subscribed(&running, &query, "").await).await;
    assert_eq!((kind.as_str(), &data["job"]), ("job_started", &json!(second.to_string())));
    let before: Cursor = cursor.as_str().unwrap().parse().unwrap();
    assert_eq!(id.parse::<Cursor>().unwrap().number, before.number + 1);
    // What a snapshot has made superfluous is missed, and not passed over.
    let mut all =
        subscribed(&running, &format!("?since={:x}-0&job={job}", before.stream), "").await;
    assert_eq!(next(&mut all).await.0, "missed");
}

#[tokio::test]
async fn clients_are_told_the_same_events() {
    let (running, job) = with_a_job(patient(None)).await;
    let client = client(&running).await;
    let page = client.events(Since::Oldest, Some(job), SECOND).await.unwrap();
    assert_eq!(page.events.first().unwrap().what.kind(), "job_started");
    assert_eq!(page.events.last().unwrap().what.kind(), "job_ended");
    assert_eq!((page.events.len(), page.missed), (26, None));
    let seen = Since::Cursor(page.cursor);
    let none = client.events(seen, Some(job), SECOND / 20).await.unwrap();
    assert_eq!((none.events.len(), none.missed), (0, None));
    let waiting = client.events(Since::Now, None, 10 * SECOND);
    let (page, second) = tokio::join!(waiting, async {
        tokio::time::sleep(SECOND / 10).await;
        client.submit(&submission(two_stages(1))).await.unwrap()
    });
    assert_eq!(page.unwrap().events[0].what.job(), Some(second));
    let stranger = Since::Cursor(Cursor { stream: 1, number: 7 });
    assert_eq!(client.events(stranger, None, SECOND).await.unwrap().missed, Some(0));
}

#[tokio::test]
async fn a_browser_that_shows_pages_of_elsewhere_is_no_way_in() {
    let (running, job) = with_a_job(patient(None)).await;
    let off = Credentials::off();
    for (named, status) in [
        ("Host: localhost:7078\r\n", 200),
        ("Host: 127.0.0.1\r\n", 200),
        ("Host: evil.example\r\n", 403),
        ("", 403),
    ] {
        let answer = ask(&running, &off, "GET /api/v1/jobs", named).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{named}: {answer}");
    }
    let cancel = format!("POST /api/v1/jobs/{job}/cancel");
    for (kind, status) in [
        ("", 415),
        ("Content-Type: text/plain\r\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\r\n", 415),
        ("Content-Type: application/json; charset=utf-8\r\n", 200),
    ] {
        let answer = ask(&running, &off, &cancel, &format!("Host: localhost\r\n{kind}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{kind}: {answer}");
    }
    let page = get(&running, &off, "/", "").await;
    assert!(page.contains("content-security-policy: default-src 'none'"), "{page}");
}

#[tokio::test]
async fn tokens_see_and_do_what_their_role_allows() {
    let folder = tempfile::tempdir().unwrap();
    let folders = ClusterFolders::make(&folder.path().join("cluster")).unwrap();
    let gate = Arc::new(Gate::open(&folders.coordinator).unwrap());
    let running = start_with_http(Config { gate: Some(gate.clone()), ..config() }).await;
    let holder = |name: &str, role| {
        let at = folder.path().join(name);
        hand_out(&folders.coordinator, name, role, None, &at).unwrap();
        let token = std::fs::read_to_string(at.join("token")).unwrap();
        (
            Credentials::of_folder(&at).unwrap(),
            format!("Authorization: Bearer {}\r\n", token.trim()),
        )
    };
    let (victor, sue) = (holder("victor", Role::View), holder("sue", Role::Submit));
    let json = "Host: h\r\nContent-Type: application/json\r\n";
    for (what, (credentials, token), status) in [
        ("GET /api/v1/jobs", &victor, 200),
        ("GET /api/v1/events?since=now", &(victor.0.clone(), String::new()), 401),
        ("POST /api/v1/jobs/j1/cancel", &victor, 403),
        ("POST /api/v1/jobs/j1/cancel", &sue, 404),
        ("GET /", &(victor.0.clone(), String::new()), 200),
        ("GET /api/v1/openapi.json", &(victor.0.clone(), String::new()), 200),
    ] {
        let answer = ask(&running, credentials, what, &format!("{json}{token}")).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {answer}");
    }
}

/// Takes one request, and answers with a status; its body.
async fn taken(listener: &tokio::net::TcpListener, status: &str) -> Value {
    use tokio::io::AsyncReadExt;
    let (mut stream, _) =
        tokio::time::timeout(10 * SECOND, listener.accept()).await.expect("it is told").unwrap();
    let mut bytes = Vec::new();
    let body = loop {
        let mut more = [0; 4096];
        let read = stream.read(&mut more).await.unwrap();
        assert!(read > 0, "the request is cut short");
        bytes.extend_from_slice(&more[..read]);
        let text = String::from_utf8_lossy(&bytes);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        assert!(head.starts_with("POST /hook?secret HTTP/1.1"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if length.unwrap().parse::<usize>().unwrap() == body.len() {
            break serde_json::from_str(body).unwrap();
        }
    };
    let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    body
}

#[tokio::test]
async fn webhooks_are_told_how_jobs_end_until_they_answer_and_after_a_restart() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let state = tempfile::tempdir().unwrap();
    let hook = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let file = state.path().join("addresses");
    std::fs::write(&file, format!("http://{}/hook?secret\n", hook.local_addr().unwrap())).unwrap();
    let config = || Config {
        webhooks: windrow_coordinator::Webhook::of_file(&file).unwrap(),
        ..patient(Some(&state.path().join("state")))
    };
    let (running, _) = with_a_job(config()).await;
    let told = taken(&hook, "500 Not now").await;
    assert_eq!((&told["event"], &told["end"]), (&json!("job_ended"), &json!("succeeded")));
    assert_eq!(told["result"]["tasks"], json!(8));
    assert_eq!(taken(&hook, "204 No Content").await, told);
    let kept = state.path().join("state").join("webhooks");
    eventually("it is kept", async || std::fs::read_dir(&kept).is_ok_and(|all| all.count() == 1))
        .await;
    let client = client(&running).await;
    let second = client.submit(&submission(two_stages(1))).await.unwrap();
    client.cancel(second).await.unwrap();
    // Told, and the coordinator ends before it has heard an answer.
    let (stream, _) = hook.accept().await.unwrap();
    running.stop().await.unwrap();
    drop(stream);
    let _running = start_with_http(config()).await;
    let told = taken(&hook, "200 OK").await;
    assert_eq!((&told["job"], &told["name"]), (&json!("j2"), &json!("test")));
}
