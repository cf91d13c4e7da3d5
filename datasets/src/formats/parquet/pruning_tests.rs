//! Rows that are left out early are those that a filter would leave out.

use super::source::Sizes;
use super::*;
use crate::columns::{Columns, Predicate};
use crate::formats::testing::{Take, read_lanes, splits};
use crate::push::Selection;
use crate::record::{Batch, Builder, Date, Decimal, Record};
use crate::scan::Scan;
use crate::source::Source;
use crate::storage::Storage;
use arrow::array::{ArrayRef, AsArray, RecordBatch};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;

type Row =
    (i32, Option<f64>, String, Option<u32>, Decimal<9, 2>, Option<Bytes>, Date, Option<String>);

/// How a file is written.
#[derive(Clone, Debug)]
struct Form {
    group: usize,
    page: usize,
    statistics: u8,
    offsets: bool,
    blooms: bool,
    dictionaries: bool,
    truncate: usize,
    sorted: bool,
}

fn forms() -> impl Strategy<Value = Form> {
    (20usize..300, 1usize..60, 0u8..4, any::<[bool; 4]>(), 1usize..8).prop_map(
        |(group, page, statistics, [offsets, blooms, dictionaries, sorted], truncate)| Form {
            group,
            page,
            statistics,
            offsets,
            blooms,
            dictionaries,
            truncate,
            sorted,
        },
    )
}

const WORDS: [&str; 6] = ["", "a", "abcdefghijkl1", "abcdefghijkl2", "b", "\u{10ffff}\u{10ffff}"];

fn row(n: i32, float: u8, word: usize, bits: u8) -> Row {
    let floats = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1.5, -1.5, f64::from(n)];
    let word = WORDS[word % WORDS.len()];
    (
        n,
        (float < 8).then(|| floats[usize::from(float % 8)]),
        word.to_string(),
        (bits & 1 > 0).then_some(u32::MAX.wrapping_add_signed(-n.abs())),
        Decimal::from_raw(i128::from(n) * 50).unwrap(),
        (bits & 2 > 0).then(|| Bytes::copy_from_slice(&word.as_bytes()[..word.len() / 2])),
        Date::from_days(n),
        (bits & 4 > 0).then(|| format!("payload {n}")),
    )
}

fn batch_of(rows: &[Row]) -> <Row as Record>::Batch {
    let mut builder = <Row as Record>::Builder::default();
    rows.iter().for_each(|row| builder.push(row.view()));
    builder.finish()
}

fn write(path: &Path, rows: &[Row], form: &Form) {
    let columns = batch_of(rows).to_array();
    let batch = RecordBatch::from(columns.as_struct());
    let statistics = match form.statistics {
        0 => EnabledStatistics::None,
        1 => EnabledStatistics::Chunk,
        _ => EnabledStatistics::Page,
    };
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(form.group))
        .set_data_page_row_count_limit(form.page)
        .set_write_batch_size(form.page)
        .set_statistics_enabled(statistics)
        .set_offset_index_disabled(!form.offsets && form.statistics < 2)
        .set_bloom_filter_enabled(form.blooms)
        .set_dictionary_enabled(form.dictionaries)
        .set_statistics_truncate_length(Some(form.truncate))
        .set_column_index_truncate_length(Some(form.truncate))
        .set_compression(Compression::SNAPPY)
        .build();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A comparison of a column with constants near `k`.
