//! What all formats with columns do alike: what was written is read, whatever the sizes; what is wrong is named.

use crate::columns::Columns;
use crate::formats::avro::AvroSource;
use crate::formats::compression::TextCompression;
use crate::formats::csv::{CsvOptions, CsvSink, CsvSource};
use crate::formats::ipc::{IpcCompression, IpcSink, IpcSource};
use crate::formats::json::{JsonSink, JsonSource};
use crate::formats::testing::{encode, read_all};
use crate::record::{Date, Decimal, Encoded, LocalTimestamp, Record, Timestamp};
use crate::sink::Sink;
use crate::source::{Source, SourceError};
use bytes::Bytes;
use proptest::prelude::*;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct Flat {
    id: i64,
    small: u8,
    name: String,
    fare: Option<f64>,
    paid: bool,
    day: Date,
    at: Timestamp,
    seen: Option<LocalTimestamp>,
    amount: Decimal<12, 2>,
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct Stop {
    place: String,
    minutes: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct Deep {
    flat: Flat,
    raw: Bytes,
    key: [u8; 4],
    stops: Vec<Stop>,
    tags: Option<Vec<Option<String>>>,
    last: Option<Stop>,
}

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct Nested {
    deep: Deep,
    code: Encoded<(u8, bool)>,
}

fn flat(n: i64) -> Flat {
    let text = ["", "a,b", "say \"so\"", "two\nlines", "grün 🦀", " x "];
    Flat {
        id: n * 1_000_003 - 7,
        small: n as u8,
        name: text[n as usize % text.len()].to_string(),
        fare: (n % 3 != 0).then_some(n as f64 / 8.0),
        paid: n % 2 == 0,
        day: Date::from_days(n as i32 * 37 - 5),
        at: Timestamp::from_micros(n * 1_234_567_891 - 3),
        seen: (n % 4 == 1).then(|| LocalTimestamp::from_micros(n * 98_765_432_101)),
        amount: Decimal::from_raw(i128::from(n) * 12_345 - 99).unwrap(),
        // In CSV an empty text and none are one.
        note: (n % 5 > 1).then(|| format!("note {n}")),
    }
}

fn deep(n: i64) -> Deep {
    let stop = |k: i64| Stop { place: format!("p{k}"), minutes: (k % 2 == 0).then_some(k as u32) };
    Deep {
        flat: flat(n),
        raw: Bytes::from(vec![n as u8, 0, 255]),
        key: (n as u32).to_be_bytes(),
        stops: (0..n % 4).map(stop).collect(),
        tags: (n % 3 != 1).then(|| (0..n % 3).map(|k| (k != 1).then(|| format!("t{k}"))).collect()),
        last: (n % 2 == 1).then(|| stop(n)),
    }
}

fn nested(n: i64) -> Nested {
    Nested { deep: deep(n), code: Encoded((n as u8, n % 2 == 0)) }
}

fn write<S: Sink>(folder: &Path, name: &str, sink: &S, lanes: &[Vec<Vec<S::Item>>]) -> PathBuf {
    let path = folder.join(format!("{name}.{}", sink.extension()));
    std::fs::write(&path, encode(sink, lanes, &|_| true)).unwrap();
    path
}

/// Lanes of batches of records.
fn lanes<T>(rows: i64, make: impl Fn(i64) -> T) -> Vec<Vec<Vec<T>>> {
    let mut lanes: Vec<Vec<Vec<T>>> = vec![vec![], vec![vec![], vec![]]];
    for n in 0..rows {
        if n % 40 == 0 {
            lanes.push(vec![vec![]]);
        }
        let lane = lanes.last_mut().unwrap();
        if n % 7 == 0 {
            lane.push(Vec::new());
        }
        lane.last_mut().unwrap().push(make(n));
    }
    lanes
}

#[test]
fn what_was_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let flats: Vec<Flat> = (0..100).map(flat).collect();
    let nesteds: Vec<Nested> = (0..100).map(nested).collect();
    for compression in [
        TextCompression::None,
        TextCompression::Gzip,
        TextCompression::Zstd,
        TextCompression::Lz4,
        TextCompression::Bzip2,
    ] {
        let sink = CsvSink::new().with_compression(compression);
        let path = write(folder.path(), "flat", &sink, &lanes(100, flat));
        assert!(read_all(&CsvSource::<Flat>::new(&*path)).unwrap() == flats, "{compression:?}");
        let sink = JsonSink::new().with_compression(compression);
        let path = write(folder.path(), "nested", &sink, &lanes(100, nested));
        assert!(read_all(&JsonSource::<Nested>::new(&*path)).unwrap() == nesteds);
    }
    for compression in [IpcCompression::None, IpcCompression::Lz4, IpcCompression::Zstd] {
        let sink = IpcSink::new().with_compression(compression);
        let path = write(folder.path(), "nested", &sink, &lanes(100, nested));
        assert!(read_all(&IpcSource::<Nested>::new(&*path)).unwrap() == nesteds);
    }
    let options = CsvOptions::new().delimiter(b'\t').quote(b'\'').null("NULL").without_header();
    let sink = CsvSink::new().with_options(options.clone());
    let path = write(folder.path(), "other", &sink, &lanes(100, flat));
    let source = CsvSource::<Flat>::new(&*path).with_options(options);
    assert!(read_all(&source).unwrap() == flats);
}

#[test]
fn an_output_without_records_is_read_as_none() {
    let folder = tempfile::tempdir().unwrap();
    let none = |path: PathBuf| {
        assert_eq!(read_all(&CsvSource::<Flat>::new(&*path)).unwrap(), []);
    };
    none(write(folder.path(), "none", &CsvSink::new(), &lanes(0, flat)));
    let path = write(folder.path(), "none", &IpcSink::new(), &lanes(0, nested));
    assert_eq!(read_all(&IpcSource::<Nested>::new(&*path)).unwrap(), []);
    let path = write(folder.path(), "none", &JsonSink::new(), &lanes(0, nested));
    assert_eq!(read_all(&JsonSource::<Nested>::new(&*path)).unwrap(), []);
}

#[test]
fn bytes_do_not_depend_on_batches() {
    fn check<S: Sink>(sink: &S, make: impl Fn(i64) -> S::Item) {
        let all: Vec<i64> = (0..200).collect();
        let one = |size: usize| {
            let lane = |rows: &[i64]| -> Vec<Vec<S::Item>> {
                rows.chunks(size).map(|rows| rows.iter().map(|&n| make(n)).collect()).collect()
            };
            encode(sink, &[lane(&all[..120]), lane(&all[120..])], &|_| true)
        };
        assert_eq!(one(1), one(50));
        assert_eq!(one(7), one(200));
    }
    check(&CsvSink::new().with_compression(TextCompression::Gzip), flat);
    check(&JsonSink::new().with_compression(TextCompression::Zstd), nested);
    check(&IpcSink::new().with_compression(IpcCompression::Lz4), nested);
}

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct Few {
    amount: Decimal<20, 4>,
    gone: Option<u64>,
    id: i64,
}

#[test]
fn columns_are_matched_by_name_and_widened() {
    let folder = tempfile::tempdir().unwrap();
    let expected: Vec<Few> = (0..100)
        .map(flat)
        .map(|f| Few {
            amount: Decimal::from_raw(f.amount.raw() * 100).unwrap(),
            gone: None,
            id: f.id,
        })
        .collect();
    let csv = write(folder.path(), "a", &CsvSink::new(), &lanes(100, flat));
    assert!(read_all(&CsvSource::<Few>::new(&*csv)).unwrap() == expected);
    let json = write(folder.path(), "a", &JsonSink::new(), &lanes(100, flat));
    assert!(read_all(&JsonSource::<Few>::new(&*json)).unwrap() == expected);
    let ipc = write(folder.path(), "a", &IpcSink::new(), &lanes(100, flat));
    assert!(read_all(&IpcSource::<Few>::new(&*ipc)).unwrap() == expected);
}

#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct Lacks {
    id: i64,
    zone: u32,
}

