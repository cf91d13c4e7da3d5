//! `windrow top`, `events`, `trace`, the page of a cluster, and its OpenTelemetry traces, by the real binary.

mod harness;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A span, as it was told.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
    times: std::ops::Range<u64>,
    attributes: BTreeMap<String, String>,
}

/// Takes traces as a collector does, OTLP over HTTP; the address, and what came by now.
fn collector() -> (String, Arc<Mutex<Vec<Told>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let all = Arc::new(Mutex::new(Vec::new()));
    let told = all.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let told = told.clone();
            std::thread::spawn(move || {
                let mut stream = BufReader::new(stream.unwrap());
                while let Some(body) = request(&mut stream) {
                    told.lock().unwrap().extend(spans(&body));
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                    stream.get_mut().write_all(answer).unwrap();
                }
            });
        }
    });
    (address, all)
}

/// The body of the next request; `None` at the end of the connection.
fn request(stream: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let (mut line, mut length) = (String::new(), 0);
    stream.read_line(&mut line).ok().filter(|&bytes| bytes > 0)?;
    assert!(line.starts_with("POST /v1/traces "), "{line}");
    while line != "\r\n" {
        line.clear();
        stream.read_line(&mut line).ok()?;
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(body)
}

fn spans(body: &[u8]) -> Vec<Told> {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    let resources = request.resource_spans.into_iter();
    let spans = resources.flat_map(|of| of.scope_spans).flat_map(|of| of.spans);
    let attribute = |of: KeyValue| match of.value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => (of.key, text),
        value => (of.key, format!("{value:?}")),
    };
    spans
        .map(|span| Told {
            name: span.name,
            trace: span.trace_id,
            id: span.span_id,
            parent: span.parent_span_id,
            times: span.start_time_unix_nano..span.end_time_unix_nano,
            attributes: span.attributes.into_iter().map(attribute).collect(),
        })
        .collect()
}

#[test]
fn a_job_is_one_trace_whatever_processes_ran_it() {
    let room = room!();
    room.write("in/a.txt", "a b a\n");
    let (endpoint, told) = collector();
    let traced =
        |command: &str| room.windrow(command).env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    traced("run wordcount --input in --output here").ok();
    let local = std::mem::take(&mut *told.lock().unwrap());
    let address = traced("cluster up --workers 2 --state state").ok().stdout().trim().to_owned();
    let run = format!("run wordcount --input in --output there --cluster {address}");
    room.windrow(&run).ok();
    room.windrow("cluster down --state state").ok();
    let on_cluster = told.lock().unwrap().clone();
    for all in [&local, &on_cluster] {
        let named = |name: &str| all.iter().filter(|of| of.name == name).collect::<Vec<_>>();
        let job = named("job")[0];
        assert_eq!((named("job").len(), &*job.parent), (1, &[][..]), "{all:?}");
        assert_eq!(job.attributes["windrow.name"], "wordcount");
        assert!(all.iter().all(|of| of.trace == job.trace), "{all:?}");
        let above = |of: &Told| all.iter().find(|other| other.id == of.parent).unwrap();
        let lanes = named("lane");
        assert!(!lanes.is_empty(), "{all:?}");
        for lane in lanes {
            let part = above(lane);
            assert_eq!(part.name, if std::ptr::eq(all, &local) { "stage" } else { "attempt" });
            assert!(part.times.start <= lane.times.start && lane.times.end <= part.times.end);
            assert_eq!(above(part).name, "job");
        }
        let stages = named("stage");
        let operators = stages.iter().filter_map(|of| {
            let of = &of.attributes;
            of.get("windrow.operators").or_else(|| of.get("windrow.stage")).cloned()
        });
        assert!(operators.into_iter().any(|of| of == "read_words > count_by_value"), "{all:?}");
        for stage in stages {
            assert!(job.times.start <= stage.times.start && stage.times.end <= job.times.end);
        }
    }
    let attempts = on_cluster.iter().filter(|of| of.name == "attempt");
    let tasks: Vec<&str> = attempts.map(|of| &*of.attributes["windrow.task"]).collect();
    assert!(tasks.contains(&"j1/s0/0#0") && tasks.contains(&"j1/s1/0#0"), "{tasks:?}");
    // Where nobody listens, a job does not care.
    let nobody = room.windrow("run wordcount --input in --output alone");
    nobody.env("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9").ok();
}

