//! CSV, JSON and Arrow IPC as input and output, and the ready jobs on files of any format: the same in all ways in which
//! jobs run.

mod common;

use common::everywhere;
use std::io::Write;
use windrow::formats::{CsvOptions, CsvSource};
use windrow::location::Location;
use windrow::{Job, Record};
use windrow_jobs::library::{Convert, FileCompression, FileFormat, ReadFlags, Sample, WriteFlags};

#[derive(Clone, Debug, PartialEq, Record)]
struct Trip {
    zone: String,
    id: u64,
    fare: Option<f64>,
    stops: u32,
}

fn trip(n: u64) -> Trip {
    let fare = (!n.is_multiple_of(5)).then_some((n * 7919 % 1000) as f64 / 4.0);
    Trip { zone: format!("zone, {}", n * 31 % 7), id: n, fare, stops: (n % 3) as u32 }
}

const TRIPS: u64 = 5000;

#[test]
fn what_is_written_in_a_format_is_read() {
    let ran = everywhere(|flow, out| {
        let trips = flow.generate(TRIPS, trip);
        trips.write_csv(out.join("csv"))?;
        trips.write_json(out.join("json"))?;
        trips.write_ipc(out.join("ipc"))
    });
    assert_eq!(ran.file_names().len(), 3);
    let lines = ran.lines("csv");
    assert_eq!((lines.len(), &lines[0][..]), (5001, "zone,id,fare,stops"));
    assert_eq!(lines[2], "\"zone, 3\",1,229.75,1");
    assert_eq!(ran.lines("json")[5], r#"{"zone":"zone, 1","id":5,"fare":null,"stops":2}"#);
}

/// A folder with files of trips.
fn inputs(folder: &std::path::Path) {
    let at = Location::of_path(folder).unwrap();
    let write = |flow: &windrow::Flow| {
        let trips = flow.generate(TRIPS, trip);
        trips.write_csv(at.join("csv"))?;
        trips.write_json(at.join("json"))?;
        trips.write_ipc(at.join("ipc"))
    };
    windrow::Local::new().threads(1).run_plan("inputs", write).unwrap();
}

#[test]
fn all_formats_are_read_alike() {
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path());
    let at = Location::of_path(folder.path()).unwrap();
    let ran = everywhere(|flow, _| {
        let csv = CsvSource::<Trip>::new(at.join("csv"));
        flow.read(csv.with_options(CsvOptions::new().splittable())).collect("split")?;
        flow.read_csv::<Trip>(at.join("csv")).collect("csv")?;
        flow.read_json::<Trip>(at.join("json")).collect("json")?;
        flow.read_ipc::<Trip>(at.join("ipc")).collect("ipc")
    });
    let expected: Vec<Trip> = (0..TRIPS).map(trip).collect();
    for name in ["split", "csv", "json", "ipc"] {
        assert!(ran.named::<Trip>(name) == expected, "{name}");
    }
}

fn read(input: Location) -> ReadFlags {
    ReadFlags {
        input: vec![input],
        from: None,
        delimiter: ',',
        no_header: false,
        null: None,
        line_breaks: false,
        all_text: false,
    }
}

#[test]
fn files_are_converted_and_sorted() {
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path());
    let at = Location::of_path(folder.path()).unwrap();
    let ran = everywhere(|flow, out| {
        let job = |from: &str, to: FileFormat, name: &str| Convert {
            read: read(at.join(from)),
            write: WriteFlags { output: out.join(name), to, compression: None },
            partitions: None,
            sort_by: Vec::new(),
        };
        job("csv", FileFormat::Json, "same").plan(flow)?;
        let by = ["stops", "-fare", "id"].map(String::from).to_vec();
        Convert { sort_by: by, partitions: Some(3), ..job("ipc", FileFormat::Csv, "sorted") }
            .plan(flow)?;
        Convert { partitions: Some(4), ..job("json", FileFormat::Csv, "cut") }.plan(flow)?;
        let mut compressed = job("csv", FileFormat::Parquet, "parquet");
        compressed.write.compression = Some(FileCompression::Snappy);
        compressed.plan(flow)
    });
    assert!(
        ran.lines("same")
            .iter()
            .zip(0..)
            .all(|(line, n): (&String, u64)| { line.contains(&format!("\"id\":{n},")) })
    );
    let row = |t: &Trip| {
        let fare = t.fare.map_or(String::new(), |fare| format!("{fare:?}"));
        format!("\"{}\",{},{fare},{}", t.zone, t.id, t.stops)
    };
    let rows = |prefix: &str| -> Vec<String> {
        let lines = ran.lines(prefix).into_iter();
        lines.filter(|line| line != "zone,id,fare,stops").collect()
    };
    let mut expected: Vec<Trip> = (0..TRIPS).map(trip).collect();
    let mut cut = rows("cut");
    cut.sort();
    let mut all: Vec<String> = expected.iter().map(row).collect();
    all.sort();
    assert!(cut == all);
    // Nulls first, in either direction.
    let fare = |t: &Trip| t.fare.map(|fare| -fare);
    expected.sort_by(|a, b| {
        let fares = fare(a).partial_cmp(&fare(b)).unwrap();
        a.stops.cmp(&b.stops).then(fares).then(a.id.cmp(&b.id))
    });
    assert!(rows("sorted") == expected.iter().map(row).collect::<Vec<_>>());
    let count = |prefix: &str| ran.file_names().iter().filter(|n| n.starts_with(prefix)).count();
    assert_eq!((count("sorted"), count("cut"), count("parquet")), (3, 4, 1));
}

#[test]
fn a_sample_is_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    inputs(folder.path());
    let at = Location::of_path(folder.path()).unwrap();
    let ran = everywhere(|flow, out| {
        let job = |rows, fraction, name: &str| Sample {
            read: read(at.join("csv")),
            write: WriteFlags { output: out.join(name), to: FileFormat::Json, compression: None },
            rows,
            fraction,
        };
        job(Some(10), None, "few").plan(flow)?;
        job(None, Some(0.1), "tenth").plan(flow)?;
        job(Some(100_000), None, "all").plan(flow)
    });
    assert_eq!(ran.lines("few").len(), 10);
    assert!((400..600).contains(&ran.lines("tenth").len()));
    assert_eq!(ran.lines("all").len(), TRIPS as usize);
}

#[test]
fn a_lane_of_any_length_is_written_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.txt.gz");
    // More than a sink takes for one chunk, in one lane, since it is compressed.
    let lines: Vec<String> = (0..300_000).map(|n| format!("{n}")).collect();
    let file = std::fs::File::create(&path).unwrap();
    let mut file = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    file.finish().unwrap();
    let ran = everywhere(|flow, out| {
        let text = flow.read_lines(&*path);
        text.write_text(out.join("text"))?;
        text.filter(|line| !line.ends_with('7')).write_csv(out.join("csv"))?;
        text.map(|line| (line.to_string(), line.len() as u32)).write_ipc(out.join("ipc"))
    });
    assert!(ran.lines("text") == lines);
    let kept: Vec<&String> = lines.iter().filter(|line| !line.ends_with('7')).collect();
    assert!(ran.lines("csv")[1..].iter().eq(kept));
}
