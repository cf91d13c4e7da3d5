//! Collected datasets that a stage reads whole: broadcasts and the samples of sorts.

use arrow::buffer::Buffer;
use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use windrow_datasets::Record;
use windrow_datasets::codec;
use windrow_datasets::push::PushError;

/// What a lookup was made of, once a process.
type Built = Arc<dyn Any + Send + Sync>;

/// The whole inputs of a stage, by the number of the collected dataset. Cheap to clone.
#[derive(Clone, Default)]
pub struct Whole {
    inputs: Arc<BTreeMap<u32, Input>>,
}

struct Input {
    frames: Vec<Buffer>,
    built: Mutex<Option<Built>>,
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
            all.insert(number, Input { frames, built: Mutex::default() });
        }
        Ok(Whole { inputs: Arc::new(all) })
    }

    /// The batches of a collected dataset. What cannot be decoded is left out: a sample is only a hint.
    pub(crate) fn batches<T: Record>(&self, number: u32) -> Vec<T::Batch> {
        self.frames(number).iter().filter_map(|frame| codec::decode::<T>(frame).ok()).collect()
    }

    fn frames(&self, number: u32) -> &[Buffer] {
        self.inputs.get(&number).map_or(&[], |input| &input.frames)
    }

    /// Whether a collected dataset has any record.
    pub(crate) fn has_records(&self, number: u32) -> bool {
        self.frames(number)
            .iter()
            .any(|frame| codec::frame_records(frame).is_ok_and(|records| records > 0))
    }

    /// What `build` makes of the batches of a collected dataset; made once, then shared.
    ///
    /// # Errors
    /// If the dataset is not there, which is a defect of the engine, or cannot be decoded.
    pub(crate) fn lookup<T: Record, L: Send + Sync + 'static>(
        &self,
        number: u32,
        build: impl FnOnce(Vec<T::Batch>) -> L,
    ) -> Result<Arc<L>, PushError> {
        let Some(input) = self.inputs.get(&number) else {
            return Err(format!("the collected dataset {number} is not at hand").into());
        };
        let mut built = input.built.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = &*built
            && let Ok(lookup) = there.clone().downcast::<L>()
        {
            return Ok(lookup);
        }
        let batches = input.frames.iter().map(codec::decode::<T>).collect::<Result<Vec<_>, _>>()?;
        let lookup = Arc::new(build(batches));
        *built = Some(lookup.clone());
        Ok(lookup)
    }
}
