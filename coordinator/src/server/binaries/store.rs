//! Where the coordinator keeps binaries: in pieces, each a file or an object, beside its state; without a state, in a folder
//! for temporary files, which goes when the coordinator ends.
//!
//! Piece N is `binary-SHA256-N`. Whether all of a binary is there, and right, is found out once by each coordinator that is asked for
//! it: no piece has to be on the disk for sure, and what a crash has torn is sent again.

use crate::journal::{Home, Objects};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use windrow_protocol::binary::{BinaryContent, PIECE_BYTES};

const PREFIX: &str = "binary-";

/// Binaries that no job wants are removed, once all have more bytes than so many.
const KEPT_BYTES: u64 = 4 << 30;

/// See the module. All calls block.
#[derive(Debug)]
pub(crate) struct Store(Place);

#[derive(Debug)]
enum Place {
    Folder(Folder),
    Objects(Arc<dyn Objects>),
}

#[derive(Debug)]
enum Folder {
    Lasting(PathBuf),
    /// It is made when it is needed.
    Temporary(OnceLock<TempDir>),
}

fn piece_name(content: BinaryContent, piece: u32) -> String {
    format!("{PREFIX}{content}-{piece:05}")
}

/// Which binary a name is of.
fn binary_of(name: &str) -> Option<&str> {
    Some(name.strip_prefix(PREFIX)?.split_once('-')?.0)
}

impl Store {
    /// That of a coordinator with such a state.
    pub(crate) fn beside(state: Option<&Home>) -> Store {
        Store(match state {
            Some(Home::Folder(folder)) => Place::Folder(Folder::Lasting(folder.join("binaries"))),
            Some(Home::Objects(objects)) => Place::Objects(objects.clone()),
            None => Place::Folder(Folder::Temporary(OnceLock::new())),
        })
    }

    /// The number of the first piece that is wanted; if that is behind the last one, all is here, and right.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(crate) fn next_piece(&self, content: BinaryContent) -> io::Result<u32> {
        let names: BTreeSet<String> = self.0.names()?.into_iter().collect();
        let missing =
            (0..content.pieces()).find(|&piece| !names.contains(&piece_name(content, piece)));
        match missing {
            Some(missing) => Ok(missing),
            None => Ok(if self.is_right(content)? { content.pieces() } else { 0 }),
        }
    }

    /// Keeps a piece.
    ///
    /// # Errors
    /// It cannot be kept.
    pub(crate) fn put(&self, content: BinaryContent, piece: u32, bytes: &[u8]) -> io::Result<()> {
        self.0.put(&piece_name(content, piece), bytes)
    }

    /// A piece.
    ///
    /// # Errors
    /// It cannot be read, or is not there.
    pub(crate) fn piece(&self, content: BinaryContent, piece: u32) -> io::Result<Vec<u8>> {
        let name = piece_name(content, piece);
        self.0.get(&name)?.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, name))
    }

    /// Compares the pieces with what they should be; if they are not, they are removed.
    ///
    /// # Errors
    /// They cannot be read.
    pub(crate) fn is_right(&self, content: BinaryContent) -> io::Result<bool> {
        let pieces = Pieces { store: self, content, next: 0, now: io::Cursor::default() };
        let is_right = BinaryContent::of(pieces)? == content;
        if !is_right {
            self.remove(self.0.names()?.iter(), &content.to_string());
        }
        Ok(is_right)
    }

    /// Makes room, if there is much: removes those that are not `in_use`.
    pub(crate) fn make_room(&self, in_use: &BTreeSet<BinaryContent>) {
        let Ok(names) = self.0.names() else { return };
        let mut sizes: BTreeMap<&str, u64> = BTreeMap::new();
        for binary in names.iter().filter_map(|name| binary_of(name)) {
            *sizes.entry(binary).or_default() += PIECE_BYTES;
        }
        let in_use: BTreeSet<String> = in_use.iter().map(BinaryContent::to_string).collect();
        let mut all: u64 = sizes.values().sum();
        for (binary, bytes) in sizes.iter().filter(|(binary, _)| !in_use.contains(**binary)) {
            if all <= KEPT_BYTES {
                break;
            }
            all -= bytes;
            self.remove(names.iter(), binary);
        }
    }

    /// Removes a binary. What cannot be removed stays until the next time.
    fn remove<'n>(&self, names: impl Iterator<Item = &'n String>, binary: &str) {
        for name in names.filter(|name| binary_of(name) == Some(binary)) {
            if let Err(error) = self.0.delete(name) {
                tracing::warn!(name, %error, "a part of a binary cannot be removed");
            }
        }
    }
}