fn wrong<S: Source>(source: &S) -> String {
    let error = read_all(source).map(|rows| rows.len()).unwrap_err();
    assert!(matches!(error, SourceError::Input { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn a_missing_column_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let csv = write(folder.path(), "a", &CsvSink::new(), &lanes(10, flat));
    let ipc = write(folder.path(), "a", &IpcSink::new(), &lanes(10, flat));
    for error in [wrong(&CsvSource::<Lacks>::new(&*csv)), wrong(&IpcSource::<Lacks>::new(&*ipc))] {
        let expected = "column `zone` is missing; the data has: id, small, name";
        assert!(error.contains(expected) && error.contains("/a."), "{error}");
        assert!(error.contains("make the field an `Option`"), "{error}");
    }
    let json = write(folder.path(), "a", &JsonSink::new(), &lanes(10, flat));
    let error = wrong(&JsonSource::<Lacks>::new(&*json));
    assert!(error.contains("column `zone` has a null at row 0"), "{error}");
}

#[test]
fn a_value_that_does_not_fit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    let mut text = "zone,x,id\n".to_string();
    (0..5000).for_each(|n| text += &format!("{n},\"a\nb\",{n}\n"));
    std::fs::write(&path, format!("{text}7,y,seven\n")).unwrap();
    let error = wrong(&CsvSource::<Lacks>::new(&*path));
    assert!(error.contains("t.csv: ") && error.contains("'seven'"), "{error}");
    assert!(error.contains("line 5001") && error.contains("2 is `id`"), "{error}");
    std::fs::write(&path, format!("{text}7,y\n")).unwrap();
    let error = wrong(&CsvSource::<Lacks>::new(&*path));
    assert!(error.contains("expected 3 got 2"), "{error}");
    std::fs::write(&path, format!("{text}7,\"y,5\n1,2,3\n")).unwrap();
    let error = wrong(&CsvSource::<Lacks>::new(&*path));
    assert!(error.contains("row 5000: a value begins with a quote and has no end"), "{error}");
    std::fs::write(&path, format!("{text}7,y,\n")).unwrap();
    let error = wrong(&CsvSource::<Lacks>::new(&*path));
    assert!(error.contains("column `id` has a null at row 5000"), "{error}");
    let source = CsvSource::<Lacks>::new(&*path).with_options(CsvOptions::new().splittable());
    let error = wrong(&source);
    assert!(error.contains("read it without `splittable` (with --line-breaks"), "{error}");
    std::fs::write(&path, "id,zone,id\n1,2,3\n").unwrap();
    let error = wrong(&CsvSource::<Lacks>::new(&*path));
    assert!(error.contains("has two columns `id`"), "{error}");
    let error = wrong(&CsvSource::<Vec<u8>>::new(&*path));
    assert!(error.contains("is missing"), "{error}");

    let path = folder.path().join("t.json");
    let mut text = String::new();
    (0..5000).for_each(|n| text += &format!("{{\"zone\":{n},\"id\":{n},\"x\":[{n}]}}\n\n"));
    for (bad, why) in [
        ("{\"id\":1,\"zone\":\"west\"}", "zone"),
        ("{\"id\":1,\"zone\":3", "row 5000 is no object on one line"),
        ("{\"id\":1,\n\"zone\":3}", "each must be on a line of its own"),
        ("{\"id\":1,\"zone\":3} {\"id\":1,\"zone\":3}", "each must be on a line of its own"),
        ("[1]", "row 5000 is no object on one line"),
        ("{\"id\":1}", "column `zone` has a null at row 5000"),
    ] {
        std::fs::write(&path, format!("{text}{bad}\n")).unwrap();
        let error = wrong(&JsonSource::<Lacks>::new(&*path));
        assert!(error.contains("t.json: ") && error.contains(why), "{bad}: {error}");
    }
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a", &IpcSink::new(), &lanes(100, flat));
    let whole = std::fs::read(&path).unwrap();
    for cut in [0, 3, 9, 20, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        // A file without a byte is passed over, as in all formats.
        match read_all(&IpcSource::<Flat>::new(&*path)) {
            Ok(rows) => assert!(cut == 0 && rows.is_empty()),
            Err(error) => assert!(error.to_string().contains("a.arrow: "), "{error}"),
        }
    }
    for at in (0..whole.len()).step_by(101) {
        let mut damaged = whole.clone();
        damaged[at..whole.len().min(at + 8)].fill(0xfe);
        std::fs::write(&path, &damaged).unwrap();
        // Never a panic, and never memory without end; a value that is another is no error.
        if let Err(error) = read_all(&IpcSource::<Flat>::new(&*path)) {
            assert!(error.to_string().contains("a.arrow: "), "{error}");
        }
    }
    let path = write(
        folder.path(),
        "b",
        &JsonSink::new().with_compression(TextCompression::Lz4),
        &lanes(5000, flat),
    );
    let whole = std::fs::read(&path).unwrap();
    for cut in [5, 11, whole.len() / 2, whole.len() - 1, whole.len() - 4] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = wrong(&JsonSource::<Flat>::new(&*path));
        assert!(error.contains("b.json.lz4: the lz4 data is"), "{cut}: {error}");
    }
}

#[test]
fn a_buffer_that_says_it_is_huge_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let sink = IpcSink::new().with_compression(IpcCompression::Zstd);
    let rows = |_| vec![vec![(0..5000i64).map(|n| n % 3).collect::<Vec<i64>>()]];
    let path = write(folder.path(), "a", &sink, &rows(()));
    let mut bytes = std::fs::read(&path).unwrap();
    let length = 40_000i64.to_le_bytes();
    let at = bytes.windows(8).position(|window| window == length).unwrap();
    bytes[at..at + 8].copy_from_slice(&(1i64 << 50).to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = wrong(&IpcSource::<i64>::new(&*path));
    assert!(error.contains("is the most; write it with smaller ones"), "{error}");
}

#[test]
fn streams_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = write(folder.path(), "a", &IpcSink::new(), &lanes(100, nested));
    let file = std::fs::File::open(&path).unwrap();
    let reader = arrow::ipc::reader::FileReader::try_new(file, None).unwrap();
    let mut bytes = Vec::new();
    let schema = reader.schema();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut bytes, &schema).unwrap();
    reader.for_each(|batch| writer.write(&batch.unwrap()).unwrap());
    writer.finish().unwrap();
    let path = folder.path().join("b.arrows");
    std::fs::write(&path, &bytes).unwrap();
    let expected: Vec<Nested> = (0..100).map(nested).collect();
    assert!(read_all(&IpcSource::<Nested>::new(&*path)).unwrap() == expected);
    // A stream need not say that it ends.
    std::fs::write(&path, &bytes[..bytes.len() - 8]).unwrap();
    assert!(read_all(&IpcSource::<Nested>::new(&*path)).unwrap() == expected);
    std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
    let error = wrong(&IpcSource::<Nested>::new(&*path));
    assert!(error.contains("b.arrows: is no Arrow IPC file"), "{error}");
}

