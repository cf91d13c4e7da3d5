//! The events that schedulers were told, kept so that their decisions can be made once more.
//!
//! A stream of entries in segments, each a file in the state folder, or memory where there is none. An entry that
//! [starts](Entry::Start) has all that the schedulers knew then; nothing is kept while no job runs. What is kept is bounded:
//! the oldest segments go. Nothing but explanations depends on it: what cannot be written is left out, and what a process
//! that was killed had not written yet is missing.

use crate::journal::number_in;
use crate::scheduler::{Claims, Config, Event, Later, Measured, Millis, Scheduler, State};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// The version of entries; segments of another one are not read.
const VERSION: u32 = 3;

/// A segment ends once it has so many bytes, and has doubled what it starts with.
const SEGMENT_BYTES: u64 = 4 << 20;

/// The most bytes of all segments on disk.
const FILES_BYTES: u64 = 64 << 20;

/// The same in memory.
const MEMORY_BYTES: u64 = 16 << 20;

/// The most bytes of memory that stay for the next entry.
const ROOM_BYTES: usize = 64 << 10;

/// The most segments: each process that keeps something begins one.
const SEGMENTS_MAX: usize = 64;

/// What names of segments begin with.
const SEGMENT: &str = "events-";

/// Something that is kept.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Entry {
    /// All that is known by then; what comes before is not needed to understand what follows.
    Start(Box<Start>),
    /// The scheduler of a build is there no more.
    Closed(String),
    /// A scheduler was told something, and decided so many outcomes. One of a build that was not heard of is new.
    Told { build: String, now: Millis, event: Event, outcomes: u32 },
}

/// What [`Entry::Start`] has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    pub(super) version: u32,
    pub(super) now: Millis,
    pub(super) config: Config,
    /// By build.
    pub(super) schedulers: BTreeMap<String, (State, (Later, Claims), Measured)>,
}

/// [`Entry`], borrowed: the same bytes.
#[derive(Serialize)]
enum EntryRef<'e> {
    Start(&'e StartRef<'e>),
    Closed(&'e str),
    Told { build: &'e str, now: Millis, event: &'e Event, outcomes: u32 },
}

#[derive(Serialize)]
struct StartRef<'e> {
    version: u32,
    now: Millis,
    config: &'e Config,
    schedulers: BTreeMap<&'e str, (&'e State, (Later, Claims), Measured)>,
}

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    /// Where files go; without, all is in memory.
    folder: Option<PathBuf>,
    segments: VecDeque<Segment>,
    /// The file of the last segment.
    file: Option<BufWriter<File>>,
    /// Room for the next entry.
    room: Vec<u8>,
    /// The bytes that the last segment started with.
    start_bytes: u64,
    next: u64,
    /// Whether what is told goes into the last segment: it is known there what was known before.
    is_on: bool,
    /// Nothing is kept any more, since it could not be written.
    is_broken: bool,
}

/// A part of the stream.
#[derive(Debug)]
struct Segment {
    bytes: u64,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Vec<u8>),
    File(PathBuf),
}

