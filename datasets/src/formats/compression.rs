//! How whole files are compressed, by the extensions of their names.
//!
//! A file may be several compressed pieces, one after the other: members of gzip, frames of zstd and lz4, streams of
//! bzip2. Text is decompressed as it is read, so that memory does not depend on how long it becomes.

use crate::location::Location;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, Read, Write};

/// How many bytes of text a byte of a compressed file is taken for.
const COMPRESSED_WEIGHT: u64 = 4;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    /// Not at all, but the file must not be cut.
    Whole,
    Gzip,
    Zstd,
    Lz4,
    Bzip2,
    Snappy,
}

impl Compression {
    /// By the extension of the name.
    pub(crate) fn of(location: &Location) -> Compression {
        match location.extension().as_deref() {
            Some("gz" | "gzip") => Compression::Gzip,
            Some("zst" | "zstd") => Compression::Zstd,
            Some("lz4") => Compression::Lz4,
            Some("bz2" | "bzip2") => Compression::Bzip2,
            Some("sz" | "snappy") => Compression::Snappy,
            _ => Compression::None,
        }
    }

    /// The same, of a file whose records do not show where they begin.
    pub(crate) fn of_whole(location: &Location) -> Compression {
        match Compression::of(location) {
            Compression::None => Compression::Whole,
            compressed => compressed,
        }
    }

    /// Whether such a file can be read from any byte on.
    pub(super) fn may_cut(self) -> bool {
        self == Compression::None
    }

    /// How many bytes of text a file of this size counts as.
    pub(super) fn weight(self, size: u64) -> u64 {
        match self {
            Compression::None | Compression::Whole => size,
            _ => size.saturating_mul(COMPRESSED_WEIGHT),
        }
    }

    /// What it is called; `None` without compression.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Compression::None | Compression::Whole => None,
            Compression::Gzip => Some("gzip"),
            Compression::Zstd => Some("zstd"),
            Compression::Lz4 => Some("lz4"),
            Compression::Bzip2 => Some("bzip2"),
            Compression::Snappy => Some("snappy"),
        }
    }

    /// The text of these bytes.
    ///
    /// # Errors
    /// If a decoder cannot be set up.
    pub(crate) fn decoder<R: BufRead + 'static>(self, bytes: R) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Compression::None | Compression::Whole => Box::new(bytes),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(bytes)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(bytes)?),
            Compression::Lz4 => Box::new(Lz4Frames::new(bytes)),
            Compression::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(bytes)),
            Compression::Snappy => Box::new(snap::read::FrameDecoder::new(bytes)),
        })
    }
}

/// A frame of lz4 without anything in it. The decoder takes a file that ends between two blocks for whole; with this
/// frame behind it, such an end is none: the frame's first bytes are no block.
const EMPTY_LZ4_FRAME: &[u8] = &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0, 0, 0, 0];

type Lz4Bytes<R> = io::Chain<R, &'static [u8]>;

/// The text of lz4 frames that follow one another.
struct Lz4Frames<R: BufRead> {
    /// Taken only while one frame ends and the next begins.
    frame: Option<lz4_flex::frame::FrameDecoder<Lz4Bytes<R>>>,
}

impl<R: BufRead> Lz4Frames<R> {
    fn new(bytes: R) -> Self {
        let bytes = bytes.chain(EMPTY_LZ4_FRAME);
        Lz4Frames { frame: Some(lz4_flex::frame::FrameDecoder::new(bytes)) }
    }
}

impl<R: BufRead> Read for Lz4Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(frame) = &mut self.frame else { return Ok(0) };
            let count = frame.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            if frame.get_mut().fill_buf()?.is_empty() {
                return Ok(0);
            }
            let bytes = self.frame.take().map(lz4_flex::frame::FrameDecoder::into_inner);
            self.frame = bytes.map(lz4_flex::frame::FrameDecoder::new);
        }
    }
}

/// How files of lines are compressed as they are written: each lane a piece of its own, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TextCompression {
    /// Not at all.
    #[default]
    None,
    /// As members of gzip; the extension `.gz`.
    Gzip,
    /// As frames of zstd, level 1; the extension `.zst`.
    Zstd,
    /// As frames of lz4; the extension `.lz4`.
    Lz4,
    /// As streams of bzip2; the extension `.bz2`.
    Bzip2,
}

impl TextCompression {
    /// The extension of files of this format.
    pub(crate) fn extension(self, format: &str) -> String {
        let more = match self {
            TextCompression::None => "",
            TextCompression::Gzip => ".gz",
            TextCompression::Zstd => ".zst",
            TextCompression::Lz4 => ".lz4",
            TextCompression::Bzip2 => ".bz2",
        };
        format!("{format}{more}")
    }

    /// These bytes as a piece of a file; none as none.
    ///
    /// # Errors
    /// What the encoder says.
    pub(crate) fn compress(self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        if bytes.is_empty() {
            return Ok(bytes);
        }
        Ok(match self {
            TextCompression::None => bytes,
            TextCompression::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
                encoder.write_all(&bytes)?;
                encoder.finish()?
            }
            TextCompression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1)?;
                encoder.include_checksum(true)?;
                encoder.write_all(&bytes)?;
                encoder.finish()?
            }
            TextCompression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(&bytes)?;
                encoder.finish().map_err(io::Error::other)?
            }
            TextCompression::Bzip2 => {
                let level = bzip2::Compression::default();
                let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), level);
                encoder.write_all(&bytes)?;
                encoder.finish()?
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text() -> Vec<u8> {
        (0..60_000u32).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
    }

    fn read(compression: Compression, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        compression.decoder(io::Cursor::new(bytes))?.read_to_end(&mut text)?;
        Ok(text)
    }

    #[test]
    fn pieces_that_follow_one_another_are_one_text() {
        let text = text();
        let (first, second) = text.split_at(text.len() / 3);
        for (written, read_as) in [
            (TextCompression::None, Compression::None),
            (TextCompression::Gzip, Compression::Gzip),
            (TextCompression::Zstd, Compression::Zstd),
            (TextCompression::Lz4, Compression::Lz4),
            (TextCompression::Bzip2, Compression::Bzip2),
        ] {
            let piece = |text: &[u8]| written.compress(text.to_vec()).unwrap();
            let bytes = [piece(first), piece(&[]), piece(second)].concat();
            assert!(read(read_as, bytes.clone()).unwrap() == text, "{read_as:?}");
            let location: Location = format!("/x/a.{}", written.extension("csv")).parse().unwrap();
            assert_eq!(Compression::of(&location), read_as);
            if read_as == Compression::None {
                continue;
            }
            for cut in (1..200).chain([bytes.len() / 2, bytes.len() - 4, bytes.len() - 1]) {
                assert!(read(read_as, bytes[..cut].to_vec()).is_err(), "{read_as:?}, {cut}");
            }
        }
        let mut snappy = snap::write::FrameEncoder::new(Vec::new());
        snappy.write_all(first).unwrap();
        let mut bytes = snappy.into_inner().unwrap();
        let mut snappy = snap::write::FrameEncoder::new(Vec::new());
        snappy.write_all(second).unwrap();
        bytes.extend(snappy.into_inner().unwrap());
        assert!(read(Compression::Snappy, bytes.clone()).unwrap() == text);
        assert!(read(Compression::Snappy, bytes[..bytes.len() - 1].to_vec()).is_err());
    }
}
