//! Any cut gives the rows of a sequential reading; files do not depend on how rows came.

use super::source::Sizes;
use super::*;
use crate::formats::testing::{Fail, Take, encode, read_all, read_lanes, splits};
use crate::record::{BytesColumn, Record};
use crate::source::{Source, SourceError};
use crate::storage::Storage;
use arrow::array::{Array, ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

type Row = (u32, String, Option<f64>, Vec<Option<String>>);

fn row(number: u32) -> Row {
    let name =
        if number.is_multiple_of(2) { "card".to_string() } else { format!("a long name {number}") };
    let list = (0..number % 3).map(|i| (i > 0).then(|| format!("{number}/{i}"))).collect();
    (number, name, (!number.is_multiple_of(5)).then_some(f64::from(number)), list)
}

fn rows(count: u32) -> Vec<Row> {
    (0..count).map(row).collect()
}

/// Rows in lanes and batches of these sizes, without end.
fn in_batches(rows: &[Row], lane: usize, batch: usize) -> Vec<Vec<Vec<Row>>> {
    rows.chunks(lane).map(|lane| lane.chunks(batch).map(<[Row]>::to_vec).collect()).collect()
}

fn write(path: &Path, rows: &[Row], sink: &ParquetSink<Row>) {
    std::fs::write(path, encode(sink, &in_batches(rows, 30_000, 2000), &|_| true)).unwrap();
}

fn sizes(lane: u64, split: u64, batch: usize) -> Sizes {
    Sizes { lane, split, batch }
}

#[test]
fn any_cut_gives_all_rows_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let sink = ParquetSink::<Row>::new().with_group_rows(1);
    let all = rows(40_000);
    write(&folder.path().join("a"), &all[..25_000], &sink);
    write(&folder.path().join("b"), &all[25_000..25_000], &sink);
    write(&folder.path().join("c"), &all[25_000..], &sink);
    for (lane, split, batch) in [(5000, 1, 999), (8192, 100_000, 4096), (777, 1 << 30, 100)] {
        let source = ParquetSource::<Row>::new(folder.path()).with_sizes(sizes(lane, split, batch));
        let lanes = read_lanes(&source, &Storage::new(), lane == 777).unwrap();
        let groups = [8192u64, 8192, 8192, 424, 8192, 6808];
        assert_eq!(lanes.len() as u64, groups.iter().map(|rows| rows.div_ceil(lane)).sum::<u64>());
        assert!(lanes.iter().all(|rows| rows.len() as u64 <= lane));
        assert!(lanes.concat() == all, "lanes of {lane}");
    }
    let source = ParquetSource::<Row>::new(folder.path());
    assert_eq!(splits(&source, &Storage::new()).unwrap().len(), 1);
    let source = source.with_sizes(sizes(1000, 1, 100));
    assert_eq!(splits(&source, &Storage::new()).unwrap().len(), 6);
}

#[test]
fn a_row_group_without_offsets_of_pages_is_one_lane() {
    let folder = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![Field::new("value", DataType::Int32, true)]));
    let properties = WriterProperties::builder()
        .set_offset_index_disabled(true)
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::Chunk)
        .build();
    let file = std::fs::File::create(folder.path().join("a")).unwrap();
    let mut writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).unwrap();
    let column: ArrayRef = Arc::new(Int32Array::from_iter_values(0..100_000));
    writer.write(&RecordBatch::try_new(schema, vec![column]).unwrap()).unwrap();
    writer.close().unwrap();
    let source = ParquetSource::<i64>::new(folder.path()).with_sizes(sizes(1000, 1, 4096));
    let lanes = read_lanes(&source, &Storage::new(), false).unwrap();
    assert_eq!(lanes.len(), 1);
    assert!(lanes[0].iter().copied().eq(0..100_000));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn files_do_not_depend_on_how_rows_came(lane in 1usize..20_000, batch in 1usize..5000) {
        let sink = ParquetSink::<Row>::new().with_group_rows(16_384);
        let all = rows(20_000);
        let file = |lanes| encode(&sink, lanes, &|_| true);
        prop_assert!(file(&in_batches(&all, lane, batch)) == file(&in_batches(&all, 20_000, 4096)));
    }
}

#[test]
fn selected_rows_are_written_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let all = rows(9000);
    for compression in
        [ParquetCompression::None, ParquetCompression::Snappy, ParquetCompression::Zstd]
    {
        let sink = ParquetSink::<Row>::new().with_compression(compression);
        let bytes = encode(&sink, &in_batches(&all, 9000, 3000), &|row| row % 7 == 0);
        std::fs::write(folder.path().join("a"), bytes).unwrap();
        let read = read_all(&ParquetSource::<Row>::new(folder.path())).unwrap();
        let expected: Vec<Row> =
            all.iter().filter(|row| (row.0 % 3000) % 7 == 0).cloned().collect();
        assert!(read == expected);
    }
}

