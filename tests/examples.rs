//! The examples, run as a user runs them.

mod harness;

use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use windrow::{Local, Record};

/// Runs an example of this name; gives its standard error.
fn run(name: &str, folder: &Path, arguments: &[&str]) -> String {
    String::from_utf8_lossy(&ran(name, folder, arguments).stderr).into_owned()
}

/// Runs an example of this name, which must succeed.
fn ran(name: &str, folder: &Path, arguments: &[&str]) -> Output {
    // Next to this test: cargo builds examples before it runs all tests, but not for this test alone.
    let test = std::env::current_exe().unwrap();
    let example = test.parent().unwrap().parent().unwrap().join("examples").join(name);
    if !example.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--package", "windrow", "--examples"])
            .status();
        assert!(built.unwrap().success() && example.exists(), "{} is not built", example.display());
    }
    let ran = Command::new(example).current_dir(folder).args(arguments).output().unwrap();
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
    ran
}

/// A folder with these files.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

/// The lines of an output `out`, sorted.
fn output(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let parts = entries.filter(|path: &PathBuf| path.extension().is_some_and(|e| e == "txt"));
    let text: String = parts.map(|part| std::fs::read_to_string(part).unwrap()).collect();
    let mut lines: Vec<String> = text.lines().map(String::from).collect();
    lines.sort();
    lines
}

#[derive(Record, Clone)]
struct Trip {
    fare: f64,
    /// Not asked for by the example.
    driver: String,
    payment_type: String,
    zone_id: u32,
}

#[test]
fn fares() {
    let folder = folder(&[]);
    let trips = |n: u64| Trip {
        fare: n as f64 / 4.0,
        driver: format!("driver {n}"),
        payment_type: ["card", "cash"][n as usize % 2].to_string(),
        zone_id: n as u32 % 7,
    };
    let path = folder.path().join("trips").to_str().unwrap().to_string();
    Local::new()
        .run_plan("trips", |flow| flow.generate(10_000, trips).write_parquet(&path))
        .unwrap();
    run("fares", folder.path(), &["run", "fares", "--input", "trips", "--output", "out"]);
    let path = folder.path().join("out").to_str().unwrap().to_string();
    let read = Local::new().run_plan("read", |flow| {
        #[derive(Record)]
        struct Row {
            zone_id: u32,
            fares: f64,
            trips: u64,
        }
        let rows = flow.read_parquet::<Row>(&path);
        rows.map(|row| (row.zone_id, (row.fares, row.trips))).collect("rows")
    });
    let found: BTreeMap<u32, (f64, u64)> =
        read.unwrap().rows::<(u32, (f64, u64))>("rows").unwrap().into_iter().collect();
    let mut expected = BTreeMap::<_, (f64, u64)>::new();
    for trip in (0..10_000).map(trips).filter(|trip| trip.payment_type == "card") {
        // Exact, since fares are quarters.
        let (fares, trips) = expected.entry(trip.zone_id).or_default();
        *fares += trip.fare;
        *trips += 1;
    }
    assert_eq!(found, expected);
}

#[test]
fn join() {
    let folder = folder(&[
        ("sales.tsv", "7\t1.50\n8\t2.00\n7\t1.75\nnot a sale\n9\t3.00\n"),
        ("names.tsv", "7\tapple\n9\tpear\n10\tplum\n"),
    ]);
    let arguments =
        ["run", "named-sales", "--sales", "sales.tsv", "--names", "names.tsv", "--output", "out"];
    run("join", folder.path(), &arguments);
    assert_eq!(output(folder.path()), ["apple\t1.50", "apple\t1.75", "pear\t3.00"]);
}

#[test]
fn sessions() {
    let clicks = "ann\t5000\nbob\t10\nann\t10\nann\t100\nbob\tsoon\nann\t5100\nann\t5010\n";
    let folder = folder(&[("clicks.tsv", clicks)]);
    let arguments =
        ["run", "sessions", "--input", "clicks.tsv", "--output", "out", "--pause", "90"];
    run("sessions", folder.path(), &arguments);
    assert_eq!(output(folder.path()), ["ann\t10\t2", "ann\t5000\t3", "bob\t10\t1"]);
}

#[test]
fn broadcast() {
    let folder = folder(&[
        ("visits.tsv", "de\t/\nfr\t/a\nde\t/b\nxx\t/\n"),
        ("countries.tsv", "de\tGermany\nfr\tFrance\n"),
    ]);
    let arguments = [
        "run",
        "by-country",
        "--input",
        "visits.tsv",
        "--countries",
        "countries.tsv",
        "--output",
        "out",
    ];
    run("broadcast", folder.path(), &arguments);
    assert_eq!(output(folder.path()), ["France\t1", "Germany\t2", "elsewhere\t1"]);
}

