//! Records that are there already, or are made of their numbers.

use crate::place::{self, DescribeRow};
use crate::push::{BATCH_RECORDS, Demand, Push};
use crate::record::{Batch, Builder, Record};
use crate::source::{LANE_RECORDS, SPLIT_BYTES, Source, SourceDescription, SourceError, Split};
use crate::storage::Storage;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The lanes of a split of made records.
const GENERATED_LANES: u64 = 16;

/// The records of an iterator.
///
/// The records never travel: each process makes the source anew, when it calls the plan with the same arguments, and
/// splits name records by their numbers. Cheap to clone.
pub struct MemorySource<T: Record> {
    lanes: Arc<Vec<Lane<T>>>,
    lane_records: u64,
}

struct Lane<T: Record> {
    batches: Vec<T::Batch>,
    bytes: u64,
}

impl<T: Record> Clone for MemorySource<T> {
    fn clone(&self) -> Self {
        MemorySource { lanes: self.lanes.clone(), lane_records: self.lane_records }
    }
}

impl<T: Record> fmt::Debug for MemorySource<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemorySource").field("lanes", &self.lanes.len()).finish_non_exhaustive()
    }
}

impl<T: Record> MemorySource<T> {
    /// These records, in this order.
    pub fn new(records: impl IntoIterator<Item = T>) -> MemorySource<T> {
        MemorySource::in_lanes(records, LANE_RECORDS)
    }

    fn in_lanes(records: impl IntoIterator<Item = T>, lane_records: u64) -> MemorySource<T> {
        let mut records = records.into_iter().peekable();
        let mut lanes = Vec::new();
        while records.peek().is_some() {
            let mut lane = Lane { batches: Vec::new(), bytes: 0 };
            let mut left = lane_records as usize;
            while left > 0 && records.peek().is_some() {
                let mut builder = T::Builder::default();
                for record in records.by_ref().take(left.min(BATCH_RECORDS)) {
                    lane.bytes += T::approximate_bytes(record.view()) as u64;
                    builder.push(record.view());
                }
                left -= builder.len();
                lane.batches.push(builder.finish());
            }
            lanes.push(lane);
        }
        MemorySource { lanes: Arc::new(lanes), lane_records }
    }
}

/// A split of numbered lanes.
fn lanes_split(lanes: Range<u64>, bytes: u64) -> Split {
    let payload = postcard::to_stdvec(&(lanes.start, lanes.end)).expect("numbers can be encoded");
    let lanes = u32::try_from(lanes.end - lanes.start).expect("a split of fewer than 2^32 lanes");
    Split { payload, bytes, lanes, hosts: Vec::new() }
}

/// The number of lane `lane` of a split, among `count` of the source.
fn lane_number(split: &Split, lane: u32, count: u64) -> Result<u64, SourceError> {
    let number = postcard::from_bytes(&split.payload).ok().and_then(|(start, end): (u64, u64)| {
        start.checked_add(u64::from(lane)).filter(|&number| number < end.min(count))
    });
    number.ok_or_else(|| SourceError::Input {
        location: format!("lane {lane} of a split of records in memory"),
        reason: "the split is not of this source: the plan gave other records in this process than where it was split; a plan must depend on its arguments alone".to_string(),
    })
}

fn describe_numbers(first: u64) -> DescribeRow {
    Box::new(move |row| format!("record {} of the job's own records", first + row as u64))
}

impl<T: Record> Source for MemorySource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription { format: "memory".to_string(), locations: Vec::new(), columns: None }
    }

    fn split(
        &self,
        _storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let (mut start, mut bytes) = (0, 0);
        for (number, lane) in (0..).zip(self.lanes.iter()) {
            if number > start && bytes + lane.bytes > SPLIT_BYTES {
                out(lanes_split(start..number, bytes))?;
                (start, bytes) = (number, 0);
            }
            bytes += lane.bytes;
        }
        let end = self.lanes.len() as u64;
        if start < end { out(lanes_split(start..end, bytes)) } else { Ok(()) }
    }

    fn read(
        &self,
        _storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        let number = lane_number(split, lane, self.lanes.len() as u64)?;
        let mut first = number * self.lane_records;
        for batch in &self.lanes[number as usize].batches {
            if place::push(out, batch, &|| describe_numbers(first))? == Demand::Enough {
                break;
            }
            first += batch.len() as u64;
        }
        Ok(())
    }
}

/// Records that a function makes of their numbers, 0 to `count` - 1.
///
/// The function must depend on the number (and on what the plan captured) alone: each process has its own.
#[derive(Clone)]
pub struct GeneratedSource<T, F> {
    count: u64,
    lane_records: u64,
    make: F,
    record: std::marker::PhantomData<fn() -> T>,
}

