//! Runs in which nothing fails.

use crate::harness::processes::{below, is_alive};
use crate::harness::{Done, Room, Run};
use crate::{PROGRAM, room, tests};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

tests![
    word_count,
    indexer,
    map_tasks_run_at_the_same_time,
    reduce_tasks_run_at_the_same_time,
    each_task_runs_once,
    slow_tasks_run_once_too,
    nobody_leaves_before_the_output_is_there,
    a_stage_runs_where_its_label_is,
];

/// A stage whose dataset needs a label runs where that is, and the others run anywhere.
fn a_stage_runs_where_its_label_is() {
    let room = room!();
    for file in 0..6 {
        room.write(&format!("in/{file}.txt"), "one\ntwo\none\n");
    }
    let up = windrow(&room, "cluster up --workers 1 --state state").ok();
    let address = up.stdout().trim();
    let run =
        format!("run each-line --input in --at two --act log --label gpu --cluster {address}");
    let waiting = windrow(&room, &format!("{run} --output waits --detach")).ok();
    let job = waiting.stdout().trim();
    let show = format!("jobs show {job} --cluster {address}");
    let waits = "waiting: a worker that has the label gpu";
    while !windrow(&room, &show).ok().stdout().contains(waits) {}
    let labelled = windrow(&room, &format!("worker --label gpu --coordinator {address}")).start();
    windrow(&room, &format!("jobs attach {job} --cluster {address}")).ok();
    windrow(&room, &format!("{run} --output out --quiet")).ok();
    let mut rows = room.rows("out");
    rows.sort();
    assert_eq!(rows, ["one 12", "two 6"]);
    windrow(&room, &format!("trace j2 --output trace.json --cluster {address}")).ok();
    let trace: serde_json::Value =
        serde_json::from_slice(&std::fs::read(room.path("trace.json")).unwrap()).unwrap();
    let maps = trace.as_array().unwrap().iter().filter(|event| {
        event["ph"] == "X" && event["name"].as_str().is_some_and(|name| name.starts_with("s0/"))
    });
    let workers: Vec<&serde_json::Value> = maps.map(|map| &map["pid"]).collect();
    assert!(!workers.is_empty() && workers.iter().all(|worker| **worker == 2), "{trace}");
    windrow(&room, "cluster down --state state").ok();
    labelled.wait();
}

/// This program as Windrow with the jobs.
pub(crate) fn windrow<'r>(room: &'r Room, arguments: &str) -> Run<'r> {
    let program: PathBuf = std::env::current_exe().unwrap();
    room.program(&program, arguments).env(PROGRAM, "1")
}

/// What the closures of a run have noted: `(task, process, what)`.
pub(crate) fn notes(room: &Room, log: &str) -> Vec<(String, u32, String)> {
    let text = fs::read_to_string(room.path(log)).unwrap_or_default();
    let note = |line: &str| {
        let (task, rest) = line.split_once(" process ").unwrap();
        let (process, what) = rest.split_once(' ').unwrap();
        (task.to_string(), process.parse().unwrap(), what.to_string())
    };
    text.lines().map(note).collect()
}

/// How often each task has begun.
fn begun(room: &Room, log: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for (task, _, what) in notes(room, log) {
        *counts.entry(task).or_default() += usize::from(what == "begins");
    }
    counts
}

fn once_each(maps: usize, reduces: usize) -> BTreeMap<String, usize> {
    let maps = (0..maps).map(|number| (format!("map {number}"), 1));
    maps.chain((0..reduces).map(|number| (format!("reduce {number}"), 1))).collect()
}

/// What the job `course` writes.
pub(crate) fn course_rows(maps: u64, reduces: u64) -> Vec<String> {
    let row = |reduce, map| format!("{reduce}\t{map}\t{}", windrow::record::mix(reduce, map));
    (0..reduces).flat_map(|reduce| (0..maps).map(move |map| row(reduce, map))).collect()
}

/// Files of text, and what is in them.
fn texts(room: &Room) -> BTreeMap<String, String> {
    let text = |file: u64| {
        let word = |at: u64| format!("word{}", windrow::record::mix(at, file) % (200 + 40 * file));
        let line = |line: u64| (0..9).map(|at| word(line * 9 + at)).collect::<Vec<_>>().join(" ");
        (0..300 * (file + 1)).map(|at| line(at) + "\n").collect::<String>()
    };
    let texts = (0..8).map(|file| (format!("in/{file}.txt"), text(file)));
    let texts = texts.map(|(name, text)| (room.write(&name, &text).display().to_string(), text));
    texts.collect()
}

/// Runs a job alone and over workers; all outputs have the same bytes, and these lines, in any order.
fn same_over_workers(room: &Room, job: &str, mut expected: Vec<String>) {
    windrow(room, &format!("run {job} --input in --output alone --threads 1")).ok();
    for workers in [2, 4] {
        let output = format!("over-{workers}");
        let run = format!("run {job} --input in --output {output} --workers {workers}");
        windrow(room, &run).ok();
        room.same_output("alone", &output);
    }
    let mut rows = room.rows("alone");
    rows.sort();
    expected.sort();
    for (row, expected) in rows.iter().zip(&expected) {
        assert_eq!(row, expected);
    }
    assert_eq!(rows.len(), expected.len());
}