fn leaf(column: u8, operator: u8, k: i32) -> Predicate<Row> {
    macro_rules! of {
        ($column:expr, $value:expr, $other:expr) => {{
            let column = $column;
            match operator % 9 {
                0 => column.eq($value),
                1 => column.ne($value),
                2 => column.lt($value),
                3 => column.le($value),
                4 => column.gt($value),
                5 => column.ge($value),
                6 => column.between($value, $other),
                7 => column.is_in([$value, $other]),
                _ => column.is_null(),
            }
        }};
    }
    let c = Row::COLS;
    let one = row(k, (k.unsigned_abs() % 9) as u8, k.unsigned_abs() as usize, 7);
    let two = row(k + 3, (k.unsigned_abs() % 7) as u8, k.unsigned_abs() as usize / 2, 7);
    let (a, b) = (one.view(), two.view());
    match column % 8 {
        0 => of!(c.0, a.0, b.0),
        1 => of!(c.1, a.1.unwrap_or(0.0), b.1.unwrap_or(0.0)),
        2 => of!(c.2, a.2, b.2),
        3 => of!(c.3, a.3.unwrap_or(0), b.3.unwrap_or(0)),
        4 => of!(c.4, a.4, b.4),
        5 => of!(c.5, a.5.unwrap_or(b""), b.5.unwrap_or(b"")),
        6 => of!(c.6, a.6, b.6),
        _ => of!(c.7, a.7.unwrap_or(""), b.7.unwrap_or("")),
    }
}

/// The leaves, joined in one way or the other.
fn predicate(leaves: &[(u8, u8, i32, u8)]) -> Predicate<Row> {
    let mut leaves = leaves.iter();
    let &(column, operator, k, _) = leaves.next().unwrap();
    leaves.fold(leaf(column, operator, k), |so_far, &(column, operator, k, join)| {
        let more = leaf(column, operator, k);
        match join % 4 {
            0 | 1 => so_far.and(more),
            2 => so_far.or(more),
            _ => so_far.or(more).not(),
        }
    })
}

fn shown(rows: impl IntoIterator<Item = Row>) -> Vec<String> {
    rows.into_iter().map(|row| format!("{row:?}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]
    #[test]
    fn pruned_rows_are_those_that_pass(
        numbers in prop::collection::vec((-40i32..40, 0u8..10, 0usize..6, 0u8..8), 0..500),
        leaves in prop::collection::vec((any::<u8>(), any::<u8>(), -45i32..45, any::<u8>()), 1..4),
        second in prop::option::of((any::<u8>(), any::<u8>(), -45i32..45, any::<u8>())),
        form in forms(),
        lane in 1u64..200,
        batch in 1usize..100,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut rows: Vec<Row> = numbers.iter().map(|&(n, f, w, b)| row(n, f, w, b)).collect();
        if form.sorted {
            rows.sort_by_key(|row| row.0);
        }
        write(&folder.path().join("a"), &rows, &form);
        let mut predicates = vec![predicate(&leaves)];
        predicates.extend(second.map(|second| predicate(&[second])));
        let whole = batch_of(&rows);
        let mut passed: Vec<u32> = (0..rows.len() as u32).collect();
        for predicate in &predicates {
            let some = passed.clone();
            predicate.select(&whole, Selection::Rows(&some), &mut passed);
        }
        let source = ParquetSource::<Row>::new(folder.path())
            .with_sizes(Sizes { lane, split: 1000, batch });
        let source = predicates
            .into_iter()
            .fold(source, |source, p| source.pruned(Arc::new(p)).unwrap().source);
        let storage = Storage::new();
        let lanes = read_lanes(&source, &storage, false).unwrap();
        let expected = passed.iter().map(|&at| rows[at as usize].clone());
        prop_assert_eq!(shown(lanes.concat()), shown(expected), "{:?}", source);
        let scan = storage.scan();
        prop_assert_eq!(scan.rows, rows.len() as u64);
        prop_assert_eq!(scan.rows_pruned + scan.rows_filtered, (rows.len() - passed.len()) as u64);
    }
}

/// 40,000 rows that are sorted by their first column, with as many different texts.
fn write_sorted(path: &Path, blooms: bool) -> u64 {
    let rows: Vec<Row> = (0..40_000).map(|n| row(n, 5, n as usize, 7)).collect();
    let form = Form {
        group: 20_000,
        page: 500,
        statistics: 2,
        offsets: true,
        blooms,
        dictionaries: false,
        truncate: 64,
        sorted: true,
    };
    write(path, &rows, &form);
    std::fs::metadata(path).unwrap().len()
}

fn read_counted(path: &Path, predicate: Option<Predicate<Row>>) -> (Vec<i32>, Scan) {
    let source =
        ParquetSource::<Row>::new(path).with_sizes(Sizes { lane: 5000, split: 1, batch: 1000 });
    let source = match predicate {
        Some(predicate) => source.pruned(Arc::new(predicate)).unwrap().source,
        None => source,
    };
    let storage = Storage::new();
    let rows = read_lanes(&source, &storage, false).unwrap().concat();
    (rows.into_iter().map(|row| row.0).collect(), storage.scan())
}

#[test]
fn pages_that_are_ruled_out_are_not_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let size = write_sorted(&path, false);
    let c = Row::COLS;
    let (rows, all) = read_counted(&path, None);
    assert_eq!((rows.len(), all.rows_pruned), (40_000, 0));
    let (rows, scan) = read_counted(&path, Some(c.0.between(21_200, 21_899)));
    assert_eq!(rows, (21_200..21_900).collect::<Vec<_>>());
    assert_eq!((scan.groups, scan.groups_pruned), (2, 1));
    assert_eq!((scan.rows_pruned, scan.rows_filtered), (39_000, 300));
    // 2 of 80 pages of each column, and the footer and the page index.
    assert!(scan.bytes_read < size / 5, "{scan:?} of {size}");
    // No page may have it, but the row group may.
    let (rows, scan) = read_counted(&path, Some(c.2.gt("b").and(c.2.lt("c"))));
    assert_eq!((rows.len(), scan.rows_pruned), (0, 0));
    let (rows, scan) =
        read_counted(&path, Some(c.0.lt(100).and(c.4.gt(Decimal::from_raw(30_000 * 50).unwrap()))));
    assert_eq!((rows.len(), scan.files_pruned_by_footer), (0, 1));
    assert!(scan.bytes_read < size / 8, "{scan:?} of {size}");
}

#[test]
fn columns_of_rows_that_do_not_pass_are_not_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write_sorted(&path, false);
    let c = Row::COLS;
    // Statistics rule out nothing.
    let some = || c.7.eq("payload 12345").or(c.7.eq("payload 30007"));
    let (rows, scan) = read_counted(&path, Some(some()));
    assert_eq!(rows, [12_345, 30_007]);
    assert_eq!(scan.rows_filtered, 39_998 - scan.rows_pruned);
    let (_, all) = read_counted(&path, None);
    assert!(scan.bytes_read < all.bytes_read / 2, "{scan:?}, of {all:?}");
}

