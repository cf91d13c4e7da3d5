//! Reads Arrow IPC files and streams as records.

use super::file::IpcFile;
use crate::columns::Predicate;
use crate::formats::bind::{Names, Wanted, bind_error};
use crate::formats::compression::Compression;
use crate::formats::files::{self, Sizes, lane_files};
use crate::formats::folders::ByFolder;
use crate::location::{IntoLocations, Location, Locations};
use crate::place::{self, DescribeRow};
use crate::push::{Demand, Push};
use crate::record::{Batch, Record};
use crate::source::{Pruned, Source, SourceDescription, SourceError, Split};
use crate::storage::{Object, Storage};
use arrow::array::RecordBatch;
use arrow::buffer::Buffer;
use arrow::datatypes::{Fields, SchemaRef};
use arrow::ipc::reader::StreamDecoder;
use std::ops::Range;
use std::sync::Arc;

/// The records in a batch at most.
const BATCH_RECORDS: usize = 4096;

/// The longest description of a message, and the longest message, in bytes.
const METADATA_MAX: u64 = 256 << 20;

/// The rows of Arrow IPC files, in the file format or as streams. Which columns are read is what `T` names.
#[derive(Debug)]
pub struct IpcSource<T: Record> {
    locations: Locations,
    wanted: Wanted,
    sizes: Sizes,
    by_folder: ByFolder<T>,
}

impl<T: Record> IpcSource<T> {
    /// The rows of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> IpcSource<T> {
        IpcSource::of(locations.into_locations(), Wanted::of::<T>())
    }

    /// The same with other columns than those that the type says.
    pub(crate) fn of(locations: Locations, wanted: Wanted) -> IpcSource<T> {
        IpcSource { locations, wanted, sizes: Sizes::default(), by_folder: ByFolder::default() }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(in crate::formats) fn with_sizes(self, sizes: Sizes) -> Self {
        Self { sizes, ..self }
    }

    fn bind(&self, file: &IpcFile, found: &Fields) -> Result<(Names, Vec<usize>), SourceError> {
        let given = self.wanted.given(&file.object.location)?;
        let names = Names::new(&self.wanted, found).with_given(given);
        let positions = names.positions(found);
        let projected: Fields = positions.iter().map(|&at| found[at].clone()).collect();
        names.check::<T>(&projected, found).map_err(|e| bind_error(&file.object.location, e, 0))?;
        Ok((names, positions))
    }

    /// The record batches of a file that begin in a range.
    fn read_file(
        &self,
        file: &IpcFile,
        range: Range<u64>,
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        let footer = file.footer()?;
        let (names, positions) = self.bind(file, footer.schema.fields())?;
        let inside = |offset: i64| u64::try_from(offset).is_ok_and(|at| range.contains(&at));
        let Some(first) = footer.batches.iter().position(|block| inside(block.offset())) else {
            return Ok(Demand::More);
        };
        let decoder = file.decoder(&footer, positions)?;
        let mut rows = Rows { location: &file.object.location, batch: first, first: 0 };
        for (number, block) in footer.batches.iter().enumerate() {
            if !inside(block.offset()) {
                continue;
            }
            if let Some(decoded) = file.batch(&decoder, block)? {
                (rows.batch, rows.first) = (number, 0);
                if give(&names, &decoded, &mut rows, out)? == Demand::Enough {
                    return Ok(Demand::Enough);
                }
            }
        }
        Ok(Demand::More)
    }

    /// All of a stream.
    fn read_stream(&self, file: &IpcFile, out: &mut dyn Push<T>) -> Result<Demand, SourceError> {
        let mut stream = Stream::new(file);
        let mut rows = Rows { location: &file.object.location, batch: 0, first: 0 };
        let mut bound: Option<(Names, Vec<usize>)> = None;
        while let Some(decoded) = stream.next()? {
            let (names, positions) = match &bound {
                Some(bound) => bound,
                None => bound.insert(self.bind(file, decoded.schema_ref().fields())?),
            };
            let decoded = file.decode(|| decoded.project(positions))?;
            if give(names, &decoded, &mut rows, out)? == Demand::Enough {
                return Ok(Demand::Enough);
            }
            (rows.batch, rows.first) = (rows.batch + 1, 0);
        }
        Ok(Demand::More)
    }
}

/// The record batches of a stream.
pub(crate) struct Stream<'a> {
    file: &'a IpcFile,
    decoder: StreamDecoder,
    at: u64,
}

