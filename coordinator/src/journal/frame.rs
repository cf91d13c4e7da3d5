//! Records in a file, one after the other, each in a frame.
//!
//! | bytes | what (numbers are little endian) |
//! |--:|---|
//! | 4 | `WRJ1` |
//! | 4 | the length of the record |
//! | 8 | how much of the file was on the disk for sure when the record was written |
//! | 4 | CRC-32 of the 12 bytes before, and of the record |
//! | 1 | the length of the name of the record's kind |
//! | | the name, in ASCII, and the content |
//!
//! A file that was being written when its process or machine died ends with frames that are not whole: they were not on the
//! disk for sure, so that nobody has acted on them. Where a later frame says that the disk had a place which is damaged now,
//! something else has happened, and records are lost that others may have acted on.

use std::ops::Range;

const MAGIC: &[u8; 4] = b"WRJ1";

/// The bytes before a record.
pub(super) const HEAD: usize = 20;

/// The longest record, in bytes.
const RECORD_MAX: usize = 1 << 30;

/// Appends a record's frame; `synced` bytes of the file are on the disk.
///
/// # Panics
/// For a name of over 255 bytes, or a record of over [`RECORD_MAX`].
pub(super) fn append(out: &mut Vec<u8>, synced: u64, kind: &str, content: &[u8]) {
    let len = 1 + kind.len() + content.len();
    assert!(kind.len() < 256 && len <= RECORD_MAX, "a record of {len} bytes of kind {kind}");
    let start = out.len();
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&(len as u32).to_le_bytes());
    out.extend_from_slice(&synced.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.push(kind.len() as u8);
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(content);
    let crc = crc_of(&out[start..]);
    out[start + 16..start + HEAD].copy_from_slice(&crc.to_le_bytes());
}

fn crc_of(frame: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&frame[4..16]);
    crc.update(&frame[HEAD..]);
    crc.finalize()
}

/// A record, as a file has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'f> {
    pub(super) kind: &'f str,
    pub(super) content: &'f [u8],
}

/// A frame that is whole.
struct Whole<'f> {
    record: Record<'f>,
    synced: u64,
    end: usize,
}

/// The frame that a file has at a place, if it is whole.
fn read(file: &[u8], at: usize) -> Option<Whole<'_>> {
    let head = file.get(at..at + HEAD).filter(|head| head[..4] == *MAGIC)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let end = at + HEAD + word(4) as usize;
    let frame = file.get(at..end).filter(|frame| crc_of(frame) == word(16))?;
    let (len, rest) = frame[HEAD..].split_first()?;
    let (kind, content) = rest.split_at_checked(usize::from(*len))?;
    let synced = u64::from(word(8)) | u64::from(word(12)) << 32;
    let record = Record { kind: std::str::from_utf8(kind).ok()?, content };
    Some(Whole { record, synced, end })
}

/// Goes through the records of a file.
pub(super) struct Records<'f> {
    file: &'f [u8],
    at: usize,
}

impl<'f> Records<'f> {
    pub(super) fn new(file: &'f [u8]) -> Records<'f> {
        Records { file, at: 0 }
    }

    /// Where the next record begins, or what there is of it.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// What is left: nothing where the file ends with a whole record.
    pub(super) fn rest(&self) -> Range<usize> {
        self.at..self.file.len()
    }

    /// Whether what is left was on the disk for sure: a later record, which is whole, says so.
    pub(super) fn rest_was_synced(&self) -> bool {
        let begins = |&at: &usize| self.file[at..].starts_with(MAGIC);
        let mut later = self.rest().filter(begins).filter_map(|at| read(self.file, at));
        later.any(|whole| whole.synced > self.at as u64)
    }
}

impl<'f> Iterator for Records<'f> {
    type Item = Record<'f>;

    fn next(&mut self) -> Option<Record<'f>> {
        let Whole { record, end, .. } = read(self.file, self.at)?;
        self.at = end;
        Some(record)
    }
}