fn avro(rows: &[Flat], codec: Option<arrow_avro::compression::CompressionCodec>) -> Vec<u8> {
    use crate::record::{Batch, Builder, schema_of};
    use arrow::array::{AsArray, RecordBatch};
    let mut builder = <Flat as Record>::Builder::default();
    rows.iter().for_each(|row| builder.push(row.view()));
    let array = builder.finish().to_array();
    let columns = RecordBatch::from(array.as_struct().clone());
    let schema = crate::formats::columns::plain_fields(schema_of::<Flat>().fields());
    let arrays = columns.columns().iter().zip(&schema);
    let arrays = arrays.map(|(a, f)| arrow::compute::cast(a, f.data_type()).unwrap()).collect();
    let schema = std::sync::Arc::new(arrow::datatypes::Schema::new(schema));
    let batch = RecordBatch::try_new(schema.clone(), arrays).unwrap();
    let writer = arrow_avro::writer::WriterBuilder::new(schema.as_ref().clone());
    let mut writer = writer
        .with_compression(codec)
        .build::<_, arrow_avro::writer::format::AvroOcfFormat>(Vec::new())
        .unwrap();
    for from in (0..batch.num_rows()).step_by(9) {
        writer.write(&batch.slice(from, 9.min(batch.num_rows() - from))).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner()
}

#[test]
fn avro_is_read() {
    use arrow_avro::compression::CompressionCodec::{Bzip2, Deflate, Snappy, ZStandard};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.avro");
    let rows: Vec<Flat> = (0..100).map(flat).collect();
    for codec in [None, Some(Deflate), Some(Snappy), Some(ZStandard), Some(Bzip2)] {
        std::fs::write(&path, avro(&rows, codec)).unwrap();
        assert!(read_all(&AvroSource::<AvroFlat>::new(&*path)).unwrap() == avro_flats(&rows));
    }
    let whole = std::fs::read(&path).unwrap();
    for cut in [3, 50, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let error = wrong(&AvroSource::<AvroFlat>::new(&*path));
        assert!(error.contains("a.avro: is no Avro file, or is cut short"), "{cut}: {error}");
    }
    std::fs::write(&path, &whole).unwrap();
    let error = wrong(&AvroSource::<Lacks>::new(&*path));
    assert!(error.contains("column `zone` is missing"), "{error}");
}

/// What of [`Flat`] Avro has types for.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct AvroFlat {
    id: i64,
    name: String,
    fare: Option<f64>,
    paid: bool,
    day: Date,
    at: Timestamp,
    seen: Option<LocalTimestamp>,
    amount: Decimal<12, 2>,
    note: Option<String>,
}

