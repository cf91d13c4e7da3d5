//! Where records go: a lane at a time into chunks, chunks in order into part files.
//!
//! Lanes are encoded side by side on compute threads; their chunks are then written to the task's part file one
//! after the other in lane order, so that a part's bytes do not depend on threads. A format that writes several files
//! a task says so by [`Sink::task`]. What becomes of part files (staging, commit, manifest) is [`crate::commit`]'s
//! business.

use crate::commit::{AttemptFiles, PartFile};
use crate::push::{PushError, Selection};
use crate::record::Record;
use std::io::Write;

/// A dataset's destination. An output is a folder of part files of one extension.
pub trait Sink: Send + Sync + 'static {
    /// The records that it takes.
    type Item: Record;
    /// A lane's records, encoded as far as a lane alone can be; of a long lane, so many of them.
    type Chunk: Send + 'static;

    /// The format, for people.
    fn format(&self) -> String;

    /// The extension of part files, as in `txt`.
    fn extension(&self) -> String;

    /// A fresh encoder for one lane, or for the next records of a long one.
    fn lane(&self) -> Box<dyn EncodeLane<Self::Item, Self::Chunk>>;

    /// A fresh encoder for one part file.
    fn part(&self) -> Box<dyn EncodePart<Self::Chunk>>;

    /// A fresh encoder for all files of a task: one file by [`Sink::part`], unless the sink says otherwise.
    fn task(&self) -> Box<dyn EncodeTask<Self::Chunk>> {
        one_part(self.part())
    }

    /// What is wrong with how the sink was set up, if anything is; asked when a plan is made.
    ///
    /// # Errors
    /// What is wrong, and what to do.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// The columns by whose values files are put in folders `COLUMN=VALUE/`, the outermost first.
    fn partitioned_by(&self) -> Vec<String> {
        Vec::new()
    }

    /// The bytes of a chunk, in pieces that follow one another, for formats in which a part file is nothing but the
    /// bytes of its chunks: then chunks can be written at their places from several threads, in any order, and
    /// [`Sink::part`] need not be asked. `None`, for all chunks, where the format puts anything else into a file, or a
    /// task has several files.
    ///
    /// For such formats [`EncodePart::write`] writes exactly these bytes, and [`EncodePart::finish`] none.
    fn pieces<'a>(&self, _chunk: &'a Self::Chunk) -> Option<Vec<&'a [u8]>> {
        None
    }
}

/// Encodes the records of one lane.
pub trait EncodeLane<T: Record, C>: Send {
    /// Takes the selected records of a batch.
    ///
    /// # Errors
    /// If a record cannot be written in this format.
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<(), PushError>;

    /// The chunk of the whole lane.
    ///
    /// # Errors
    /// As for [`EncodeLane::batch`].
    fn finish(self: Box<Self>) -> Result<C, PushError>;
}

/// Writes the chunks of one part file, in order.
pub trait EncodePart<C>: Send {
    /// Appends a chunk.
    ///
    /// # Errors
    /// What the file or the format says.
    fn write(&mut self, chunk: C, file: &mut dyn Write) -> Result<(), PushError>;

    /// Writes what the format has at the end. Called once, also for a part without records.
    ///
    /// # Errors
    /// As for [`EncodePart::write`].
    fn finish(self: Box<Self>, file: &mut dyn Write) -> Result<(), PushError>;
}

/// Writes the chunks of a task, in order, into as many files as it likes. Which rows go into which file is to be a
/// function of the rows alone.
pub trait EncodeTask<C>: Send {
    /// Takes a chunk of `rows` records.
    ///
    /// # Errors
    /// What a file or the format says.
    fn write(&mut self, chunk: C, rows: u64, files: &mut AttemptFiles) -> Result<(), PushError>;

    /// Ends all files. Called once, also for a task without records.
    ///
    /// # Errors
    /// As for [`EncodeTask::write`].
    fn finish(self: Box<Self>, files: &mut AttemptFiles) -> Result<(), PushError>;
}

/// One file a task, by this encoder.
pub(crate) fn one_part<C: 'static>(encoder: Box<dyn EncodePart<C>>) -> Box<dyn EncodeTask<C>> {
    Box::new(OnePart { encoder, file: None, rows: 0 })
}

struct OnePart<C> {
    encoder: Box<dyn EncodePart<C>>,
    file: Option<PartFile>,
    rows: u64,
}

impl<C> OnePart<C> {
    fn file(&mut self, files: &mut AttemptFiles) -> Result<&mut PartFile, PushError> {
        if self.file.is_none() {
            self.file = Some(files.only()?);
        }
        self.file.as_mut().ok_or_else(|| "the part file is not there".into())
    }
}

impl<C> EncodeTask<C> for OnePart<C> {
    fn write(&mut self, chunk: C, rows: u64, files: &mut AttemptFiles) -> Result<(), PushError> {
        self.rows += rows;
        self.file(files)?;
        let OnePart { encoder, file: Some(file), .. } = self else { return Ok(()) };
        encoder.write(chunk, file)
    }

    fn finish(mut self: Box<Self>, files: &mut AttemptFiles) -> Result<(), PushError> {
        self.file(files)?;
        let OnePart { encoder, file, rows } = *self;
        let Some(mut file) = file else { return Ok(()) };
        encoder.finish(&mut file)?;
        Ok(files.end(file, rows)?)
    }
}
