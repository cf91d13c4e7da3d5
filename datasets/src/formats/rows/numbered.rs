//! Rows, each with a number that is a function of where it lies: for samples that are the same each time.

use super::RowsSource;
use crate::push::{Demand, Push, PushError, Selection};
use crate::record::{Batch, Batch2, Record, Row, RowBatch, ScalarColumn, mix};
use crate::source::{Source, SourceDescription, SourceError, Split};
use crate::storage::Storage;
use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;

/// The rows of a [`RowsSource`], each behind a hash of its place: of which lane of which split it is, and which row of it.
#[derive(Debug)]
pub struct NumberedRows {
    rows: RowsSource,
}

impl NumberedRows {
    /// The rows of this source.
    pub fn new(rows: RowsSource) -> NumberedRows {
        NumberedRows { rows }
    }
}

impl Source for NumberedRows {
    type Item = (u64, Row);

    fn describe(&self) -> SourceDescription {
        self.rows.describe()
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let mut number = 0u64;
        self.rows.split(storage, &mut |split| {
            let payload = postcard::to_stdvec(&(number, &split.payload));
            let payload = payload.expect("bytes can be encoded");
            number += 1;
            out(Split { payload, ..split })
        })
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<(u64, Row)>,
    ) -> Result<(), SourceError> {
        let read = postcard::from_bytes(&split.payload);
        let (number, payload): (u64, Vec<u8>) = read.map_err(|_| SourceError::Input {
            location: "a split of numbered rows".to_string(),
            reason: "the split is not of this source; all processes must run the same binary"
                .to_string(),
        })?;
        let split = Split { payload, ..split.clone() };
        let seed = mix(mix(0x5a3d_e11b, number), u64::from(lane));
        self.rows.read(storage, &split, lane, &mut Numbering { seed, row: 0, out })
    }
}

struct Numbering<'a> {
    seed: u64,
    row: u64,
    out: &'a mut dyn Push<(u64, Row)>,
}

impl Push<Row> for Numbering<'_> {
    fn batch(
        &mut self,
        batch: &<Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        let rows = match selection {
            Selection::All => batch.clone(),
            Selection::Rows(rows) => {
                let rows = UInt32Array::from(rows.to_vec());
                RowBatch::new(take_record_batch(batch.columns(), &rows)?)
            }
        };
        let count = rows.len() as u64;
        let hashes: Vec<u64> =
            (self.row..self.row + count).map(|row| mix(self.seed, row)).collect();
        self.row += count;
        self.out.batch(&Batch2(ScalarColumn(hashes.into()), rows), Selection::All)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish()
    }
}
