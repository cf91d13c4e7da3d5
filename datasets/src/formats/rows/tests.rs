//! Files of any format as rows, written by sinks of rows, and read by one source.

use super::*;
use crate::formats::ParquetSink;
use crate::formats::csv::CsvSink;
use crate::formats::ipc::IpcSink;
use crate::formats::testing::{Take, read_all, splits};
use crate::location::IntoLocations;
use crate::push::Selection;
use crate::record::{Record, Row, RowBatch};
use crate::sink::Sink;
use crate::source::{Source, SourceError};
use crate::storage::Storage;
use arrow::array::{ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use std::path::Path;
use std::sync::Arc;

fn rows_of(path: &Path) -> RowsSource {
    RowsSource::new(path.into_locations(), RowsOptions::default())
}

/// The batches of a source, put together.
fn columns(source: &RowsSource) -> Result<RecordBatch, SourceError> {
    let storage = Storage::new();
    let mut batches = Vec::new();
    for split in splits(source, &storage)? {
        for lane in 0..split.lanes {
            let mut take = Take::<Row> { keep: true, ..Take::new() };
            source.read(&storage, &split, lane, &mut take)?;
            batches.extend(take.batches.iter().map(|batch| batch.columns().clone()));
        }
    }
    Ok(arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap())
}

fn file<S: Sink>(folder: &Path, name: &str, sink: &S, batch: &<S::Item as Record>::Batch) {
    let mut bytes = Vec::new();
    let (mut lane, mut part) = (sink.lane(), sink.part());
    lane.batch(batch, Selection::All).unwrap();
    part.write(lane.finish().unwrap(), &mut bytes).unwrap();
    part.finish(&mut bytes).unwrap();
    std::fs::write(folder.join(format!("{name}.{}", sink.extension())), bytes).unwrap();
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RowBatch {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    RowBatch::new(RecordBatch::try_from_iter_with_nullable(columns).unwrap())
}

fn numbers() -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(0..5000))
}

fn texts() -> ArrayRef {
    Arc::new((0..5000).map(|n| (n % 7 > 0).then(|| format!("t{n}"))).collect::<StringArray>())
}

#[test]
fn any_format_is_read_as_rows() {
    let folder = tempfile::tempdir().unwrap();
    let expected = batch(vec![("n", numbers()), ("t", texts())]);
    let path = |name: &str| folder.path().join(name);
    file(folder.path(), "a", &CsvSink::<Row>::new(), &expected);
    file(folder.path(), "a", &IpcSink::<Row>::new(), &expected);
    file(folder.path(), "a", &crate::formats::JsonSink::<Row>::new(), &expected);
    file(folder.path(), "a", &RowsParquetSink::new(ParquetSink::new()), &expected);
    for name in ["a.csv", "a.arrow", "a.json", "a.parquet"] {
        let read = columns(&rows_of(&path(name))).unwrap();
        assert!(read == *expected.columns(), "{name}");
        // By its first bytes alone, where it has some that tell.
        if name != "a.csv" && name != "a.json" {
            std::fs::copy(path(name), path("plain")).unwrap();
            assert!(columns(&rows_of(&path("plain"))).unwrap() == *expected.columns(), "{name}");
        }
    }
    let lines = batch(vec![("value", texts())]);
    file(folder.path(), "b", &RowsTextSink::default(), &lines);
    let read = columns(&rows_of(&path("b.txt"))).unwrap();
    assert_eq!(read.num_rows(), 5000);
    assert_eq!(read.column(0).as_string::<i32>().value(8), "t8");
}

#[test]
fn later_files_are_read_with_the_columns_of_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let narrow: ArrayRef = Arc::new(Int32Array::from(vec![7, 8]));
    let two: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    file(
        folder.path(),
        "1",
        &IpcSink::<Row>::new(),
        &batch(vec![("n", numbers()), ("t", texts())]),
    );
    let other = batch(vec![("more", two.clone()), ("t", two.clone()), ("n", narrow.clone())]);
    file(folder.path(), "2", &IpcSink::<Row>::new(), &other);
    file(folder.path(), "3", &IpcSink::<Row>::new(), &batch(vec![("t", two.clone())]));
    let read = columns(&rows_of(folder.path())).unwrap();
    assert_eq!(read.num_rows(), 5004);
    let numbers = read.column(0).as_primitive::<Int64Type>();
    assert_eq!((numbers.value(5001), read.column(0).null_count()), (8, 2));
    // Text is no number.
    file(folder.path(), "4", &IpcSink::<Row>::new(), &batch(vec![("n", two)]));
    let error = columns(&rows_of(folder.path())).unwrap_err().to_string();
    assert!(error.contains("4.arrow: column `n` is Utf8"), "{error}");
    assert!(error.contains("as in the first file"), "{error}");
}

#[test]
fn numbers_of_rows_are_a_function_of_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let rows = batch(vec![("n", numbers())]);
    file(folder.path(), "1", &IpcSink::<Row>::new(), &rows);
    file(folder.path(), "2", &IpcSink::<Row>::new(), &rows);
    let read = || -> Vec<u64> {
        let all = read_all(&NumberedRows::new(rows_of(folder.path()))).unwrap();
        all.into_iter().map(|(hash, _)| hash).collect()
    };
    let mut hashes = read();
    assert_eq!(hashes, read());
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10_000);
    let low = hashes.iter().filter(|&&hash| hash < u64::MAX / 4).count();
    assert!((2300..2700).contains(&low), "{low}");
}