fn avro_flats(rows: &[Flat]) -> Vec<AvroFlat> {
    let one = |row: Flat| {
        let Flat { id, name, fare, paid, day, at, seen, amount, note, .. } = row;
        AvroFlat { id, name, fare, paid, day, at, seen, amount, note }
    };
    rows.iter().cloned().map(one).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_cut_gives_the_same_rows(
        rows in 0..150i64,
        lane in 300..4000u64,
        per_split in 1..5u64,
        block in 64..3000usize,
    ) {
        use crate::formats::files::Sizes;
        let sizes = Sizes { lane, split: lane * per_split, block };
        let folder = tempfile::tempdir().unwrap();
        let flats: Vec<Flat> = (0..rows).map(flat).collect();
        let path = write(folder.path(), "a", &JsonSink::new(), &lanes(rows, flat));
        let source = JsonSource::<Flat>::new(&*path).with_sizes(sizes);
        prop_assert!(read_all(&source).unwrap() == flats);
        let path = write(folder.path(), "a", &CsvSink::new(), &lanes(rows, flat));
        let source = CsvSource::<Flat>::new(&*path).with_sizes(sizes);
        prop_assert!(read_all(&source).unwrap() == flats);
        let path = write(folder.path(), "a", &IpcSink::new(), &lanes(rows, flat));
        let source = IpcSource::<Flat>::new(&*path).with_sizes(sizes);
        prop_assert!(read_all(&source).unwrap() == flats);
        let path = folder.path().join("a.avro");
        std::fs::write(&path, avro(&flats, None)).unwrap();
        let source = AvroSource::<AvroFlat>::new(&*path).with_sizes(sizes);
        prop_assert!(read_all(&source).unwrap() == avro_flats(&flats));
        // Without line breaks within values.
        let plain = |n| Flat { name: format!("n,\"{n}\""), ..flat(n) };
        let path = write(folder.path(), "b", &CsvSink::new(), &lanes(rows, plain));
        let options = CsvOptions::new().splittable();
        let source = CsvSource::<Flat>::new(&*path).with_options(options).with_sizes(sizes);
        prop_assert!(read_all(&source).unwrap() == (0..rows).map(plain).collect::<Vec<_>>());
    }
}