fn word_count() {
    let room = room!();
    let mut counts = BTreeMap::<&str, u64>::new();
    let texts = texts(&room);
    for word in texts.values().flat_map(|text| text.split_ascii_whitespace()) {
        *counts.entry(word).or_default() += 1;
    }
    let lines = counts.iter().map(|(word, count)| format!("{word}\t{count}")).collect();
    same_over_workers(&room, "words", lines);
}

fn indexer() {
    let room = room!();
    let mut files = BTreeMap::<&str, BTreeSet<&str>>::new();
    let texts = texts(&room);
    for (name, text) in &texts {
        for word in text.split_ascii_whitespace() {
            files.entry(word).or_default().insert(name);
        }
    }
    let line = |(word, files): (&&str, &BTreeSet<&str>)| {
        format!("{word}\t{}", files.iter().copied().collect::<Vec<_>>().join(","))
    };
    same_over_workers(&room, "index", files.iter().map(line).collect());
}

/// Long enough for a machine that has other work; only a run that fails takes so long.
const PATIENCE_MS: u64 = 60_000;

/// Runs two workers with a task of a kind each, which wait for one another.
fn meet(room: &Room, kind: &str) {
    let run = format!(
        "run course --maps 2 --reduces 2 --{kind} meet --ms {PATIENCE_MS} --log log --output out \
         --workers 2 --threads 1"
    );
    let done = windrow(room, &run).ok();
    let notes = notes(room, "log");
    let of_kind: Vec<_> = notes.iter().filter(|(task, ..)| task.starts_with(kind)).collect();
    let processes: BTreeSet<u32> = of_kind.iter().map(|(_, process, _)| *process).collect();
    assert_eq!(processes.len(), 2, "{of_kind:?}\n{}", done.report);
    let met = of_kind.iter().filter(|(.., what)| what == "met another").count();
    let alone = of_kind.iter().filter(|(.., what)| what == "met nobody").count();
    assert_eq!((met, alone), (2, 0), "{of_kind:?}\n{}", done.report);
}

fn map_tasks_run_at_the_same_time() {
    meet(&room!(), "map");
}

fn reduce_tasks_run_at_the_same_time() {
    meet(&room!(), "reduce");
}

/// Nothing was run again, as the run says itself.
fn no_retries(done: &Done) {
    let json: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
    assert_eq!(json["retries"], 0, "{}", done.report);
}

fn each_task_runs_once() {
    let room = room!();
    for (output, how) in [
        ("alone", "--threads 2"),
        ("one", "--workers 1 --threads 2"),
        ("three", "--workers 3 --threads 2"),
    ] {
        let run = format!("run course --maps 12 --reduces 5 --log {output}.log --json");
        let done = windrow(&room, &format!("{run} --output {output} {how}")).ok();
        let found = begun(&room, &format!("{output}.log"));
        assert_eq!(found, once_each(12, 5), "{how}\n{}", done.report);
        no_retries(&done);
        assert_eq!(room.rows(output), course_rows(12, 5));
    }
}

fn slow_tasks_run_once_too() {
    let room = room!();
    // Each takes longer than a lease, and heartbeats keep it. None is slower than the others, nor slow enough for a
    // backup attempt.
    let run =
        "run course --maps 4 --reduces 2 --map sleep --reduce sleep --ms 4500 --log log --json";
    let how = "--output out --workers 2 --threads 2 --lease-ms 3000";
    let done = windrow(&room, &format!("{run} {how}")).ok();
    assert_eq!(begun(&room, "log"), once_each(4, 2), "{}", done.report);
    no_retries(&done);
    assert_eq!(room.rows("out"), course_rows(4, 2));
}

fn nobody_leaves_before_the_output_is_there() {
    let room = room!();
    // All but one task are done long before the last.
    let run = "run course --maps 4 --reduces 4 --map note --reduce sleep-in-the-last --ms 1500";
    let how = "--log log --output out --workers 3 --threads 1";
    let mut run = windrow(&room, &format!("{run} {how}")).start();
    let id = run.id();
    run.until("the last task", || {
        let notes = notes(&room, "log");
        notes.iter().any(|(task, _, what)| task == "reduce 3" && what == "begins")
    });
    let all = below(id);
    assert!(all.len() >= 4, "three workers, and their executors: {all:?}");
    let success = room.path("out").join("_SUCCESS");
    let mut left = None;
    while left.is_none() {
        left = all.keys().copied().find(|&pid| !is_alive(pid));
        if run.has_ended() {
            left = Some(id);
        }
        // Looked at after a process was seen to be gone: it was gone before.
        let is_there = success.exists();
        if let Some(pid) = left {
            assert!(is_there, "process {pid} left before the output was there: {all:?}");
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let done = run.wait();
    assert_eq!(done.code(), Some(0), "{}", done.report);
    assert_eq!(room.rows("out"), course_rows(4, 4));
}
