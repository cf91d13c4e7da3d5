//! What does not fit the memory: files in scratch folders, of blocks that are written once and read back.
//!
//! A file has no name: it goes when it is dropped, however the process ends. Files are made in the scratch folders by
//! turns, so that several disks are used side by side. A block has a checksum, which is verified when it is read.

use crate::codec::Choice;
use arrow::buffer::{Buffer, MutableBuffer};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Instant;

/// Why something could not be spilled or read back.
#[derive(Debug, thiserror::Error)]
pub enum SpillError {
    /// A file cannot be made in a scratch folder.
    #[error("cannot make a file in the scratch folder {}: {source}; name another one with --scratch", folder.display())]
    Create {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A block cannot be written.
    #[error("cannot write {wanted} bytes to the scratch folder {}, where this file has {written} bytes, and all files of the process {in_all}: {source}; make room there, name another folder with --scratch, or give more --memory", folder.display())]
    Write {
        /// The folder.
        folder: PathBuf,
        /// Bytes that were to be written.
        wanted: usize,
        /// Bytes of the file.
        written: u64,
        /// Bytes of all files that the process has in scratch.
        in_all: u64,
        /// What the system says.
        source: io::Error,
    },
    /// A block cannot be read.
    #[error("cannot read what was spilled to the scratch folder {}: {source}", folder.display())]
    Read {
        /// The folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A block is not as it was written.
    #[error("what was spilled to the scratch folder {} is damaged: the checksum of {bytes} bytes at {at} is wrong; check the disk", folder.display())]
    Damaged {
        /// The folder.
        folder: PathBuf,
        /// Where the block begins in its file.
        at: u64,
        /// How long it is.
        bytes: u32,
    },
}

/// The scratch folders of a process, and how much lies there. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Spills(Arc<Inner>);

struct Inner {
    folders: Vec<PathBuf>,
    /// How many files were made.
    files: AtomicUsize,
    /// Bytes of the files that there are now.
    bytes: AtomicU64,
    /// Bytes of all files so far.
    written: AtomicU64,
    /// How what is written is compressed best.
    choice: Choice,
}

impl Spills {
    /// Files in these folders by turns; in the system's folder for temporary files, if there are none. Nothing is made
    /// yet.
    pub fn to(folders: Vec<PathBuf>) -> Spills {
        let folders = if folders.is_empty() { vec![std::env::temp_dir()] } else { folders };
        let inner = Inner {
            folders,
            files: AtomicUsize::new(0),
            bytes: AtomicU64::new(0),
            written: AtomicU64::new(0),
            choice: Choice::default(),
        };
        Spills(Arc::new(inner))
    }

    /// A new file.
    ///
    /// # Errors
    /// [`SpillError::Create`].
    pub fn file(&self) -> Result<SpillFile, SpillError> {
        let turn = self.0.files.fetch_add(1, Relaxed) % self.0.folders.len();
        let folder = &self.0.folders[turn];
        let file = tempfile::tempfile_in(folder)
            .map_err(|source| SpillError::Create { folder: folder.clone(), source })?;
        Ok(SpillFile { spills: self.clone(), folder: turn, file, len: AtomicU64::new(0) })
    }

    /// The bytes that were spilled so far.
    pub fn written(&self) -> u64 {
        self.0.written.load(Relaxed)
    }

    /// How what is written is compressed best; how long it takes to write is known to it.
    pub fn choice(&self) -> &Choice {
        &self.0.choice
    }

    /// The bytes that lie in scratch now.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }
}

impl Default for Spills {
    /// To the system's folder for temporary files.
    fn default() -> Self {
        Spills::to(Vec::new())
    }
}

impl fmt::Debug for Spills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spills")
            .field("folders", &self.0.folders)
            .field("bytes", &self.bytes())
            .finish()
    }
}

/// A file of blocks, which several threads may write to and read from at once.
#[derive(Debug)]
pub struct SpillFile {
    spills: Spills,
    /// Which of the folders it is in.
    folder: usize,
    file: File,
    len: AtomicU64,
}

/// Where a block lies in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpillBlock {
    at: u64,
    bytes: u32,
    crc: u32,
}

impl SpillBlock {
    /// Its bytes, in a file that was [mapped](SpillFile::map).
    ///
    /// # Panics
    /// If it is no block of this file.
    pub fn of(self, mapped: &Buffer) -> Buffer {
        mapped.slice_with_length(self.at as usize, self.bytes as usize)
    }
}

impl SpillFile {
    /// Those that it is one of.
    pub fn spills(&self) -> &Spills {
        &self.spills
    }

    fn folder(&self) -> &Path {
        &self.spills.0.folders[self.folder]
    }

    /// Writes a block.
    ///
    /// # Errors
    /// [`SpillError::Write`], also for a block of 4 GiB.
    pub fn write(&self, bytes: &[u8]) -> Result<SpillBlock, SpillError> {
        let failed = |source| SpillError::Write {
            folder: self.folder().to_path_buf(),
            wanted: bytes.len(),
            written: self.len.load(Relaxed),
            in_all: self.spills.bytes(),
            source,
        };
        let len = u32::try_from(bytes.len())
            .map_err(|_| failed(io::Error::other("a block has less than 4 GiB")))?;
        let at = self.len.fetch_add(u64::from(len), Relaxed);
        let begun = Instant::now();
        self.file.write_all_at(bytes, at).map_err(failed)?;
        self.spills.0.choice.wrote(u64::from(len), begun.elapsed());
        self.spills.0.bytes.fetch_add(u64::from(len), Relaxed);
        self.spills.0.written.fetch_add(u64::from(len), Relaxed);
        Ok(SpillBlock { at, bytes: len, crc: crc32fast::hash(bytes) })
    }

