//! `windrow verify` and `windrow inspect`, by the real binary.

mod harness;

use std::fs;
use windrow::prelude::*;

#[test]
fn verify_an_output() {
    let room = room!();
    room.write("in", "a b\na\n");
    room.windrow("run wordcount --input in --output out --quiet").ok();
    let done = room.windrow("verify out").ok();
    assert_eq!(done.stdout(), "whole: 1 file, 2 rows, 8 bytes\n");
    assert_eq!(done.stderr(), "");
    room.windrow("run wordcount --input in --output pq --format parquet --quiet").ok();
    let done = room.windrow("verify pq").ok();
    assert!(done.stdout().starts_with("whole: 1 file, 2 rows, "), "{}", done.report);

    let listed = room.manifest("out")["files"][0]["name"].as_str().unwrap().to_string();
    room.write(&format!("out/{listed}"), "a\t2\nb\t2\n");
    room.write("out/part-00007-old.txt", "c\t1\n");
    room.write("out/_hidden", "c\t1\n");
    let done = room.windrow("verify out").fails(1);
    let lines: Vec<&str> = done.stdout().lines().collect();
    assert_eq!(lines.len(), 2, "{}", done.report);
    assert!(lines[0].starts_with(&format!("{listed}: has checksum ")), "{}", done.report);
    assert!(lines[1].starts_with("part-00007-old.txt: is not listed"), "{}", done.report);
    let out = room.path("out").display().to_string();
    done.says(&[&out, "2 differences from its manifest", "restore", "--overwrite"]);

    fs::remove_file(room.path(format!("out/{listed}"))).unwrap();
    fs::remove_file(room.path("out/part-00007-old.txt")).unwrap();
    let done = room.windrow("verify out").fails(1);
    assert_eq!(done.stdout(), format!("{listed}: is missing\n"));
    done.says(&["1 difference from"]);
}

#[test]
fn verify_what_is_no_output() {
    let room = room!();
    room.write("plain/file", "a");
    room.write("spark/_SUCCESS", "");
    room.write("spark/part-00000", "a");
    for place in ["plain", "plain/file", "spark", "nowhere"] {
        let done = room.windrow("verify").arg(place).fails(1);
        done.says(&[&room.path(place).display().to_string(), "has no manifest (_SUCCESS)"]);
        assert_eq!(done.stdout(), "", "{}", done.report);
    }
    room.write("bad/_SUCCESS", "{\"format\": \"windrow-manifest\", \"version\": 1}");
    room.windrow("verify bad").fails(1).says(&["is a damaged manifest"]);
    room.windrow("verify").fails(2);
    room.windrow("verify one two").fails(2);
}

#[test]
fn inspect_text_and_outputs() {
    let room = room!();
    room.write("in/a", "b a\na\n");
    room.write("in/empty", "");
    let done = room.windrow("inspect in").ok();
    assert_eq!(done.stdout(), "text: 2 files, 6 bytes\n\nb a\na\n");
    let done = room.windrow("inspect in/* --rows 1").ok();
    assert_eq!(done.stdout(), "text: 2 files, 6 bytes\n\nb a\n");
    room.write("odd", "\x1b[31mred\tx\n");
    let done = room.windrow("inspect odd").ok();
    assert_eq!(done.stdout(), "text: 1 file, 11 bytes\n\n\\u{1b}[31mred\tx\n");
    assert_eq!(room.windrow("inspect in/empty").ok().stdout(), "empty: 1 file, 0 bytes\n");

    room.windrow("run wordcount --input in --output out --quiet --format parquet").ok();
    room.write("out/part-other", "not of the job");
    let done = room.windrow("inspect out").ok();
    let mut lines = done.stdout().lines();
    let first = lines.next().unwrap();
    assert!(first.starts_with("output of job wordcount (") && first.ends_with("): 2 rows"));
    let second = lines.next().unwrap();
    assert!(second.starts_with("parquet: 1 file, "), "{}", done.report);
    assert!(second.contains(", 1 row group, 2 rows, written by windrow"), "{}", done.report);
    let rest: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rest[1], ["column", "type", "size", "nulls", "min", "max"]);
    assert_eq!((&rest[2][..2], &rest[2][4..]), (&["word", "Binary"][..], &["0", "a", "b"][..]));
    assert_eq!((&rest[3][..2], &rest[3][4..]), (&["count", "UInt64"][..], &["0", "1", "2"][..]));
    assert_eq!(rest[5], ["word", "count"]);
    let mut rows = rest[6..].to_vec();
    rows.sort();
    assert_eq!(rows, [["a", "2"], ["b", "1"]]);
}

