//! Options are found in the files; files end where they should; rows are in their folders.

use super::partitions::escaped;
use super::*;
use crate::commit::{AttemptFiles, JobInfo, Output, commit};
use crate::formats::testing::encode;
use crate::location::Location;
use crate::record::{Builder, Date};
use crate::storage::Storage;
use arrow::array::{RecordBatchReader, UInt64Array};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding};
use parquet::bloom_filter::Sbbf;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use std::collections::BTreeMap;

#[derive(Record, Clone)]
#[record(crate = "crate")]
struct Trip {
    id: u64,
    zone: Option<String>,
    day: Date,
    tags: Vec<String>,
}

fn trip(id: u64) -> Trip {
    let zone = match id * 7 % 11 {
        0 => None,
        1 => Some(String::new()),
        zone => Some(format!("zone {zone}/{}", zone % 2)),
    };
    let day = Date::from_days((id * 13 % 3) as i32);
    Trip { id, zone, day, tags: (0..id % 3).map(|n| format!("tag {n}")).collect() }
}

/// Trips in lanes and batches of these sizes.
fn lanes(count: u64, lane: usize, batch: usize) -> Vec<Vec<Vec<Trip>>> {
    let all: Vec<Trip> = (0..count).map(trip).collect();
    all.chunks(lane).map(|lane| lane.chunks(batch).map(<[Trip]>::to_vec).collect()).collect()
}

fn metadata(file: &[u8]) -> ParquetMetaData {
    let bytes = Bytes::from(file.to_vec());
    let mut reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.try_parse(&bytes).unwrap();
    reader.finish().unwrap()
}

/// The column `id` of a file, and the names of its columns.
fn ids(file: &[u8]) -> (Vec<u64>, Vec<String>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file.to_vec()));
    let reader = reader.unwrap().build().unwrap();
    let names = reader.schema().fields().iter().map(|field| field.name().clone()).collect();
    let mut all = Vec::new();
    for batch in reader {
        let batch = batch.unwrap();
        let column = batch.column_by_name("id").unwrap();
        all.extend(column.as_any().downcast_ref::<UInt64Array>().unwrap().values());
    }
    (all, names)
}

/// The files of a task: names, rows as the manifest says, bytes.
fn task<T: Record + Clone>(
    sink: &ParquetSink<T>,
    lanes: &[Vec<Vec<T>>],
) -> BTreeMap<String, (u64, Vec<u8>)> {
    let folder = tempfile::tempdir().unwrap();
    let (storage, root) = (Storage::new(), Location::of_path(folder.path()).unwrap());
    let output = Output { durable: false, ..Output::new(root, "j1", "parquet") };
    let mut files = AttemptFiles::new(&storage, &output, "part-00000", 0);
    let mut task = sink.task();
    for batches in lanes {
        let (mut lane, mut rows) = (sink.lane(), 0);
        for records in batches {
            let mut builder = T::Builder::default();
            records.iter().for_each(|record| builder.push(record.view()));
            lane.batch(&builder.finish(), Selection::All).unwrap();
            rows += records.len() as u64;
        }
        task.write(lane.finish().unwrap(), rows, &mut files).unwrap();
    }
    task.finish(&mut files).unwrap();
    let staged = [files.finish().unwrap()];
    let manifest = commit(&storage, &output, &JobInfo::default(), &staged).unwrap();
    let read = |name: &String| std::fs::read(folder.path().join(name)).unwrap();
    manifest.files.iter().map(|f| (f.name.clone(), (f.rows, read(&f.name)))).collect()
}