#[test]
fn bloom_filters_rule_out_row_groups() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write_sorted(&path, true);
    let c = Row::COLS;
    // Within the bounds of the group, but the values are multiples of 50.
    let (rows, scan) = read_counted(&path, Some(c.7.eq("payload 12345x")));
    assert_eq!((rows.len(), scan.groups_pruned), (0, 2));
    let (rows, scan) = read_counted(&path, Some(c.7.is_in(["payload 12345", "payload 1x"])));
    assert_eq!((rows, scan.groups_pruned), (vec![12_345], 1));
    // Not for the opposite.
    let (rows, scan) = read_counted(&path, Some(c.7.ne("payload 1x")));
    assert_eq!((rows.len(), scan.groups_pruned), (40_000, 0));
}

#[test]
fn rows_of_a_selection_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write_sorted(&path, false);
    let c = Row::COLS;
    for (predicate, named) in [
        // Of a batch with a selection, and of one of the few rows that pass.
        (c.0.ge(21_200), "row 21003"),
        (c.7.ge("payload 3").and(c.7.lt("payload 31")), "row 301"),
    ] {
        let source = ParquetSource::<Row>::new(&*path).pruned(Arc::new(predicate)).unwrap().source;
        let mut found = None;
        'all: for split in splits(&source, &Storage::new()).unwrap() {
            for lane in 0..split.lanes {
                let mut fail = crate::formats::testing::Fail(3);
                if source.read(&Storage::new(), &split, lane, &mut fail).is_err() {
                    found = crate::place::describe_failure();
                    break 'all;
                }
            }
        }
        let found = found.unwrap();
        assert!(found.ends_with(named), "{found} for {named}");
    }
}

