//! What is told of files is what is in them.

use super::*;
use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Float64Array, Int32Array, ListArray, RecordBatch, StringArray, StructArray, UInt64Array,
};
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Schema, TimeUnit};
use object_store::memory::InMemory;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

/// Writes a file of these columns, in row groups of so many rows.
fn parquet(columns: &[(&str, ArrayRef)], group: usize, statistics: EnabledStatistics) -> Vec<u8> {
    let nullable = columns.iter().map(|(name, column)| (*name, column.clone(), true));
    let batch = RecordBatch::try_from_iter_with_nullable(nullable).unwrap();
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(group))
        .set_statistics_enabled(statistics)
        .set_created_by("a test".to_string())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn looked_at(path: &Path, rows: usize) -> Result<Inspection, SourceError> {
    inspect(&Storage::new(), &Location::of_path(path).unwrap(), rows)
}

fn facts_of(path: &Path, rows: usize) -> ParquetFacts {
    match looked_at(path, rows).unwrap().content {
        Content::Parquet(facts) => *facts,
        other => panic!("{other:?} is not Parquet"),
    }
}

/// The columns, each as name, type, nulls, smallest and greatest value; `~` before a bound that is not exact.
fn lines_of(facts: &ParquetFacts) -> Vec<String> {
    let bound = |bound: &Option<Bound>| match bound {
        Some(Bound { value, exact }) => format!("{}{value}", if *exact { "" } else { "~" }),
        None => "?".to_string(),
    };
    let line = |column: &ColumnFacts| {
        assert!(column.bytes > 0);
        let nulls = column.nulls.map_or("?".to_string(), |nulls| nulls.to_string());
        let (min, max) = (bound(&column.min), bound(&column.max));
        format!("{} {} {nulls} {min} {max}", column.name, column.kind)
    };
    facts.columns.iter().map(line).collect()
}

/// A value of each kind in each of five rows.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let long = |letter: &str| letter.repeat(100);
    let inner: ArrayRef = Arc::new(Int32Array::from(vec![5, 4, 3, 2, 1]));
    let point =
        StructArray::from(vec![(Arc::new(Field::new("x", DataType::Int32, false)), inner.clone())]);
    let lists = (0..5).map(|row| Some(vec![Some(row); row as usize]));
    let decimals = Decimal128Array::from(vec![250, -5, 0, 1, 2]);
    let codes = [[b'k', b'l'], [0, 0], [1, 1], [2, 2], [0xff, 0xff]];
    vec![
        ("int", Arc::new(Int32Array::from(vec![Some(7), Some(-70), None, Some(3), None]))),
        ("none", Arc::new(Float64Array::from(vec![None::<f64>; 5]))),
        ("float", Arc::new(Float64Array::from(vec![0.5, -1.5, 2.25, 1e300, 0.0]))),
        ("text", Arc::new(StringArray::from(vec!["b", "a", "é", "", "c"]))),
        ("long", Arc::new(StringArray::from(["m", "b", "c", "d", "e"].map(long).to_vec()))),
        ("bytes", Arc::new(BinaryArray::from(vec![b"z" as &[u8], b"\xff\x00", b"y", b"", b"x"]))),
        ("code", Arc::new(FixedSizeBinaryArray::try_from_iter(codes.into_iter()).unwrap())),
        ("yes", Arc::new(BooleanArray::from(vec![true, true, false, true, true]))),
        ("day", Arc::new(Date32Array::from(vec![0, 1, -1, 365, 2]))),
        ("price", Arc::new(decimals.with_precision_and_scale(9, 2).unwrap())),
        ("point", Arc::new(point)),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("after", inner),
    ]
}

const EXPECTED: [&str; 13] = [
    "int Int32 2 -70 7",
    "none Float64 5 ? ?",
    "float Float64 0 -1.5 1e300",
    "text Utf8 0  é",
    "long Utf8 0 ~B ~N",
    "bytes Binary 0  \\xff\\x00",
    "code FixedSizeBinary(2) 0 \0\0 \\xff\\xff",
    "yes Boolean 0 false true",
    "day Date32 0 1969-12-31 1971-01-01",
    "price Decimal128(9, 2) 0 -0.05 2.50",
    "point.x Int32 0 1 5",
    "list LIST ? ? ?",
    "after Int32 0 1 5",
];

fn expected() -> Vec<String> {
    let list = DataType::new_list(DataType::Int32, true).to_string();
    let prefix = "b".repeat(64);
    let above = "m".repeat(63) + "n";
    EXPECTED
        .iter()
        .map(|line| line.replace("LIST", &list).replace("~B", &format!("~{prefix}")))
        .map(|line| line.replace("~N", &format!("~{above}")))
        .collect()
}

