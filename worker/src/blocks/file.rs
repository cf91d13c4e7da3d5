//! A file of blocks: what one attempt wrote into one shuffle, one block a bucket.
//!
//! | part | what (numbers are little endian) |
//! |---|---|
//! | data | the blocks, in the order of the buckets |
//! | index | for each bucket where its block ends (u64) and the block's CRC-32 (u32); it begins where the last one ends |
//! | footer | `WRBLOCKS`, version (u32), number of buckets (u32), CRC-32 of the index (u32), CRC-32 of the footer so far (u32) |
//!
//! A file is written under another name and gets its own once it is whole, so that a file with a name is whole unless
//! the disk lost some of it; that is found by the checksums.

use super::{BlockBytes, page_cache};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

const MAGIC: &[u8; 8] = b"WRBLOCKS";
const VERSION: u32 = 1;
const FOOTER_BYTES: usize = 24;
const ENTRY_BYTES: usize = 12;

/// The most buckets of a file.
const BUCKETS_MAX: u32 = 1 << 24;

/// Why a file of blocks cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// It cannot be opened or read.
    #[error("cannot read the blocks in {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not what was written.
    #[error("the blocks in {} are damaged ({what}): the map task that wrote them runs again; if this comes again, check the disk", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

impl BlockError {
    fn io(path: &Path) -> impl FnOnce(io::Error) -> BlockError + '_ {
        |source| BlockError::Io { path: path.to_path_buf(), source }
    }

    fn corrupt(path: &Path, what: impl Into<String>) -> BlockError {
        BlockError::Corrupt { path: path.to_path_buf(), what: what.into() }
    }
}

/// Writes a file of blocks. Dropped before [`finish`](BlockFileWriter::finish), it leaves nothing.
pub struct BlockFileWriter {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
    buckets: u32,
    /// The bucket that is written; bytes may still come.
    bucket: u32,
    crc: crc32fast::Hasher,
    len: u64,
    index: Vec<u8>,
}

impl BlockFileWriter {
    /// Begins a file that will be at `path` once it is finished.
    ///
    /// # Errors
    /// If it cannot be created.
    pub fn create(path: &Path, buckets: u32) -> io::Result<BlockFileWriter> {
        if buckets > BUCKETS_MAX {
            return Err(io::Error::other(format!(
                "a shuffle of {buckets} buckets: {BUCKETS_MAX} are the most; ask for fewer partitions"
            )));
        }
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".{}.part", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let file = File::create(&temporary)?;
        Ok(BlockFileWriter {
            path: path.to_path_buf(),
            temporary,
            file: Some(BufWriter::with_capacity(256 << 10, file)),
            buckets,
            bucket: 0,
            crc: crc32fast::Hasher::new(),
            len: 0,
            index: Vec::with_capacity(buckets as usize * ENTRY_BYTES),
        })
    }

    /// Adds bytes to the block of a bucket; buckets come in ascending order, one may come several times in a row.
    ///
    /// # Errors
    /// If they cannot be written, or the bucket is not one that may come next.
    pub fn add(&mut self, bucket: u32, bytes: &[u8]) -> io::Result<()> {
        if bucket < self.bucket || bucket >= self.buckets {
            return Err(io::Error::other(format!(
                "bucket {bucket} of {} after bucket {}: a defect of the engine",
                self.buckets, self.bucket
            )));
        }
        self.end_blocks(bucket);
        self.crc.update(bytes);
        self.len += bytes.len() as u64;
        match &mut self.file {
            Some(file) => file.write_all(bytes),
            None => Err(io::Error::other("the file is finished")),
        }
    }

    /// Ends all blocks before that of `bucket`.
    fn end_blocks(&mut self, bucket: u32) {
        while self.bucket < bucket {
            let crc = std::mem::take(&mut self.crc).finalize();
            self.index.extend_from_slice(&self.len.to_le_bytes());
            self.index.extend_from_slice(&crc.to_le_bytes());
            self.bucket += 1;
        }
    }

    /// Ends the file and gives it its name. Returns the bytes in all blocks.
    ///
    /// # Errors
    /// If it cannot be written; it is removed then.
    pub fn finish(mut self) -> io::Result<u64> {
        self.end_blocks(self.buckets);
        let mut footer = Vec::with_capacity(FOOTER_BYTES);
        footer.extend_from_slice(MAGIC);
        for word in [VERSION, self.buckets, crc32fast::hash(&self.index)] {
            footer.extend_from_slice(&word.to_le_bytes());
        }
        footer.extend_from_slice(&crc32fast::hash(&footer).to_le_bytes());
        if let Some(mut file) = self.file.take() {
            let written = file
                .write_all(&self.index)
                .and_then(|()| file.write_all(&footer))
                .and_then(|()| file.flush())
                .and_then(|()| fs::rename(&self.temporary, &self.path));
            if let Err(error) = written {
                let _ = fs::remove_file(&self.temporary);
                return Err(error);
            }
        }
        Ok(self.len)
    }
}

impl Drop for BlockFileWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // The folder goes with its job at the latest.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// A file of blocks, open to be read by several at once.
#[derive(Debug)]
pub struct BlockFile {
    path: PathBuf,
    file: File,
    index: Vec<u8>,
}