/// What is answered to a request.
fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_cluster_is_watched_in_a_terminal_and_over_http() {
    let room = room!();
    room.write("in/a.txt", "a b a\n");
    let up = room.windrow("cluster up --workers 2 --state state").ok();
    let address = up.stdout().trim().to_owned();
    let status = room.windrow("cluster status --state state").ok();
    let page = status.stdout().lines().find_map(|line| line.strip_prefix("page http://")).unwrap();
    let page = page.trim_end_matches('/').to_owned();
    room.windrow(&format!("run wordcount --input in --output out --cluster {address}")).ok();

    assert!(get(&page, "/").contains("<title>Windrow</title>"));
    assert!(get(&page, "/api/v1/jobs/j1").contains("\"state\":\"succeeded\""));

    let top = room.windrow(&format!("top --once --cluster {address}")).ok();
    for what in ["2 workers, 0 of 2 slots in use", "wordcount", "succeeded", "w1", "w2"] {
        assert!(top.stdout().contains(what), "{what}: {}", top.stdout());
    }
    let top = room.windrow(&format!("top j1 --cluster {address}")).ok();
    for what in ["j1 wordcount: succeeded", "read_words > count_by_value", "0 retries"] {
        assert!(top.stdout().contains(what), "{what}: {}", top.stdout());
    }
    let events = room.windrow(&format!("events j1 --cluster {address}")).ok();
    let last = events.stdout().lines().last().unwrap();
    assert!(last.ends_with("job_ended end=succeeded job=j1 name=wordcount"), "{last}");
    let all = room.windrow(&format!("events --since oldest --no-follow --cluster {address}")).ok();
    assert!(all.stdout().contains("worker_joined worker=w2"), "{}", all.stdout());
    for line in room.windrow(&format!("events j1 --json --cluster {address}")).ok().stdout().lines()
    {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["job"], "j1", "{line}");
    }

    let trace = room.windrow(&format!("trace j1 --output t.json --cluster {address}")).ok();
    let lines: Vec<&str> = trace.stdout().lines().collect();
    assert!(lines[0].starts_with("j1 wordcount: ") && lines[0].contains("on 2 slots"), "{lines:?}");
    assert!((2..=5).contains(&lines.len()) && lines[1].contains(" %  "), "{lines:?}");
    let bounds = get(&page, "/api/v1/jobs/j1/bounds");
    assert!(bounds.contains("j1 wordcount: ") && bounds.contains("slots"), "{bounds}");
    let trace: serde_json::Value =
        serde_json::from_slice(&std::fs::read(room.path("t.json")).unwrap()).unwrap();
    let of = |name: &str| {
        trace.as_array().unwrap().iter().filter(|of| of["name"] == name).collect::<Vec<_>>()
    };
    let map = of("s0/0#0")[0];
    assert_eq!((&map["ph"], &map["args"]["ended"]), (&"X".into(), &"done".into()));
    assert_eq!((&map["args"]["records"], &map["args"]["bytes read"]), (&3.into(), &6.into()));
    let spent = |what: &str| map["args"][what].as_f64().unwrap();
    assert!(spent("ms in operators and outputs") > 0.0 && spent("ms finishing") > 0.0, "{map}");
    assert_eq!(of("list s0#0").len(), 1);
    assert_eq!(of("s0: read_words > count_by_value")[0]["pid"], 0);
    let nowhere = room.windrow(&format!("trace j1 --output no/t.json --cluster {address}"));
    nowhere.fails(1).says(&["no/t.json cannot be written"]);

    for command in ["top j9", "events j9", "trace j9"] {
        let failed = room.windrow(&format!("{command} --cluster {address}")).fails(1);
        failed.says(&["there is no job j9", "jobs list"]);
    }
    room.windrow(&format!("events --since 17 --cluster {address}")).fails(2).says(&["no cursor"]);

    // One that is started again is where it was, and knows what became of the job.
    let remembered = std::fs::read_to_string(room.path("state/cluster.json")).unwrap();
    let remembered: serde_json::Value = serde_json::from_str(&remembered).unwrap();
    harness::processes::kill(remembered["coordinator"].as_u64().unwrap() as u32);
    let again = |room: &harness::Room| {
        room.windrow("cluster up --workers 2 --state state").run().code() == Some(0)
    };
    let begun = std::time::Instant::now();
    while !again(&room) {
        assert!(begun.elapsed() < std::time::Duration::from_secs(60), "it does not start again");
    }
    assert!(get(&page, "/api/v1/jobs/j1").contains("\"state\":\"succeeded\""));
    assert!(get(&page, "/api/v1/jobs/j1/attempts").contains("\"kind\":[\"split\","));
    room.windrow("cluster down --state state").ok();
}

#[test]
fn logs_are_json_where_that_is_wanted() {
    let room = room!();
    room.write("in/a.txt", "a b a\n");
    let run = room.windrow("run wordcount --input in --output out --workers 1 --quiet");
    let run = run.env("WINDROW_LOG", "debug").env("WINDROW_LOG_FORMAT", "json").ok();
    let mut lines = 0;
    for line in run.stderr().lines() {
        let logged: serde_json::Value = serde_json::from_str(line).unwrap();
        for field in ["timestamp", "level", "target", "message"] {
            assert!(logged[field].is_string(), "{line}");
        }
        lines += 1;
    }
    assert!(lines > 0, "nothing is logged");
}
