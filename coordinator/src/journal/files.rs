//! The files of a journal's folder: which there are, what is in them, and how they begin and go.

use super::frame::{self, Record, Records};
use super::writer::Target;
use super::{Found, JournalError, Place, SNAPSHOT};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What names of segments begin with.
pub(super) const SEGMENT: &str = "journal-";

/// What names of snapshots begin with: [`SNAPSHOT`] and a dash.
pub(super) const OF_SNAPSHOT: &str = "snapshot-";

/// The folder of a journal.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// Where a journal ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The number of the next record.
    pub(super) next: u64,
    /// The segment that is written to, and its length; none if there is no segment.
    pub(super) segment: Option<(PathBuf, u64)>,
}

impl Folder {
    /// Makes the folder, if it is not there.
    pub(super) fn make(path: &Path) -> Result<Folder, JournalError> {
        fs::create_dir_all(path).map_err(JournalError::io(path))?;
        Ok(Folder(path.to_path_buf()))
    }

    /// Locks the folder, as long as the file is open.
    pub(super) fn lock(&self) -> Result<File, JournalError> {
        let path = self.0.join("lock");
        let mut options = OpenOptions::new();
        let file = options.create(true).write(true).truncate(false).open(&path);
        let file = file.map_err(JournalError::io(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(JournalError::InUse { folder: self.0.clone() }),
            Err(TryLockError::Error(error)) => Err(JournalError::io(&path)(error)),
        }
    }

    /// The files whose names begin so, with the numbers that they go on with, ascending.
    fn numbered(&self, prefix: &str) -> Result<Vec<(u64, PathBuf)>, JournalError> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(JournalError::io(&self.0))? {
            let path = entry.map_err(JournalError::io(&self.0))?.path();
            let name = path.file_name().and_then(|name| name.to_str());
            let number = name.and_then(|name| number_in(name, prefix));
            found.extend(number.map(|number| (number, path)));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn segment(&self, first: u64) -> PathBuf {
        self.0.join(format!("{SEGMENT}{first:020}"))
    }

    /// Tells all that there is, in order, and cuts off what is not whole at the end.
    pub(super) fn recover(
        &self,
        each: &mut dyn FnMut(Found<'_>, &Place<'_>) -> Result<(), JournalError>,
    ) -> Result<End, JournalError> {
        let mut next = 0;
        if let Some((number, path)) = self.numbered(OF_SNAPSHOT)?.pop() {
            let bytes = fs::read(&path).map_err(JournalError::io(&path))?;
            read_snapshot(&path, &bytes, each)?;
            next = number;
        }
        let mut segments = self.numbered(SEGMENT)?;
        // Those before a snapshot may be there still.
        segments.retain(|(first, _)| *first >= next);
        let count = segments.len();
        let mut end = None;
        for (at, (first, path)) in segments.into_iter().enumerate() {
            if first != next {
                let place = Place { path: &path, at: 0 };
                let what = format!("records {next} to {first} are missing before it");
                return Err(place.damaged(what));
            }
            let (records, len) = recover_segment(&path, at + 1 == count, each)?;
            next += records;
            end = Some((path, len));
        }
        Ok(End { next, segment: end })
    }

    /// Makes a segment that begins with this number.
    pub(super) fn begin(&self, first: u64) -> Result<(PathBuf, File), JournalError> {
        let path = self.segment(first);
        let file = File::create(&path).map_err(JournalError::io(&path))?;
        self.sync_names()?;
        Ok((path, file))
    }

    /// Makes names that were made or changed last.
    fn sync_names(&self) -> Result<(), JournalError> {
        let synced = File::open(&self.0).and_then(|folder| folder.sync_all());
        synced.map_err(JournalError::io(&self.0))
    }

    /// Writes the state after all records before a number. It has its name once it is whole, and on the disk.
    pub(super) fn write_snapshot(&self, number: u64, state: &[u8]) -> Result<(), JournalError> {
        let bytes = snapshot_of(state);
        let unnamed = self.0.join("snapshot.part");
        let path = self.0.join(format!("{OF_SNAPSHOT}{number:020}"));
        let written = File::create(&unnamed).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&unnamed, &path)
        });
        written.map_err(JournalError::io(&path))?;
        self.sync_names()
    }

    /// Deletes what a snapshot makes superfluous.
    pub(super) fn delete_before(&self, number: u64) -> Result<(), JournalError> {
        for prefix in [SEGMENT, OF_SNAPSHOT] {
            for (of, path) in self.numbered(prefix)? {
                if of < number {
                    fs::remove_file(&path).map_err(JournalError::io(&path))?;
                }
            }
        }
        Ok(())
    }
}

