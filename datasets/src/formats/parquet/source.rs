//! Reads Parquet files as records.

use super::ahead::{Ahead, Key};
use super::bind::{Binding, bind};
use super::chunks::Chunks;
use super::file::{Footers, ParquetFile};
use super::lane::{Lane, Ready};
use super::prune::{self, Known};
use super::rows::Rows;
use crate::columns::{ColumnStatistics, Predicate};
use crate::formats::bind::{Wanted, bind_error};
use crate::formats::hive;
use crate::location::{IntoLocations, Locations};
use crate::push::Push;
use crate::record::Record;
use crate::scan::Scan;
use crate::source::{
    LANE_RECORDS, Pruned, SPLIT_BYTES, Source, SourceDescription, SourceError, Split,
};
use crate::storage::{Object, Storage};
use arrow::array::ArrayRef;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The records in a batch.
const BATCH_RECORDS: usize = 4096;

/// The rows in a lane at most. Each lane of a row group decodes the dictionaries of its columns anew: with lanes of
/// 65,536 rows, reading a group of 1,048,576 took 1.5 times as long as in one piece, with these about 1.2 times.
const LANE_ROWS: u64 = 4 * LANE_RECORDS;

/// Where there is much to read, lanes are twice or four times as long, as far as there are still so many of them.
const LANES_ENOUGH: u64 = 48;

/// The files whose footers are read side by side.
const FILES_AT_ONCE: usize = 64;

/// The lanes that are looked at for one to be fetched ahead.
const LOOK_AHEAD_LANES: u32 = 64;

/// The row groups in a split at most, so that a split stays small enough to send.
const GROUPS_MAX: usize = 4096;

/// The rows of Parquet files. Which columns are read is what `T` names.
///
/// A lane is up to 262,144 rows of one row group, and up to 1,048,576 of large datasets, where the file says where its
/// pages are (an offset index), so that a part of a row group can be read alone; else a whole row group.
#[derive(Debug)]
pub struct ParquetSource<T: Record> {
    locations: Locations,
    wanted: Wanted,
    sizes: Sizes,
    footers: Arc<Footers>,
    /// Chunks that lanes of a row group share.
    chunks: Arc<Chunks>,
    /// Lanes whose bytes are on their way.
    pub(super) ahead: Ahead<Ready<T>>,
    /// Rows for which one of them is not true are left out.
    predicates: Vec<Arc<Predicate<T>>>,
}

/// How files are cut; other sizes than the default are for tests.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// Rows, as [`LANE_ROWS`].
    pub(super) lane: u64,
    /// Bytes, as [`SPLIT_BYTES`].
    pub(super) split: u64,
    /// Rows.
    pub(super) batch: usize,
}

/// What a [`Split`] holds.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Payload {
    files: Vec<Part>,
}

/// Row groups of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    file: Object,
    groups: Vec<Group>,
}

/// A row group.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Group {
    number: u32,
    /// Where its rows begin in the file.
    first: u64,
    rows: u64,
    /// The rows of its lanes.
    lane: u64,
    /// The rows that predicates may hold for; `None` for all.
    kept: Option<Rows>,
}

/// How many times as long as usual the lanes of so many rows are.
fn longer(rows: u64, lane: u64) -> u64 {
    [4, 2].into_iter().find(|times| rows / times / lane >= LANES_ENOUGH).unwrap_or(1)
}

impl Group {
    fn rows_kept(&self) -> u64 {
        self.kept.as_ref().map_or(self.rows, Rows::count)
    }

    fn lanes(&self) -> u64 {
        self.rows.div_ceil(self.lane)
    }
}

impl<T: Record> ParquetSource<T> {
    /// The rows of all files at these locations, in order. Every file must be Parquet, whatever its extension.
    pub fn new(locations: impl IntoLocations) -> ParquetSource<T> {
        ParquetSource::of(locations.into_locations(), Wanted::of::<T>())
    }

