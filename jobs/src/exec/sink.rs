//! The end of a lane that goes into a sink: lanes are encoded side by side, and their chunks come into the task's part
//! files in lane order.
//!
//! Where a chunk is nothing but its bytes ([`Sink::pieces`]) and the file can be written by position, the order only
//! decides where each chunk goes, and threads write at once. Otherwise one thread at a time writes what is next; the
//! others leave their chunks to it and go on, as long as these are few.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use windrow_datasets::commit::{AttemptFiles, PartFile, StagedFiles};
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::sink::{EncodeLane, EncodeTask, Sink};
use windrow_datasets::{Batch, Record};

/// A thread that has nothing to do until the one that writes gets on looks again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

thread_local! {
    /// Whether this thread writes in order, further up its stack.
    static WRITES: Cell<bool> = const { Cell::new(false) };
}

/// The records of a chunk at most. Most lanes have fewer; one of a large file that cannot be cut has no bound, and is
/// written a chunk after the other when its turn has come.
const CHUNK_ROWS: u64 = 1 << 18;

/// A [`Sink`] without its types.
pub trait SinkCode: Send + Sync {
    /// The format, for people.
    fn format(&self) -> String;
    /// The extension of part files.
    fn extension(&self) -> String;
    /// The columns by whose values files are put in folders.
    fn partitioned_by(&self) -> Vec<String>;
    /// What a task writes, into `files`, the first of which is made once there is something to write.
    fn open_part(self: Arc<Self>, files: AttemptFiles) -> Arc<dyn SinkPart>;
}

/// The part files of a task, which its lanes write into.
pub trait SinkPart: Send + Sync {
    /// The receiver for lane `lane` of the task, from 0 on. Each lane up to the last must be received and finished.
    fn lane(self: Arc<Self>, lane: u32) -> AnyPush;

    /// All lanes, so many, have finished.
    ///
    /// # Errors
    /// What the file or the format says.
    fn finish(&self, lanes: u32) -> Result<StagedFiles, PushError>;
}

impl<S: Sink> SinkCode for S {
    fn format(&self) -> String {
        Sink::format(self)
    }

    fn extension(&self) -> String {
        Sink::extension(self)
    }

    fn partitioned_by(&self) -> Vec<String> {
        Sink::partitioned_by(self)
    }

    fn open_part(self: Arc<Self>, files: AttemptFiles) -> Arc<dyn SinkPart> {
        let state = State {
            file: None,
            writer: Some((self.task(), files)),
            waiting: BTreeMap::new(),
            next: (0, 0),
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
    /// The only file, where it is written by position.
    file: Option<Arc<PartFile>>,
    /// Not there while a thread writes.
    writer: Option<(Box<dyn EncodeTask<C>>, AttemptFiles)>,
    /// Chunks whose turn has not come.
    waiting: BTreeMap<Turn, Ready<C>>,
    /// Whose turn it is.
    next: Turn,
    /// Whether a thread is writing in order.
    writing: bool,
    /// Where the next chunk goes, for files written by position.
    offset: u64,
    crc: crc32fast::Hasher,
    rows: u64,
    failed: Option<String>,
}

/// A lane, and which chunk of it.
type Turn = (u32, u32);

struct Ready<C> {
    chunk: C,
    rows: u64,
    /// Whether it is the lane's last.
    last: bool,
    /// Length and checksum, where the chunk is nothing but its bytes.
    bytes: Option<(u64, crc32fast::Hasher)>,
}

impl<S: Sink> Part<S> {
    fn lock(&self) -> MutexGuard<'_, State<S::Chunk>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a chunk of a lane.
    fn add(&self, turn: Turn, chunk: S::Chunk, rows: u64, last: bool) -> Result<(), PushError> {
        let bytes = self.sink.pieces(&chunk).map(|pieces| {
            let mut crc = crc32fast::Hasher::new();
            pieces.iter().for_each(|piece| crc.update(piece));
            (pieces.iter().map(|piece| piece.len() as u64).sum(), crc)
        });
        let by_position = bytes.is_some();
        let mut state = self.lock();
        state.waiting.insert(turn, Ready { chunk, rows, last, bytes });
        if state.writing {
            drop(state);
            self.wait();
            return Ok(());
        }
        if by_position && state.writes_at() {
            let file = state.file()?;
            let placed = state.place();
            drop(state);
            return placed.into_iter().try_for_each(|(at, chunk)| self.write_at(&file, at, &chunk));
        }
        self.write_in_order(state)
    }

    /// Waits while another thread writes and has much to write still, so that no more comes than it can take. Meanwhile
    /// this thread helps the pool with what it has.
    fn wait(&self) {
        let most = 2 * rayon::current_num_threads();
        // A thread that writes further up its stack would wait for itself.
        while !WRITES.get() {
            let state = self.lock();
            if !state.writing || state.waiting.len() <= most {
                return;
            }
            drop(state);
            if rayon::yield_now() != Some(rayon::Yield::Executed) {
                std::thread::sleep(LOOK_AGAIN);
            }
        }
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
        let Some((mut encoder, mut files)) = state.writer.take() else {
            return Err("part files are written by two threads".into());
        };
        state.writing = true;
        loop {
            // The lock is not held here: the encoder may use the pool, whose threads come here too.
            drop(state);
            let before = WRITES.replace(true);
            let written = encoder.write(ready.chunk, ready.rows, &mut files);
            WRITES.set(before);
            state = self.lock();
            state.rows += ready.rows;
            state.pass(ready.last);
            if let Err(error) = written {
                state.failed = Some(error.to_string());
                state.writing = false;
                return Err(error);
            }
            let next = state.next;
            match state.waiting.remove(&next) {
                Some(more) => ready = more,
                None => break,
            }
        }
        state.writer = Some((encoder, files));
        state.writing = false;
        Ok(())
    }
}

impl<C> State<C> {
    fn writes_at(&self) -> bool {
        self.writer.as_ref().is_some_and(|(_, files)| files.writes_at())
    }

    /// The only file, which is made now if it is not there.
    fn file(&mut self) -> Result<Arc<PartFile>, PushError> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone().into());
        }
        if let Some(file) = &self.file {
            return Ok(file.clone());
        }
        let Some((_, files)) = &mut self.writer else {
            return Err("the part file was finished already".into());
        };
        match files.only() {
            Ok(file) => Ok(self.file.insert(Arc::new(file)).clone()),
            Err(error) => {
                self.failed = Some(error.to_string());
                Err(error.into())
            }
        }
    }

    /// The turn is over, of a chunk that may be the last of its lane.
    fn pass(&mut self, last: bool) {
        let (lane, chunk) = self.next;
        self.next = if last { (lane + 1, 0) } else { (lane, chunk + 1) };
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
            self.pass(ready.last);
        }
        placed
    }
}