/// The segment that is written to.
pub(super) struct Segment {
    folder: Folder,
    path: PathBuf,
    file: File,
    /// Its length on the disk.
    len: u64,
}

impl Segment {
    /// Goes on where a journal ends.
    pub(super) fn open(folder: Folder, end: End) -> Result<Segment, JournalError> {
        let (path, file, len) = match end.segment {
            Some((path, len)) => {
                let file = OpenOptions::new().append(true).open(&path);
                let file = file.map_err(JournalError::io(&path))?;
                (path, file, len)
            }
            None => {
                let (path, file) = folder.begin(end.next)?;
                (path, file, 0)
            }
        };
        Ok(Segment { folder, path, file, len })
    }
}

impl Target for Segment {
    fn name(&self) -> PathBuf {
        self.path.clone()
    }

    fn on_disk(&self) -> u64 {
        self.len
    }

    fn begin(&mut self, _first: u64) {}

    fn append(&mut self, _first: u64, frames: &[u8]) -> Result<u64, JournalError> {
        let written = self.file.write_all(frames).and_then(|()| self.file.sync_data());
        written.map_err(JournalError::io(&self.path))?;
        self.len += frames.len() as u64;
        Ok(0)
    }

    fn snapshot(&mut self, number: u64, state: &[u8]) -> Result<(), JournalError> {
        self.folder.write_snapshot(number, state)?;
        (self.path, self.file) = self.folder.begin(number)?;
        self.len = 0;
        self.folder.delete_before(number)
    }
}

/// The number that a name goes on with that begins so.
pub(crate) fn number_in(name: &str, prefix: &str) -> Option<u64> {
    name.strip_prefix(prefix)?.parse().ok()
}

/// The bytes of a snapshot of a state.
pub(super) fn snapshot_of(state: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(frame::HEAD + state.len() + SNAPSHOT.len() + 1);
    frame::append(&mut bytes, 0, SNAPSHOT, state);
    bytes
}

/// Tells what a snapshot has.
pub(super) fn read_snapshot(
    path: &Path,
    bytes: &[u8],
    each: &mut dyn FnMut(Found<'_>, &Place<'_>) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let place = Place { path, at: 0 };
    let mut records = Records::new(bytes);
    match records.next() {
        Some(Record { kind: SNAPSHOT, content }) if records.rest().is_empty() => {
            each(Found::Snapshot(content), &place)
        }
        // It had its name only once it was whole.
        _ => Err(place.damaged("a snapshot that is not whole")),
    }
}

/// Tells the records of one segment, and cuts off what is not whole, if it is the last one: how many records there are, and
/// how long it is.
fn recover_segment(
    path: &Path,
    is_last: bool,
    each: &mut dyn FnMut(Found<'_>, &Place<'_>) -> Result<(), JournalError>,
) -> Result<(u64, u64), JournalError> {
    let bytes = fs::read(path).map_err(JournalError::io(path))?;
    let mut records = Records::new(&bytes);
    let mut count = 0;
    let mut at = records.at();
    while let Some(Record { kind, content }) = records.next() {
        each(Found::Record { kind, content }, &Place { path, at })?;
        at = records.at();
        count += 1;
    }
    let rest = records.rest();
    if !rest.is_empty() {
        let place = Place { path, at: rest.start };
        if !is_last {
            return Err(place.damaged("a record that is not whole, before others that are"));
        }
        if records.rest_was_synced() {
            return Err(place.damaged("a record that was on the disk for sure is not whole"));
        }
        let (path, bytes) = (path.display(), rest.len());
        tracing::warn!(
            "the journal {path} ends with {bytes} bytes of records that were not written whole: they are cut off; nobody has acted on them"
        );
        let cut = OpenOptions::new().write(true).open(place.path).and_then(|file| {
            file.set_len(rest.start as u64)?;
            file.sync_all()
        });
        cut.map_err(JournalError::io(place.path))?;
    }
    Ok((count, rest.start as u64))
}
