//! `replay` and `explain`, by the real binary: a task of a job that has ended is run again, and makes the same, or fails as it
//! did; what happened to a job is told.

mod harness;

use harness::processes::kill;
use harness::{Done, Room};
use std::time::Duration;

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// A cluster whose coordinator keeps all in `state`; its address.
fn up(room: &Room) -> String {
    let up = room.windrow("cluster up --workers 2 --state state").timeout(PATIENCE).ok();
    up.stdout().trim().to_string()
}

fn down(room: &Room) {
    room.windrow("cluster down --state state").timeout(PATIENCE).ok();
    assert_eq!(room.temporary(), Vec::<std::path::PathBuf>::new(), "scratch files are left");
}

fn shows(done: &Done, text: &str) {
    assert!(done.stdout().contains(text), "{}\n{}", done.stdout(), done.stderr());
}

#[test]
fn each_task_makes_the_same_again_also_after_the_coordinator_was_killed() {
    let room = room!();
    room.windrow("generate tera --records 1400000 --output in").timeout(PATIENCE).ok();
    let address = up(&room);
    let run = format!("run terasort --input in --output out --cluster {address}");
    room.windrow(&run).timeout(PATIENCE).ok();
    let cluster = std::fs::read(room.path("state/cluster.json")).unwrap();
    let cluster: serde_json::Value = serde_json::from_slice(&cluster).unwrap();
    kill(cluster["coordinator"].as_u64().unwrap() as u32);
    assert_eq!(up(&room), address);
    let explain = |task: &str| {
        room.windrow(&format!("explain j1 {task} --cluster {address}")).timeout(PATIENCE)
    };
    let explained = explain("").ok();
    shows(&explained, "job j1 terasort succeeded after");
    shows(&explained, "stage s1: 3 tasks (read_fixed > sort_by_prefix)");
    shows(&explain("s1/2").ok(), "task j1/s1/2 (read_fixed > sort_by_prefix)");
    shows(&explain("s0/commit").ok(), "#0 was done after");
    explain("s1/3").fails(1).says(&["job j1 had no task j1/s1/3"]);
    explain("s1").fails(2).says(&["`s1` is no task"]);
    let replay = |task: &str, more: &str| {
        room.windrow(&format!("replay j1 {task} --cluster {address} {more}")).timeout(PATIENCE)
    };
    shows(&replay("s0/split", "").ok(), "task j1/s0/split: 10 splits");
    // The sample is collected, the runs go into a shuffle.
    for task in ["s0/0", "s1/0", "s1/2"] {
        shows(&replay(task, "").ok(), &format!("the same as attempt j1/{task}#"));
    }
    for (at, part) in room.parts("out").into_iter().enumerate() {
        let kept = format!("kept-{at}");
        let again = replay(&format!("s2/{at}"), &format!("--memory 1MiB --output {kept}")).ok();
        again.says(&["stage s1, whose rows are read, runs again: 3 tasks"]);
        shows(&again, &format!("the same as attempt j1/s2/{at}#"));
        assert_eq!(room.parts(&kept), [part]);
        room.windrow(&format!("verify {kept}")).ok();
    }
    replay("s2/0", "--output kept-0").fails(1).says(&["kept-0", "holds files already"]);
    replay("s2/3", "").fails(1).says(&["stage s2 of job j1 has no task 3", "0 to 2"]);
    replay("s3/0", "").fails(1).says(&["no stage s3", "s0 to s2"]);
    replay("s2/split", "").fails(1).says(&["no split task"]);
    replay("s2", "").fails(2).says(&["`s2` is no task"]);
    down(&room);
}

#[test]
fn a_task_that_failed_fails_again() {
    let room = room!();
    room.write("in/a.txt", "Hamburg;12.0\nBerlin;-3.4\n");
    room.write("in/b.txt", "Hamburg;12.1\nBerlin;cold\n");
    let address = up(&room);
    let run = format!("run measurements --input in --output out --cluster {address}");
    let failed = room.windrow(&run).timeout(PATIENCE).fails(1);
    failed.says(&["in/b.txt", "cold"]);
    let replay = format!("replay j1 s0/0 --cluster {address}");
    let again = room.windrow(&replay).timeout(PATIENCE).run();
    assert_eq!(again.code(), Some(1), "{}", again.report);
    // Where a debugger would stop: at the panic, which is told once.
    again.says(&["task j1/s0/0", "in/b.txt", "cold", "thread 'windrow-compute-"]);
    assert_eq!(again.stderr().matches("panicked at").count(), 1, "{}", again.report);
    let later = format!("replay j1 s1/0 --cluster {address}");
    room.windrow(&later).fails(1).says(&["stage s1 of job j1 has no tasks: it was not begun"]);
    let other = format!("replay j2 s0/0 --cluster {address}");
    room.windrow(&other).fails(1).says(&["there is no job j2"]);
    down(&room);
}

#[test]
fn what_is_made_otherwise_is_told() {
    let room = room!();
    let input = room.write("in/a.txt", "a b a\n");
    let written = || std::fs::File::options().write(true).open(&input).unwrap();
    let modified = std::fs::metadata(&input).unwrap().modified().unwrap();
    let address = up(&room);
    let run = format!("run wordcount --input in --output out --cluster {address}");
    room.windrow(&run).timeout(PATIENCE).ok();
    let replay = |task: &str| {
        room.windrow(&format!("replay j1 {task} --cluster {address}")).timeout(PATIENCE)
    };
    room.write("in/a.txt", "a b b\n");
    replay("s0/0").fails(1).says(&["task j1/s0/0", "has changed since it was listed"]);
    // So that nobody sees it.
    written().set_modified(modified).unwrap();
    let other = replay("s0/0").fails(1);
    other.says(&["task j1/s0/0 made other rows for shuffles than attempt j1/s0/0#0 did"]);
    let other = replay("s1/0").fails(1);
    other.says(&["note: task j1/s0/0, whose rows are read, made other rows"]);
    other.says(&["task j1/s1/0 made other files than attempt j1/s1/0#0 did"]);
    down(&room);
}
