//! What stores write to scratch when memory is short: blocks with a head of their own and one frame.

use arrow::buffer::Buffer;
use windrow_datasets::Record;
use windrow_datasets::codec::Encoder;
use windrow_datasets::memory::Budget;
use windrow_datasets::push::PushError;
use windrow_datasets::spill::{SpillBlock, SpillError, SpillFile};

/// Rows of a shuffle do not fit the memory, and scratch cannot have them either.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{what} of {} MiB: no room in --memory ({} MiB, of which {} MiB are in use), nor in scratch: {error}", bytes >> 20, limit >> 20, counted >> 20)]
pub struct SpillFailed {
    /// What was to be spilled, or read back.
    what: &'static str,
    /// How many bytes it has.
    bytes: u64,
    /// The budget, and what of it is in use.
    limit: u64,
    counted: u64,
    error: String,
}

impl SpillFailed {
    /// Something of so many bytes could not be spilled.
    pub(super) fn new(what: &'static str, bytes: u64, budget: &Budget, error: &PushError) -> Self {
        let (limit, counted) = (budget.limit(), budget.counted());
        SpillFailed { what, bytes, limit, counted, error: error.to_string() }
    }

    /// The same where the error is one of scratch; others stay as they are.
    pub(super) fn of(
        what: &'static str,
        bytes: u64,
        budget: &Budget,
    ) -> impl FnOnce(PushError) -> PushError {
        move |error| match error.is::<SpillError>() {
            true => SpillFailed::new(what, bytes, budget, &error).into(),
            false => error,
        }
    }
}

/// A block has about so many bytes of rows at most, before they are compressed.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// Heads are filled up to a multiple of this, as frames are, so that a frame decodes in place.
const ALIGNMENT: usize = 16;

/// Writes blocks, compressed as is quickest.
pub(super) struct BlockWriter<'f> {
    file: &'f SpillFile,
    encoder: Encoder,
    bytes: Vec<u8>,
}

impl<'f> BlockWriter<'f> {
    pub(super) fn new(file: &'f SpillFile) -> BlockWriter<'f> {
        BlockWriter {
            file,
            encoder: Encoder::choosing(file.spills().choice().clone()),
            bytes: Vec::new(),
        }
    }

    /// Writes a block of a head and a batch.
    pub(super) fn write<T: Record>(
        &mut self,
        head: &[u64],
        batch: &T::Batch,
    ) -> Result<SpillBlock, PushError> {
        self.bytes.clear();
        self.bytes.extend((head.len() as u64).to_le_bytes());
        self.bytes.extend(head.iter().flat_map(|number| number.to_le_bytes()));
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGNMENT), 0);
        self.encoder.encode::<T>(batch, &mut self.bytes)?;
        Ok(self.file.write(&self.bytes)?)
    }
}

/// Reads a block: its head and its batch.
pub(super) fn read<T: Record>(
    file: &SpillFile,
    block: SpillBlock,
) -> Result<(Vec<u64>, T::Batch), PushError> {
    let bytes = file.read(block)?;
    let (head, frame) = split(&bytes).ok_or("a block of another form was spilled")?;
    // SAFETY: the block is as `write` wrote it: the checksum was verified, and lies in memory.
    let batch = unsafe { windrow_datasets::codec::decode_trusted::<T>(&frame)? };
    Ok((head, batch))
}

fn split(bytes: &Buffer) -> Option<(Vec<u64>, Buffer)> {
    let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    let len = usize::try_from(number(0)?).ok()?;
    let head = (0..len).map(|at| number(8 + 8 * at)).collect::<Option<Vec<u64>>>()?;
    let frame = (8 + 8 * len).next_multiple_of(ALIGNMENT);
    (frame <= bytes.len()).then(|| (head, bytes.slice(frame)))
}
