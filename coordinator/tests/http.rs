//! What monitors read over HTTP, secured and not.

#![allow(clippy::disallowed_methods, reason = "the server is driven in real time here")]

mod common;

use common::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use windrow_coordinator::Config;
use windrow_protocol::control::JobState;
use windrow_protocol::security::{ClusterFolders, Credentials, Gate, Role, hand_out};

/// The numbers of an answer.
fn numbers(answer: &str) -> BTreeMap<&str, f64> {
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let (_, text) = answer.split_once("\r\n\r\n").unwrap();
    let lines =
        text.lines().filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()));
    let of = |line: &'_ str| -> Option<(usize, f64)> {
        let at = line.rfind(' ')?;
        Some((at, line[at + 1..].parse().ok()?))
    };
    lines.filter_map(|line| of(line).map(|(at, value)| (&line[..at], value))).collect()
}

#[tokio::test]
async fn monitors_read_how_all_is() {
    let running = start_with_http(config()).await;
    let (client, off) = (client(&running).await, Credentials::off());
    let answer = get(&running, &off, "/metrics", "").await;
    assert!(answer.contains("content-type: text/plain; version=0.0.4"), "{answer}");
    assert_eq!(numbers(&answer)["windrow_workers{state=\"ready\"}"], 0.0);
    let _workers =
        [0, 1].map(|_| spawn(running.address, hello("b1", 2), |order| Some(Ok(output(order, 5)))));
    let job = client.submit(&submission(two_stages(3))).await.unwrap();
    let status = client.wait(job, |_| ()).await.unwrap();
    assert_eq!(status.state, JobState::Succeeded);
    let answer = get(&running, &off, "/metrics", "").await;
    let numbers = numbers(&answer);
    for (name, value) in [
        ("windrow_jobs{state=\"running\"}", 0.0),
        ("windrow_jobs_ended_total{end=\"succeeded\"}", 1.0),
        ("windrow_jobs_ended_total{end=\"failed\"}", 0.0),
        ("windrow_workers{state=\"ready\"}", 2.0),
        ("windrow_slots", 4.0),
        ("windrow_records_read_total", 50.0),
        ("windrow_shuffle_bytes_total", 500.0),
        ("windrow_retries_total", 0.0),
    ] {
        assert_eq!(numbers[name], value, "{name}: {answer}");
    }
    assert!(numbers["process_resident_memory_bytes"] > 1e6 && numbers["process_open_fds"] > 3.0);
    assert!(get(&running, &off, "/healthz", "").await.ends_with("\r\n\r\nok\n"));
    assert!(get(&running, &off, "/nothing", "").await.starts_with("HTTP/1.1 404"));
    let address = running.http.unwrap();
    running.shut_down().await.unwrap();
    assert!(TcpStream::connect(address).await.is_err(), "it listens after its end");
}

/// The words of a text that begin so.
fn words<'t>(text: &'t str, begin: &str) -> BTreeSet<&'t str> {
    let words = text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    words.filter(|word| word.starts_with(begin)).collect()
}

#[tokio::test]
async fn the_dashboard_shows_what_there_is() {
    let running = start_with_http(config()).await;
    let answer = get(&running, &Credentials::off(), "/metrics", "").await;
    let dashboard = include_str!("../../deploy/grafana/windrow.json");
    serde_json::from_str::<serde_json::Value>(dashboard).unwrap();
    for begin in ["windrow_", "process_"] {
        assert_eq!(words(dashboard, begin), words(&answer, begin));
    }
}

#[tokio::test]
async fn numbers_of_forgotten_jobs_stay() {
    let running = start_with_http(Config { ended_jobs: 1, ..config() }).await;
    let client = client(&running).await;
    let _worker = spawn(running.address, hello("b1", 2), |order| Some(Ok(output(order, 5))));
    for _ in 0..3 {
        let job = client.submit(&submission(two_stages(3))).await.unwrap();
        client.wait(job, |_| ()).await.unwrap();
    }
    let answer = get(&running, &Credentials::off(), "/metrics", "").await;
    let numbers = numbers(&answer);
    assert_eq!(numbers["windrow_jobs_ended_total{end=\"succeeded\"}"], 3.0);
    assert_eq!(numbers["windrow_records_read_total"], 150.0);
}

#[tokio::test]
async fn a_secured_coordinator_wants_tls_and_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let folders = ClusterFolders::make(&folder.path().join("cluster")).unwrap();
    let gate = Arc::new(Gate::open(&folders.coordinator).unwrap());
    let running = start_with_http(Config { gate: Some(gate), ..config() }).await;
    let victor = folder.path().join("victor");
    hand_out(&folders.coordinator, "victor", Role::View, None, &victor).unwrap();
    let credentials = Credentials::of_folder(&victor).unwrap();
    let token = |folder: &std::path::Path| {
        format!("Bearer {}", std::fs::read_to_string(folder.join("token")).unwrap().trim())
    };
    let answer = get(&running, &credentials, "/metrics", &token(&victor)).await;
    assert_eq!(numbers(&answer)["windrow_slots"], 0.0);
    assert!(get(&running, &credentials, "/healthz", "").await.ends_with("ok\n"));
    for (shown, says) in [
        ("", "HTTP/1.1 401"),
        ("Bearer wr-00000000-00", "there is no token 00000000"),
        ("Basic x", "Authorization: Bearer"),
        (&token(&folders.worker), "HTTP/1.1 403"),
    ] {
        let answer = get(&running, &credentials, "/metrics", shown).await;
        assert!(answer.contains(says) && !answer.contains("windrow_slots"), "{shown}: {answer}");
    }
    // Without TLS.
    let mut stream = TcpStream::connect(running.http.unwrap()).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(!String::from_utf8_lossy(&answer).contains("HTTP/1.1"));
}
