//! Closures that do harm.

use crate::harness::Room;
use crate::harness::processes::is_alive;
use crate::quiet::windrow;
use crate::s3::S3;
use crate::stores::reaching;
use crate::{room, tests};

tests![
    a_closure_that_panics,
    closures_that_log,
    a_closure_that_loops_for_ever,
    a_closure_that_loops_once,
    a_closure_that_eats_memory,
    a_closure_that_kills_its_process_at_some_records
];

fn a_closure_that_panics() {
    let room = room!();
    let path = room.write("in/lines.txt", "one\ntwo\nthree\n");
    let run = "run each-line --input in --output out --at three --act panic --workers 2";
    let done = windrow(&room, run).run();
    assert_eq!(done.code(), Some(1), "{}", done.report);
    done.says(&["this line is too much", &path.display().to_string(), "byte 8"]);
    assert!(!room.path("out").exists(), "{}", done.report);
}

fn closures_that_log() {
    let room = room!();
    room.write("in/lines.txt", "one\ntwo\nthree\n");
    let address = cluster_up(&room, None);
    let run = format!("run each-line --input in --cluster {address} --quiet --at two");
    windrow(&room, &format!("{run} --output out --act log")).ok();
    windrow(&room, &format!("{run} --output none --act panic")).fails(1);
    let logs = windrow(&room, &format!("jobs logs j1 --cluster {address}")).ok();
    let lines: Vec<&str> = logs.stdout().lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].starts_with("j1/s0/0#0 on w") && lines[0].ends_with(", done"), "{lines:?}");
    assert!(lines[1].ends_with(" s INFO course::jobs: seen count=3"), "{lines:?}");
    // What an attempt has logged that fails is kept as well.
    let logs = windrow(&room, &format!("jobs logs j2 s0/0 --cluster {address}")).ok();
    let heads = logs.stdout().lines().filter(|line| line.ends_with(", failed")).count();
    let warned = logs.stdout().lines().filter(|line| line.contains("WARN course::jobs: too much"));
    // A lane that fails runs once more, for the place of the record.
    assert_eq!((heads, warned.count()), (4, 8), "{}", logs.stdout());
    let none = windrow(&room, &format!("jobs logs j2 s0/1 --cluster {address}")).ok();
    assert_eq!(none.stdout(), "");
    cluster_down(&room);
}

/// A cluster of two workers, with two threads each, that reaches this server.
pub(crate) fn cluster_up(room: &Room, server: Option<&S3>) -> String {
    let up = windrow(room, "cluster up --workers 2 --threads 2 --state state");
    let up = reaching(up, server).ok();
    up.stdout().trim().to_string()
}

/// Ends a cluster whose processes all live, in good order.
pub(crate) fn cluster_down(room: &Room) {
    let state = std::fs::read(room.path("state/cluster.json")).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&state).unwrap();
    for worker in state["workers"].as_array().unwrap() {
        let pid = worker.as_u64().unwrap() as u32;
        assert!(is_alive(pid), "worker {pid} has not survived: {state}");
    }
    windrow(room, "cluster down --state state").ok();
}

fn a_closure_that_loops_for_ever() {
    let room = room!();
    room.write("in/lines.txt", "one\ntwo\nthree\n");
    let address = cluster_up(&room, None);
    let run = format!("run each-line --input in --act loop --cluster {address} --task-timeout 1");
    let done = windrow(&room, &format!("{run} --output out --at two")).run();
    assert_eq!(done.code(), Some(1), "{}", done.report);
    done.says(&["failed 4 times", "ran for more than 1 s", "--task-timeout", "j1/s0/0"]);
    assert!(!room.path("out").exists(), "{}", done.report);
    // The same workers go on.
    windrow(&room, &format!("{run} --output after --at four")).ok();
    assert_eq!(room.rows("after"), ["one", "two", "three"]);
    cluster_down(&room);
}

fn a_closure_that_loops_once() {
    let room = room!();
    room.write("in/lines.txt", "one\ntwo\nthree\n");
    let run = "run each-line --input in --output out --at two --act loop --once looped";
    let done = windrow(&room, &format!("{run} --workers 2 --task-timeout 2 --json")).ok();
    let json: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(json["retries"], 1, "{}", done.report);
    assert!(room.path("looped").exists());
    assert_eq!(room.rows("out"), ["one", "two", "three"]);
}

fn a_closure_that_eats_memory() {
    let room = room!();
    room.write("in/lines.txt", "one\ntwo\nthree\n");
    let run = "run each-line --input in --act eat --workers 2 --threads 1 --memory-limit 300MiB";
    let done = windrow(&room, &format!("{run} --output out --at two")).run();
    assert_eq!(done.code(), Some(1), "{}", done.report);
    done.says(&["memory ran out", "failed 4 times", "--memory-limit is 300 MiB", "j1/s0/0"]);
    assert!(!room.path("out").exists(), "{}", done.report);
    // Once is no harm.
    let done = windrow(&room, &format!("{run} --output once --at two --once eaten --json")).ok();
    let json: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(json["retries"], 1, "{}", done.report);
    assert_eq!(room.rows("once"), ["one", "two", "three"]);
}

/// Each record is found by its process's death, and left out, as if the closure had panicked there.
fn a_closure_that_kills_its_process_at_some_records() {
    let room = room!();
    // Several tasks, of which two have a record that kills, one of them two in one lane.
    let lines = |file: usize| {
        let line = move |line: usize| match (file, line) {
            (1, 3_000) | (2, 0 | 79_999) => "boom".to_owned(),
            _ => format!("{file} {line} {}", "x".repeat(200)),
        };
        (0..80_000).map(line)
    };
    for file in 0..4 {
        let text: String = lines(file).map(|line| line + "\n").collect();
        room.write(&format!("in/{file}.txt"), text);
    }
    let wanted: Vec<String> = (0..4).flat_map(lines).filter(|line| line != "boom").collect();
    for act in ["abort", "overflow"] {
        let run = format!("run each-line --input in --at boom --act {act} --workers 2 --threads 2");
        let left = format!("{run} --output {act} --skip-bad-records 3 --json");
        let done = windrow(&room, &left).ok();
        let json: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
        assert_eq!(
            (&json["left_out"], &json["retries"]),
            (&3.into(), &0.into()),
            "{}",
            done.report
        );
        assert!(room.rows(act) == wanted, "{act}: other rows");
        let manifest = room.manifest(act);
        let left_out = manifest["left_out"].as_array().unwrap();
        let place = |at: usize| left_out[at]["place"].as_str().unwrap();
        assert!(
            place(0).contains("1.txt, byte ") && place(1).ends_with("2.txt, byte 0"),
            "{manifest}"
        );
        assert!(
            left_out[2]["message"].as_str().unwrap().contains("the process died"),
            "{manifest}"
        );
        // One more than may be: no attempt of the same can help.
        let failed = windrow(&room, &format!("{run} --output none --skip-bad-records 1")).run();
        assert_eq!(failed.code(), Some(1), "{}", failed.report);
        failed.says(&["at more than 1 records", "the process died", "2.txt, byte"]);
        assert!(!room.path("none").exists(), "{}", failed.report);
    }
}