/// A sale, of a day that folders say.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct Sale {
    day: Option<Date>,
    shop: String,
    sold: u32,
}

/// What files hold of it.
#[derive(Clone, Debug, PartialEq, Record)]
#[record(crate = "crate")]
struct SaleOfDay {
    shop: String,
    sold: u32,
}

/// Reads files below `day=...` folders as sales: all of them, and those that a predicate may hold of.
fn sales<S: Sink<Item = SaleOfDay>, I: Source<Item = Sale>>(
    name: &str,
    sink: &S,
    open: impl Fn(&str) -> I,
) {
    let folder = tempfile::tempdir().unwrap();
    let days = ["2024-01-01", "2024-01-02", "__HIVE_DEFAULT_PARTITION__"];
    let mut expected = Vec::new();
    for (number, day) in (0..).zip(days) {
        let below = folder.path().join(format!("day={day}"));
        std::fs::create_dir(&below).unwrap();
        let of_day = |sold: u32| SaleOfDay { shop: format!("shop {}", sold % 3), sold };
        let rows: Vec<SaleOfDay> = (10 * number..10 * number + 5).map(of_day).collect();
        let with_day = |row: &SaleOfDay| Sale {
            day: day.parse().ok(),
            shop: row.shop.clone(),
            sold: row.sold,
        };
        expected.extend(rows.iter().map(with_day));
        write(&below, name, sink, &[vec![rows]]);
    }
    let path = folder.path().to_str().unwrap();
    assert_eq!(read_all(&open(path)).unwrap(), expected, "{name}");

    // Files of this folder are no such files, and are not opened.
    let broken = folder.path().join("day=1999-12-31");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join(name), [0xff; 100]).unwrap();
    let source = open(path).pruned(Sale::COLS.day.ge(Date::from_ymd(2024, 1, 2).unwrap()).into());
    let source = source.unwrap();
    assert!(!source.exact);
    assert_eq!(read_all(&source.source).unwrap(), expected[5..10], "{name}");

    std::fs::rename(&broken, folder.path().join("day=someday")).unwrap();
    let error = read_all(&open(path)).unwrap_err().to_string();
    assert!(error.contains("the folder `day=someday` gives field `day` `someday`"), "{error}");
}

