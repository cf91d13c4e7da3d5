//! Runs in which each attempt, once in three, ends its process or stalls.

use crate::quiet::{course_rows, notes, windrow};
use crate::{room, tests};
use std::collections::BTreeMap;

tests![crashes_change_nothing, a_task_beside_others_that_crash];

fn crashes_change_nothing() {
    let room = room!();
    let job = "run course --maps 10 --reduces 6 --json";
    windrow(&room, &format!("{job} --log quiet.log --output quiet")).ok();
    assert_eq!(room.rows("quiet"), course_rows(10, 6));
    let mut seen = BTreeMap::<String, usize>::new();
    for (seed, how) in [(1, "--workers 3 --threads 1"), (2, "--workers 3 --threads 2")] {
        let (output, log) = (format!("faulted-{seed}"), format!("faulted-{seed}.log"));
        let faults = format!("--map crash --reduce crash --ms 3000 --seed {seed} --log {log}");
        let done = windrow(&room, &format!("{job} {faults} --output {output} {how}")).ok();
        for (_, _, what) in notes(&room, &log) {
            *seen.entry(what).or_default() += 1;
        }
        let json: serde_json::Value = serde_json::from_str(done.stdout()).unwrap();
        assert!(json["retries"].as_u64().unwrap() > 0, "{}", done.report);
        room.same_output("quiet", &output);
    }
    assert!(seen.get("exits").is_some_and(|&exits| exits > 2), "{seen:?}");
    assert!(seen.get("sleeps").is_some_and(|&sleeps| sleeps > 2), "{seen:?}");
}

fn a_task_beside_others_that_crash() {
    let room = room!();
    // Each of tasks 1 to 7 ends its process once, and the attempt of task 0 with it.
    let run = "run course --maps 8 --reduces 1 --map drag --ms 60000 --log log --output out";
    let done = windrow(&room, &format!("{run} --workers 1 --threads 2")).ok();
    let notes = notes(&room, "log");
    let of_first = notes.iter().filter(|(task, ..)| task == "map 0");
    let dragged = of_first.filter(|(.., what)| what == "begins").count();
    assert!(dragged > 4, "{notes:?}\n{}", done.report);
    assert_eq!(room.rows("out"), course_rows(8, 1));
}
