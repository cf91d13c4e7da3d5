//! `windrow top`, `windrow events` and the page of a cluster, by the real binary.

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;

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

    for command in ["top j9", "events j9"] {
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