#[test]
fn objects_are_read_as_files_are() {
    use object_store::ObjectStoreExt;
    let store = Arc::new(object_store::memory::InMemory::new());
    let storage = Storage::new();
    storage.set_client("s3://bucket", store.clone());
    let all = rows(20_000);
    let sink = ParquetSink::<Row>::new().with_group_rows(8192);
    let bytes = encode(&sink, &in_batches(&all, 30_000, 2000), &|_| true);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(store.put(&"folder/a".into(), bytes.into())).unwrap();
    let source = ParquetSource::<Row>::new("s3://bucket/folder").with_sizes(sizes(3000, 1, 4096));
    assert!(read_lanes(&source, &storage, false).unwrap().concat() == all);
}

#[test]
fn no_rows_make_a_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = encode(&ParquetSink::<Row>::new(), &[], &|_| true);
    std::fs::write(folder.path().join("a"), bytes).unwrap();
    let source = ParquetSource::<Row>::new(folder.path());
    assert!(splits(&source, &Storage::new()).unwrap().is_empty());
    assert!(read_all(&source).unwrap().is_empty());
}

#[test]
fn repeated_text_is_read_as_a_dictionary_and_other_text_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let texts: Vec<(String, String)> =
        (0..70_000).map(|i| (format!("kind {}", i % 7), format!("{i:040}"))).collect();
    let sink = ParquetSink::<(String, String)>::new();
    let bytes = encode(&sink, std::slice::from_ref(&vec![texts.clone()]), &|_| true);
    std::fs::write(folder.path().join("a"), bytes).unwrap();
    let source = ParquetSource::<(String, String)>::new(folder.path());
    assert!(read_all(&source).unwrap() == texts);
    let split = splits(&source, &Storage::new()).unwrap().remove(0);
    let mut take = Take { keep: true, ..Take::new() };
    source.read(&Storage::new(), &split, 0, &mut take).unwrap();
    let values: Vec<_> = take
        .batches
        .iter()
        .map(|batch| match (&batch.0, &batch.1) {
            (BytesColumn::Dictionary { values, .. }, BytesColumn::Views(_)) => values,
            _ => panic!("the first is to be a dictionary, the second is not"),
        })
        .collect();
    assert_eq!((values.len(), values[0].len()), (18, 7));
    // The views of the dictionary were made once.
    assert!(values.iter().all(|v| v.views().as_ptr() == values[0].views().as_ptr()));
    // Bytes are text too.
    let bytes = read_all(&ParquetSource::<(Bytes, String)>::new(folder.path())).unwrap();
    assert!(bytes.iter().zip(&texts).all(|(a, b)| a.0 == b.0.as_bytes()));
}

#[test]
fn files_of_dictionaries_and_nulls_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let words: DictionaryArray<Int32Type> =
        (0..5000).map(|i| (i % 3 > 0).then_some(if i % 2 == 0 { "even" } else { "odd" })).collect();
    let plain = StringArray::from_iter((0..5000).map(|i| (i % 5 > 0).then(|| format!("{i}"))));
    let columns: Vec<(&str, ArrayRef)> =
        vec![("_0", Arc::new(words)), ("other", Arc::new(plain.clone())), ("_1", Arc::new(plain))];
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, column)| (name, column, true)),
    )
    .unwrap();
    let file = std::fs::File::create(folder.path().join("a")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    type Two = (Option<String>, Option<String>);
    let read = read_all(&ParquetSource::<Two>::new(folder.path())).unwrap();
    for (i, (word, number)) in read.iter().enumerate() {
        let expected = (i % 3 > 0).then_some(if i % 2 == 0 { "even" } else { "odd" });
        assert_eq!(word.as_deref(), expected);
        assert_eq!(*number, (i % 5 > 0).then(|| format!("{i}")));
    }
    let source = ParquetSource::<(Option<String>, String)>::new(folder.path());
    let error = read_all(&source).unwrap_err();
    assert!(matches!(error, SourceError::Input { .. }));
    assert!(error.to_string().contains("a: column `_1` has a null at row 0"), "{error}");
}

fn error_of<T: Record>(path: &Path) -> String {
    let error = read_all(&ParquetSource::<T>::new(path)).map(|_| ()).unwrap_err();
    assert!(matches!(error, SourceError::Input { .. }), "{error}");
    error.to_string()
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a"), &rows(10), &ParquetSink::new());
    let error = error_of::<(u32, u64)>(folder.path());
    assert!(error.contains("/a: column `_1` is Utf8View, but the record has UInt64"), "{error}");
    type Five = (u32, String, Option<f64>, Vec<Option<String>>, u8);
    let error = error_of::<Five>(folder.path());
    assert!(error.contains("column `_4` is missing; the data has: _0, _1, _2, _3"), "{error}");
    let error = error_of::<u32>(folder.path());
    assert!(error.contains("column `value` is missing"), "{error}");
    type More = (u64, String, Option<f64>, Vec<Option<String>>, Option<u8>);
    let read = read_all(&ParquetSource::<More>::new(folder.path())).unwrap();
    assert_eq!((read[3].0, read[3].4), (3, None));
}

