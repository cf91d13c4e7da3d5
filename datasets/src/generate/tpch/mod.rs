//! The tables of TPC-H, as its `dbgen` makes them: for a scale there is one right content, so there is no seed.
//!
//! Rows are made by the `tpchgen` crates, in Arrow columns. A lane is a part of a table in the generator's own sense
//! (about 65,536 rows), made without those before it; a split is a file's worth of lanes, so that a table that is
//! written as Parquet has files of about 128 MiB.

mod tables;

pub use tables::{Customer, LineItem, Nation, Order, Part, PartSupp, Region, Supplier};

use crate::place::{self, DescribeRow};
use crate::push::{Demand, Push};
use crate::record::{Batch, Record};
use crate::source::{Source, SourceDescription, SourceError, Split};
use crate::storage::Storage;
use arrow::array::{ArrayRef, RecordBatch, StructArray};
use arrow::error::ArrowError;
use std::marker::PhantomData;
use std::sync::Arc;

/// The rows of a batch.
const BATCH_ROWS: usize = 4096;

/// The rows of a lane, about.
const LANE_ROWS: u64 = 65_536;

/// The bytes of a file, about.
const FILE_BYTES: u64 = 128 << 20;

/// Rows in the making.
pub type Rows = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// A table of TPC-H.
pub trait TpchTable: Record {
    /// Its name, as in the specification.
    const NAME: &'static str;
    /// What the generator counts, at scale 1: rows, or what has a few rows each (the orders of `lineitem`).
    const UNITS: u64;
    /// The rows of a unit, about.
    const UNIT_ROWS: u64;
    /// Whether there are as many at every scale.
    const FIXED: bool;
    /// The bytes of a row, about, in a Parquet file compressed by zstd.
    const FILE_ROW_BYTES: u64;

    /// The rows of part `part` (from 1) of `parts`.
    fn rows(scale: f64, part: i32, parts: i32, batch_rows: usize) -> Rows;
}

/// A scale that TPC-H cannot have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0} is no scale of TPC-H: it is from 0.001 to 10000, where 1 is about 1 GB of text")]
pub struct ScaleError(pub f64);

/// The rows of a table.
#[derive(Clone, Debug)]
pub struct TpchSource<T> {
    scale: f64,
    table: PhantomData<fn() -> T>,
}

impl<T: TpchTable> TpchSource<T> {
    /// The table at a scale.
    ///
    /// # Errors
    /// If `scale` is not from 0.001 to 10,000.
    pub fn new(scale: f64) -> Result<TpchSource<T>, ScaleError> {
        if (0.001..=10_000.0).contains(&scale) {
            Ok(TpchSource { scale, table: PhantomData })
        } else {
            Err(ScaleError(scale))
        }
    }

    /// What the generator counts, at this scale.
    fn units(&self) -> u64 {
        // As the generator does it.
        if T::FIXED { T::UNITS } else { (T::UNITS as f64 * self.scale) as u64 }
    }

    fn lanes(&self) -> u64 {
        if T::FIXED { 1 } else { (self.units() * T::UNIT_ROWS).div_ceil(LANE_ROWS).max(1) }
    }

    fn files(&self) -> u64 {
        let bytes = self.units() * T::UNIT_ROWS * T::FILE_ROW_BYTES;
        bytes.div_ceil(FILE_BYTES).clamp(1, self.lanes())
    }
}

