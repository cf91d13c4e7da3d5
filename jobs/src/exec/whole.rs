//! Collected datasets that a stage reads whole: broadcasts and the samples of sorts.

use crate::shuffle::lock;
use arrow::buffer::Buffer;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use windrow_datasets::Record;
use windrow_datasets::codec;
use windrow_datasets::push::PushError;

/// What was made of an input, once it was.
type Made = Arc<Mutex<Option<Arc<dyn Any + Send + Sync>>>>;

/// The whole inputs of a stage, by the number of the collected dataset. Cheap to clone.
#[derive(Clone, Default)]
pub struct Whole {
    inputs: Arc<Inputs>,
}

#[derive(Default)]
struct Inputs {
    frames: BTreeMap<u32, Vec<Buffer>>,
    /// What was made of them, by who made it.
    made: Mutex<BTreeMap<usize, Made>>,
}

impl Whole {
    /// Whole inputs of these frames, which were made by collecting.
    ///
    /// # Errors
    /// If bytes are no whole number of frames.
    pub fn new(inputs: impl IntoIterator<Item = (u32, Vec<u8>)>) -> Result<Whole, PushError> {
        let mut all = BTreeMap::new();
        for (number, bytes) in inputs {
            let frames = codec::frames(&Buffer::from_vec(bytes)).collect::<Result<Vec<_>, _>>()?;
            all.insert(number, frames);
        }
        Ok(Whole { inputs: Arc::new(Inputs { frames: all, made: Mutex::default() }) })
    }

    /// The batches of a collected dataset. What cannot be decoded is left out: a sample is only a hint.
    pub(crate) fn batches<T: Record>(&self, number: u32) -> Vec<T::Batch> {
        self.frames(number).iter().filter_map(|frame| codec::decode::<T>(frame).ok()).collect()
    }

    fn frames(&self, number: u32) -> &[Buffer] {
        self.inputs.frames.get(&number).map_or(&[], |frames| frames)
    }

    /// Whether a collected dataset has any record.
    pub(crate) fn has_records(&self, number: u32) -> bool {
        self.frames(number)
            .iter()
            .any(|frame| codec::frame_records(frame).is_ok_and(|records| records > 0))
    }

    /// All batches of a collected dataset.
    ///
    /// # Errors
    /// If the dataset is not there, which is a defect of the engine, or cannot be decoded.
    pub(crate) fn whole_batches<T: Record>(&self, number: u32) -> Result<Vec<T::Batch>, PushError> {
        let Some(frames) = self.inputs.frames.get(&number) else {
            return Err(format!("the collected dataset {number} is not at hand").into());
        };
        Ok(frames.iter().map(codec::decode::<T>).collect::<Result<Vec<_>, _>>()?)
    }

    /// What `make` makes of an input; made once for each `maker`, then shared.
    ///
    /// # Errors
    /// What `make` says.
    pub(crate) fn made<L: Send + Sync + 'static>(
        &self,
        maker: usize,
        make: impl FnOnce() -> Result<L, PushError>,
    ) -> Result<Arc<L>, PushError> {
        let made = lock(&self.inputs.made).entry(maker).or_default().clone();
        let mut made = lock(&made);
        if let Some(there) = &*made
            && let Ok(there) = there.clone().downcast::<L>()
        {
            return Ok(there);
        }
        let fresh = Arc::new(make()?);
        *made = Some(fresh.clone());
        Ok(fresh)
    }
}