    /// Reads a block of this file.
    ///
    /// # Errors
    /// [`SpillError::Read`], and [`SpillError::Damaged`] if it is not as it was written.
    pub fn read(&self, block: SpillBlock) -> Result<Buffer, SpillError> {
        let mut bytes = MutableBuffer::from_len_zeroed(block.bytes as usize);
        self.file
            .read_exact_at(&mut bytes, block.at)
            .map_err(|source| SpillError::Read { folder: self.folder().to_path_buf(), source })?;
        if crc32fast::hash(&bytes) != block.crc {
            let SpillBlock { at, bytes, .. } = block;
            return Err(SpillError::Damaged { folder: self.folder().to_path_buf(), at, bytes });
        }
        Ok(bytes.into())
    }

    /// The whole file, mapped, which can be written no more: what of it is in memory is the system's business.
    ///
    /// # Errors
    /// [`SpillError::Read`].
    pub fn map(self) -> Result<Buffer, SpillError> {
        let failed = |source| SpillError::Read { folder: self.folder().to_path_buf(), source };
        let len = usize::try_from(self.len.load(Relaxed))
            .map_err(|_| failed(io::Error::from(io::ErrorKind::FileTooLarge)))?;
        if len == 0 {
            return Ok(Buffer::default());
        }
        // SAFETY: the file has no name, so that no other process changes it; this one could do so by `self` alone, which is
        // in the map's owner from now on.
        let map =
            unsafe { memmap2::MmapOptions::new().len(len).map(&self.file) }.map_err(failed)?;
        let start = NonNull::from(&map[..]).cast::<u8>();
        let owner = Arc::new(Mapped { _map: map, _file: self });
        // SAFETY: the map has `len` bytes, and lives as long as its owner, which the buffer holds.
        Ok(unsafe { Buffer::from_custom_allocation(start, len, owner) })
    }

    /// Tells the system that a block will be read soon.
    pub fn expect(&self, block: SpillBlock) {
        #[cfg(target_os = "linux")]
        {
            use std::os::fd::AsRawFd;
            let (at, len) = (block.at as libc::off_t, libc::off_t::from(block.bytes));
            // SAFETY: the file is open; this is advice, and what is refused changes nothing.
            unsafe {
                libc::posix_fadvise(self.file.as_raw_fd(), at, len, libc::POSIX_FADV_WILLNEED)
            };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = block;
    }
}

/// A file that is mapped.
struct Mapped {
    _map: memmap2::Mmap,
    _file: SpillFile,
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // A block that could not be written counts in neither.
        let len = self.len.load(Relaxed);
        let less = |had: u64| Some(had.saturating_sub(len));
        let _ = self.spills.0.bytes.fetch_update(Relaxed, Relaxed, less);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_from_files_by_turns() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let spills = Spills::to(folders.iter().map(|folder| folder.path().into()).collect());
        let files = [spills.file().unwrap(), spills.file().unwrap(), spills.file().unwrap()];
        assert_eq!(files.each_ref().map(|file| file.folder), [0, 1, 0]);
        let texts = [&b"one"[..], b"", b"three and more"];
        let blocks = texts.map(|text| files[1].write(text).unwrap());
        for (text, &block) in texts.iter().zip(&blocks).rev() {
            files[1].expect(block);
            assert_eq!(files[1].read(block).unwrap().as_slice(), *text);
        }
        assert_eq!((spills.bytes(), spills.written()), (17, 17));
        drop(files);
        assert_eq!((spills.bytes(), spills.written()), (0, 17));
        let file = spills.file().unwrap();
        let blocks = texts.map(|text| file.write(text).unwrap());
        let mapped = file.map().unwrap();
        for (text, block) in texts.iter().zip(blocks) {
            assert_eq!(block.of(&mapped).as_slice(), *text);
        }
        assert!(spills.file().unwrap().map().unwrap().is_empty());
        let left = folders.iter().map(|folder| folder.path().read_dir().unwrap().count());
        assert_eq!(left.sum::<usize>(), 0);
    }

    #[test]
    fn a_damaged_block_and_a_missing_folder_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = Spills::to(vec![folder.path().into()]).file().unwrap();
        let block = file.write(b"some bytes").unwrap();
        file.file.write_all_at(b"x", 3).unwrap();
        let error = file.read(block).unwrap_err().to_string();
        assert!(error.contains("checksum") && error.contains("10 bytes at 0"), "{error}");
        file.file.set_len(5).unwrap();
        assert!(matches!(file.read(block), Err(SpillError::Read { .. })));
        let missing = folder.path().join("not there");
        let error = Spills::to(vec![missing.clone()]).file().unwrap_err().to_string();
        assert!(error.contains(&missing.display().to_string()), "{error}");
    }
}