impl<'a> Stream<'a> {
    pub(crate) fn new(file: &'a IpcFile) -> Stream<'a> {
        Stream { file, decoder: StreamDecoder::new(), at: 0 }
    }

    /// The schema, once it was read.
    pub(crate) fn schema(&self) -> Option<SchemaRef> {
        self.decoder.schema()
    }

    /// The next record batch; `None` at the end of the stream.
    pub(crate) fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            match self.message()? {
                Some(message) => {
                    let mut message = Buffer::from_vec(message);
                    let decoded = self.file.decode(|| self.decoder.decode(&mut message))?;
                    if decoded.is_some() {
                        return Ok(decoded);
                    }
                }
                None => {
                    self.file.decode(|| self.decoder.finish())?;
                    if self.decoder.schema().is_none() {
                        return Err(self.file.damaged("it has no schema"));
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// The bytes of the next message with its body, which is believed as far as it matters.
    fn message(&mut self) -> Result<Option<Vec<u8>>, SourceError> {
        let (file, size) = (self.file, self.file.object.size);
        let head = file.bytes(self.at..(self.at + 8).min(size))?;
        let word = |at: usize| head.get(at..)?.first_chunk().map(|w| u32::from_le_bytes(*w));
        let Some(first) = word(0) else {
            return match head.len() {
                0 => Ok(None),
                _ => Err(file.damaged(format!("a message is cut short at byte {}", self.at))),
            };
        };
        let (prefix, len) = if first == u32::MAX { (8, word(4)) } else { (4, Some(first)) };
        let Some(len) = len.map(u64::from) else {
            return Err(file.damaged(format!("a message is cut short at byte {}", self.at)));
        };
        if len == 0 {
            // What follows the end of a stream is no part of it.
            self.at = size;
            return Ok(None);
        }
        if len > METADATA_MAX || self.at + prefix + len > size {
            let reason = format!("at byte {} a message of {len} bytes begins", self.at);
            return Err(file.damaged(reason));
        }
        let metadata = file.bytes(self.at + prefix..self.at + prefix + len)?;
        let body =
            arrow::ipc::root_as_message(&metadata).map_err(|e| file.damaged(e))?.bodyLength();
        let end =
            u64::try_from(body).ok().and_then(|body| (self.at + prefix + len).checked_add(body));
        let Some(end) = end.filter(|end| *end <= size) else {
            let reason = format!("the message at byte {} is cut short", self.at);
            return Err(file.damaged(reason));
        };
        let bytes = file.bytes(self.at..end)?;
        let body = &bytes[(prefix + len) as usize..];
        file.check_message(&metadata, Some(body))?;
        self.at = end;
        Ok(Some(bytes))
    }
}

/// Where rows lie: in which record batch of a file, and how many of it came before.
struct Rows<'a> {
    location: &'a Location,
    batch: usize,
    first: u64,
}

impl place::Rows for Rows<'_> {
    fn capture(&self) -> DescribeRow {
        let (location, batch, first) = (self.location.to_string(), self.batch, self.first);
        Box::new(move |row| format!("{location}, record batch {batch}, row {}", first + row as u64))
    }
}

/// Passes the records of a record batch on, some thousand at a time.
fn give<T: Record>(
    names: &Names,
    decoded: &RecordBatch,
    rows: &mut Rows<'_>,
    out: &mut dyn Push<T>,
) -> Result<Demand, SourceError> {
    let mut from = 0;
    while from < decoded.num_rows() {
        let some = decoded.slice(from, BATCH_RECORDS.min(decoded.num_rows() - from));
        let batch = names.records::<T>(&some).map_err(|error| {
            let within = format!(" of record batch {}", rows.batch);
            match bind_error(rows.location, error, rows.first) {
                SourceError::Input { location, reason } => {
                    SourceError::Input { location, reason: reason + &within }
                }
                other => other,
            }
        })?;
        if place::push(out, &batch, rows)? == Demand::Enough {
            return Ok(Demand::Enough);
        }
        from += batch.len();
        rows.first = from as u64;
    }
    Ok(Demand::More)
}

impl<T: Record> Source for IpcSource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "ipc".to_string(),
            locations: self.locations.names(),
            columns: Some(self.wanted.names()),
        }
    }

    fn pruned(&self, predicate: Arc<Predicate<T>>) -> Option<Pruned<Self>> {
        let source = IpcSource {
            locations: self.locations.clone(),
            wanted: self.wanted.clone(),
            sizes: self.sizes,
            by_folder: self.by_folder.and(predicate),
        };
        Some(Pruned { source, exact: false })
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let look = |object: &Object| {
            let wanted = self.by_folder.may_hold(storage, &self.wanted, object)?;
            Ok(wanted.then_some(Compression::None))
        };
        files::split(storage, &self.locations, self.sizes, &look, out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        for part in lane_files(split, lane)? {
            let file = IpcFile::open(storage, &part.object)?;
            let demand = if file.is_file()? {
                self.read_file(&file, part.range, out)?
            } else if part.range.start == 0 {
                self.read_stream(&file, out)?
            } else {
                Demand::More
            };
            if demand == Demand::Enough {
                break;
            }
        }
        Ok(())
    }
}