impl BlockFile {
    /// Opens a file and verifies its index.
    ///
    /// # Errors
    /// [`BlockError`], with the file's path.
    pub fn open(path: &Path) -> Result<BlockFile, BlockError> {
        let file = File::open(path).map_err(BlockError::io(path))?;
        let len = file.metadata().map_err(BlockError::io(path))?.len();
        let Some(index_end) = len.checked_sub(FOOTER_BYTES as u64) else {
            return Err(BlockError::corrupt(path, "it is too short"));
        };
        let mut footer = [0; FOOTER_BYTES];
        file.read_exact_at(&mut footer, index_end).map_err(BlockError::io(path))?;
        let word = |at: usize| {
            u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]])
        };
        if &footer[..8] != MAGIC || crc32fast::hash(&footer[..20]) != word(20) {
            return Err(BlockError::corrupt(path, "it has no footer"));
        }
        if word(8) != VERSION {
            return Err(BlockError::corrupt(path, format!("it is of version {}", word(8))));
        }
        let index_len = u64::from(word(12)) * ENTRY_BYTES as u64;
        let Some(data_len) = index_end.checked_sub(index_len).filter(|_| word(12) <= BUCKETS_MAX)
        else {
            return Err(BlockError::corrupt(path, "its index is cut short"));
        };
        let mut index = vec![0; index_len as usize];
        file.read_exact_at(&mut index, data_len).map_err(BlockError::io(path))?;
        if crc32fast::hash(&index) != word(16) {
            return Err(BlockError::corrupt(path, "its index has another checksum"));
        }
        let file = BlockFile { path: path.to_path_buf(), file, index };
        let ends = file.buckets().checked_sub(1).map_or(0, |last| file.end(last));
        let ascend = (1..file.buckets()).all(|bucket| file.end(bucket - 1) <= file.end(bucket));
        if ends != data_len || !ascend {
            return Err(BlockError::corrupt(path, "its index does not fit its data"));
        }
        Ok(file)
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of buckets.
    pub fn buckets(&self) -> u32 {
        (self.index.len() / ENTRY_BYTES) as u32
    }

    fn end(&self, bucket: u32) -> u64 {
        let at = bucket as usize * ENTRY_BYTES;
        let mut word = [0; 8];
        word.copy_from_slice(&self.index[at..at + 8]);
        u64::from_le_bytes(word)
    }

    /// Where a bucket's block lies in the file, and its checksum; `None` if there is no such bucket.
    pub fn block(&self, bucket: u32) -> Option<(Range<u64>, u32)> {
        if bucket >= self.buckets() {
            return None;
        }
        let start = bucket.checked_sub(1).map_or(0, |before| self.end(before));
        let at = bucket as usize * ENTRY_BYTES + 8;
        let mut crc = [0; 4];
        crc.copy_from_slice(&self.index[at..at + 4]);
        Some((start..self.end(bucket), u32::from_le_bytes(crc)))
    }

    /// Reads bytes of the file as they are, for others to verify.
    ///
    /// # Errors
    /// If the file cannot be read or is cut short.
    pub fn read_raw(&self, at: u64, bytes: &mut [u8]) -> Result<(), BlockError> {
        self.file.read_exact_at(bytes, at).map_err(BlockError::io(&self.path))
    }

    /// As [`read_raw`](BlockFile::read_raw), if that need not wait for the disk; whether it was so.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn read_cached(&self, at: u64, bytes: &mut [u8]) -> Result<bool, BlockError> {
        page_cache::read(&self.file, at, bytes).map_err(BlockError::io(&self.path))
    }

    /// Whether bytes of the file most likely need not be waited for.
    pub(crate) fn is_cached(&self, range: Range<u64>) -> bool {
        let is_there = |at: u64| matches!(self.read_cached(at, &mut [0]), Ok(true));
        range.is_empty() || is_there(range.start) && is_there(range.end - 1)
    }

    /// Sends bytes of the file to a socket that does not block, from page cache to socket; how many were sent. None where
    /// the system cannot.
    ///
    /// # Errors
    /// What file or socket say, as [`io::ErrorKind::WouldBlock`] where there is no room in the socket.
    pub(crate) fn send(&self, socket: &impl AsFd, range: Range<u64>) -> Option<io::Result<usize>> {
        page_cache::send(socket, &self.file, range)
    }

    /// Reads the block of a bucket, and verifies it. Returns its length too, in bytes.
    ///
    /// # Errors
    /// If the file cannot be read, has no such bucket, or the block has another checksum than it should have.
    pub(crate) fn read(&self, bucket: u32) -> Result<(BlockBytes, usize), BlockError> {
        let Some((range, crc)) = self.block(bucket) else {
            let what = format!("it has {} buckets, and not bucket {bucket}", self.buckets());
            return Err(BlockError::corrupt(&self.path, what));
        };
        // The index was verified against the length of the file.
        let len = (range.end - range.start) as usize;
        let mut bytes = BlockBytes::new(len);
        self.read_raw(range.start, bytes.as_mut())?;
        if crc32fast::hash(bytes.as_mut()) != crc {
            let what = format!("the block of bucket {bucket} has another checksum");
            return Err(BlockError::corrupt(&self.path, what));
        }
        Ok((bytes, len))
    }
}