#[test]
fn inspect_what_cannot_be() {
    let room = room!();
    room.write("in", "a\n");
    room.write("bad.parquet", "PAR1");
    let path = |name: &str| room.path(name).display().to_string();
    room.windrow("inspect nowhere").fails(1).says(&[&path("nowhere"), "does not exist"]);
    room.windrow("inspect *.csv").fails(1).says(&["matches no file"]);
    room.windrow("inspect bad.parquet").fails(1).says(&[&path("bad.parquet"), "no Parquet file"]);
    room.windrow("inspect in --rust").fails(1).says(&[&path("in"), "has no columns"]);
    room.windrow("inspect").fails(2);
    room.windrow("inspect in --rows -1").fails(2);
}

/// The columns of the file of the test below, as its writer calls them.
#[derive(Record, Clone)]
struct Trip {
    #[record(rename = "VendorID")]
    vendor: i64,
    #[record(rename = "type")]
    kind: String,
    fare: Option<f64>,
    start: Point,
    #[record(rename = "2nd stop")]
    second: Option<Point>,
    tags: Vec<Option<String>>,
    at: Timestamp,
    day: Option<Date>,
    price: Decimal<9, 2>,
    raw: bytes::Bytes,
    code: [u8; 4],
}

#[derive(Record, Clone)]
struct Point {
    x: f32,
    y: Option<f32>,
}

// What `inspect --rust` prints for that file, letter by letter.
#[derive(Record)]
struct Row {
    #[record(rename = "VendorID")]
    vendor_id: i64,
    #[record(rename = "type")]
    type_: String,
    fare: Option<f64>,
    start: Start,
    #[record(rename = "2nd stop")]
    column_2nd_stop: Option<Column2ndStop>,
    tags: Vec<Option<String>>,
    at: Timestamp,
    day: Option<Date>,
    price: Decimal<9, 2>,
    raw: bytes::Bytes,
    code: [u8; 4],
}

#[derive(Record)]
struct Start {
    x: f32,
    y: Option<f32>,
}

#[derive(Record)]
struct Column2ndStop {
    x: f32,
    y: Option<f32>,
}
// Here it ends.

fn trip(number: u64) -> Trip {
    let odd = number % 2 == 1;
    let point = |y: Option<f32>| Point { x: number as f32, y };
    Trip {
        vendor: number as i64 - 5,
        kind: format!("kind {}", number % 3),
        fare: odd.then_some(number as f64 / 4.0),
        start: point(odd.then_some(1.5)),
        second: odd.then(|| point(None)),
        tags: vec![Some("tag".to_string()), None][..(number % 3) as usize].to_vec(),
        at: Timestamp::from_micros(number as i64 * 1_000_000),
        day: odd.then(|| Date::from_days(number as i32)),
        price: Decimal::from_raw(i128::from(number)).unwrap(),
        raw: bytes::Bytes::from(vec![number as u8, 0xff]),
        code: (number as u32).to_le_bytes(),
    }
}

#[test]
fn the_struct_that_inspect_prints_reads_the_file() {
    let room = room!();
    const ROWS: u64 = 50;
    let path = room.path("trips");
    Local::new()
        .threads(1)
        .run_plan("write", |flow| flow.generate(ROWS, trip).write_parquet(&*path))
        .unwrap();
    let printed = room.windrow("inspect trips --rust").ok();
    let source = include_str!("cli_tools.rs");
    let (_, after) = source.split_once("letter by letter.\n").unwrap();
    let (structs, _) = after.split_once("// Here it ends.\n").unwrap();
    assert_eq!(printed.stdout(), structs, "{}", printed.report);

    let read = |flow: &Flow| flow.read_parquet::<Row>(&*path).collect("rows");
    let outcome = Local::new().threads(1).run_plan("read", read).unwrap();
    let rows = outcome.rows::<Row>("rows").unwrap();
    assert_eq!(rows.len() as u64, ROWS);
    for (row, trip) in rows.into_iter().zip((0..ROWS).map(trip)) {
        let second = row.column_2nd_stop.map(|point| (point.x, point.y));
        let numbers = (row.vendor_id, row.fare, row.start.x, row.start.y, second);
        let expected = trip.second.map(|point| (point.x, point.y));
        let expected = (trip.vendor, trip.fare, trip.start.x, trip.start.y, expected);
        assert_eq!(numbers, expected);
        assert_eq!((row.type_, row.tags), (trip.kind, trip.tags));
        assert_eq!((row.at, row.day, row.price), (trip.at, trip.day, trip.price));
        assert_eq!((row.raw, row.code), (trip.raw, trip.code));
    }
}
