//! The thread that writes: it takes all that was added while it was busy, and syncs that at once.

use super::{JournalError, frame};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::collections::VecDeque;
use std::path::PathBuf;
use tokio::sync::watch;

/// Where records go.
pub(super) trait Target: Send {
    /// For people.
    fn name(&self) -> PathBuf;

    /// How many bytes of the file that is written to are on the disk; 0 where there is no such file.
    fn on_disk(&self) -> u64;

    /// The record of this number is the first that this writer writes.
    fn begin(&mut self, first: u64);

    /// Brings frames to stay there, the first with the record of this number. Gives how many bytes more they count when it
    /// is told whether a snapshot pays.
    fn append(&mut self, first: u64, frames: &[u8]) -> Result<u64, JournalError>;

    /// The state after all records before a number takes their place.
    fn snapshot(&mut self, number: u64, state: &[u8]) -> Result<(), JournalError>;
}

/// Records on their way to the disk.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    synced: watch::Receiver<Result<u64, JournalError>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    added: Condvar,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Item>,
    /// The number of the next record.
    next: u64,
    bytes_since_snapshot: u64,
    /// Whether nothing more is taken.
    ended: bool,
}

#[derive(Debug)]
enum Item {
    Record { kind: Box<str>, content: Box<[u8]> },
    Snapshot(Vec<u8>),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that waits, once there is something; nothing at the end.
    fn take(&self) -> VecDeque<Item> {
        let mut queue = self.lock();
        while queue.waiting.is_empty() && !queue.ended {
            queue = self.added.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut queue.waiting)
    }
}

impl Writer {
    /// Goes on at the end of a journal, with a first record, which is on the disk then.
    pub(super) fn start(
        mut target: Box<dyn Target>,
        next: u64,
        (kind, content): (&str, &[u8]),
    ) -> Result<Writer, JournalError> {
        target.begin(next);
        let mut tail = Tail { target, next, synced: next, frames: Vec::new(), more: 0 };
        tail.append(kind, content);
        tail.sync()?;
        let queue = Queue {
            waiting: VecDeque::new(),
            next: tail.next,
            bytes_since_snapshot: tail.target.on_disk(),
            ended: false,
        };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), added: Condvar::new() });
        let (told, synced) = watch::channel(Ok(tail.next));
        let of_thread = shared.clone();
        let thread = thread::Builder::new().name("windrow-journal".to_owned());
        let path = tail.target.name();
        let thread = thread.spawn(move || write(&of_thread, tail, &told));
        let thread = Mutex::new(Some(thread.map_err(JournalError::io(&path))?));
        Ok(Writer { shared, synced, thread })
    }

    pub(super) fn add(&self, kind: &str, content: &[u8]) -> u64 {
        let mut queue = self.shared.lock();
        if !queue.ended {
            queue.waiting.push_back(Item::Record { kind: kind.into(), content: content.into() });
            queue.bytes_since_snapshot += (frame::HEAD + 1 + kind.len() + content.len()) as u64;
        }
        queue.next += 1;
        self.shared.added.notify_one();
        queue.next
    }

    pub(super) fn number(&self) -> u64 {
        self.shared.lock().next
    }

    pub(super) fn snapshot(&self, state: Vec<u8>) {
        let mut queue = self.shared.lock();
        if !queue.ended {
            queue.waiting.push_back(Item::Snapshot(state));
            queue.bytes_since_snapshot = 0;
        }
        self.shared.added.notify_one();
    }

    pub(super) fn bytes_since_snapshot(&self) -> u64 {
        self.shared.lock().bytes_since_snapshot
    }

    /// Takes nothing more, and waits until all is written that was taken.
    pub(super) fn end(&self) {
        self.shared.lock().ended = true;
        self.shared.added.notify_one();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // What it could not write it has told.
            let _ = thread.join();
        }
    }

    pub(super) async fn synced(&self, number: u64) -> Result<(), JournalError> {
        let mut synced = self.synced.clone();
        let is_there = |synced: &Result<u64, JournalError>| match synced {
            Ok(done) => *done >= number,
            Err(_) => true,
        };
        let found = synced.wait_for(is_there).await;
        match found.as_deref() {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.clone()),
            // The thread is gone.
            Err(_) => Err(JournalError::Stopped),
        }
    }
}

/// The life of the thread.
fn write(shared: &Shared, mut tail: Tail, told: &watch::Sender<Result<u64, JournalError>>) {
    loop {
        let items = shared.take();
        if items.is_empty() {
            return;
        }
        match tail.write(items) {
            Ok(()) => {
                shared.lock().bytes_since_snapshot += std::mem::take(&mut tail.more);
                let _before = told.send_replace(Ok(tail.next));
            }
            Err(error) => {
                tracing::error!(%error, "nothing is journalled any more");
                let mut queue = shared.lock();
                queue.ended = true;
                queue.waiting.clear();
                let _before = told.send_replace(Err(error));
                return;
            }
        }
    }
}

/// What is being written.
struct Tail {
    target: Box<dyn Target>,
    /// The number of the next record, and of the first that is not there to stay.
    next: u64,
    synced: u64,
    /// Frames that are not written yet.
    frames: Vec<u8>,
    /// What they count beyond their bytes.
    more: u64,
}

impl Tail {
    fn append(&mut self, kind: &str, content: &[u8]) {
        frame::append(&mut self.frames, self.target.on_disk(), kind, content);
        self.next += 1;
    }

    /// Brings what was appended to stay.
    fn sync(&mut self) -> Result<(), JournalError> {
        if self.frames.is_empty() {
            return Ok(());
        }
        self.more += self.target.append(self.synced, &self.frames)?;
        self.synced = self.next;
        self.frames.clear();
        Ok(())
    }

    fn write(&mut self, items: VecDeque<Item>) -> Result<(), JournalError> {
        for item in items {
            match item {
                Item::Record { kind, content } => self.append(&kind, &content),
                Item::Snapshot(state) => {
                    self.sync()?;
                    self.target.snapshot(self.next, &state)?;
                    self.more = 0;
                }
            }
        }
        self.sync()
    }
}