#[test]
fn wordcount() {
    let folder = folder(&[("a.txt", "The end, the END; a beginning.\n"), ("b.txt", "the Été été")]);
    let arguments = ["run", "words", "--input", "a.txt", "b.txt", "--output", "out", "--most", "3"];
    run("wordcount", folder.path(), &arguments);
    assert_eq!(output(folder.path()), ["end\t2", "the\t3", "été\t2"]);
}

/// The rows of a Parquet output, in the order of its files, with the names of the columns above them.
fn table(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut parts: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|e| e == "parquet")).collect();
    parts.sort();
    let mut lines = Vec::new();
    for part in parts {
        let file = std::fs::File::open(part).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        if lines.is_empty() {
            let names = reader.schema().fields().iter().map(|field| field.name().clone());
            lines.push(names.collect::<Vec<_>>().join("|"));
        }
        for batch in reader.build().unwrap() {
            let batch = batch.unwrap();
            let options = FormatOptions::new();
            let columns: Vec<_> = batch
                .columns()
                .iter()
                .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
                .collect();
            let cells = |row| columns.iter().map(move |column| column.value(row).to_string());
            lines.extend((0..batch.num_rows()).map(|row| cells(row).collect::<Vec<_>>().join("|")));
        }
    }
    lines.join("\n") + "\n"
}

/// The answers that are checked in are those of another engine on the same tables: `scripts/compare-tpch`.
#[test]
fn tpch() {
    let folder = folder(&[]);
    let run = |line: &str| run("tpch", folder.path(), &line.split(' ').collect::<Vec<_>>());
    run("generate tpch --scale 0.01 --output tables");
    for number in 1..=22 {
        // As the specification has it at this scale.
        let query = format!("q{number}");
        let of_scale = if number == 11 { " --fraction 0.01" } else { "" };
        let answer = |output: &str, flags: &str| {
            run(&format!("run {query} --input tables --output {output}-{query}{of_scale}{flags}"));
            table(&folder.path().join(format!("{output}-{query}")))
        };
        let expected = answer("roomy", "");
        harness::snapshot(&format!("tpch/{query}.txt"), &expected);
        assert_eq!(answer("workers", " --workers 2"), expected, "{query}");
        assert_eq!(answer("tight", " --memory 1MiB"), expected, "{query}");
    }
    // A join that nobody sees the order of has nothing left to do: rows are looked up as they come.
    for flags in ["--threads 2", "--workers 2", "--workers 2 --memory 1MiB"] {
        let line =
            format!("run by-priority --input tables --output joined --overwrite --json {flags}");
        let told = ran("tpch", folder.path(), &line.split(' ').collect::<Vec<_>>()).stdout;
        let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
        let stages = told["stages"].as_array().unwrap();
        let join = stages.iter().find(|s| s["name"].as_str().unwrap().starts_with("join")).unwrap();
        // A worker without memory has none for a table.
        let is_looked_up = !flags.contains("memory");
        assert_eq!(join["tasks"] == 0, is_looked_up, "{flags}: {told}");
    }
    // Other parameters than those of the specification.
    run("run q6 --input tables --output year --date 1995-01-01 --discount 0.05 --quantity 25");
    assert_eq!(table(&folder.path().join("year")), "revenue\n1002188.8822\n");
}

#[test]
fn what_a_filter_leaves_out_is_told_before_and_after() {
    let folder = folder(&[]);
    let generated = Command::new(env!("CARGO_BIN_EXE_windrow"))
        .current_dir(folder.path())
        .args(["generate", "tpch", "--scale", "0.002", "--output", "in", "--quiet"])
        .status();
    assert!(generated.unwrap().success());
    let said = |flags: &str| {
        let all = format!("run q6 --input in --output out --overwrite {flags}");
        let arguments: Vec<&str> = all.split_whitespace().collect();
        let ran = ran("tpch", folder.path(), &arguments);
        String::from_utf8(ran.stdout).unwrap() + &String::from_utf8(ran.stderr).unwrap()
    };
    let explained = said("--explain");
    for line in
        ["and l_quantity < 24.00, in the source", "files 1 of 1 (0 left out", "rows 11957 of 11957"]
    {
        assert!(explained.contains(line), "{line}: {explained}");
    }
    let scan = |flags: &str| {
        let told: serde_json::Value = serde_json::from_str(&said(flags)).unwrap();
        let mut scan = told["scan"].clone();
        let rows = |name: &str| scan[name].as_u64().unwrap();
        let left = rows("rows") - rows("rows_pruned") - rows("rows_filtered");
        assert_eq!((rows("rows"), left), (11_957, told["records_read"].as_u64().unwrap()));
        // Each process reads footers.
        assert!(rows("bytes_read") > 0 && rows("bytes_read") < 2 * rows("bytes"));
        scan["bytes_read"] = 0.into();
        scan
    };
    assert_eq!(scan("--json --quiet"), scan("--json --quiet --workers 2"));
    assert!(said("").contains("row groups 1 of 1"));
}