impl<S: Sink> SinkPart for Part<S> {
    fn lane(self: Arc<Self>, lane: u32) -> AnyPush {
        let encoder = self.sink.lane();
        AnyPush::new::<S::Item>(Box::new(SinkLane {
            part: self,
            turn: (lane, 0),
            encoder: Some(encoder),
            rows: 0,
        }))
    }

    fn finish(&self, lanes: u32) -> Result<StagedFiles, PushError> {
        let mut state = self.lock();
        if let Some(failed) = &state.failed {
            return Err(failed.clone().into());
        }
        if state.next != (lanes, 0) || !state.waiting.is_empty() {
            return Err(format!("{} of {lanes} lanes were written", state.next.0).into());
        }
        let (rows, bytes, crc) = (state.rows, state.offset, state.crc.clone().finalize());
        let (writer, file) = (state.writer.take(), state.file.take());
        drop(state);
        let Some((encoder, mut files)) = writer else {
            return Err("part files are finished twice".into());
        };
        match file {
            Some(file) => {
                let Some(file) = Arc::into_inner(file) else {
                    return Err("a part file is finished while it is written".into());
                };
                files.end_written_at(file, rows, crc, bytes)?;
            }
            None => encoder.finish(&mut files)?,
        }
        Ok(files.finish()?)
    }
}

/// The receiver for one lane.
struct SinkLane<S: Sink> {
    part: Arc<Part<S>>,
    turn: Turn,
    encoder: Option<Box<dyn EncodeLane<S::Item, S::Chunk>>>,
    /// Those of the chunk in the making.
    rows: u64,
}

impl<S: Sink> SinkLane<S> {
    /// Gives the chunk, and begins another.
    fn give(&mut self) -> Result<(), PushError> {
        let encoder = self.encoder.replace(self.part.sink.lane());
        let rows = std::mem::take(&mut self.rows);
        let turn = self.turn;
        self.turn.1 += 1;
        match encoder {
            Some(encoder) => self.part.add(turn, encoder.finish()?, rows, false),
            None => Ok(()),
        }
    }
}

impl<S: Sink> Push<S::Item> for SinkLane<S> {
    fn batch(
        &mut self,
        batch: &<S::Item as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        let count = selection.count(batch.len());
        let mut from = 0;
        while from < count {
            // Where a chunk ends must not depend on how records came in batches.
            if self.rows == CHUNK_ROWS {
                self.give()?;
            }
            let rows = (count - from).min((CHUNK_ROWS - self.rows) as usize);
            let Some(encoder) = &mut self.encoder else { return Ok(Demand::More) };
            match selection {
                _ if rows == count => encoder.batch(batch, selection)?,
                Selection::Rows(picked) => {
                    encoder.batch(batch, Selection::Rows(&picked[from..from + rows]))?;
                }
                Selection::All => {
                    let picked: Vec<u32> = (from..from + rows).map(|row| row as u32).collect();
                    encoder.batch(batch, Selection::Rows(&picked))?;
                }
            }
            self.rows += rows as u64;
            from += rows;
        }
        Ok(Demand::More)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        match self.encoder.take() {
            Some(encoder) => self.part.add(self.turn, encoder.finish()?, self.rows, true),
            None => Ok(()),
        }
    }
}
