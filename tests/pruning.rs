//! Filters that the plan sees into keep sources from reading what they would leave out.

use windrow::location::Location;
use windrow::{Dataset, Flow, Local, Outcome, Record, Result};

type Row = (u32, String);

/// Runs a plan that reads three Parquet files: numbers below 100, below 200 and below 300.
fn run(plan: impl Fn(&Flow, Dataset<Row>) -> Result<()>) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let at = Location::of_path(folder.path()).unwrap();
    let local = || Local::new().threads(2);
    let write = |flow: &Flow| {
        for file in 0..3u32 {
            let rows = (file * 100..file * 100 + 100).map(|number| (number, number.to_string()));
            flow.from_iter(rows).write_parquet(at.join(file.to_string()))?;
        }
        Ok(())
    };
    local().run_plan("write", write).unwrap();
    local().run_plan("read", |flow| plan(flow, flow.read_parquet(&at))).unwrap()
}

fn rows(outcome: &Outcome, name: &str) -> Vec<u32> {
    outcome.rows::<Row>(name).unwrap().into_iter().map(|row| row.0).collect()
}

/// What is expected where `read` records came from the source, and `pruned` rows were not even looked at.
fn numbers<T: Record>(
    (read, pruned): (u64, u64),
    outcome: &Outcome,
    kept: impl Iterator<Item = T>,
) -> Vec<T> {
    let scan = outcome.summary.scan;
    assert_eq!((outcome.summary.records_read, scan.rows_pruned), (read, pruned));
    assert_eq!((scan.files, scan.rows, scan.rows_filtered), (3, 300, 300 - read - pruned));
    assert!(scan.bytes_read > 0 && scan.bytes > scan.bytes_of_columns);
    kept.collect()
}

#[test]
fn filters_right_behind_a_source_prune_it() {
    let outcome = run(|_, rows| rows.filter_by(|c| c.0.ge(250)).collect("out"));
    assert_eq!(rows(&outcome, "out"), numbers((50, 200), &outcome, 250..300));
    let outcome = run(|_, rows| {
        let some = rows.filter_by(|c| c.0.ge(50)).filter_by(|c| c.0.lt(120).and(c.1.ne("77")));
        some.filter(|(number, _)| number > 60).collect("out")
    });
    let kept = (61..120).filter(|number| *number != 77);
    assert_eq!(rows(&outcome, "out"), numbers((69, 100), &outcome, kept));
    let outcome = run(|_, rows| rows.filter_by(|c| c.0.gt(1000)).collect("out"));
    assert_eq!(rows(&outcome, "out"), numbers((0, 300), &outcome, 0..0));
}

#[test]
fn others_do_not() {
    // Somebody else wants all rows.
    let outcome = run(|_, rows| {
        rows.filter_by(|c| c.0.ge(250)).collect("some")?;
        rows.collect("all")
    });
    assert_eq!(rows(&outcome, "some"), (250..300).collect::<Vec<_>>());
    assert_eq!(rows(&outcome, "all"), numbers((300, 0), &outcome, 0..300));
    // What comes before sees all rows.
    let outcome = run(|flow, rows| {
        let seen = flow.counter("seen");
        let rows = rows.map(move |(number, text)| {
            seen.add(1);
            (number, text.to_string())
        });
        rows.filter_by(|c| c.0.ge(250)).collect("out")
    });
    assert_eq!(rows(&outcome, "out"), numbers((300, 0), &outcome, 250..300));
    assert_eq!(outcome.counters["seen"], 300);
    // A union gives the rows of the other branch too.
    let outcome = run(|_, rows| {
        rows.filter_by(|c| c.0.lt(10)).union(&rows.filter_by(|c| c.0.ge(290))).collect("out")
    });
    let kept = (0..10).chain(290..300);
    let mut found = rows(&outcome, "out");
    found.sort_unstable();
    assert_eq!(found, kept.collect::<Vec<_>>());
}