impl Folder {
    fn path(&self) -> io::Result<&Path> {
        match self {
            Folder::Lasting(folder) => Ok(folder),
            Folder::Temporary(made) => match made.get() {
                Some(made) => Ok(made.path()),
                None => {
                    let fresh = tempfile::Builder::new().prefix("windrow-binaries-").tempdir()?;
                    // Of two that are made at once the other goes.
                    Ok(made.get_or_init(|| fresh).path())
                }
            },
        }
    }
}

impl Place {
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self {
            Place::Objects(objects) => objects.get(name),
            Place::Folder(folder) => match std::fs::read(folder.path()?.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                read => read.map(Some),
            },
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match self {
            Place::Objects(objects) => objects.put(name, bytes),
            Place::Folder(folder) => {
                let folder = folder.path()?;
                std::fs::create_dir_all(folder)?;
                // Whole or not at all.
                let mut file = tempfile::NamedTempFile::new_in(folder)?;
                io::Write::write_all(&mut file, bytes)?;
                file.persist(folder.join(name)).map(drop).map_err(|error| error.error)
            }
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        match self {
            Place::Objects(objects) => objects.names(),
            Place::Folder(folder) => match std::fs::read_dir(folder.path()?) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
                listed => listed?
                    .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
                    .collect(),
            },
        }
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        match self {
            Place::Objects(objects) => objects.delete(name),
            Place::Folder(folder) => std::fs::remove_file(folder.path()?.join(name)),
        }
    }
}

/// Reads the pieces of a binary, one after the other.
struct Pieces<'s> {
    store: &'s Store,
    content: BinaryContent,
    next: u32,
    now: io::Cursor<Vec<u8>>,
}

impl Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.now.read(buffer)?;
        if read > 0 || self.next == self.content.pieces() {
            return Ok(read);
        }
        self.now = io::Cursor::new(self.store.piece(self.content, self.next)?);
        self.next += 1;
        self.now.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(bytes: &[u8]) -> BinaryContent {
        BinaryContent::of(bytes).unwrap()
    }

    #[test]
    fn a_binary_is_whole_once_its_pieces_are_right() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::from(folder.path());
        let bytes: Vec<u8> = (0..PIECE_BYTES as u32 * 2 + 5).map(|at| (at % 251) as u8).collect();
        let of = content(&bytes);
        let store = Store::beside(Some(&home));
        assert_eq!(store.next_piece(of).unwrap(), 0);
        for (number, piece) in bytes.chunks(PIECE_BYTES as usize).enumerate() {
            assert_eq!(store.next_piece(of).unwrap(), number as u32);
            store.put(of, number as u32, piece).unwrap();
        }
        // Another process finds out that it is right.
        let store = Store::beside(Some(&home));
        assert_eq!(store.next_piece(of).unwrap(), 3);
        assert_eq!(store.piece(of, 2).unwrap(), bytes[PIECE_BYTES as usize * 2..]);
    }

    #[test]
    fn what_is_not_what_it_should_be_is_removed() {
        let store = Store::beside(None);
        let (of, other) = (content(b"what it should be"), content(b"another one"));
        store.put(other, 0, b"another one").unwrap();
        assert!(store.is_right(other).unwrap());
        store.put(of, 0, b"what it is really").unwrap();
        assert!(!store.is_right(of).unwrap());
        assert_eq!(store.piece(of, 0).unwrap_err().kind(), io::ErrorKind::NotFound);
        // Nor is what a crash has torn.
        store.put(of, 0, b"what it sh").unwrap();
        assert_eq!(store.next_piece(of).unwrap(), 0);
        assert!(store.piece(of, 0).is_err());
        assert_eq!(store.next_piece(other).unwrap(), 1);
    }

    #[test]
    fn room_is_made_by_those_that_no_job_wants() {
        let store = Store::beside(None);
        let large = (KEPT_BYTES / PIECE_BYTES) as u32;
        let (wanted, other) = (content(b"wanted"), content(b"other"));
        // What counts is how many pieces there are, and these are small.
        (0..large).for_each(|piece| store.put(other, piece, b"").unwrap());
        store.make_room(&[wanted].into());
        assert!(store.piece(other, 0).is_ok());
        store.put(wanted, 0, b"wanted").unwrap();
        store.make_room(&[wanted].into());
        assert!(store.piece(other, 0).is_err());
        assert_eq!(store.piece(wanted, 0).unwrap(), b"wanted");
    }
}