#[test]
fn what_is_asked_for_is_in_the_files() {
    let sink = ParquetSink::<Trip>::new()
        .with_compression(ParquetCompression::Gzip)
        .with_compression_level(99)
        .with_group_rows(8192)
        .with_page_rows(1024)
        .with_bloom_filter(
            |c| (c.id, c.zone),
            BloomFilter { values: Some(9000), ..BloomFilter::default() },
        )
        .with_dictionary(|c| c.zone, false)
        .with_sort_order(|c| c.day)
        .with_sort_order_descending(|c| c.id)
        .with_metadata("what", "trips");
    let file = encode(&sink, &lanes(20_000, 7000, 999), &|_| true);
    let found = metadata(&file);
    assert_eq!(found.num_row_groups(), 3);
    let group = found.row_group(0);
    assert_eq!(group.num_rows(), 8192);
    let names: Vec<String> = group.columns().iter().map(|c| c.column_path().string()).collect();
    assert_eq!(names, ["id", "zone", "day", "tags.list.item"]);
    for column in group.columns() {
        assert!(matches!(column.compression(), Compression::GZIP(_)));
        assert!(column.statistics().is_some());
    }
    let has_bloom: Vec<bool> =
        group.columns().iter().map(|c| c.bloom_filter_offset().is_some()).collect();
    assert_eq!(has_bloom, [true, true, false, false]);
    let bytes = Bytes::from(file.clone());
    let filter = Sbbf::read_from_column_chunk(group.column(0), &bytes).unwrap().unwrap();
    assert!((0..8192_u64).all(|id| filter.check(&id)));
    assert!((10_000..10_100_u64).filter(|id| filter.check(id)).count() < 10);
    let uses = |column: usize, encoding| group.column(column).encodings().any(|e| e == encoding);
    assert!(!uses(1, Encoding::RLE_DICTIONARY) && uses(3, Encoding::RLE_DICTIONARY));
    let sorted = group.sorting_columns().unwrap();
    let sorted: Vec<_> =
        sorted.iter().map(|s| (s.column_idx, s.descending, s.nulls_first)).collect();
    assert_eq!(sorted, [(2, false, true), (0, true, false)]);
    let pairs = found.file_metadata().key_value_metadata().unwrap();
    assert!(pairs.iter().any(|pair| pair.key == "what" && pair.value.as_deref() == Some("trips")));
    let index = found.page_index_for_row_group(0);
    assert_eq!(index.page_locations(0).unwrap().len(), 8);
    assert!(index.column_index(0).is_some());

    let sink = ParquetSink::<Trip>::new().with_page_index(false).with_dictionaries(false);
    let found = metadata(&encode(&sink, &lanes(5000, 5000, 999), &|_| true));
    assert!(found.row_group(0).column(0).offset_index_offset().is_none());
    assert!(found.row_group(0).column(0).column_index_offset().is_none());
    assert!(found.row_group(0).column(0).statistics().is_some());
    let encodings = found.row_group(0).columns().iter().flat_map(|column| column.encodings());
    assert!(encodings.into_iter().all(|encoding| encoding != Encoding::RLE_DICTIONARY));
    let sink = ParquetSink::<Trip>::new().with_statistics(ParquetStatistics::None);
    let found = metadata(&encode(&sink, &lanes(5000, 5000, 999), &|_| true));
    assert!(found.row_group(0).column(0).statistics().is_none());
}

#[test]
fn all_codecs_are_read_back() {
    use ParquetCompression::{Brotli, Gzip, Lz4, None, Snappy, Zstd};
    for codec in [None, Snappy, Lz4, Zstd, Gzip, Brotli] {
        let sink = ParquetSink::<Trip>::new().with_compression(codec);
        let file = encode(&sink, &lanes(3000, 3000, 999), &|_| true);
        assert_eq!(ids(&file).0, (0..3000).collect::<Vec<u64>>(), "{codec:?}");
    }
}

#[test]
fn a_task_goes_on_to_another_file_whatever_the_batches_are() {
    let sink = ParquetSink::<u64>::new()
        .with_compression(ParquetCompression::None)
        .with_dictionaries(false)
        .with_file_bytes(400_000);
    let of = |lane: usize, batch: usize| -> Vec<Vec<Vec<u64>>> {
        let all: Vec<u64> = (0..300_000).collect();
        all.chunks(lane).map(|lane| lane.chunks(batch).map(<[u64]>::to_vec).collect()).collect()
    };
    let files = task(&sink, &of(70_000, 4096));
    let rows: Vec<u64> = files.values().map(|(rows, _)| *rows).collect();
    assert_eq!(rows, [65_536, 65_536, 65_536, 65_536, 37_856]);
    assert_eq!(files.keys().next().unwrap(), "part-00000-00000-j1.parquet");
    assert!(files == task(&sink, &of(100_000, 999)));
    let none: Vec<Vec<Vec<u64>>> = vec![vec![]];
    let files = task(&sink, &none);
    assert_eq!((files.len(), files["part-00000-00000-j1.parquet"].0), (1, 0));
}

