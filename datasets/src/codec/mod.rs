//! Batches as bytes: the frames that shuffle blocks and spills are made of.
//!
//! A frame is a header and a body. The body has the Arrow buffers of the batch's columns, depth first, each at a
//! multiple of 16 bytes; text has only the bytes that the batch's own rows use. A body that is not compressed is
//! decoded without copying: the batch lies in the frame's memory, and keeps it alive.
//!
//! | bytes of the header | meaning (numbers are little endian) |
//! |---|---|
//! | 0..4 | `WRB` and a zero |
//! | 4 | the version, 1 |
//! | 5 | the compression: 0 none, 1 an lz4 block, 2 a zstd frame |
//! | 6..8 | zero |
//! | 8..16 | the number of records |
//! | 16..24 | the length of the body, uncompressed |
//! | 24..32 | the length of the body as it is stored |
//!
//! A frame ends with zeros up to a multiple of 16, so that frames may follow one another. What is in the body:
//!
//! | column | parts, each filled up with zeros to a multiple of 16 bytes |
//! |---|---|
//! | any that may be null | the number of nulls (u64); if there are any, a bit a row, 1 for not null; then as below |
//! | `()` | nothing |
//! | `bool` | a bit a row |
//! | numbers, dates, decimals, `[u8; N]` | the values |
//! | text and bytes | the length of the data (u64); an Arrow view a row, all into buffer 0; the data |
//! | the same, of few values | the number of values (u64), with the top bit set; a code a row, of one byte for up to 256 values, else of two; the values, as above |
//! | lists | rows + 1 offsets (i32), the first of them 0; the column of elements |
//! | structs and tuples | their columns |
//!
//! Types are not in the frame: who decodes knows `T`. Checksums are the caller's; [`decode`] is safe on any bytes.

mod choice;
mod few;
mod read;
mod write;

pub use choice::Choice;

use crate::record::{Batch, BindError, Record};
use arrow::buffer::Buffer;
use lz4_flex::block::{self, CompressTable};
use std::time::Instant;

/// The length of a frame's header, in bytes.
pub const HEADER_BYTES: usize = 32;

/// What frames and the parts of a body are aligned to, in bytes.
const ALIGNMENT: usize = 16;

/// The level of zstd: the quickest of the usual ones.
const ZSTD_LEVEL: i32 = 1;

/// The bit that says that text is written by codes.
const BY_CODES: u64 = 1 << 63;

const MAGIC: [u8; 4] = *b"WRB\0";
const VERSION: u8 = 1;

/// The most records of a frame.
const MAX_RECORDS: usize = u32::MAX as usize;

/// The most that is made of a byte, so that a frame of few bytes does not need much memory: all that lz4 can. Zstd can
/// make more; what it makes more of is left to lz4.
const MADE_OF_A_BYTE: usize = 255;

/// How a frame's body is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As it is: decoded without a copy.
    #[default]
    None,
    /// As an lz4 block, where that is shorter.
    Lz4,
    /// As a zstd frame of level 1, where that is shorter.
    Zstd,
}

/// Why a batch could not be encoded, or a frame not decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// The frame ends too early.
    #[error("a frame is cut short: {needed} bytes are needed, and {found} are there")]
    Short {
        /// Bytes that are needed.
        needed: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// No frame, or one of another version.
    #[error("no frame of version {VERSION}: {0}")]
    Header(String),
    /// The frame's parts contradict each other.
    #[error("a frame is corrupt: {0}")]
    Corrupt(String),
    /// The frame has a value that the record cannot hold.
    #[error("a frame does not fit the record: {0}")]
    Bind(#[from] BindError),
    /// The batch has more than fits a frame; it has to be cut.
    #[error("a batch is too large for a frame: {0}")]
    TooLarge(String),
}

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    compression: Compression,
    records: usize,
    body: usize,
    stored: usize,
}