#[test]
fn folders_are_fields_and_prune_files() {
    let folder = tempfile::tempdir().unwrap();
    type Two = (i32, Option<String>);
    let one: ArrayRef = Arc::new(arrow::array::Int32Array::from_iter_values(0..3000));
    let two: ArrayRef =
        Arc::new(arrow::array::StringArray::from_iter_values((0..3000).map(|i| format!("{i}"))));
    for year in ["2023", "2024", "__HIVE_DEFAULT_PARTITION__"] {
        let below = folder.path().join(format!("_1={year}"));
        std::fs::create_dir(&below).unwrap();
        let batch = RecordBatch::try_from_iter([("_0", one.clone()), ("_1", two.clone())]).unwrap();
        let file = std::fs::File::create(below.join("a.parquet")).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let folders = folder.path().to_str().unwrap();
    // Files of this folder would fail if they were opened.
    let broken = folder.path().join("_1=1999");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("a.parquet"), "nothing").unwrap();
    let c = Two::COLS;
    let read = |predicate: Predicate<Two>| {
        let source = ParquetSource::<Two>::new(folders);
        let source = source.pruned(Arc::new(predicate)).unwrap().source;
        let storage = Storage::new();
        let rows = read_lanes(&source, &storage, false).unwrap().concat();
        (rows, storage.scan())
    };
    let (rows, scan) = read(c.1.eq("2024"));
    assert!(rows.iter().map(|row| row.0).eq(0..3000));
    assert!(rows.iter().all(|row| row.1.as_deref() == Some("2024")));
    assert_eq!((scan.files, scan.files_pruned_by_folder), (4, 3));
    let (rows, scan) = read(c.1.is_null().and(c.0.lt(10)));
    assert_eq!(rows, (0..10).map(|n| (n, None)).collect::<Vec<_>>());
    assert_eq!(scan.files_pruned_by_folder, 3);
    // Both in one predicate: either holds of some rows.
    let (rows, _) = read(c.1.ne("1999").and(c.0.lt(2).or(c.1.eq("2023").and(c.0.ge(2998)))));
    let texts: Vec<_> = rows.iter().map(|row| (row.0, row.1.as_deref().unwrap())).collect();
    assert_eq!(
        texts,
        [(0, "2023"), (1, "2023"), (2998, "2023"), (2999, "2023"), (0, "2024"), (1, "2024")]
    );
    let error = splits(&ParquetSource::<(i32, u16)>::new(folders), &Storage::new());
    let error = error.map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("_1=1999/a.parquet"), "{error}");
    std::fs::remove_dir_all(&broken).unwrap();
    let error = splits(&ParquetSource::<(i32, u16)>::new(folders), &Storage::new());
    let error = error.map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("the folder `_1=__HIVE_DEFAULT_PARTITION__` gives field `_1`"),
        "{error}"
    );
}

#[test]
fn lanes_without_a_row_ask_for_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write_sorted(&path, false);
    let c = Row::COLS;
    let source = ParquetSource::<Row>::new(&*path).with_sizes(Sizes {
        lane: 1000,
        split: 1 << 30,
        batch: 1000,
    });
    let source = source.pruned(Arc::new(c.0.between(2000, 2001))).unwrap().source;
    let split = splits(&source, &Storage::new()).unwrap().remove(0);
    assert_eq!(split.lanes, 20);
    std::fs::remove_file(&path).unwrap();
    for lane in (0..20).filter(|lane| *lane != 2) {
        source.read(&Storage::new(), &split, lane, &mut Take::new()).unwrap();
    }
    assert!(source.read(&Storage::new(), &split, 2, &mut Take::new()).is_err());
}

