//! Reads Parquet files as records.

use super::bind::{Binding, Dictionaries, bind};
use super::file::{Footers, ParquetFile};
use super::prune;
use crate::columns::Predicate;
use crate::formats::bind::{Wanted, bind_error};
use crate::location::{IntoLocations, Location, Locations};
use crate::place::{self, DescribeRow};
use crate::push::{Demand, Push};
use crate::record::{Batch, Record};
use crate::source::{LANE_RECORDS, SPLIT_BYTES, Source, SourceDescription, SourceError, Split};
use crate::storage::{Object, Storage};
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection};
use parquet::arrow::push_decoder::ParquetPushDecoderBuilder;
use parquet::file::metadata::ParquetMetaData;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// The records in a batch.
const BATCH_RECORDS: usize = 4096;

/// The rows in a lane at most. Each lane of a row group decodes the dictionaries of its columns anew: with lanes of
/// 65,536 rows, reading a group of 1,048,576 took 1.5 times as long as in one piece, with these about 1.2 times.
const LANE_ROWS: u64 = 4 * LANE_RECORDS;

/// The files whose footers are read side by side.
const FILES_AT_ONCE: usize = 64;

/// The row groups in a split at most, so that a split stays small enough to send.
const GROUPS_MAX: usize = 4096;

/// The rows of Parquet files. Which columns are read is what `T` names.
///
/// A lane is up to 262,144 rows of one row group, where the file says where its pages are (an offset index), so that a
/// part of a row group can be read alone; else a whole row group.
#[derive(Debug)]
pub struct ParquetSource<T: Record> {
    locations: Locations,
    wanted: Wanted,
    sizes: Sizes,
    footers: Arc<Footers>,
    /// Row groups of whose rows one of them is not true are left out.
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
}

impl Group {
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
    ) -> Result<(ParquetFile, Arc<ParquetMetaData>, Binding), SourceError> {
        let file = ParquetFile::open(storage, object)?;
        let metadata = self.footers.of(&file)?;
        let options = ArrowReaderOptions::new();
        let found =
            ArrowReaderMetadata::try_new(metadata.clone(), options).map_err(|e| file.damaged(e))?;
        let binding = bind::<T>(&self.wanted, found.schema())
            .map_err(|e| bind_error(&object.location, e, 0))?;
        Ok((file, metadata, binding))
    }

    /// The row groups of a file, each with the bytes that are read of it.
    fn groups(&self, storage: &Storage, object: &Object) -> Result<Vec<(Group, u64)>, SourceError> {
        let (_, metadata, binding) = self.open(storage, object)?;
        let kept = prune::groups(&self.predicates, &metadata, &binding.schema);
        let mut first = 0;
        let mut groups = Vec::new();
        for (number, group) in metadata.row_groups().iter().enumerate() {
            let rows = group.num_rows() as u64;
            let bytes =
                binding.leaves.iter().map(|&leaf| group.column(leaf).compressed_size() as u64);
            let paged = binding
                .leaves
                .iter()
                .all(|&leaf| group.column(leaf).offset_index_offset().is_some());
            let lane = if paged { self.sizes.lane } else { rows };
            if rows > 0 && kept[number] {
                let group = Group { number: number as u32, first, rows, lane };
                groups.push((group, bytes.sum()));
            }
            first += rows;
        }
        Ok(groups)
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

    fn pruned(&self, predicate: Arc<Predicate<T>>) -> Option<Self> {
        Some(ParquetSource {
            locations: self.locations.clone(),
            wanted: self.wanted.clone(),
            sizes: self.sizes,
            footers: self.footers.clone(),
            predicates: self.predicates.iter().cloned().chain([predicate]).collect(),
        })
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut pack = Pack::default();
        for objects in storage.list(&self.locations)?.chunks(FILES_AT_ONCE) {
            let read: Vec<_> =
                objects.par_iter().map(|object| self.groups(storage, object)).collect();
            for (object, groups) in objects.iter().zip(read) {
                for (group, bytes) in groups? {
                    let full = pack.bytes + bytes > self.sizes.split || pack.groups == GROUPS_MAX;
                    if pack.groups > 0 && full {
                        pack.give(out)?;
                    }
                    pack.add(object, group, bytes);
                }
            }
        }
        pack.give(out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        let (object, group, range) = find_lane(split, lane)?;
        let (file, metadata, binding) = self.open(storage, &object)?;
        let location = object.location;
        let number = group.number as usize;
        if metadata.num_row_groups() <= number
            || metadata.row_group(number).num_rows() as u64 != group.rows
        {
            let reason = "has other row groups than when it was listed; input must not change while a job runs";
            return Err(SourceError::Input {
                location: location.to_string(),
                reason: reason.to_string(),
            });
        }
        let chunks = metadata.row_group(number).columns();
        let options = ArrowReaderOptions::new().with_schema(binding.schema_of_group(chunks));
        let reader =
            ArrowReaderMetadata::try_new(metadata.clone(), options).map_err(|e| file.damaged(e))?;
        let mask = ProjectionMask::leaves(reader.parquet_schema(), binding.leaves.iter().copied());
        let mut builder = ParquetPushDecoderBuilder::new_with_metadata(reader)
            .with_projection(mask)
            .with_row_groups(vec![number])
            .with_batch_size(self.sizes.batch);
        let mut first = group.first + range.start;
        if range.end - range.start < group.rows {
            let range = range.start as usize..range.end as usize;
            let rows = group.rows as usize;
            builder = builder.with_row_selection(RowSelection::from_consecutive_ranges(
                std::iter::once(range),
                rows,
            ));
        }
        let mut decoder = builder.build().map_err(|e| file.damaged(e))?;
        let mut dictionaries = Dictionaries::default();
        loop {
            match file.decode(|| decoder.try_decode())? {
                DecodeResult::NeedsData(ranges) => {
                    let bytes = file.fetch(&ranges)?;
                    decoder.push_ranges(ranges, bytes).map_err(|e| file.damaged(e))?;
                }
                DecodeResult::Data(decoded) => {
                    let batch = binding
                        .batch::<T>(decoded, &mut dictionaries)
                        .map_err(|e| bind_error(&location, e, first))?;
                    if place::push(out, &batch, &|| describe_rows(&location, first))?
                        == Demand::Enough
                    {
                        return Ok(());
                    }
                    first += batch.len() as u64;
                }
                DecodeResult::Finished => break,
            }
        }
        let missing = group.first + range.end - first;
        if missing > 0 {
            return Err(file.damaged(format!("{missing} rows of row group {number} are missing")));
        }
        Ok(())
    }
}

fn describe_rows(location: &Location, first: u64) -> DescribeRow {
    let location = location.to_string();
    Box::new(move |row| format!("{location}, row {}", first + row as u64))
}

/// The file, the row group, and the rows in it that a lane reads.
fn find_lane(split: &Split, lane: u32) -> Result<(Object, Group, Range<u64>), SourceError> {
    let mut left = u64::from(lane);
    let payload: Payload = postcard::from_bytes(&split.payload).unwrap_or_default();
    for Part { file, groups } in payload.files {
        for group in groups {
            if group.lane == 0 {
                break;
            }
            if left < group.lanes() {
                let start = left * group.lane;
                let end = (start + group.lane).min(group.rows);
                return Ok((file, group, start..end));
            }
            left -= group.lanes();
        }
    }
    Err(SourceError::Input {
        location: format!("lane {lane} of a split of Parquet files"),
        reason: "the split is not of this source; all processes must run the same binary"
            .to_string(),
    })
}