#[test]
fn damaged_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write(&path, &rows(20_000), &ParquetSink::new());
    let whole = std::fs::read(&path).unwrap();
    let name = path.display().to_string();
    for length in [0, 3, 11, 12, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = error_of::<Row>(folder.path());
        assert!(error.starts_with(&name), "{error}");
        assert!(error.contains("cut short"), "{error}");
    }
    // Cut short after it was listed.
    std::fs::write(&path, &whole).unwrap();
    let source = ParquetSource::<Row>::new(folder.path());
    let split = splits(&source, &Storage::new()).unwrap().remove(0);
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = source.read(&Storage::new(), &split, 0, &mut Take::new()).unwrap_err();
    assert!(matches!(&error, SourceError::Input { .. }), "{error}");
    assert!(error.to_string().contains("must not change while a job runs"), "{error}");
    std::fs::write(&path, b"id,name\n1,x\n2,y\n").unwrap();
    assert!(error_of::<Row>(folder.path()).contains("is no Parquet file"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_is_an_error_or_other_rows_but_never_a_panic(at in any::<prop::sample::Index>(), bits in 1u8..) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        write(&path, &rows(500), &ParquetSink::new());
        let mut bytes = std::fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = read_all(&ParquetSource::<Row>::new(folder.path())) {
            prop_assert!(error.to_string().starts_with(&path.display().to_string()), "{}", error);
        }
    }
}

#[test]
fn rows_are_named_and_enough_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("a"), &rows(20_000), &ParquetSink::new().with_group_rows(8192));
    let source = ParquetSource::<Row>::new(folder.path()).with_sizes(sizes(4096, 1, 100));
    let all = splits(&source, &Storage::new()).unwrap();
    let mut take = Take { enough_at: 10, ..Take::new() };
    source.read(&Storage::new(), &all[1], 1, &mut take).unwrap();
    assert_eq!((take.records.len(), take.records[0].0), (100, 8192 + 4096));
    assert!(source.read(&Storage::new(), &all[1], 1, &mut Fail(3)).is_err());
    let place = crate::place::describe_failure().unwrap();
    let path = folder.path().join("a");
    assert_eq!(place, format!("{}, row {}", path.display(), 8192 + 4096 + 3));
    assert_eq!(source.describe().columns.unwrap(), ["_0", "_1", "_2", "_3"]);
}

/// A column `id` of 1, 2 and 3, as PyArrow writes it with checksums of its pages.
const WITH_CHECKSUMS: &[u8] = b"\
    PAR1\x15\x00\x15<\x15<\x15\xfa\xca\xd7\xa9\x0d\x1c\x15\x06\x15\x00\x15\x06\x15\x06\x1c\x00\x00\x00\
    \x02\x00\x00\x00\x06\x01\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\
    \x00\x00\x00\x00\x00\x15\x04\x19,5\x00\x18\x06schema\x15\x02\x00\x15\x04%\x02\x18\x02id\x00\x16\x06\
    \x19\x1c\x19\x1c&\x00\x1c\x15\x04\x19%\x06\x00\x19\x18\x02id\x15\x00\x16\x06\x16n\x16n&\x08I\x1c\x15\
    \x00\x15\x00\x15\x02\x00<)\x06\x19&\x00\x06\x00\x00\x00\x16n\x16\x06&\x08\x16n\x00( parquet-cpp-arro\
    w version 26.0.1\x19\x1c\x1c\x00\x00\x00|\x00\x00\x00PAR1";

#[test]
fn a_page_whose_checksum_is_wrong_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.parquet");
    let read = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        read_all(&ParquetSource::<Option<i64>>::new(&*path))
    };
    assert_eq!(read(WITH_CHECKSUMS).unwrap(), [Some(1), Some(2), Some(3)]);
    let two = 2_i64.to_le_bytes();
    let at = WITH_CHECKSUMS.windows(8).position(|bytes| bytes == two).unwrap();
    let mut bytes = WITH_CHECKSUMS.to_vec();
    bytes[at] = 4;
    let error = read(&bytes).unwrap_err().to_string();
    assert!(error.contains("a.parquet") && error.contains("CRC checksum"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever a file says of itself: it is read or refused, and nothing is made as large as it says.
    #[test]
    fn bytes_that_are_others_are_read_or_refused(
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        more in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ours in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let mut bytes = WITH_CHECKSUMS.to_vec();
        if ours {
            write(&path, &rows(300), &ParquetSink::new().with_group_rows(128));
            bytes = std::fs::read(&path).unwrap();
        }
        for (at, byte) in more.into_iter().chain([(at, byte)]) {
            // Most of what matters is in the last part.
            let at = if byte % 2 == 0 { at.index(bytes.len()) } else { bytes.len() - 1 - at.index(bytes.len() / 3) };
            bytes[at] = byte;
        }
        std::fs::write(&path, &bytes).unwrap();
        if ours {
            let _ = read_all(&ParquetSource::<Row>::new(&*path));
        } else {
            let _ = read_all(&ParquetSource::<Option<i64>>::new(&*path));
        }
    }
}