#[test]
fn rows_are_in_the_folders_of_their_keys_in_the_order_in_which_they_came() {
    let sink = ParquetSink::<Trip>::new().partitioned_by(|c| (c.zone, c.day));
    assert_eq!(Sink::partitioned_by(&sink), ["zone", "day"]);
    let mut expected: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for trip in (0..6000).map(trip) {
        let zone = match trip.zone.as_deref() {
            None | Some("") => "__HIVE_DEFAULT_PARTITION__".to_string(),
            Some(zone) => zone.replace('/', "%2F"),
        };
        let day = trip.day.to_string();
        expected.entry(format!("zone={zone}/day={day}")).or_default().push(trip.id);
    }
    for (buffer, most) in [(64 << 20, 1), (40_000, 20), (1, 40)] {
        let sink = sink.clone().with_buffer_bytes(buffer);
        let files = task(&sink, &lanes(6000, 700, 999));
        let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        let mut many: BTreeMap<String, u32> = BTreeMap::new();
        for (name, (rows, bytes)) in &files {
            let (ids, names) = ids(bytes);
            assert_eq!((ids.len() as u64, names), (*rows, vec!["id".into(), "tags".into()]));
            let folder = name.rsplit_once('/').unwrap().0;
            found.entry(folder.to_string()).or_default().extend(ids);
            *many.entry(folder.to_string()).or_default() += 1;
        }
        // Null and empty text are told apart until they are named: two files then.
        let of_null = |folder: &str| folder.contains("HIVE");
        for (folder, ids) in found.iter_mut().filter(|(folder, _)| of_null(folder)) {
            ids.sort_unstable();
            assert!(many[folder] >= 2);
        }
        assert!(found == expected, "with {buffer} bytes");
        let of_others = many.iter().filter(|(folder, _)| !of_null(folder));
        assert!(of_others.clone().all(|(_, &many)| many <= most), "{many:?}");
        assert!(of_others.clone().all(|(_, &many)| (many > 1) == (most > 1)), "{many:?}");
        assert!(files == task(&sink, &lanes(6000, 700, 500)), "depends on batches");
    }
}

#[test]
fn sorted_rows_give_one_file_a_folder_however_little_is_set_aside() {
    let sink = ParquetSink::<(u64, u32)>::new().with_buffer_bytes(1);
    let by = sink.partitioned_by(|c| c.1);
    let rows: Vec<(u64, u32)> = (0..20_000).map(|n| (n, (n / 1800) as u32)).collect();
    let lanes: Vec<_> = rows.chunks(700).map(|lane| vec![lane.to_vec()]).collect();
    // Its name would be hidden; so the names of the folders are given here.
    assert!(by.check().unwrap_err().contains("column `_1`"));
    let mut by = by;
    by.by.as_mut().unwrap().names = Arc::from(vec!["n".to_string()]);
    let files = task(&by, &lanes);
    assert_eq!(files.len(), 12);
    assert_eq!(files["n=3/part-00000-00003-j1.parquet"].0, 1800);
    let rolled = by.with_file_bytes(1).with_compression(ParquetCompression::None);
    let files = task(&rolled, &lanes);
    assert_eq!(files.values().map(|(rows, _)| rows).sum::<u64>(), 20_000);
}

#[test]
fn folders_are_named_as_hive_names_them() {
    assert_eq!(escaped("a b/c=d%e:f?é\u{7f}".as_bytes()), "a b%2Fc%3Dd%25e%3Af%3Fé%7F");
    assert_eq!(escaped(b"\xff\x00x"), "%FF%00x");
    let sink = ParquetSink::<Trip>::new().partitioned_by(|c| (c.zone, c.zone));
    assert!(sink.check().unwrap_err().contains("`zone` twice"));
    let long = Trip { zone: Some("x".repeat(300)), ..trip(2) };
    let mut builder = <Trip as Record>::Builder::default();
    builder.push(long.view());
    let sink = ParquetSink::<Trip>::new().partitioned_by(|c| c.zone);
    let error = sink.lane().batch(&builder.finish(), Selection::All).unwrap_err();
    assert!(error.to_string().contains("is 305 bytes long"), "{error}");
}