impl EventLog {
    /// One that goes on in this folder.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(crate) fn open(folder: &Path) -> io::Result<EventLog> {
        let mut numbered = BTreeMap::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| number_in(name, SEGMENT));
            if let Some(number) = number {
                numbered.insert(
                    number,
                    Segment { bytes: entry.metadata()?.len(), place: Place::File(entry.path()) },
                );
            }
        }
        let next = numbered.last_key_value().map_or(0, |(number, _): (&u64, _)| number + 1);
        let segments = numbered.into_values().collect();
        Ok(EventLog { folder: Some(folder.to_path_buf()), segments, next, ..EventLog::default() })
    }

    /// Nothing is to be kept until it is [started](EventLog::start) again.
    pub(crate) fn pause(&mut self) {
        self.is_on = false;
    }

    /// Whether it has to be started before something is told.
    pub(crate) fn wants_start(&self) -> bool {
        !self.is_broken && (!self.is_on || self.is_full())
    }

    fn is_full(&self) -> bool {
        let bytes = self.segments.back().map_or(0, |last| last.bytes);
        bytes >= SEGMENT_BYTES.max(2 * self.start_bytes)
    }

    /// Keeps all that schedulers know now, by build.
    pub(crate) fn start<'s>(
        &mut self,
        now: Millis,
        config: &Config,
        schedulers: impl Iterator<Item = (&'s str, &'s Scheduler)>,
    ) {
        let known = schedulers.map(|(build, of)| {
            let beside = (of.state().later(), of.state().claims());
            (build, (of.state(), beside, of.measured()))
        });
        let schedulers = known.collect();
        let start = StartRef { version: VERSION, now, config, schedulers };
        let begun = if self.file.is_none() && self.folder.is_some() || self.is_full() {
            self.begin_segment()
        } else {
            Ok(())
        };
        let added = begun.and_then(|()| self.write(&EntryRef::Start(&start)));
        match added {
            Ok(bytes) => (self.start_bytes, self.is_on) = (bytes, true),
            Err(error) => self.broke(&error),
        }
    }

    /// Keeps what the scheduler of a build was told, and how many outcomes it decided.
    pub(crate) fn told(&mut self, build: &str, now: Millis, event: &Event, outcomes: usize) {
        let outcomes = outcomes as u32;
        self.add(&EntryRef::Told { build, now, event, outcomes });
    }

    /// The scheduler of a build is there no more.
    pub(crate) fn closed(&mut self, build: &str) {
        self.add(&EntryRef::Closed(build));
    }

    fn add(&mut self, entry: &EntryRef<'_>) {
        if self.is_on
            && let Err(error) = self.write(entry)
        {
            self.broke(&error);
        }
    }

    fn broke(&mut self, error: &io::Error) {
        tracing::warn!(%error, "events are not kept any more, so that jobs cannot be explained");
        (self.is_on, self.is_broken, self.file) = (false, true, None);
    }

    fn begin_segment(&mut self) -> io::Result<()> {
        let place = match &self.folder {
            None => Place::Memory(Vec::new()),
            Some(folder) => {
                let path = folder.join(format!("{SEGMENT}{:020}", self.next));
                self.next += 1;
                self.flush();
                self.file = Some(BufWriter::new(File::create_new(&path)?));
                Place::File(path)
            }
        };
        self.segments.push_back(Segment { bytes: 0, place });
        let most = if self.folder.is_some() { FILES_BYTES } else { MEMORY_BYTES };
        let mut all: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        while (all > most || self.segments.len() > SEGMENTS_MAX) && self.segments.len() > 1 {
            let Some(oldest) = self.segments.pop_front() else { break };
            all -= oldest.bytes;
            if let Place::File(path) = oldest.place {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Writes an entry: its length (u32, little endian), and it in postcard. Gives the bytes.
    fn write(&mut self, entry: &EntryRef<'_>) -> io::Result<u64> {
        if self.segments.is_empty() {
            self.begin_segment()?;
        }
        let Some(last) = self.segments.back_mut() else { return Ok(0) };
        let mut bytes = std::mem::take(&mut self.room);
        bytes.extend_from_slice(&[0; 4]);
        bytes = postcard::to_extend(entry, bytes).map_err(io::Error::other)?;
        let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        match (&mut last.place, &mut self.file) {
            (Place::Memory(all), _) => all.extend_from_slice(&bytes),
            (Place::File(_), Some(file)) => file.write_all(&bytes)?,
            (Place::File(_), None) => return Err(io::Error::other("no file is open")),
        }
        let written = bytes.len() as u64;
        last.bytes += written;
        // A start may have had megabytes.
        bytes.clear();
        bytes.shrink_to(ROOM_BYTES);
        self.room = bytes;
        Ok(written)
    }

    /// Hands to the system what is in the process alone: a process that is killed loses no more than what came since.
    pub(crate) fn flush(&mut self) {
        if let Some(Err(error)) = self.file.as_mut().map(BufWriter::flush) {
            self.broke(&error);
        }
    }

    /// What is kept by now, to be read elsewhere.
    pub(crate) fn kept(&mut self) -> Kept {
        self.flush();
        Kept(self.segments.iter().map(|segment| segment.place.clone()).collect())
    }
}

/// What was kept at some time.
#[derive(Debug)]
pub(crate) struct Kept(Vec<Place>);

impl Kept {
    /// Reads all entries, in order. A segment that is gone, or of another release, is as none; one that is cut short ends
    /// there. Blocks on the disk.
    pub(super) fn read(self, mut each: impl FnMut(Entry)) {
        for place in self.0 {
            let bytes = match place {
                Place::Memory(bytes) => bytes,
                Place::File(path) => fs::read(path).unwrap_or_default(),
            };
            let mut rest = &bytes[..];
            while let Some((entry, after)) = next(rest) {
                match entry {
                    Entry::Start(start) if start.version != VERSION => break,
                    entry => each(entry),
                }
                rest = after;
            }
        }
    }
}

fn next(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (entry, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some((postcard::from_bytes(entry).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_protocol::ids::WorkerId;

    /// Tells a log so many events, each at a time of its own.
    fn tell(log: &mut EventLog, times: std::ops::Range<u64>) {
        let (config, scheduler) = (Config::default(), Scheduler::new(Config::default()));
        for at in times {
            if log.wants_start() {
                log.start(Millis(at), &config, std::iter::once(("b", &scheduler)));
            }
            log.told("b", Millis(at), &Event::Heartbeat { worker: WorkerId(7) }, 0);
        }
    }

    /// The times of what is kept, and how many starts there are.
    fn times(log: &mut EventLog) -> (Vec<u64>, usize) {
        let (mut times, mut starts) = (Vec::new(), 0);
        log.kept().read(|entry| match entry {
            Entry::Told { now, .. } => times.push(now.0),
            Entry::Start(_) => starts += 1,
            Entry::Closed(_) => {}
        });
        (times, starts)
    }

    #[test]
    fn what_is_kept_is_bounded_and_begins_with_a_start() {
        let folder = tempfile::tempdir().unwrap();
        for mut log in [EventLog::default(), EventLog::open(folder.path()).unwrap()] {
            let most = if log.folder.is_some() { FILES_BYTES } else { MEMORY_BYTES };
            // An event has more than ten bytes.
            let events = most / 10;
            tell(&mut log, 0..events);
            let (times, starts) = times(&mut log);
            let first = times[0];
            assert!(first > 0, "nothing has gone");
            assert_eq!(times, Vec::from_iter(first..events));
            assert!(starts > 1 && starts == log.segments.len(), "{starts}");
            let bytes: u64 = log.segments.iter().map(|segment| segment.bytes).sum();
            assert!(bytes <= most + SEGMENT_BYTES + 100, "{bytes}");
            if log.folder.is_some() {
                let files = fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap());
                assert_eq!(files.map(|file| file.metadata().unwrap().len()).sum::<u64>(), bytes);
            }
        }
    }

    #[test]
    fn another_one_goes_on_behind_what_was_kept_and_cut_short() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = EventLog::open(folder.path()).unwrap();
        tell(&mut first, 0..10);
        first.flush();
        let file = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        let length = fs::metadata(&file).unwrap().len();
        File::options().write(true).open(&file).unwrap().set_len(length - 1).unwrap();
        let mut second = EventLog::open(folder.path()).unwrap();
        tell(&mut second, 20..22);
        assert_eq!(times(&mut second), ([0, 1, 2, 3, 4, 5, 6, 7, 8, 20, 21].to_vec(), 2));
    }

    #[test]
    fn what_cannot_be_written_disturbs_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = EventLog::open(folder.path()).unwrap();
        folder.close().unwrap();
        tell(&mut log, 0..3);
        assert!(log.is_broken && !log.wants_start());
        assert!(times(&mut log).0.is_empty());
    }
}