#[test]
fn folders_are_fields_in_all_formats() {
    sales("a.csv", &CsvSink::new(), |path| CsvSource::new(path));
    let options = CsvOptions::new().without_header();
    sales("b.csv", &CsvSink::new().with_options(options.clone()), |path| {
        CsvSource::new(path).with_options(options.clone())
    });
    sales("a.json", &JsonSink::new(), |path| JsonSource::new(path));
    sales("a.arrow", &IpcSink::new(), |path| IpcSource::new(path));
}

/// Reads a file of which bytes were changed: other rows, or an error that names it; never a panic, never more memory
/// than there is.
fn read_or_refused<S: Source>(source: &S, path: &Path) -> Result<(), TestCaseError>
where
    S::Item: Clone,
{
    if let Err(error) = read_all(source) {
        prop_assert!(error.to_string().starts_with(&path.display().to_string()), "{}", error);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn bytes_that_were_changed_are_read_or_refused(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        codec in 0..5_usize,
    ) {
        use arrow_avro::compression::CompressionCodec::{Bzip2, Deflate, Snappy, ZStandard};
        let folder = tempfile::tempdir().unwrap();
        let change = |path: &Path| {
            let mut bytes = std::fs::read(path).unwrap();
            for (at, byte) in &places {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            std::fs::write(path, bytes).unwrap();
        };
        let codec = [None, Some(Deflate), Some(Snappy), Some(ZStandard), Some(Bzip2)][codec];
        let path = folder.path().join("a.avro");
        std::fs::write(&path, avro(&(0..60).map(flat).collect::<Vec<_>>(), codec)).unwrap();
        change(&path);
        read_or_refused(&AvroSource::<AvroFlat>::new(&*path), &path)?;
        let compression =
            [IpcCompression::None, IpcCompression::Lz4, IpcCompression::Zstd][places.len() - 1];
        let sink = IpcSink::new().with_compression(compression);
        let path = write(folder.path(), "deep", &sink, &lanes(60, deep));
        change(&path);
        read_or_refused(&IpcSource::<Deep>::new(&*path), &path)?;
        let path = write(folder.path(), "flat", &CsvSink::new(), &lanes(60, flat));
        change(&path);
        read_or_refused(&CsvSource::<Flat>::new(&*path), &path)?;
        let path = write(folder.path(), "json", &JsonSink::new(), &lanes(60, deep));
        change(&path);
        read_or_refused(&JsonSource::<Deep>::new(&*path), &path)?;
    }
}
