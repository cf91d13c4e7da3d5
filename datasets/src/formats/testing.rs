//! What tests of formats have in common: reading a whole source, encoding records into one part file.

use crate::push::{Demand, Push, PushError, Selection};
use crate::record::{Batch, Builder, Record};
use crate::sink::Sink;
use crate::source::{Source, SourceError, Split};
use crate::storage::Storage;

/// Takes owned records, keeps some batches alive, and has enough at some time.
pub(crate) struct Take<T: Record> {
    pub(crate) records: Vec<T>,
    pub(crate) batches: Vec<T::Batch>,
    pub(crate) keep: bool,
    pub(crate) enough_at: usize,
}

impl<T: Record> Take<T> {
    pub(crate) fn new() -> Take<T> {
        Take { records: Vec::new(), batches: Vec::new(), keep: false, enough_at: usize::MAX }
    }
}

impl<T: Record> Push<T> for Take<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        crate::for_selected!(selection, batch.len(), |i| self.records.push(T::own(batch.get(i))));
        if self.keep {
            self.batches.push(batch.clone());
        }
        Ok(if self.records.len() >= self.enough_at { Demand::Enough } else { Demand::More })
    }
    fn row(&mut self, _view: T::View<'_>) -> Result<Demand, PushError> {
        unreachable!()
    }
    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

/// Fails at the record with this index of the first batch.
pub(crate) struct Fail(pub(crate) usize);

impl<T: Record> Push<T> for Fail {
    fn batch(&mut self, _: &T::Batch, _: Selection<'_>) -> Result<Demand, PushError> {
        crate::place::note_failed_row(Some(self.0));
        Err("failed".into())
    }
    fn row(&mut self, _view: T::View<'_>) -> Result<Demand, PushError> {
        unreachable!()
    }
    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}

pub(crate) fn splits<S: Source>(source: &S, storage: &Storage) -> Result<Vec<Split>, SourceError> {
    let mut splits = Vec::new();
    source.split(storage, &mut |split| {
        splits.push(split);
        Ok(())
    })?;
    Ok(splits)
}

/// The records of each lane of each split.
pub(crate) fn read_lanes<S: Source>(
    source: &S,
    storage: &Storage,
    keep: bool,
) -> Result<Vec<Vec<S::Item>>, SourceError> {
    let mut lanes = Vec::new();
    for split in splits(source, storage)? {
        assert!(split.lanes > 0);
        for lane in 0..split.lanes {
            let mut take = Take { keep, ..Take::new() };
            source.read(storage, &split, lane, &mut take)?;
            // Batches that were kept still hold what they held.
            let kept = take.batches.iter().flat_map(|b| (0..b.len()).map(|i| b.get(i)));
            if keep {
                take.records = kept.map(S::Item::own).collect();
            }
            lanes.push(take.records);
        }
        assert!(source.read(storage, &split, split.lanes, &mut Take::new()).is_err());
    }
    Ok(lanes)
}

/// All records, in order.
pub(crate) fn read_all<S: Source>(source: &S) -> Result<Vec<S::Item>, SourceError> {
    let lanes = read_lanes(source, &Storage::new(), false)?;
    Ok(lanes.into_iter().flatten().collect())
}

/// The bytes of a part file of lanes, each of which has batches of records; `pick` selects rows of a batch.
pub(crate) fn encode<S: Sink>(
    sink: &S,
    lanes: &[Vec<Vec<S::Item>>],
    pick: &dyn Fn(usize) -> bool,
) -> Vec<u8> {
    let (mut file, mut part) = (Vec::new(), sink.part());
    for batches in lanes {
        let mut lane = sink.lane();
        for records in batches {
            let mut builder = <S::Item as Record>::Builder::default();
            records.iter().for_each(|record| builder.push(record.view()));
            let batch = builder.finish();
            let rows: Vec<u32> =
                (0..records.len()).filter(|&i| pick(i)).map(|i| i as u32).collect();
            let all = rows.len() == records.len() && records.len().is_multiple_of(2);
            let selection = if all { Selection::All } else { Selection::Rows(&rows) };
            lane.batch(&batch, selection).unwrap();
        }
        let chunk = lane.finish().unwrap();
        let pieces: Option<Vec<u8>> = sink.pieces(&chunk).map(|pieces| pieces.concat());
        let before = file.len();
        part.write(chunk, &mut file).unwrap();
        if let Some(pieces) = pieces {
            assert_eq!(&file[before..], pieces);
        }
    }
    part.finish(&mut file).unwrap();
    file
}