impl Header {
    fn bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = match self.compression {
            Compression::None => 0,
            Compression::Lz4 => 1,
            Compression::Zstd => 2,
        };
        for (at, number) in [(8, self.records), (16, self.body), (24, self.stored)] {
            bytes[at..at + 8].copy_from_slice(&(number as u64).to_le_bytes());
        }
        bytes
    }

    fn read(bytes: &[u8]) -> Result<Header, CodecError> {
        let Some(header) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(CodecError::Short { needed: HEADER_BYTES, found: bytes.len() });
        };
        if header[..4] != MAGIC {
            return Err(CodecError::Header("the first bytes are other ones".into()));
        }
        if header[4] != VERSION {
            return Err(CodecError::Header(format!("it has version {}", header[4])));
        }
        let compression = match header[5] {
            0 => Compression::None,
            1 => Compression::Lz4,
            2 => Compression::Zstd,
            other => return Err(CodecError::Header(format!("it has compression {other}"))),
        };
        if header[6..8] != [0, 0] {
            return Err(CodecError::Header("it has bits that mean nothing here".into()));
        }
        let number = |at: usize| {
            let number = u64::from_le_bytes(header[at..at + 8].try_into().expect("8 bytes"));
            // A quarter of the address space: sums of two lengths cannot overflow.
            usize::try_from(number)
                .ok()
                .filter(|&n| n <= isize::MAX as usize / 2)
                .ok_or_else(|| CodecError::Corrupt(format!("a length of {number}")))
        };
        let header =
            Header { compression, records: number(8)?, body: number(16)?, stored: number(24)? };
        if header.records > MAX_RECORDS {
            return Err(CodecError::Corrupt(format!("{} records", header.records)));
        }
        let fits = match compression {
            Compression::None => header.body == header.stored,
            Compression::Lz4 | Compression::Zstd => header.body / MADE_OF_A_BYTE <= header.stored,
        };
        if !fits {
            let Header { body, stored, .. } = header;
            return Err(CodecError::Corrupt(format!("{stored} bytes cannot become {body}")));
        }
        Ok(header)
    }

    /// The length of the whole frame.
    fn frame_len(&self) -> usize {
        (HEADER_BYTES + self.stored).next_multiple_of(ALIGNMENT)
    }
}

/// How an encoder compresses.
enum Compressing {
    Always(Compression),
    Chosen(Choice),
}

/// Encodes batches, with memory that is used again.
pub struct Encoder {
    compressing: Compressing,
    /// One table for bodies below 64 KiB and one for others: which is used decides the bytes.
    tables: [Option<CompressTable>; 2],
    zstd: Option<zstd::bulk::Compressor<'static>>,
    compressed: Vec<u8>,
    /// Of what was encoded since it was asked for last, if anybody asks.
    content: Option<crc32fast::Hasher>,
    content_bytes: u64,
}

/// What was encoded, however it was compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// A checksum.
    pub crc: u32,
    /// Bytes before they were compressed.
    pub bytes: u64,
}

impl Encoder {
    /// An encoder that compresses in this way; allocates nothing yet.
    pub fn new(compression: Compression) -> Encoder {
        Encoder::of(Compressing::Always(compression))
    }

    /// An encoder that compresses as is quickest.
    pub fn choosing(choice: Choice) -> Encoder {
        Encoder::of(Compressing::Chosen(choice))
    }

    fn of(compressing: Compressing) -> Encoder {
        Encoder {
            compressing,
            tables: [None, None],
            zstd: None,
            compressed: Vec::new(),
            content: None,
            content_bytes: 0,
        }
    }

    /// This encoder, which makes a checksum of what it encodes.
    pub fn with_content(self) -> Encoder {
        Encoder { content: Some(crc32fast::Hasher::new()), ..self }
    }

    /// What was encoded since this was asked last; nothing for an encoder [without](Encoder::with_content).
    pub fn take_content(&mut self) -> Content {
        let crc = self.content.as_mut().map_or(0, |content| std::mem::take(content).finalize());
        Content { crc, bytes: std::mem::take(&mut self.content_bytes) }
    }

