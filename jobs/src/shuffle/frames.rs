//! The frames of a bucket's rows, on their way out of a store.

use windrow_datasets::codec::Encoder;
use windrow_datasets::push::PushError;
use windrow_datasets::record::Record;

/// Frames are handed on once they have so many bytes together.
const HANDED_ON_BYTES: usize = 1 << 20;

/// Encodes the rows of a bucket, and hands their frames on, some at a time: a large bucket is never in memory whole a
/// second time. One encoder serves all buckets, as it has memory that is used again, and so has this.
pub struct FramesOut<'o> {
    encoder: &'o mut Encoder,
    held: Vec<u8>,
    put: &'o mut dyn FnMut(&[u8]) -> Result<(), PushError>,
}

impl<'o> FramesOut<'o> {
    /// Frames of this encoder go to `put`.
    pub fn new(
        encoder: &'o mut Encoder,
        put: &'o mut dyn FnMut(&[u8]) -> Result<(), PushError>,
    ) -> FramesOut<'o> {
        FramesOut { encoder, held: Vec::new(), put }
    }

    /// Adds the frame of a batch.
    ///
    /// # Errors
    /// If the batch is too large for a frame, or what `put` says.
    pub fn add<T: Record>(&mut self, batch: &T::Batch) -> Result<(), PushError> {
        self.encoder.encode::<T>(batch, &mut self.held)?;
        if self.held.len() >= HANDED_ON_BYTES { self.hand_on() } else { Ok(()) }
    }

    /// The bucket is at its end: hands on what is left, and gives the encoder.
    ///
    /// # Errors
    /// What `put` says.
    pub fn end(&mut self) -> Result<&mut Encoder, PushError> {
        if !self.held.is_empty() {
            self.hand_on()?;
        }
        Ok(self.encoder)
    }

    fn hand_on(&mut self) -> Result<(), PushError> {
        (self.put)(&self.held)?;
        self.held.clear();
        Ok(())
    }
}
