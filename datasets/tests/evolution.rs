//! Files of other schemas than the record's: other orders, narrower types, columns more and less, within lists and structs
//! too; in Parquet and in Arrow IPC alike.

use arrow::array::{
    ArrayRef, DictionaryArray, Float32Array, Int16Array, Int32Array, LargeListArray,
    LargeStringArray, ListArray, RecordBatch, StringArray, StructArray, TimestampMillisecondArray,
    UInt8Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int32Type};
use std::path::Path;
use std::sync::Arc;
use windrow_datasets::formats::{IpcSource, ParquetSource};
use windrow_datasets::push::{Demand, Push, PushError, Selection};
use windrow_datasets::record::{Batch, LocalTimestamp, Record};
use windrow_datasets::source::{Source, SourceError};
use windrow_datasets::storage::Storage;

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "windrow_datasets")]
struct Stop {
    place: String,
    minutes: i64,
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "windrow_datasets")]
struct Trip {
    id: u32,
    stops: Vec<Stop>,
    last: Option<Stop>,
    share: f64,
    at: LocalTimestamp,
    more: Option<Vec<u16>>,
}

struct Take<T>(Vec<T>);

impl<T: Record> Push<T> for Take<T> {
    fn batch(&mut self, batch: &T::Batch, _: Selection<'_>) -> Result<Demand, PushError> {
        self.0.extend((0..batch.len()).map(|row| T::own(batch.get(row))));
        Ok(Demand::More)
    }
    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

fn read<S: Source>(source: &S) -> Result<Vec<S::Item>, SourceError> {
    let (storage, mut take, mut splits) = (Storage::new(), Take(Vec::new()), Vec::new());
    source.split(&storage, &mut |split| {
        splits.push(split);
        Ok(())
    })?;
    for split in &splits {
        (0..split.lanes).try_for_each(|lane| source.read(&storage, split, lane, &mut take))?;
    }
    Ok(take.0)
}

/// Writes a batch as Parquet and as Arrow IPC, below folders of these names.
fn write(folder: &Path, name: &str, columns: Vec<(&str, ArrayRef)>) {
    let columns = columns.into_iter().map(|(name, array)| (name, array, true));
    let batch = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
    let file = |format: &str| {
        std::fs::create_dir_all(folder.join(format)).unwrap();
        std::fs::File::create(folder.join(format).join(name)).unwrap()
    };
    let schema = batch.schema();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(file("parquet"), schema.clone(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let mut writer = arrow::ipc::writer::FileWriter::try_new(file("ipc"), &schema).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

fn texts(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

fn list(field: &str, offsets: Vec<i32>, values: ArrayRef) -> ArrayRef {
    let field = Arc::new(Field::new(field, values.data_type().clone(), true));
    Arc::new(ListArray::new(field, OffsetBuffer::new(offsets.into()), values, None))
}

fn members(columns: Vec<(&str, ArrayRef)>) -> ArrayRef {
    let field = |(name, array): (&str, ArrayRef)| {
        (Arc::new(Field::new(name, array.data_type().clone(), true)), array)
    };
    Arc::new(StructArray::from(columns.into_iter().map(field).collect::<Vec<_>>()))
}

fn stop(place: &str, minutes: i64, note: Option<&str>) -> Stop {
    Stop { place: place.to_string(), minutes, note: note.map(str::to_string) }
}

fn check<S: Source<Item = Trip>>(source: &S) {
    let read = read(source).unwrap();
    let trip = |id, stops: Vec<Stop>, last, share, day: i64, more| {
        let at = LocalTimestamp::from_micros(day * 86_400_000_000);
        Trip { id, stops, last, share, at, more }
    };
    let expected = [
        trip(1, vec![stop("a", 5, Some("x"))], Some(stop("z", 1, None)), 0.5, 1, None),
        trip(2, vec![], Some(stop("y", 2, None)), 0.25, 2, None),
        trip(3, vec![stop("c", 7, None), stop("b", 8, None)], None, 1.0, 3, Some(vec![9])),
        trip(4, vec![stop("b", 9, None)], None, 2.0, 4, Some(vec![])),
    ];
    assert_eq!(read, expected);
}

#[test]
fn files_of_several_schemas_are_one_dataset() {
    let folder = tempfile::tempdir().unwrap();
    let note = texts(&["x"]);
    let stops = members(vec![
        ("note", note),
        ("minutes", Arc::new(Int16Array::from(vec![5]))),
        ("unknown", texts(&["?"])),
        ("place", Arc::new(LargeStringArray::from(vec!["a"]))),
    ]);
    let last = members(vec![
        ("minutes", Arc::new(Int32Array::from(vec![1, 2])) as ArrayRef),
        ("place", texts(&["z", "y"])),
    ]);
    let millis = TimestampMillisecondArray::from(vec![86_400_000, 2 * 86_400_000]);
    write(
        folder.path(),
        "1",
        vec![
            ("share", Arc::new(Float32Array::from(vec![0.5, 0.25]))),
            ("last", last),
            ("nobody asks", texts(&["?", "?"])),
            ("at", Arc::new(millis)),
            ("stops", list("element", vec![0, 1, 1], stops)),
            ("id", Arc::new(UInt8Array::from(vec![1, 2]))),
        ],
    );
    let codes = Int32Array::from(vec![1, 0, 0]);
    let places = DictionaryArray::<Int32Type>::try_new(codes, texts(&["b", "c"])).unwrap();
    let stops = members(vec![
        ("place", Arc::new(places)),
        ("minutes", Arc::new(UInt8Array::from(vec![7, 8, 9]))),
    ]);
    let element = Arc::new(Field::new("item", DataType::UInt8, true));
    let more: ArrayRef = Arc::new(LargeListArray::new(
        element,
        OffsetBuffer::new(vec![0i64, 1, 1].into()),
        Arc::new(UInt8Array::from(vec![9])),
        None,
    ));
    write(
        folder.path(),
        "2",
        vec![
            ("id", Arc::new(arrow::array::UInt16Array::from(vec![3, 4]))),
            ("stops", list("item", vec![0, 2, 3], stops)),
            ("share", Arc::new(arrow::array::Int16Array::from(vec![1, 2]))),
            ("at", Arc::new(arrow::array::Date32Array::from(vec![3, 4]))),
            ("more", more),
        ],
    );
    check(&ParquetSource::<Trip>::new(&*folder.path().join("parquet")));
    check(&IpcSource::<Trip>::new(&*folder.path().join("ipc")));
}

#[test]
fn what_does_not_fit_is_named_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let good = |minutes: ArrayRef| {
        let stops = members(vec![("place", texts(&["a", "b"])), ("minutes", minutes)]);
        vec![
            ("id", Arc::new(UInt8Array::from(vec![1])) as ArrayRef),
            ("stops", list("item", vec![0, 2], stops)),
            ("share", Arc::new(Float32Array::from(vec![0.5]))),
            ("at", Arc::new(arrow::array::Date32Array::from(vec![3]))),
        ]
    };
    let both = || {
        let parquet = read(&ParquetSource::<Trip>::new(&*folder.path().join("parquet")));
        let ipc = read(&IpcSource::<Trip>::new(&*folder.path().join("ipc")));
        [parquet.unwrap_err().to_string(), ipc.unwrap_err().to_string()]
    };
    write(folder.path(), "1", good(Arc::new(UInt8Array::from(vec![1, 2]))));
    write(folder.path(), "2", good(texts(&["1", "2"])));
    for error in both() {
        assert!(error.contains("/2: column `stops.item.minutes` is Utf8"), "{error}");
    }
    write(folder.path(), "2", good(Arc::new(UInt8Array::from(vec![Some(1), None]))));
    for error in both() {
        assert!(error.contains("/2: column `stops.item.minutes` has a null at row 0"), "{error}");
    }
    let lacks = members(vec![("place", texts(&["a"]))]);
    let mut columns = good(Arc::new(UInt8Array::from(vec![1, 2])));
    columns[1] = ("stops", list("item", vec![0, 1], lacks));
    write(folder.path(), "2", columns.clone());
    for error in both() {
        assert!(error.contains("/2: column `stops.item.minutes` is missing"), "{error}");
        assert!(error.contains("place; make the field an `Option`"), "{error}");
    }
    columns.remove(2);
    columns[1] = good(Arc::new(UInt8Array::from(vec![1, 2]))).remove(1);
    write(folder.path(), "2", columns);
    for error in both() {
        let says = "/2: column `share` is missing; the data has: id, stops, at; make";
        assert!(error.contains(says), "{error}");
    }
}