    /// The same with other columns than those that the type says.
    pub(crate) fn of(locations: Locations, wanted: Wanted) -> ParquetSource<T> {
        ParquetSource {
            locations,
            wanted,
            sizes: Sizes { lane: LANE_ROWS, split: SPLIT_BYTES, batch: BATCH_RECORDS },
            footers: Arc::default(),
            chunks: Arc::default(),
            ahead: Ahead::default(),
            predicates: Vec::new(),
        }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(super) fn with_sizes(self, sizes: Sizes) -> Self {
        Self { sizes, ..self }
    }

    fn open(
        &self,
        storage: &Storage,
        object: &Object,
        given: &BTreeMap<String, ArrayRef>,
    ) -> Result<(ParquetFile, Arc<ParquetMetaData>, Binding), SourceError> {
        let file = ParquetFile::open(storage, object)?;
        let metadata = self.footers.of(&file)?;
        let options = ArrowReaderOptions::new();
        let found =
            ArrowReaderMetadata::try_new(metadata.clone(), options).map_err(|e| file.damaged(e))?;
        let rows = self.sizes.batch;
        let given = given.iter().map(|(name, value)| (name.clone(), hive::spread(value, rows)));
        let binding = bind::<T>(&self.wanted, found.schema(), given.collect())
            .map_err(|e| bind_error(&object.location, e, 0))?;
        Ok((file, metadata, binding))
    }

    /// The row groups of a file that are read, each with the bytes that are read of it.
    fn groups(&self, storage: &Storage, object: &Object) -> Result<Vec<(Group, u64)>, SourceError> {
        storage.scanned(Scan { files: 1, bytes: object.size, ..Scan::default() });
        let given = self.wanted.given(&object.location)?;
        let known: BTreeMap<String, ColumnStatistics> =
            given.iter().map(|(name, value)| (name.clone(), hive::statistics(value))).collect();
        if !prune::may_hold(&self.predicates, &known) {
            storage.scanned(Scan { files_pruned_by_folder: 1, ..Scan::default() });
            return Ok(Vec::new());
        }
        let (file, metadata, binding) = self.open(storage, object, &given)?;
        let known =
            Known { file: &file, metadata: &metadata, schema: &binding.schema, given: &known };
        let kept = prune::rows(&self.predicates, &known)?;
        let (mut first, mut scan) = (0, Scan::default());
        let mut groups = Vec::new();
        for ((number, group), kept) in metadata.row_groups().iter().enumerate().zip(kept) {
            let rows = group.num_rows() as u64;
            let sum = |size: &dyn Fn(&ColumnChunkMetaData) -> i64| -> u64 {
                let sizes = binding.leaves.iter().map(|&leaf| size(group.column(leaf)));
                // What the footer says need not be true.
                sizes.fold(0, |sum, size| sum.saturating_add(u64::try_from(size).unwrap_or(0)))
            };
            // What there is to do goes by what it becomes; what is read, by what it is.
            let bytes = sum(&|column| column.uncompressed_size());
            scan.groups += 1;
            scan.groups_pruned += u64::from(kept.is_empty() && rows > 0);
            scan.rows += rows;
            scan.rows_pruned += rows - kept.count();
            scan.bytes_of_columns += sum(&|column| column.compressed_size());
            let paged = binding
                .leaves
                .iter()
                .all(|&leaf| group.column(leaf).offset_index_offset().is_some());
            let lane = if paged { self.sizes.lane } else { rows };
            if !kept.is_empty() {
                let share = u128::from(bytes) * u128::from(kept.count());
                let bytes = (share / u128::from(rows)) as u64;
                let kept = (kept.count() < rows).then_some(kept);
                groups.push((Group { number: number as u32, first, rows, lane, kept }, bytes));
            }
            first += rows;
        }
        scan.files_pruned_by_footer = u64::from(groups.is_empty() && scan.rows > 0);
        storage.scanned(scan);
        Ok(groups)
    }
}

impl<T: Record> ParquetSource<T> {
    /// Makes ready to read rows of a row group.
    fn ready(
        &self,
        storage: &Storage,
        object: &Object,
        group: &Group,
        rows: Rows,
    ) -> Result<Ready<T>, SourceError> {
        let given = self.wanted.given(&object.location)?;
        let (file, metadata, binding) = self.open(storage, object, &given)?;
        let number = group.number as usize;
        if metadata.num_row_groups() <= number
            || metadata.row_group(number).num_rows() as u64 != group.rows
        {
            let reason = "has other row groups than when it was listed; input must not change while a job runs";
            return Err(SourceError::Input {
                location: object.location.to_string(),
                reason: reason.to_string(),
            });
        }
        let chunks = metadata.row_group(number).columns();
        let options = ArrowReaderOptions::new().with_schema(binding.schema_of_group(chunks));
        let reader =
            ArrowReaderMetadata::try_new(metadata.clone(), options).map_err(|e| file.damaged(e))?;
        let lane = Lane {
            file: Arc::new(file),
            reader,
            binding,
            predicates: self.predicates.clone(),
            group: number,
            total: group.rows,
            first: group.first,
            rows,
            batch: self.sizes.batch,
            // Where predicates leave pages out, each lane asks for the pages that it needs.
            shared: (!object.location.is_local() && group.lanes() > 1 && group.kept.is_none())
                .then(|| self.chunks.clone()),
        };
        lane.ready()
    }