#[test]
fn statistics_are_those_of_all_row_groups_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let columns = columns();
    let write = |name: &str, rows: std::ops::Range<usize>, group: usize| {
        let some: Vec<(&str, ArrayRef)> =
            columns.iter().map(|(name, c)| (*name, c.slice(rows.start, rows.len()))).collect();
        let bytes = parquet(&some, group, EnabledStatistics::Page);
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    // In one row group, in one of each row, in several files: the same is told.
    let cases: [(&[usize], usize, u64); 3] =
        [(&[0, 5], 100, 1), (&[0, 5], 1, 5), (&[0, 2, 5], 2, 3)];
    for (cuts, group, groups) in cases {
        for (number, cut) in cuts.windows(2).enumerate() {
            write(&format!("{number}"), cut[0]..cut[1], group);
        }
        let facts = facts_of(folder.path(), 2);
        assert_eq!((facts.rows, facts.groups), (5, groups));
        assert_eq!(lines_of(&facts), expected());
        assert_eq!(facts.created_by.as_deref(), Some("a test"));
        assert_eq!(facts.others, []);
        let first = &facts.first;
        assert_eq!(first.len(), 2);
        assert_eq!(first[0][..4], ["7", "", "0.5", "b"].map(str::to_string));
        assert_eq!(
            first[1][5..9],
            ["\\xff\\x00", "\0\0", "true", "1970-01-02"].map(str::to_string)
        );
        let counts = [0, 1, 3, 4, 5, 9].map(|rows| facts_of(folder.path(), rows).first.len());
        assert_eq!(counts, [0, 1, 3, 4, 5, 5]);
        assert_eq!(facts_of(folder.path(), 5).first[4][3], "c");
    }
}

#[test]
fn without_statistics_nothing_is_told_of_values() {
    let folder = tempfile::tempdir().unwrap();
    let column: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2, 3]));
    for (name, statistics) in [("a", EnabledStatistics::Page), ("b", EnabledStatistics::None)] {
        let bytes = parquet(&[("n", column.clone())], 2, statistics);
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    assert_eq!(lines_of(&facts_of(&folder.path().join("a"), 0)), ["n UInt64 0 1 3"]);
    assert_eq!(lines_of(&facts_of(folder.path(), 0)), ["n UInt64 ? ? ?"]);
}

#[test]
fn files_of_another_schema_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let numbers: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["x", "y"]));
    let files: [&[(&str, ArrayRef)]; 5] = [
        &[("n", numbers.clone()), ("t", texts.clone())],
        &[("n", texts.clone()), ("t", texts.clone())],
        &[("n", numbers.clone())],
        &[("n", numbers.clone()), ("t", texts.clone()), ("u", texts.clone())],
        &[("t", texts.clone()), ("n", numbers.clone())],
    ];
    for (number, columns) in files.iter().enumerate() {
        let bytes = parquet(columns, 100, EnabledStatistics::Page);
        std::fs::write(folder.path().join(number.to_string()), bytes).unwrap();
    }
    let facts = facts_of(folder.path(), 100);
    let reasons: Vec<&str> = facts.others.iter().map(|(_, why)| why.as_str()).collect();
    let expected = [
        "`n` is Utf8, and UInt64 in the first file",
        "it has no column `t`",
        "it has a column `u` more",
        "`t` is at another place",
    ];
    assert_eq!(reasons, expected);
    assert!(facts.others[0].0.ends_with("/1"));
    assert_eq!((facts.rows, facts.first.len()), (10, 2));
    assert_eq!(lines_of(&facts), ["n UInt64 0 1 2", "t Utf8 0 x y"]);
}

#[test]
fn text_is_shown_by_its_first_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("in");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"packed\nlines\n").unwrap();
    let packed = gzip.finish().unwrap();
    let cases: [(&str, &[u8], &[&str]); 6] = [
        ("a", b"one\r\ntwo\n\nfour\nfive\n", &["one", "two", "", "four"]),
        ("b", b"no end", &["no end"]),
        ("c", b"\xff\xfe", &["\u{fffd}\u{fffd}"]),
        ("d", &"x".repeat(HEAD_BYTES + 1).into_bytes(), &[&"x".repeat(HEAD_BYTES)]),
        ("e.gz", &packed, &["packed", "lines"]),
        ("f", b"PAR", &["PAR"]),
    ];
    for (name, bytes, expected) in cases {
        std::fs::create_dir_all(&path).unwrap();
        // An empty file before it tells nothing.
        std::fs::write(path.join("0"), "").unwrap();
        std::fs::write(path.join(name), bytes).unwrap();
        let found = looked_at(&path, 4).unwrap();
        assert_eq!((found.files, found.bytes), (2, bytes.len() as u64));
        let Content::Lines(lines) = found.content else { panic!("{name} is not text") };
        assert_eq!(lines, expected, "{name}");
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(looked_at(&path, 4).unwrap().content, Content::Nothing));
    std::fs::write(path.join("x.parquet"), "not so").unwrap();
    let error = looked_at(&path, 4).unwrap_err().to_string();
    assert!(error.contains("x.parquet: is no Parquet file"), "{error}");
}

