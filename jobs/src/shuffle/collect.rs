//! Collected rows: the frames of a task's lanes, one after the other.

use crate::exec::OperatorError;
use std::sync::{Arc, Mutex, PoisonError};
use windrow_datasets::codec::{Compression, Encoder};
use windrow_datasets::push::{AnyPush, BATCH_RECORDS, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Builder, Record, for_selected};

/// The most bytes that one lane may collect.
const LANE_BYTES_MAX: usize = 4 << 20;

/// The keys that a sample takes of each lane.
const SAMPLE_KEYS: usize = 512;

/// Where a lane puts its frames.
#[derive(Clone, Default)]
pub struct LaneFrames(Arc<Mutex<Vec<u8>>>);

impl LaneFrames {
    /// What the lane has put there.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, frames: Vec<u8>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = frames;
    }
}

/// Collects the rows of a lane.
pub trait CollectCode: Send + Sync {
    /// The receiver for one lane.
    fn lane(&self, frames: LaneFrames) -> AnyPush;
}

/// Collects all rows.
pub(crate) struct Collect<T>(std::marker::PhantomData<fn() -> T>);

impl<T> Collect<T> {
    pub(crate) fn new() -> Self {
        Collect(std::marker::PhantomData)
    }
}

impl<T: Record> CollectCode for Collect<T> {
    fn lane(&self, frames: LaneFrames) -> AnyPush {
        AnyPush::new::<T>(Box::new(CollectLane::<T> {
            builder: T::Builder::default(),
            encoder: Encoder::new(Compression::Lz4),
            bytes: Vec::new(),
            frames,
        }))
    }
}

struct CollectLane<T: Record> {
    builder: T::Builder,
    encoder: Encoder,
    bytes: Vec<u8>,
    frames: LaneFrames,
}

impl<T: Record> CollectLane<T> {
    fn flush(&mut self) -> Result<(), PushError> {
        if self.builder.is_empty() {
            return Ok(());
        }
        self.encoder.encode::<T>(&self.builder.finish(), &mut self.bytes)?;
        if self.bytes.len() > LANE_BYTES_MAX {
            return Err(OperatorError::TooMuch(format!(
                "collect: more than {LANE_BYTES_MAX} bytes of rows; collected and broadcast datasets are to be small: write a large one to a sink, or join with it"
            ))
            .into());
        }
        Ok(())
    }
}

impl<T: Record> Push<T> for CollectLane<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length.
            self.row(unsafe { batch.get_unchecked(index) })?;
        });
        Ok(Demand::More)
    }

    fn row(&mut self, view: T::View<'_>) -> Result<Demand, PushError> {
        self.builder.push(view);
        if self.builder.len() == BATCH_RECORDS {
            self.flush()?;
        }
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.flush()?;
        self.frames.put(std::mem::take(&mut self.bytes));
        Ok(())
    }
}

/// Collects the first keys of each lane, for the bounds of a sort.
pub(crate) struct Sample<S>(std::marker::PhantomData<fn() -> S>);

impl<S> Sample<S> {
    pub(crate) fn new() -> Self {
        Sample(std::marker::PhantomData)
    }
}

impl<S: super::rows::SortBy> CollectCode for Sample<S> {
    fn lane(&self, frames: LaneFrames) -> AnyPush {
        AnyPush::new::<S::Row>(Box::new(SampleLane::<S> {
            builder: <S::Key as Record>::Builder::default(),
            frames,
        }))
    }
}

struct SampleLane<S: super::rows::SortBy> {
    builder: <S::Key as Record>::Builder,
    frames: LaneFrames,
}

impl<S: super::rows::SortBy> Push<S::Row> for SampleLane<S> {
    fn batch(
        &mut self,
        batch: &<S::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        for_selected!(selection, batch.len(), |index| {
            if self.builder.len() < SAMPLE_KEYS {
                // SAFETY: the indexes of a selection are below the batch's length; the slot borrows from the batch.
                unsafe { self.builder.push(<S::Key as Record>::slot_view(&S::key(batch, index))) };
            }
        });
        Ok(if self.builder.len() < SAMPLE_KEYS { Demand::More } else { Demand::Enough })
    }

    fn row(&mut self, _view: <S::Row as Record>::View<'_>) -> Result<Demand, PushError> {
        Err("a sample takes batches".into())
    }

    fn finish(&mut self) -> Result<(), PushError> {
        let mut bytes = Vec::new();
        if !self.builder.is_empty() {
            let batch = self.builder.finish();
            Encoder::new(Compression::Lz4).encode::<S::Key>(&batch, &mut bytes)?;
        }
        self.frames.put(bytes);
        Ok(())
    }
}
