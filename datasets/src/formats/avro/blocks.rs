//! The blocks of an Avro file, and the records in them.
//!
//! Blocks are taken apart here and not by the decoder of whole files, which goes on for ever where a block has more
//! bytes than the records that it says it has.

use super::file::{AvroFile, MARK};
use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use arrow_avro::compression::CompressionCodec;
use arrow_avro::reader::Decoder;
use std::io::{self, BufRead, Read};

/// The most bytes of a block when it is not compressed.
const BLOCK_MAX: u64 = 1 << 30;

/// The records of some blocks, in order.
pub(super) struct Records<'f, R> {
    file: &'f AvroFile,
    decoder: Decoder,
    blocks: R,
    /// How many bytes of blocks there are still.
    left: u64,
    /// The bytes of the block at hand, those that were decoded, and the records in the others.
    data: Vec<u8>,
    at: usize,
    count: u64,
}

impl<'f, R: BufRead> Records<'f, R> {
    /// The records of whole blocks, which have so many bytes. The decoder takes one record at a time.
    pub(super) fn new(file: &'f AvroFile, decoder: Decoder, blocks: R, bytes: u64) -> Self {
        Records { file, decoder, blocks, left: bytes, data: Vec::new(), at: 0, count: 0 }
    }

    /// The next batch; `None` behind the last.
    ///
    /// # Errors
    /// What reading and decoding say, and blocks that are not what they say of themselves.
    pub(super) fn next(&mut self) -> Result<Option<RecordBatch>, ArrowError> {
        while !self.decoder.batch_is_full() {
            if self.count > 0 {
                let used = self.decoder.decode(&self.data[self.at..])?;
                if used == 0 {
                    return Err(wrong("a record has no bytes"));
                }
                (self.at, self.count) = (self.at + used, self.count - 1);
            } else if self.at < self.data.len() {
                return Err(wrong("a block has more bytes than its records"));
            } else if self.left == 0 {
                break;
            } else {
                self.next_block()?;
            }
        }
        Ok(self.decoder.flush()?)
    }

    fn next_block(&mut self) -> Result<(), ArrowError> {
        let (count, size) = (self.number()?, self.number()?);
        if size > self.left {
            return Err(wrong(format!("a block says {size} bytes, and there are {}", self.left)));
        }
        let mut data = Vec::new();
        self.read(|blocks| blocks.take(size).read_to_end(&mut data))?;
        let mut mark = [0; MARK];
        self.read(|blocks| blocks.read_exact(&mut mark).map(|()| MARK))?;
        if data.len() as u64 != size || mark != self.file.mark() {
            return Err(wrong("a block does not end where it says"));
        }
        self.data = match self.file.codec() {
            None => data,
            Some(codec) => decompressed(codec, &data)?,
        };
        (self.at, self.count) = (0, count);
        Ok(())
    }

    /// Reads something of so many bytes as it says.
    fn read(&mut self, read: impl FnOnce(&mut R) -> io::Result<usize>) -> Result<(), ArrowError> {
        let count = read(&mut self.blocks).map_err(io_error)? as u64;
        self.left = self.left.checked_sub(count).ok_or_else(|| wrong("it ends within a block"))?;
        Ok(())
    }

    /// A number in the variable-length coding of the format; it must not be negative.
    fn number(&mut self) -> Result<u64, ArrowError> {
        let mut bits = 0u64;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.read(|blocks| blocks.read_exact(&mut byte).map(|()| 1))?;
            bits |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] & 0x80 == 0 {
                let negative = bits & 1 == 1;
                return if negative { Err(wrong("a negative count")) } else { Ok(bits >> 1) };
            }
        }
        Err(wrong("a number of more than 64 bits"))
    }
}

fn wrong(what: impl Into<String>) -> ArrowError {
    ArrowError::AvroError(what.into())
}

fn io_error(error: io::Error) -> ArrowError {
    ArrowError::IoError(error.to_string(), error)
}

/// The bytes of a compressed block.
fn decompressed(codec: CompressionCodec, data: &[u8]) -> Result<Vec<u8>, ArrowError> {
    let all = |reader: &mut dyn Read| {
        let mut bytes = Vec::new();
        let count = reader.take(BLOCK_MAX + 1).read_to_end(&mut bytes).map_err(io_error)?;
        if count as u64 > BLOCK_MAX {
            let reason = format!("a block has more than {BLOCK_MAX} bytes, which is the most");
            return Err(wrong(format!("{reason}; write it with smaller ones")));
        }
        Ok(bytes)
    };
    match codec {
        CompressionCodec::Deflate => all(&mut flate2::read::DeflateDecoder::new(data)),
        CompressionCodec::ZStandard => {
            all(&mut zstd::stream::read::Decoder::new(data).map_err(io_error)?)
        }
        CompressionCodec::Bzip2 => all(&mut bzip2::read::BzDecoder::new(data)),
        CompressionCodec::Snappy => {
            // The sum of the bytes comes behind them.
            let (data, sum) = data
                .split_last_chunk::<4>()
                .ok_or_else(|| wrong("a block is too short for its sum"))?;
            let length = snap::raw::decompress_len(data).map_err(|e| wrong(e.to_string()))?;
            if length as u64 > BLOCK_MAX {
                return Err(wrong(format!("a block of {length} bytes: the most is {BLOCK_MAX}")));
            }
            let bytes = snap::raw::Decoder::new()
                .decompress_vec(data)
                .map_err(|error| wrong(error.to_string()))?;
            if crc32fast::hash(&bytes) != u32::from_be_bytes(*sum) {
                return Err(wrong("the sum of a block is wrong"));
            }
            Ok(bytes)
        }
        other => Err(wrong(format!("blocks are compressed by {other:?}, which is not known"))),
    }
}
