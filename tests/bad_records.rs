//! Records at which the job's code fails, and that are left out: the same ones whoever runs the job, listed with their
//! places; and jobs that fail at one too many.

mod harness;

use std::time::Duration;
use windrow::prelude::*;
use windrow::{Local, Outcome, RunError};

/// Long enough for a slow machine that has other work.
const PATIENCE: Duration = Duration::from_secs(240);

/// Lines of numbers in several files, of which some are none.
fn numbers(room: &harness::Room, bad: &[u32]) {
    for file in 0..4 {
        let lines = (0..30_000).map(|line| {
            let number = file * 30_000 + line;
            if bad.contains(&number) { format!("x{number}\n") } else { format!("{number}\n") }
        });
        room.write(&format!("in/{file}.txt"), lines.collect::<String>());
    }
}

/// The sum of the numbers by their last digit; it panics at what is no number, and at those that end with 77,777.
fn sums(room: &harness::Room, threads: usize, most: u32) -> Result<Outcome, RunError> {
    let input = room.path("in");
    Local::new().threads(threads).skip_bad_records(most).run_plan("sums", |flow| {
        flow.read_lines(&*input)
            .map(|line| line.parse::<u64>().expect("a number"))
            .filter(|number| number != 77_777 || panic!("not this one"))
            .map(|number| (number % 10, number))
            .sum_by_key()
            .collect("sums")
    })
}

#[test]
fn what_the_code_fails_at_is_left_out_whatever_the_threads() {
    let room = room!();
    let bad = [0, 1, 2, 40_000, 119_999];
    numbers(&room, &bad);
    let mut wanted = [0u64; 10];
    for number in (0..120_000u32).filter(|number| !bad.contains(number) && *number != 77_777) {
        wanted[number as usize % 10] += u64::from(number);
    }
    for threads in [1, 3] {
        let outcome = sums(&room, threads, 6).unwrap();
        assert_eq!(outcome.summary.left_out, 6);
        assert_eq!(outcome.summary.records_read, 120_000 - 6);
        let mut rows: Vec<(u64, u64)> = outcome.rows("sums").unwrap();
        rows.sort_unstable();
        assert!(rows.into_iter().map(|row| row.1).eq(wanted));
    }
    // One more than may be.
    let failure = sums(&room, 3, 5).unwrap_err().to_string();
    assert!(failure.contains("at more than 5 records"), "{failure}");
    assert!(failure.contains("0.txt, byte 0"), "{failure}");
    // And none, if it is not said that some may.
    let failure = sums(&room, 3, 0).unwrap_err().to_string();
    assert!(failure.contains("the job's code failed: panic: a number"), "{failure}");
}

#[test]
fn an_output_lists_what_was_left_out_in_order_also_over_workers() {
    let room = room!();
    let text: String = (0..200_000)
        .map(|line| match line {
            5 | 100_000 | 199_999 => format!("broken {line}\n"),
            _ => format!("station{};{}.{}\n", line % 50, line % 30, line % 10),
        })
        .collect();
    for file in 0..3 {
        room.write(&format!("in/{file}.txt"), &text);
    }
    let run = |flags: &str, output: &str| {
        let command = format!("run measurements --input in --output {output} --quiet {flags}");
        room.windrow(&command).timeout(PATIENCE)
    };
    run("--skip-bad-records 9", "one").ok();
    run("--skip-bad-records 9 --workers 2", "other").ok();
    room.same_output("one", "other");
    let manifest = room.manifest("one");
    assert_eq!(manifest["left_out"], room.manifest("other")["left_out"]);
    let left_out = manifest["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 9);
    let last = left_out.last().unwrap();
    let at = text.len() - "broken 199999\n".len();
    assert!(last["place"].as_str().unwrap().ends_with(&format!("in/2.txt, byte {at}")), "{last}");
    assert!(last["message"].as_str().unwrap().contains("broken 199999"), "{last}");
    assert!(last["stage"].as_str().unwrap().contains("read_lines"), "{last}");

    for flags in ["--skip-bad-records 8", "--skip-bad-records 8 --workers 2"] {
        let failed = run(flags, "none").fails(1);
        failed.says(&["at more than 8 records", "no measurement", "0.txt, byte"]);
        assert!(!room.path("none").exists(), "{flags}: {}", room.listing());
    }
    run("--skip-bad-records 10001", "none").fails(2);
}
