//! The end of a lane that goes into a sink: lanes are encoded side by side, and their chunks come into the part file
//! in lane order.
//!
//! Where a chunk is nothing but its bytes ([`Sink::pieces`]) and the file can be written by position, the order only
//! decides where each chunk goes, and threads write at once. Otherwise one thread at a time writes what is next; the
//! others leave their chunks to it and go on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use windrow_datasets::commit::{PartFile, Staged};
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::sink::{EncodeLane, EncodePart, Sink};
use windrow_datasets::storage::StorageError;
use windrow_datasets::{Batch, Record};

/// Makes the part file, once the first chunk is there.
pub type OpenPart = Box<dyn FnOnce() -> Result<PartFile, StorageError> + Send>;

/// A [`Sink`] without its types.
pub trait SinkCode: Send + Sync {
    /// The format, for people.
    fn format(&self) -> String;
    /// The extension of part files.
    fn extension(&self) -> String;
    /// One part file, to be made by `open`.
    fn open_part(self: Arc<Self>, open: OpenPart) -> Arc<dyn SinkPart>;
}

/// A part file that lanes write into.
pub trait SinkPart: Send + Sync {
    /// The receiver for lane `lane` of the part, from 0 on. Each lane up to the last must be received and finished.
    fn lane(self: Arc<Self>, lane: u32) -> AnyPush;

    /// All lanes, so many, have finished.
    ///
    /// # Errors
    /// What the file or the format says.
    fn finish(&self, lanes: u32) -> Result<Staged, PushError>;
}

impl<S: Sink> SinkCode for S {
    fn format(&self) -> String {
        Sink::format(self)
    }

    fn extension(&self) -> String {
        Sink::extension(self)
    }

    fn open_part(self: Arc<Self>, open: OpenPart) -> Arc<dyn SinkPart> {
        let state = State {
            open: Some(open),
            file: None,
            encoder: Some(self.part()),
            waiting: BTreeMap::new(),
            next: 0,
            writing: false,
            offset: 0,
            crc: crc32fast::Hasher::new(),
            rows: 0,
            failed: None,
        };
        Arc::new(Part { sink: self, state: Mutex::new(state) })
    }
}

struct Part<S: Sink> {
    sink: Arc<S>,
    state: Mutex<State<S::Chunk>>,
}

struct State<C> {
    open: Option<OpenPart>,
    file: Option<Arc<PartFile>>,
    /// Not there while a thread writes.
    encoder: Option<Box<dyn EncodePart<C>>>,
    /// Chunks whose turn has not come.
    waiting: BTreeMap<u32, Ready<C>>,
    /// The lane whose turn it is.
    next: u32,
    /// Whether a thread is writing in order.
    writing: bool,
    /// Where the next chunk goes, for files written by position.
    offset: u64,
    crc: crc32fast::Hasher,
    rows: u64,
    failed: Option<String>,
}

struct Ready<C> {
    chunk: C,
    rows: u64,
    /// Length and checksum, where the chunk is nothing but its bytes.
    bytes: Option<(u64, crc32fast::Hasher)>,
}

impl<S: Sink> Part<S> {
    fn lock(&self) -> MutexGuard<'_, State<S::Chunk>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a lane's chunk.
    fn add(&self, lane: u32, chunk: S::Chunk, rows: u64) -> Result<(), PushError> {
        let bytes = self.sink.pieces(&chunk).map(|pieces| {
            let mut crc = crc32fast::Hasher::new();
            pieces.iter().for_each(|piece| crc.update(piece));
            (pieces.iter().map(|piece| piece.len() as u64).sum(), crc)
        });
        let by_position = bytes.is_some();
        let mut state = self.lock();
        state.waiting.insert(lane, Ready { chunk, rows, bytes });
        if state.writing {
            return Ok(());
        }
        let file = state.file()?;
        if by_position && file.writes_at() {
            let placed = state.place();
            drop(state);
            return placed.into_iter().try_for_each(|(at, chunk)| self.write_at(&file, at, &chunk));
        }
        drop(file);
        self.write_in_order(state)
    }

    fn write_at(&self, file: &PartFile, mut at: u64, chunk: &S::Chunk) -> Result<(), PushError> {
        for piece in self.sink.pieces(chunk).unwrap_or_default() {
            file.write_at(at, piece)?;
            at += piece.len() as u64;
        }
        Ok(())
    }