#[test]
fn an_output_is_what_its_manifest_lists() -> Result<(), StorageError> {
    use crate::commit::{AttemptFiles, JobInfo, Output, commit};
    let storage = Storage::new();
    storage.set_multipart_client("s3://bucket", Arc::new(InMemory::new()));
    let location: Location = "s3://bucket/out".parse().unwrap();
    let output = Output::new(location.clone(), "j1", "parquet");
    let column: ArrayRef = Arc::new(UInt64Array::from(vec![1, 2, 3]));
    let bytes = parquet(&[("n", column)], 2, EnabledStatistics::Page);
    let mut task = AttemptFiles::new(&storage, &output, "part-00000", 0);
    let mut part = task.only()?;
    part.write_all(&bytes).unwrap();
    let (size, _) = part.written();
    task.end(part, 3)?;
    let staged = [task.finish()?];
    let job = JobInfo { name: "numbers".to_string(), ..JobInfo::default() };
    commit(&storage, &output, &job, &staged)?;
    storage.put_object(&location.join("part-00001-old.parquet"), b"not listed".to_vec())?;
    let found = inspect(&storage, &location, 1).unwrap();
    assert_eq!(found.manifest.unwrap().job_name, "numbers");
    assert_eq!((found.files, found.bytes), (1, size));
    let Content::Parquet(facts) = found.content else { panic!("not Parquet") };
    assert_eq!(lines_of(&facts), ["n UInt64 0 1 3"]);
    assert_eq!(facts.first, [["1".to_string()]]);
    Ok(())
}

fn field(name: &str, kind: DataType, nullable: bool) -> Field {
    Field::new(name, kind, nullable)
}

#[test]
fn a_struct_has_a_field_for_each_column() {
    use DataType::*;
    let point = |name: &str| Struct(Fields::from(vec![field(name, Float32, false)]));
    let element = |kind| List(Arc::new(Field::new_list_field(kind, true)));
    let fields = vec![
        field("id", UInt8, false),
        field("VendorID", Int64, true),
        field("PULocationID", Int16, false),
        field("type", Utf8, false),
        field("type_", Boolean, false),
        field("Type", LargeUtf8, false),
        field("2nd \"stop\"", Date32, true),
        field("größe", Decimal128(9, 2), false),
        field("__x", Float64, false),
        field("a__b", Float16, false),
        field("_", UInt32, false),
        field("utc", Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        field("local", Timestamp(TimeUnit::Second, None), true),
        field("code", FixedSizeBinary(16), false),
        field("raw", LargeBinary, false),
        field("dictionary", Dictionary(Box::new(Int8), Box::new(Utf8)), true),
        field("lists", element(element(Int32)), true),
        field("date", point("x"), true),
        field("Date", point("y"), false),
        field("points", element(point("z")), false),
        field("time", Time64(TimeUnit::Microsecond), false),
        field(
            "odd",
            Struct(Fields::from(vec![field("time", Time32(TimeUnit::Second), true)])),
            true,
        ),
        field("wide", Decimal256(50, 2), false),
        field("id", UInt8, false),
    ];
    let expected = r#"#[derive(Record)]
struct Row {
    id: u8,
    #[record(rename = "VendorID")]
    vendor_id: Option<i64>,
    #[record(rename = "PULocationID")]
    pu_location_id: i16,
    #[record(rename = "type")]
    type__2: String,
    type_: bool,
    #[record(rename = "Type")]
    type__3: String,
    #[record(rename = "2nd \"stop\"")]
    column_2nd_stop: Option<Date>,
    #[record(rename = "größe")]
    gr_e: Decimal<9, 2>,
    __x: f64,
    #[record(rename = "a__b")]
    a_b: f32,
    #[record(rename = "_")]
    column: u32,
    utc: Timestamp,
    local: Option<LocalTimestamp>,
    code: [u8; 16],
    raw: bytes::Bytes,
    dictionary: Option<String>,
    lists: Option<Vec<Option<Vec<Option<i32>>>>>,
    date: Option<Date2>,
    #[record(rename = "Date")]
    date_2: Date3,
    points: Vec<Option<Points>>,
    // "time", Time64(µs): no type of a record reads it
    // "odd", Struct("time": Time32(s)): no type of a record reads it
    // "wide", Decimal256(50, 2): no type of a record reads it
    // "id", UInt8: another column has this name
}

#[derive(Record)]
struct Date2 {
    x: f32,
}

#[derive(Record)]
struct Date3 {
    y: f32,
}

#[derive(Record)]
struct Points {
    z: f32,
}
"#;
    assert_eq!(rust::rust_struct(&Fields::from(fields)).unwrap(), expected);
    let none = rust::rust_struct(Schema::empty().fields()).unwrap_err();
    assert!(none.contains("no column"), "{none}");
}