impl<T, F> fmt::Debug for GeneratedSource<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GeneratedSource").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<T: Record, F: Fn(u64) -> T + Send + Sync + 'static> GeneratedSource<T, F> {
    /// The records `make(0)`, `make(1)` and so on, `count` of them.
    pub fn new(count: u64, make: F) -> GeneratedSource<T, F> {
        GeneratedSource {
            count,
            lane_records: LANE_RECORDS,
            make,
            record: std::marker::PhantomData,
        }
    }

    /// The same in lanes of `records` records, rather than [`LANE_RECORDS`]: fewer where each one is much work. The
    /// number is part of what results depend on.
    ///
    /// # Panics
    /// If `records` is 0.
    #[must_use]
    pub fn with_lane_records(self, records: u64) -> Self {
        assert!(records > 0, "a lane must have a record at least");
        Self { lane_records: records, ..self }
    }
}

impl<T: Record, F: Fn(u64) -> T + Send + Sync + 'static> Source for GeneratedSource<T, F> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription { format: "generated".to_string(), locations: Vec::new(), columns: None }
    }

    fn split(
        &self,
        _storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let lanes = self.count.div_ceil(self.lane_records);
        let mut start = 0;
        while start < lanes {
            let end = (start + GENERATED_LANES).min(lanes);
            let from = start * self.lane_records;
            let records = self.lane_records.saturating_mul(end - start).min(self.count - from);
            out(lanes_split(start..end, records.saturating_mul(size_of::<T::Slot>() as u64)))?;
            start = end;
        }
        Ok(())
    }

    fn read(
        &self,
        _storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        let number = lane_number(split, lane, self.count.div_ceil(self.lane_records))?;
        let mut at = number * self.lane_records;
        let end = at.saturating_add(self.lane_records).min(self.count);
        let mut builder = T::Builder::default();
        while at < end {
            let stop = at.saturating_add(BATCH_RECORDS as u64).min(end);
            (at..stop).for_each(|number| builder.push((self.make)(number).view()));
            let batch = builder.finish();
            if place::push(out, &batch, &|| describe_numbers(at))? == Demand::Enough {
                break;
            }
            at = stop;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{Fail, Take, read_all, read_lanes, splits};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn lanes_have_all_records_in_order(count in 0u64..300, lane in 1u64..50) {
            let words: Vec<String> = (0..count).map(|i| format!("word {i}")).collect();
            let memory = MemorySource::in_lanes(words.clone(), lane);
            let made = GeneratedSource::new(count, |i| format!("word {i}")).with_lane_records(lane);
            for lanes in [
                read_lanes(&memory, &Storage::new(), false).unwrap(),
                read_lanes(&made, &Storage::new(), true).unwrap(),
            ] {
                prop_assert_eq!(lanes.len() as u64, count.div_ceil(lane));
                prop_assert!(lanes.iter().rev().skip(1).all(|l| l.len() as u64 == lane));
                prop_assert_eq!(lanes.concat(), words.clone());
            }
        }
    }

    #[test]
    fn lanes_are_cut_into_batches_and_splits() {
        let count = 2 * LANE_RECORDS + 5000;
        let memory = MemorySource::new(0..count);
        assert_eq!(splits(&memory, &Storage::new()).unwrap().len(), 1);
        assert!(read_all(&memory).unwrap().into_iter().eq(0..count));
        let large = MemorySource::in_lanes((0..9).map(|_| vec![b'x'; 20 << 20]), 2);
        let shapes = splits(&large, &Storage::new()).unwrap();
        assert_eq!(shapes.iter().map(|s| s.lanes).collect::<Vec<_>>(), [1; 5]);
        let made = GeneratedSource::new(count * 10, |i| i);
        let shapes = splits(&made, &Storage::new()).unwrap();
        assert_eq!(shapes.iter().map(|s| s.lanes).collect::<Vec<_>>(), [16, 5]);
        assert_eq!(shapes.iter().map(|s| s.bytes).sum::<u64>(), count * 80);
        assert!(read_all(&made).unwrap().into_iter().eq(0..count * 10));
    }

    #[test]
    fn enough_ends_a_lane_and_failures_are_named() {
        let made = GeneratedSource::new(100_000, |i| i);
        let split = splits(&made, &Storage::new()).unwrap().remove(0);
        let mut take = Take { enough_at: 10, ..Take::new() };
        made.read(&Storage::new(), &split, 0, &mut take).unwrap();
        assert_eq!(take.records.len(), BATCH_RECORDS);
        let memory = MemorySource::new(0..100_000u64);
        let mut take = Take { enough_at: 10, ..Take::new() };
        memory.read(&Storage::new(), &split, 0, &mut take).unwrap();
        assert_eq!(take.records.len(), BATCH_RECORDS);
        assert!(memory.read(&Storage::new(), &split, 1, &mut Fail(4)).is_err());
        let place = crate::place::describe_failure().unwrap();
        assert_eq!(place, format!("record {} of the job's own records", LANE_RECORDS + 4));
        let fewer = MemorySource::new(0..10u64);
        let error = fewer.read(&Storage::new(), &split, 1, &mut Take::new()).unwrap_err();
        assert!(error.to_string().contains("must depend on its arguments alone"), "{error}");
    }
}