    /// Appends the frame of a batch to `out`. A frame decodes without a copy only where it starts at an address
    /// that is a multiple of 16.
    ///
    /// # Errors
    /// [`CodecError::TooLarge`] for more than 2^32 records, or 4 GiB of text in one column; `out` is then as it was.
    pub fn encode<T: Record>(
        &mut self,
        batch: &T::Batch,
        out: &mut Vec<u8>,
    ) -> Result<(), CodecError> {
        let records = Batch::len(batch);
        if records > MAX_RECORDS {
            return Err(CodecError::TooLarge(format!("{records} records")));
        }
        let start = out.len();
        out.resize(start + HEADER_BYTES, 0);
        let body_start = out.len();
        let mut body = write::Body::new(out);
        if let Err(error) = body.column(&batch.to_array(), &T::data_type(), T::nullable()) {
            out.truncate(start);
            return Err(error);
        }
        let body = out.len() - body_start;
        if let Some(content) = &mut self.content {
            content.update(&(records as u64).to_le_bytes());
            content.update(&out[body_start..]);
            self.content_bytes += body as u64;
        }
        let mut header = Header { compression: Compression::None, records, body, stored: body };
        if let Some((compression, stored)) = self.compress(&out[body_start..]) {
            header.compression = compression;
            header.stored = stored;
            out.truncate(body_start);
            out.extend_from_slice(&self.compressed[..stored]);
        }
        out[start..body_start].copy_from_slice(&header.bytes());
        out.resize(start + header.frame_len(), 0);
        Ok(())
    }

    /// Compresses into `self.compressed`, if it is to be; how, and the length, if that is less.
    fn compress(&mut self, body: &[u8]) -> Option<(Compression, usize)> {
        let (wanted, choice) = match &self.compressing {
            Compressing::Always(compression) => (*compression, None),
            Compressing::Chosen(choice) => (choice.next(), Some(choice.clone())),
        };
        if wanted == Compression::None {
            return None;
        }
        let begun = choice.is_some().then(Instant::now);
        let compressed = match wanted {
            Compression::Zstd => self.zstd(body).map(|stored| (wanted, stored)),
            _ => None,
        };
        let compressed = compressed.or_else(|| Some((Compression::Lz4, self.lz4(body)?)));
        if let (Some(choice), Some(begun)) = (choice, begun) {
            let left = compressed.map_or(body.len(), |(_, stored)| stored);
            choice.compressed(wanted, body.len(), left, begun.elapsed());
        }
        compressed
    }

    fn zstd(&mut self, body: &[u8]) -> Option<usize> {
        let compressor = match &mut self.zstd {
            Some(compressor) => compressor,
            none => none.insert(zstd::bulk::Compressor::new(ZSTD_LEVEL).ok()?),
        };
        let most = zstd::zstd_safe::compress_bound(body.len());
        if self.compressed.len() < most {
            self.compressed.resize(most, 0);
        }
        let stored = compressor.compress_to_buffer(body, &mut self.compressed[..]).ok()?;
        (stored < body.len() && body.len() / MADE_OF_A_BYTE <= stored).then_some(stored)
    }

    fn lz4(&mut self, body: &[u8]) -> Option<usize> {
        let large = body.len() >= usize::from(u16::MAX);
        let table = self.tables[usize::from(large)].get_or_insert_with(|| {
            if large { CompressTable::large() } else { CompressTable::small() }
        });
        let most = block::get_maximum_output_size(body.len());
        if self.compressed.len() < most {
            self.compressed.resize(most, 0);
        }
        let stored = block::compress_into_with_table(body, &mut self.compressed, table).ok()?;
        (stored < body.len()).then_some(stored)
    }
}

/// Appends the frame of a batch to `out`; [`Encoder::encode`] without an encoder.
///
/// # Errors
/// As for [`Encoder::encode`].
pub fn encode<T: Record>(
    batch: &T::Batch,
    compression: Compression,
    out: &mut Vec<u8>,
) -> Result<(), CodecError> {
    Encoder::new(compression).encode::<T>(batch, out)
}

