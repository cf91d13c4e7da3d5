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
    let quarantine = |output: &str| {
        let job = room.manifest(output)["job"].as_str().unwrap().to_owned();
        let file = room.path(format!("{output}/_quarantine/part-00000-{job}.jsonl"));
        std::fs::read_to_string(file).unwrap()
    };
    let rows = quarantine("one");
    assert_eq!((rows.lines().count(), &rows), (9, &quarantine("other")));
    let first: serde_json::Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert!(first["location"].as_str().unwrap().ends_with("in/0.txt"), "{first}");
    assert_eq!((&first["unit"], &first["offset"]), (&"byte".into(), &text.find("broken").into()));
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

/// A row of the files below.
#[derive(Clone, Debug, PartialEq, Record)]
struct Row {
    id: u64,
    name: String,
}

/// Places and messages.
type LeftOut = Vec<(String, String)>;

/// What is left of a source, and the places and messages of what is not.
fn left_of(
    room: &harness::Room,
    threads: usize,
    most: u32,
    read: impl Fn(&Flow) -> Dataset<Row> + Send + Sync + 'static,
) -> Result<(Vec<Row>, LeftOut), RunError> {
    let output = room.path("out");
    let _ = std::fs::remove_dir_all(&output);
    let outcome =
        Local::new().threads(threads).skip_bad_records(most).run_plan("rows", |flow| {
            let rows = read(flow).filter(|row| row.name != "panic" || panic!("not this row"));
            rows.write_json(&*output)?;
            rows.collect("rows")
        })?;
    let manifest = room.manifest("out");
    let left_out = manifest["left_out"].as_array().unwrap().iter();
    let text = |of: &serde_json::Value, what: &str| of[what].as_str().unwrap().to_owned();
    let left_out = left_out.map(|of| (text(of, "place"), text(of, "message")));
    Ok((outcome.rows("rows").unwrap(), left_out.collect()))
}

fn row(id: u64, name: &str) -> Row {
    Row { id, name: name.to_owned() }
}

/// They are left out with the row's number, in order with those at which the code fails, and what follows is read.
#[test]
fn rows_that_cannot_be_parsed_are_left_out() {
    let room = room!();
    let csv = "id,name\n1,one\nx,two\n3,\"three\nand more\"\n4,panic\n5,five,6\n7,seven\n8,\"open\n9,nine\n";
    room.write("csv/a.csv", csv);
    let json = "{\"id\":1,\"name\":\"one\"}\n{\"id\":2}\n\n{\"id\":-3,\"name\":\"three\"}\n{\"id\":4,\"name\":\"panic\"}\n{no\n{\"id\":7,\"name\":\"seven\"} {\"id\":8,\"name\":\"x\"}\n{\"id\":9,\"name\":\"nine\"}\n";
    room.write("json/a.json", json);
    let (from_csv, from_json) = (room.path("csv"), room.path("json"));
    for threads in [1, 3] {
        let from = from_csv.clone();
        let (rows, left_out) =
            left_of(&room, threads, 9, move |flow| flow.read_csv(&*from)).unwrap();
        assert_eq!(rows, [row(1, "one"), row(3, "three\nand more"), row(7, "seven")]);
        let numbers = [1, 3, 4, 6].map(|row| format!("a.csv, row {row}"));
        let wanted = ["cannot be parsed", "not this row", "cannot be parsed", "has no end"];
        assert_eq!(left_out.len(), numbers.len(), "{left_out:?}");
        for ((place, message), (number, part)) in left_out.iter().zip(numbers.iter().zip(wanted)) {
            assert!(place.ends_with(number) && message.contains(part), "{left_out:?}");
        }
        let from = from_json.clone();
        let (rows, left_out) =
            left_of(&room, threads, 9, move |flow| flow.read_json(&*from)).unwrap();
        assert_eq!(rows, [row(1, "one"), row(9, "nine")]);
        let places: Vec<&str> =
            left_out.iter().map(|(place, _)| place.rsplit('/').next().unwrap()).collect();
        assert_eq!(
            places,
            ["a.json, row 1", "a.json, row 2", "a.json, row 3", "a.json, row 4", "a.json, row 5"]
        );
    }
    // One more than may be, and none where that was not said.
    for (most, says) in [(3, "at more than 3 records"), (0, "a.csv")] {
        let from = from_csv.clone();
        let failed = left_of(&room, 2, most, move |flow| flow.read_csv(&*from)).unwrap_err();
        assert!(failed.to_string().contains(says), "{failed}");
        assert!(!room.path("out").exists());
    }
}

/// Lines that are no text, each by its byte; the others are read.
#[test]
fn lines_that_are_no_text_are_left_out() {
    let room = room!();
    let mut text = Vec::new();
    for line in 0..200_000 {
        match line {
            0 | 7 | 100_000 | 199_999 => text.extend(b"\xff\n"),
            _ => text.extend(format!("{line}\n").bytes()),
        }
    }
    room.write("in/a.txt", &text);
    let input = room.path("in");
    let sum = |most: u32| {
        let input = input.clone();
        Local::new().threads(2).skip_bad_records(most).run_plan("sum", move |flow| {
            flow.read_lines(&*input)
                .map(|line| ((), line.parse::<u64>().expect("a number")))
                .sum_by_key()
                .collect("sum")
        })
    };
    let outcome = sum(4).unwrap();
    let rows: Vec<((), u64)> = outcome.rows("sum").unwrap();
    assert_eq!(rows[0].1, (1..199_999).sum::<u64>() - 7 - 100_000);
    assert_eq!(outcome.summary.left_out, 4);
    let failed = sum(3).unwrap_err().to_string();
    assert!(failed.contains("at more than 3 records") && failed.contains("byte 0"), "{failed}");
    assert!(sum(0).unwrap_err().to_string().contains("is not UTF-8"));
}

/// The same records whoever reads them, also where a file may be cut at any line.
#[test]
fn rows_that_cannot_be_parsed_are_the_same_over_workers() {
    let room = room!();
    let mut csv = "id,name\n".to_owned();
    for row in 0..400_000 {
        match row {
            100_000 | 200_000 | 399_999 => csv += "1,\"open\n",
            _ => csv += &format!("{row},name of {row}\n"),
        }
    }
    room.write("in/a.csv", &csv);
    let run = |flags: &str, output: &str| {
        let command = format!("run convert --input in --output {output} --quiet {flags}");
        room.windrow(&command).timeout(PATIENCE)
    };
    run("--skip-bad-records 3", "one").ok();
    run("--skip-bad-records 3 --workers 2", "other").ok();
    room.same_output("one", "other");
    let manifest = room.manifest("one");
    assert_eq!(manifest["left_out"], room.manifest("other")["left_out"]);
    assert_eq!(manifest["left_out"].as_array().unwrap().len(), 3, "{manifest}");
    run("--skip-bad-records 2 --workers 2", "none").fails(1);
}