    /// Writes chunks whose turn it is, unless another thread does so already.
    fn write_in_order<'s>(
        &'s self,
        mut state: MutexGuard<'s, State<S::Chunk>>,
    ) -> Result<(), PushError> {
        if let Some(failed) = &state.failed {
            return Err(failed.clone().into());
        }
        let next = state.next;
        let Some(mut ready) = state.waiting.remove(&next) else { return Ok(()) };
        let (Some(mut encoder), Some(mut file)) = (state.encoder.take(), state.file.take()) else {
            return Err("a part file is written by two threads".into());
        };
        state.writing = true;
        loop {
            // The lock is not held here: the encoder may use the pool, whose threads come here too.
            drop(state);
            let written = match Arc::get_mut(&mut file) {
                Some(file) => encoder.write(ready.chunk, file),
                None => Err("a part file is written by two threads".into()),
            };
            state = self.lock();
            state.rows += ready.rows;
            state.next += 1;
            if let Err(error) = written {
                state.failed = Some(error.to_string());
                return Err(error);
            }
            let next = state.next;
            match state.waiting.remove(&next) {
                Some(more) => ready = more,
                None => break,
            }
        }
        state.encoder = Some(encoder);
        state.file = Some(file);
        state.writing = false;
        Ok(())
    }
}

impl<C> State<C> {
    /// The file, which is made now if it is not there. Not to be called while a thread writes in order.
    fn file(&mut self) -> Result<Arc<PartFile>, PushError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone().into());
        }
        if let Some(open) = self.open.take() {
            match open() {
                Ok(file) => self.file = Some(Arc::new(file)),
                Err(error) => {
                    self.failed = Some(error.to_string());
                    return Err(error.into());
                }
            }
        }
        match &self.file {
            Some(file) => Ok(file.clone()),
            None => Err("the part file was finished already".into()),
        }
    }

    /// The chunks whose place is known now, with it.
    fn place(&mut self) -> Vec<(u64, C)> {
        let mut placed = Vec::new();
        while let Some(ready) = self.waiting.remove(&self.next) {
            if let Some((bytes, crc)) = ready.bytes {
                placed.push((self.offset, ready.chunk));
                self.offset += bytes;
                self.crc.combine(&crc);
            }
            self.rows += ready.rows;
            self.next += 1;
        }
        placed
    }
}

impl<S: Sink> SinkPart for Part<S> {
    fn lane(self: Arc<Self>, lane: u32) -> AnyPush {
        let encoder = self.sink.lane();
        AnyPush::new::<S::Item>(Box::new(SinkLane {
            part: self,
            lane,
            encoder: Some(encoder),
            rows: 0,
        }))
    }

    fn finish(&self, lanes: u32) -> Result<Staged, PushError> {
        let mut state = self.lock();
        let file = state.file()?;
        if state.next != lanes || !state.waiting.is_empty() {
            return Err(format!("{} of {lanes} lanes were written", state.next).into());
        }
        let rows = state.rows;
        let by_position = state.offset > 0;
        let (offset, crc) = (state.offset, state.crc.clone().finalize());
        let encoder = state.encoder.take();
        state.file = None;
        drop(state);
        let (Some(mut file), Some(encoder)) = (Arc::into_inner(file), encoder) else {
            return Err("a part file is finished twice".into());
        };
        if by_position {
            return Ok(file.finish(rows, crc, offset)?);
        }
        encoder.finish(&mut file)?;
        let (bytes, crc) = file.written();
        Ok(file.finish(rows, crc, bytes)?)
    }
}

/// The receiver for one lane.
struct SinkLane<S: Sink> {
    part: Arc<Part<S>>,
    lane: u32,
    encoder: Option<Box<dyn EncodeLane<S::Item, S::Chunk>>>,
    rows: u64,
}

impl<S: Sink> Push<S::Item> for SinkLane<S> {
    fn batch(
        &mut self,
        batch: &<S::Item as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        self.rows += selection.count(batch.len()) as u64;
        if let Some(encoder) = &mut self.encoder {
            encoder.batch(batch, selection)?;
        }
        Ok(Demand::More)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        match self.encoder.take() {
            Some(encoder) => self.part.add(self.lane, encoder.finish()?, self.rows),
            None => Ok(()),
        }
    }
}