#[test]
fn lanes_of_objects_are_fetched_ahead_and_once() {
    use object_store::ObjectStoreExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    write_sorted(&path, false);
    let store = Arc::new(object_store::memory::InMemory::new());
    let storage = Storage::new();
    storage.set_client("s3://bucket", store.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    runtime.block_on(store.put(&"a".into(), bytes.into())).unwrap();
    let c = Row::COLS;
    let predicates: [&dyn Fn() -> Option<Predicate<Row>>; 3] =
        [&|| None, &|| Some(c.0.ge(8000)), &|| Some(c.7.eq("payload 7"))];
    for predicate in predicates {
        let (expected, of_file) = read_counted(&path, predicate());
        let before = storage.scan();
        let source = || {
            let sizes = Sizes { lane: 5000, split: 1 << 30, batch: 1000 };
            let source = ParquetSource::<Row>::new("s3://bucket/a").with_sizes(sizes);
            match predicate() {
                Some(predicate) => source.pruned(Arc::new(predicate)).unwrap().source,
                None => source,
            }
        };
        let all = source();
        let rows = read_lanes(&all, &storage, false).unwrap().concat();
        assert!(rows.iter().map(|row| row.0).eq(expected.iter().copied()));
        // More of the end of an object is read at once than of a file.
        let scan = Scan { bytes_read: of_file.bytes_read, ..storage.scan().since(before) };
        assert_eq!((scan, all.ahead.waiting()), (of_file, 0));
        let more = storage.scan().since(before).bytes_read - of_file.bytes_read;
        assert!(more < 64 << 10, "{more} bytes more");
        let source = source();
        let split = splits(&source, &storage).unwrap().remove(0);
        let lane = split.lanes - 3;
        source.read(&storage, &split, lane, &mut Take::new()).unwrap();
        // That of a lane without rows is not.
        let next = usize::from(expected.len() > 1);
        assert_eq!(source.ahead.waiting(), next);
        source.read(&storage, &split, lane + 1, &mut Take::new()).unwrap();
        assert_eq!(source.ahead.waiting(), next);
        source.read(&storage, &split, lane + 2, &mut Take::new()).unwrap();
        assert_eq!(source.ahead.waiting(), 0);
    }
}

#[test]
fn what_a_small_object_says_of_itself_is_read_at_once() {
    use object_store::ObjectStoreExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let rows: Vec<Row> = (0..300).map(|n| row(n, 5, n as usize, 7)).collect();
    let form = Form {
        group: 100,
        page: 20,
        statistics: 2,
        offsets: true,
        blooms: false,
        dictionaries: true,
        truncate: 64,
        sorted: true,
    };
    write(&path, &rows, &form);
    let bytes = std::fs::read(&path).unwrap();
    let size = bytes.len() as u64;
    assert!(size < 64 << 10);
    let store = Arc::new(object_store::memory::InMemory::new());
    let storage = Storage::new();
    storage.set_client("s3://bucket", store.clone());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(store.put(&"a".into(), bytes.into())).unwrap();
    assert_eq!(splits(&ParquetSource::<Row>::new("s3://bucket/a"), &storage).unwrap().len(), 1);
    assert_eq!(storage.scan().bytes_read, size);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn damage_is_an_error_or_other_rows(at in any::<prop::sample::Index>(), bits in 1u8.., blooms: bool) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        let rows: Vec<Row> = (0..300).map(|n| row(n, 5, n as usize, 7)).collect();
        let form = Form { group: 150, page: 20, statistics: 2, offsets: true, blooms, dictionaries: true, truncate: 64, sorted: true };
        write(&path, &rows, &form);
        let mut bytes = std::fs::read(&path).unwrap();
        // What files say of themselves is at their end.
        let half = bytes.len() / 2;
        let at = half + at.index(bytes.len() - half);
        bytes[at] ^= bits;
        std::fs::write(&path, bytes).unwrap();
        let c = Row::COLS;
        let predicate = c.0.ge(50).and(c.2.eq("a").or(c.7.eq("payload 60")));
        let source = ParquetSource::<Row>::new(&*path).pruned(Arc::new(predicate)).unwrap().source;
        if let Err(error) = read_lanes(&source, &Storage::new(), false) {
            prop_assert!(error.to_string().starts_with(&path.display().to_string()), "{}", error);
        }
    }
}
