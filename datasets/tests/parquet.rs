//! Parquet files of records of all kinds, written and read as a job would, through the public interface alone.

mod common;

use common::{Place, Wide, wide};
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;
use windrow_datasets::commit::{self, AttemptFiles, JobInfo, Manifest, Output};
use windrow_datasets::formats::{ParquetSink, ParquetSource};
use windrow_datasets::location::Location;
use windrow_datasets::push::{Demand, Push, PushError, Selection};
use windrow_datasets::storage::Storage;
use windrow_datasets::{Batch, Builder, Record, Sink, Source, for_selected};

/// Takes owned records.
struct Collect<T>(Vec<T>);

impl<T: Record> Push<T> for Collect<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        for_selected!(selection, batch.len(), |i| self.0.push(T::own(batch.get(i))));
        Ok(Demand::More)
    }
    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        self.0.push(T::own(view));
        Ok(Demand::More)
    }
    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

fn read<T: Record>(path: &Path) -> Result<Vec<T>, String> {
    let (source, storage) = (ParquetSource::<T>::new(path), Storage::new());
    let mut splits = Vec::new();
    let listed = source.split(&storage, &mut |split| {
        splits.push(split);
        Ok(())
    });
    listed.map_err(|e| e.to_string())?;
    let mut all = Collect(Vec::new());
    for split in splits {
        for lane in 0..split.lanes {
            source.read(&storage, &split, lane, &mut all).map_err(|e| e.to_string())?;
        }
    }
    Ok(all.0)
}

/// Writes one part, and commits it.
fn write<T: Record>(path: &Path, records: &[T]) -> Manifest {
    let (sink, storage) = (ParquetSink::<T>::new(), Storage::new());
    let output = Output::new(Location::of_path(path).unwrap(), "j1", sink.extension());
    commit::check(&storage, &output).unwrap();
    let mut task = AttemptFiles::new(&storage, &output, "part-00000", 0);
    let mut file = task.only().unwrap();
    let (mut lane, mut part) = (sink.lane(), sink.part());
    for some in records.chunks(7) {
        let mut builder = T::Builder::default();
        some.iter().for_each(|record| builder.push(record.view()));
        lane.batch(&builder.finish(), Selection::All).unwrap();
    }
    part.write(lane.finish().unwrap(), &mut file).unwrap();
    part.finish(&mut file).unwrap();
    task.end(file, records.len() as u64).unwrap();
    let staged = task.finish().unwrap();
    commit::commit(&storage, &output, &JobInfo::default(), &[staged]).unwrap()
}

/// Fewer fields than [`Wide`] in another order, some of a nested struct, and one that is not there.
#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "windrow_datasets")]
struct Narrow {
    price: Option<windrow_datasets::record::Decimal<14, 3>>,
    place: Option<Zone>,
    more: Option<String>,
    tags: Vec<Option<String>>,
    id: u64,
}

#[derive(Record, Clone, Debug, PartialEq)]
#[record(crate = "windrow_datasets")]
struct Zone {
    zone: Option<i64>,
}

/// A field of another type, deep inside.
#[derive(Record, Debug)]
#[record(crate = "windrow_datasets")]
struct Wrong {
    place: Option<WrongZone>,
}

#[derive(Record, Debug)]
#[record(crate = "windrow_datasets")]
struct WrongZone {
    name: u8,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn records_of_all_kinds_are_read_back(records in proptest::collection::vec(wide(), 0..60)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        let manifest = write(&path, &records);
        prop_assert_eq!(manifest.rows, records.len() as u64);
        prop_assert_eq!(&read::<Wide>(&path).unwrap(), &records);
        let narrow: Vec<Narrow> = records.iter().map(|wide| Narrow {
            price: wide.price.map(|price| {
                windrow_datasets::record::Decimal::from_raw(price.raw() * 10).unwrap()
            }),
            place: wide.place.as_ref().map(|place| Zone { zone: place.zone.map(i64::from) }),
            more: None,
            tags: wide.tags.clone(),
            id: wide.id,
        }).collect();
        prop_assert_eq!(read::<Narrow>(&path).unwrap(), narrow);
    }
}

#[test]
fn only_the_columns_that_are_named_are_described_and_bound() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("out");
    write(&path, &[Place { zone: Some(3), name: "here".to_string() }]);
    let columns = ParquetSource::<Narrow>::new(&path).describe().columns.unwrap();
    assert_eq!(columns, ["price", "place.zone", "more", "tags", "id"]);
    assert_eq!(read::<Zone>(&path).unwrap(), [Zone { zone: Some(3) }]);
    // One column of another name than `value`.
    write(&folder.path().join("one"), &[Zone { zone: Some(5) }]);
    assert_eq!(read::<i64>(&folder.path().join("one")).unwrap(), [5]);
    let error = read::<Narrow>(&path).unwrap_err();
    assert!(error.contains("part-00000-j1.parquet: column `tags` is missing"), "{error}");
    assert!(error.contains("the data has: zone, name"), "{error}");
}

#[test]
fn a_wrong_type_inside_a_struct_is_named_by_its_path() {
    #[derive(Record)]
    #[record(crate = "windrow_datasets")]
    struct Outer {
        place: Option<Place>,
    }
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("out"), &[Outer { place: None }]);
    let error = read::<Wrong>(&folder.path().join("out")).unwrap_err();
    assert!(error.contains("column `place.name` is Utf8View, but the record has UInt8"), "{error}");
}