/// The batch of the frame at the start of `bytes`; what follows the frame is ignored. The batch shares the memory
/// of `bytes` where the frame is neither compressed nor misaligned.
///
/// # Errors
/// [`CodecError`] if the frame is not whole or not valid. Any bytes are safe to decode: the memory that is
/// allocated is at most some 256 times that of the frame.
pub fn decode<T: Record>(bytes: &Buffer) -> Result<T::Batch, CodecError> {
    let (header, body) = body_of(bytes)?;
    let array = read::Body::new(body, read::Trust::None).whole::<T>(header.records)?;
    Ok(T::Batch::from_array(&array)?)
}

/// [`decode`] without looking at each text.
///
/// # Errors
/// As for [`decode`], as far as it is noticed.
///
/// # Safety
/// The frame is as [`encode`] of this `T` wrote it: it lies in memory since, or a checksum of it, itself trusted,
/// has been verified.
pub unsafe fn decode_trusted<T: Record>(bytes: &Buffer) -> Result<T::Batch, CodecError> {
    let (header, body) = body_of(bytes)?;
    let array = read::Body::new(body, read::Trust::Written).whole::<T>(header.records)?;
    Ok(T::Batch::from_array(&array)?)
}

/// The number of records in the frame at the start of `bytes`, as its header says.
///
/// # Errors
/// [`CodecError`] if it has no valid header.
pub fn frame_records(bytes: &[u8]) -> Result<usize, CodecError> {
    Ok(Header::read(bytes)?.records)
}

/// The number of records in the frame at the start of `bytes`, and the bytes that they have before compression.
///
/// # Errors
/// As for [`frame_records`].
pub fn frame_size(bytes: &[u8]) -> Result<(usize, usize), CodecError> {
    let header = Header::read(bytes)?;
    Ok((header.records, header.body))
}

/// The frames that follow one another in `bytes`, each as a part of the same memory.
pub fn frames(bytes: &Buffer) -> Frames {
    Frames { rest: bytes.clone() }
}

/// See [`frames`]. Ends after the first error.
#[derive(Clone, Debug)]
pub struct Frames {
    rest: Buffer,
}

impl Iterator for Frames {
    type Item = Result<Buffer, CodecError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let len = Header::read(&self.rest).and_then(|header| {
            let (needed, found) = (header.frame_len(), self.rest.len());
            if needed > found { Err(CodecError::Short { needed, found }) } else { Ok(needed) }
        });
        Some(match len {
            Ok(len) => {
                let frame = self.rest.slice_with_length(0, len);
                self.rest.advance(len);
                Ok(frame)
            }
            Err(error) => {
                self.rest = Buffer::default();
                Err(error)
            }
        })
    }
}

/// The header and the uncompressed, aligned body of the frame at the start of `bytes`.
fn body_of(bytes: &Buffer) -> Result<(Header, Buffer), CodecError> {
    let header = Header::read(bytes)?;
    let (needed, found) = (header.frame_len(), bytes.len());
    if needed > found {
        return Err(CodecError::Short { needed, found });
    }
    let stored = bytes.slice_with_length(HEADER_BYTES, header.stored);
    let body = match header.compression {
        Compression::None if stored.as_ptr().align_offset(ALIGNMENT) == 0 => stored,
        Compression::None => Buffer::from_slice_ref(stored.as_slice()),
        Compression::Lz4 => whole(header.body, |body| block::decompress_into(&stored, body))?,
        Compression::Zstd => {
            whole(header.body, |body| zstd::bulk::decompress_to_buffer(&stored, body))?
        }
    };
    Ok((header, body))
}

/// A body of this length, which `decompress` fills.
fn whole<E: std::fmt::Display>(
    wanted: usize,
    decompress: impl FnOnce(&mut [u8]) -> Result<usize, E>,
) -> Result<Buffer, CodecError> {
    let mut body = arrow::buffer::MutableBuffer::from_len_zeroed(wanted);
    let len = decompress(&mut body).map_err(|error| CodecError::Corrupt(error.to_string()))?;
    if len != wanted {
        return Err(CodecError::Corrupt(format!("a body of {len} bytes, not {wanted}")));
    }
    Ok(body.into())
}
