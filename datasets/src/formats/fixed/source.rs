//! Reads records of one length.

use crate::formats::compression::Compression;
use crate::formats::files::{self, LaneFile, Sizes, cut_short, lane_files};
use crate::formats::open_ahead::OpenAhead;
use crate::location::{IntoLocations, Location, Locations};
use crate::memory::ReadBuffer;
use crate::place::{self, DescribeRow};
use crate::push::{Demand, Push};
use crate::record::FixedColumn;
use crate::source::{LANE_BYTES, SPLIT_BYTES, Source, SourceDescription, SourceError, Split};
use crate::storage::{Object, ReadAt, Storage};
use std::cell::Cell;

/// The most records in a batch.
const BATCH_RECORDS: usize = 4096;

/// The bytes of a batch at most, for long records; a batch has one record at least.
const BATCH_BYTES: usize = 1 << 20;

/// The records of files of records of `N` bytes. Files are cut between records, into lanes of [`LANE_BYTES`], rounded
/// down to whole records. Names say nothing: compressed files are not decompressed.
///
/// What is read goes by position into the buffer of a batch, and is never copied.
#[derive(Clone, Debug)]
pub struct FixedSource<const N: usize> {
    locations: Locations,
    sizes: Sizes,
}

impl<const N: usize> FixedSource<N> {
    const SOME_BYTES: () = assert!(N > 0, "a record must have a byte at least");

    /// The records of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> FixedSource<N> {
        let () = Self::SOME_BYTES;
        let records = BATCH_RECORDS.min(BATCH_BYTES / N).max(1);
        let lane = (LANE_BYTES / N as u64).max(1) * N as u64;
        let split = (SPLIT_BYTES / lane).max(1) * lane;
        let sizes = Sizes { lane, split, block: records * N };
        FixedSource { locations: locations.into_locations(), sizes }
    }

    /// Lanes, splits and batches of so many records, to see that it does not matter.
    #[cfg(test)]
    pub(super) fn with_records(self, lane: u64, lanes: u64, batch: usize) -> Self {
        let lane = lane * N as u64;
        Self { sizes: Sizes { lane, split: lanes * lane, block: batch * N }, ..self }
    }

    fn read_file(
        &self,
        open: &dyn ReadAt,
        file: &LaneFile,
        out: &mut dyn Push<[u8; N]>,
    ) -> Result<Demand, SourceError> {
        let spare = SPARE.take().filter(|spare| spare.len() == self.sizes.block);
        let mut buffer = spare.unwrap_or_else(|| ReadBuffer::new(self.sizes.block));
        let mut offset = file.range.start;
        while offset < file.range.end {
            let left = file.range.end - offset;
            let want = (self.sizes.block as u64).min(left) as usize;
            let count = open.read_at(offset, &mut buffer.bytes_mut()[..want])?;
            if count < want {
                return Err(cut_short(
                    &file.object.location,
                    file.object.size,
                    offset + count as u64,
                )
                .into());
            }
            let column = FixedColumn::from_buffer(buffer.share(want));
            let first = offset / N as u64;
            let demand =
                place::push(out, &column, &|| describe::<N>(&file.object.location, first))?;
            if demand == Demand::Enough {
                return Ok(Demand::Enough);
            }
            offset += want as u64;
        }
        SPARE.set(Some(buffer));
        Ok(Demand::More)
    }
}

thread_local! {
    /// The buffer of the last file of this thread.
    static SPARE: Cell<Option<ReadBuffer>> = const { Cell::new(None) };
}

/// Names the records of a batch whose first is record `first` of its file.
fn describe<const N: usize>(location: &Location, first: u64) -> DescribeRow {
    let location = location.to_string();
    Box::new(move |row| {
        let record = first + row as u64;
        format!("{location}, record {record} (byte {})", record * N as u64)
    })
}

/// That the file has whole records only.
fn look<const N: usize>(object: &Object) -> Result<Option<Compression>, SourceError> {
    let extra = object.size % N as u64;
    if extra == 0 {
        return Ok(Some(Compression::None));
    }
    Err(SourceError::Input {
        location: object.location.to_string(),
        reason: format!(
            "has {} bytes, which is {extra} more than whole records of {N} bytes: it is cut short, or its records have another length",
            object.size
        ),
    })
}

impl<const N: usize> Source for FixedSource<N> {
    type Item = [u8; N];

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: format!("records of {N} bytes"),
            locations: self.locations.names(),
            columns: None,
        }
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        files::split(storage, &self.locations, self.sizes, &look::<N>, out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<[u8; N]>,
    ) -> Result<(), SourceError> {
        let files = lane_files(split, lane)?;
        let mut ahead = OpenAhead::new(storage, &files);
        for file in &files {
            let Some(open) = ahead.next() else { break };
            if self.read_file(&*open?, file, out)? == Demand::Enough {
                break;
            }
        }
        Ok(())
    }
}