impl<T: TpchTable> Source for TpchSource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        let format = format!("tpch {} at scale {}", T::NAME, self.scale);
        SourceDescription { format, locations: Vec::new(), columns: None }
    }

    fn split(
        &self,
        _storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let (lanes, files) = (self.lanes(), self.files());
        for file in 0..files {
            let (start, end) = (file * lanes / files, (file + 1) * lanes / files);
            let payload = postcard::to_stdvec(&(start, end)).expect("numbers can be encoded");
            // More than a task takes of small splits, where there are several: a split is a task, and so a file.
            let bytes = (end - start) * LANE_ROWS * size_of::<T::Slot>() as u64;
            let lanes = u32::try_from(end - start).expect("a file has few lanes");
            out(Split { payload, bytes, lanes, hosts: Vec::new() })?;
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
        let failed = |reason: String| SourceError::Input {
            location: format!("lane {lane} of a split of TPC-H's {}", T::NAME),
            reason,
        };
        let lanes = self.lanes();
        let (start, end): (u64, u64) = postcard::from_bytes(&split.payload).unwrap_or_default();
        let number = start.saturating_add(u64::from(lane));
        if number >= end || number >= lanes {
            let reason = "the split is not of this source; all processes must run the same binary";
            return Err(failed(reason.to_string()));
        }
        let (part, parts) = (number as i32 + 1, lanes as i32);
        let mut first = 0;
        for rows in T::rows(self.scale, part, parts, BATCH_ROWS) {
            let rows: ArrayRef =
                Arc::new(StructArray::from(rows.map_err(|e| failed(e.to_string()))?));
            let batch = T::Batch::from_array(&rows).map_err(|e| failed(e.to_string()))?;
            if place::push(out, &batch, &|| describe_rows(T::NAME, part, first))? == Demand::Enough
            {
                break;
            }
            first += batch.len();
        }
        Ok(())
    }
}

fn describe_rows(table: &'static str, part: i32, first: usize) -> DescribeRow {
    Box::new(move |row| format!("row {} of part {part} of TPC-H's {table}", first + row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::testing::{read_all, read_lanes, splits};

    fn shape<T: TpchTable>(scale: f64) -> (usize, u32) {
        let splits = splits(&TpchSource::<T>::new(scale).unwrap(), &Storage::new()).unwrap();
        (splits.len(), splits.iter().map(|split| split.lanes).sum())
    }

    #[test]
    fn tables_have_the_rows_of_the_specification() {
        fn count<T: TpchTable>(scale: f64) -> usize {
            read_all(&TpchSource::<T>::new(scale).unwrap()).unwrap().len()
        }
        assert_eq!(count::<Region>(0.01), 5);
        assert_eq!(count::<Nation>(0.01), 25);
        assert_eq!(count::<Supplier>(0.01), 100);
        assert_eq!(count::<Customer>(0.01), 1500);
        assert_eq!(count::<Part>(0.01), 2000);
        assert_eq!(count::<PartSupp>(0.01), 8000);
        assert_eq!(count::<Order>(0.01), 15_000);
        assert_eq!(count::<LineItem>(0.01), 60_175);
    }

    #[test]
    fn lanes_are_parts_of_one_whole() {
        // Of 46,000 orders: three lanes, with what is left over in the last one.
        let source = TpchSource::<LineItem>::new(0.0307).unwrap();
        let lanes = read_lanes(&source, &Storage::new(), true).unwrap();
        assert_eq!(lanes.len(), 3);
        let mut whole = LineItem::rows(0.0307, 1, 1, 1 << 20);
        let rows: ArrayRef = Arc::new(StructArray::from(whole.next().unwrap().unwrap()));
        let batch = <LineItem as Record>::Batch::from_array(&rows).unwrap();
        let keys = |row: &LineItem| (row.l_orderkey, row.l_linenumber, row.l_comment.clone());
        let parts: Vec<_> = lanes.iter().flatten().map(keys).collect();
        let whole: Vec<_> =
            (0..batch.len()).map(|row| keys(&LineItem::own(batch.get(row)))).collect();
        assert!(parts == whole);
    }

    #[test]
    fn files_are_a_function_of_the_scale() {
        assert_eq!(shape::<LineItem>(0.01), (1, 1));
        assert_eq!(shape::<LineItem>(1.0), (2, 92));
        assert_eq!(shape::<Nation>(100.0), (1, 1));
        let (files, lanes) = shape::<Order>(100.0);
        assert!(files > 30 && lanes > 2000, "{files} files, {lanes} lanes");
        for wrong in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e9] {
            assert!(TpchSource::<Nation>::new(wrong).is_err(), "{wrong}");
        }
    }
}