    /// Fetches what the first lane after `lane` reads that has not begun. Whatever goes wrong is told when it begins.
    fn look_ahead(&self, storage: &Storage, payload: &Payload, lane: u32) {
        for next in lane + 1..lane.saturating_add(1 + LOOK_AHEAD_LANES) {
            let Ok((object, group, rows)) = payload.lane(next) else { return };
            if rows.is_empty() {
                continue;
            }
            let key = Key { row: group.first + rows.nth(0), object: object.clone() };
            let room = self.ahead.room(&key);
            if room == 0 {
                continue;
            }
            if let Ok(mut ready) = self.ready(storage, object, group, rows)
                && let Ok(bytes @ 1..) = ready.fetch(room)
            {
                self.ahead.keep(key, bytes, ready);
            }
            return;
        }
    }
}

/// A split in the making.
#[derive(Default)]
struct Pack {
    payload: Payload,
    bytes: u64,
    lanes: u64,
    groups: usize,
}

impl Pack {
    fn add(&mut self, object: &Object, group: Group, bytes: u64) {
        self.bytes += bytes;
        self.lanes += group.lanes();
        self.groups += 1;
        match self.payload.files.last_mut() {
            Some(part) if part.file == *object && part.groups_before(&group) => {
                part.groups.push(group);
            }
            _ => self.payload.files.push(Part { file: object.clone(), groups: vec![group] }),
        }
    }

    /// Gives the split, if there is anything in it, and begins another.
    fn give(
        &mut self,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let pack = std::mem::take(self);
        if pack.groups == 0 {
            return Ok(());
        }
        let payload = postcard::to_stdvec(&pack.payload).expect("numbers and text can be encoded");
        let lanes = u32::try_from(pack.lanes).expect("a split of fewer than 2^32 lanes");
        out(Split { payload, bytes: pack.bytes, lanes, hosts: Vec::new() })
    }
}

impl Part {
    /// Whether all groups so far come before this one: a file may be named twice.
    fn groups_before(&self, group: &Group) -> bool {
        self.groups.last().is_none_or(|last| last.number < group.number)
    }
}

impl<T: Record> Source for ParquetSource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "parquet".to_string(),
            locations: self.locations.names(),
            columns: Some(self.wanted.names()),
        }
    }

    fn pruned(&self, predicate: Arc<Predicate<T>>) -> Option<Pruned<Self>> {
        let source = ParquetSource {
            locations: self.locations.clone(),
            wanted: self.wanted.clone(),
            sizes: self.sizes,
            footers: self.footers.clone(),
            chunks: Arc::default(),
            ahead: Ahead::default(),
            predicates: self.predicates.iter().cloned().chain([predicate]).collect(),
        };
        Some(Pruned { source, exact: true })
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut pack = Pack::default();
        // Takes files whose footers are then read side by side.
        let mut take = |objects: Vec<Object>| {
            let read: Vec<_> =
                objects.par_iter().map(|object| self.groups(storage, object)).collect();
            let read = read.into_iter().collect::<Result<Vec<_>, _>>()?;
            let rows = read.iter().flatten().map(|(group, _)| group.rows_kept());
            let rows = rows.fold(0, u64::saturating_add);
            let times = longer(rows, self.sizes.lane);
            for (object, groups) in objects.iter().zip(read) {
                for (mut group, bytes) in groups {
                    group.lane = group.lane.saturating_mul(times);
                    let full = pack.bytes + bytes > self.sizes.split || pack.groups == GROUPS_MAX;
                    if pack.groups > 0 && full {
                        pack.give(out)?;
                    }
                    pack.add(object, group, bytes);
                }
            }
            Ok(())
        };
        let mut objects = Vec::new();
        storage.list_each(&self.locations, &mut |object| {
            objects.push(object);
            if objects.len() < FILES_AT_ONCE { Ok(()) } else { take(std::mem::take(&mut objects)) }
        })?;
        take(objects)?;
        pack.give(out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        let payload = Payload::of(split);
        let (object, group, rows) = payload.lane(lane)?;
        if rows.is_empty() {
            return Ok(());
        }
        let key = Key { row: group.first + rows.nth(0), object: object.clone() };
        let ready = match self.ahead.begin(&key) {
            Some(ready) => ready,
            None => self.ready(storage, object, group, rows)?,
        };
        if !object.location.is_local() {
            self.look_ahead(storage, &payload, lane);
        }
        let rows_filtered = ready.read(out)?;
        storage.scanned(Scan { rows_filtered, ..Scan::default() });
        Ok(())
    }
}

impl Payload {
    /// That of a split; of one of another source there is nothing in it.
    fn of(split: &Split) -> Payload {
        postcard::from_bytes(&split.payload).unwrap_or_default()
    }

    /// The file, the row group, and the rows in it that a lane reads.
    fn lane(&self, lane: u32) -> Result<(&Object, &Group, Rows), SourceError> {
        let mut left = u64::from(lane);
        let groups = self.files.iter().flat_map(|part| part.groups.iter().map(|g| (&part.file, g)));
        for (file, group) in groups.take_while(|(_, group)| group.lane > 0) {
            if left < group.lanes() {
                let start = left * group.lane;
                let range = start..(start + group.lane).min(group.rows);
                let rows = match &group.kept {
                    Some(kept) => kept.within(&range),
                    None => Rows::run(range),
                };
                return Ok((file, group, rows));
            }
            left -= group.lanes();
        }
        Err(SourceError::Input {
            location: format!("lane {lane} of a split of Parquet files"),
            reason: "the split is not of this source; all processes must run the same binary"
                .to_string(),
        })
    }
}
