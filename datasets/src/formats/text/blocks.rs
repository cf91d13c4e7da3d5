//! Reads the text of a lane, in regions of whole records.
//!
//! The bytes of all files of a lane run through one buffer of a block's size. A region is what the buffer holds up to
//! the end of its last whole record; the rest is moved to the front before more is read. A file that does not end
//! with a line feed is given one, so that every record ends with a separator and files never run together. Buffers
//! are Arrow's, so that batches can point into them; a buffer that no batch holds any more is used again.

use crate::formats::compression::Compression;
use crate::formats::files::{LaneFile, Sizes, cut_short, lane_files};
use crate::formats::open_ahead::OpenAhead;
use crate::push::Demand;
use crate::source::{SourceError, Split};
use crate::storage::{Object, ReadAt, Storage, StorageError};
use arrow::buffer::Buffer;
use std::cell::Cell;
use std::io::{self, Read};
use std::ops::Range;

/// The bytes behind the text of a region that may be read, whatever they are.
pub(super) const PADDING: usize = 16;

/// The longest record, in bytes: positions in a buffer are 32 bits, with room to double it.
const RECORD_BYTES_MAX: usize = 1 << 30;

/// What is read past the end of a lane to find the end of its last record, at first.
const BEYOND: u64 = 4 << 10;

/// What ends a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Separator {
    LineFeed,
    WhiteSpace,
}

impl Separator {
    fn first(self, text: &[u8]) -> Option<usize> {
        match self {
            Separator::LineFeed => memchr::memchr(b'\n', text),
            Separator::WhiteSpace => text.iter().position(u8::is_ascii_whitespace),
        }
    }

    fn last(self, text: &[u8]) -> Option<usize> {
        match self {
            Separator::LineFeed => memchr::memrchr(b'\n', text),
            Separator::WhiteSpace => text.iter().rposition(u8::is_ascii_whitespace),
        }
    }

    fn plural(self) -> &'static str {
        match self {
            Separator::LineFeed => "lines",
            Separator::WhiteSpace => "words",
        }
    }
}

/// From `at` on the buffer holds `file` from `offset` on.
#[derive(Clone, Copy, Debug)]
struct Segment {
    at: usize,
    file: usize,
    offset: u64,
}

/// Whole records, one after the other.
pub(super) struct Region<'a> {
    /// The buffer; its records are at `range`, and [`PADDING`] bytes follow them.
    pub(super) buffer: &'a Buffer,
    /// Where the records are; they end with a separator.
    pub(super) range: Range<usize>,
    segments: &'a [Segment],
    files: &'a [LaneFile],
}

impl Region<'_> {
    /// The records.
    pub(super) fn text(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }

    /// The records, and what follows them.
    pub(super) fn padded(&self) -> &[u8] {
        &self.buffer[self.range.start..self.range.end + PADDING]
    }

    /// The file and the offset of the byte at `at` in the buffer.
    pub(super) fn place(&self, at: usize) -> (&LaneFile, u64) {
        let segment = self.segments.iter().rfind(|s| s.at <= at).unwrap_or(&self.segments[0]);
        (&self.files[segment.file], segment.offset + at.saturating_sub(segment.at) as u64)
    }

    /// The file of the byte at `at` in the buffer, and where in the buffer that of another one begins behind it.
    pub(super) fn file_at(&self, at: usize) -> (&LaneFile, usize) {
        let next = self.segments.partition_point(|s| s.at <= at);
        let end = self.segments.get(next).map_or(self.range.end, |s| s.at);
        (&self.files[self.segments[next.saturating_sub(1)].file], end)
    }

    /// The place of the byte at `at` in the buffer, for people.
    pub(super) fn describe(&self, at: usize) -> (String, String) {
        let (file, offset) = self.place(at);
        (file.object.location.to_string(), describe_offset(&file.object.location, offset))
    }
}

fn describe_offset(location: &crate::location::Location, offset: u64) -> String {
    match Compression::of(location) {
        Compression::None => format!("byte {offset}"),
        _ => format!("byte {offset} of its decompressed text"),
    }
}

thread_local! {
    /// The buffer of the last lane of this thread.
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Calls `each` with the regions of lane `lane` of `split`, until it has enough.
pub(super) fn read_lane(
    storage: &Storage,
    split: &Split,
    lane: u32,
    sizes: Sizes,
    separator: Separator,
    each: &mut dyn FnMut(&Region<'_>) -> Result<Demand, SourceError>,
) -> Result<(), SourceError> {
    let files = lane_files(split, lane)?;
    let mut text = SPARE.take();
    if text.len() != sizes.block + PADDING {
        text = vec![0; sizes.block + PADDING];
    }
    let mut blocks = Blocks { text, filled: 0, segments: Vec::new(), files: &files, separator };
    let mut ahead = OpenAhead::new(storage, &files);
    for number in 0.. {
        let Some(file) = ahead.next() else { break };
        if blocks.read_file(file?, number, each)? == Demand::Enough {
            break;
        }
    }
    // The last region: all files are at their end, so that every record has its separator.
    if blocks.filled > 0 {
        blocks.give(0..blocks.filled, blocks.filled, each)?;
    }
    if blocks.text.len() == sizes.block + PADDING {
        SPARE.set(blocks.text);
    }
    Ok(())
}

struct Blocks<'f> {
    /// The buffer; `PADDING` bytes longer than what is ever filled.
    text: Vec<u8>,
    filled: usize,
    segments: Vec<Segment>,
    files: &'f [LaneFile],
    separator: Separator,
}

impl Blocks<'_> {
    fn read_file(
        &mut self,
        open: Box<dyn ReadAt>,
        number: usize,
        each: &mut dyn FnMut(&Region<'_>) -> Result<Demand, SourceError>,
    ) -> Result<Demand, SourceError> {
        let file = &self.files[number];
        let Range { start, end } = file.range;
        let whole = end == file.object.size;
        // The byte before tells whether a record begins right at `start`.
        let from = start.saturating_sub(1);
        let mut stream = Stream::new(open, file)?;
        let mut offset = from;
        let mut skipping = start > 0;
        self.segments.push(Segment { at: self.filled, file: number, offset });
        loop {
            if self.room() == 0 && self.make_room(each)? == Demand::Enough {
                self.filled = 0;
                return Ok(Demand::Enough);
            }
            let mut want = self.room();
            if !whole && offset < end {
                want = want.min((end - offset + BEYOND) as usize);
            }
            let before = self.filled;
            let count = stream.read(&mut self.text[before..before + want], offset)?;
            offset += count as u64;
            self.filled += count;
            if count == 0 {
                if skipping {
                    self.filled = before;
                } else if self.filled > 0 && self.text[self.filled - 1] != b'\n' {
                    // `room` keeps a byte for it.
                    self.text[self.filled] = b'\n';
                    self.filled += 1;
                }
                return Ok(Demand::More);
            }
            if skipping {
                // Only a range is skipped into, and it is alone in its lane: the buffer has nothing else.
                let Some(found) = self.separator.first(&self.text[..self.filled]) else {
                    if offset >= end {
                        self.filled = 0;
                        return Ok(Demand::More);
                    }
                    self.restart(number, offset);
                    continue;
                };
                let begin = found + 1;
                let begin_offset = offset - (self.filled - begin) as u64;
                if begin_offset >= end {
                    self.filled = 0;
                    return Ok(Demand::More);
                }
                self.text.copy_within(begin..self.filled, 0);
                self.filled -= begin;
                self.segments = vec![Segment { at: 0, file: number, offset: begin_offset }];
                skipping = false;
            }
            if !whole && offset >= end {
                // The record with the last byte of the range ends at the first separator from that byte on.
                let behind = (offset - end) as usize + 1;
                let last = self.filled.saturating_sub(behind);
                if let Some(found) = self.separator.first(&self.text[last..self.filled]) {
                    self.filled = last + found + 1;
                    return Ok(Demand::More);
                }
            }
        }
    }

    /// The bytes that may be filled; one more is kept for a line feed.
    fn room(&self) -> usize {
        self.text.len() - PADDING - 1 - self.filled
    }

    /// Forgets all text.
    fn restart(&mut self, file: usize, offset: u64) {
        self.filled = 0;
        self.segments.clear();
        self.segments.push(Segment { at: 0, file, offset });
    }

    /// Gives the whole records in the buffer, or makes the buffer longer if there are none.
    fn make_room(
        &mut self,
        each: &mut dyn FnMut(&Region<'_>) -> Result<Demand, SourceError>,
    ) -> Result<Demand, SourceError> {
        if let Some(last) = self.separator.last(&self.text[..self.filled]) {
            return self.give(0..last + 1, self.filled, each);
        }
        if self.filled >= RECORD_BYTES_MAX {
            let (file, offset) = self.region(&Buffer::default(), 0..0).describe(0);
            return Err(SourceError::Input {
                location: file,
                reason: format!(
                    "from {offset} on there are {RECORD_BYTES_MAX} bytes without an end: is it no text? {} must be shorter",
                    self.separator.plural()
                ),
            });
        }
        let longer = 2 * self.text.len();
        self.text.resize(longer, 0);
        Ok(Demand::More)
    }

    fn region<'a>(&'a self, buffer: &'a Buffer, range: Range<usize>) -> Region<'a> {
        Region { buffer, range, segments: &self.segments, files: self.files }
    }

    /// Gives a region, and keeps what is behind it up to `filled`, at the front of the buffer.
    fn give(
        &mut self,
        range: Range<usize>,
        filled: usize,
        each: &mut dyn FnMut(&Region<'_>) -> Result<Demand, SourceError>,
    ) -> Result<Demand, SourceError> {
        let cut = range.end;
        let buffer = Buffer::from_vec(std::mem::take(&mut self.text));
        let demand = each(&self.region(&buffer, range))?;
        match buffer.into_vec::<u8>() {
            Ok(text) => {
                self.text = text;
                self.text.copy_within(cut..filled, 0);
            }
            Err(held) => {
                self.text = vec![0; held.len()];
                self.text[..filled - cut].copy_from_slice(&held[cut..filled]);
            }
        }
        self.filled = filled - cut;
        // What is kept is part of one record, so of the last segment.
        if let Some(&last) = self.segments.last() {
            let at = last.at.max(cut);
            let offset = last.offset + (at - last.at) as u64;
            self.segments.clear();
            self.segments.push(Segment { at: at - cut, file: last.file, offset });
        }
        Ok(demand)
    }
}

/// The bytes of a file, decompressed, in order.
enum Stream {
    Plain { file: Box<dyn ReadAt>, size: u64 },
    Decoder { decoder: Box<dyn Read>, location: crate::location::Location, format: &'static str },
}

impl Stream {
    fn new(file: Box<dyn ReadAt>, lane_file: &LaneFile) -> Result<Stream, SourceError> {
        let size = lane_file.object.size;
        let compression = Compression::of(&lane_file.object.location);
        let Some(format) = compression.name() else {
            return Ok(Stream::Plain { file, size });
        };
        let location = lane_file.object.location.clone();
        let bytes = io::BufReader::with_capacity(64 << 10, Compressed { file, at: 0, size });
        let decoder = compression.decoder(bytes).map_err(|e| {
            let reason = format!("cannot set up a decoder: {e}");
            SourceError::Storage { location: location.to_string(), reason }
        })?;
        Ok(Stream::Decoder { decoder, location, format })
    }

    /// Reads some bytes, none only at the end; `offset` is what was read before.
    fn read(&mut self, buffer: &mut [u8], offset: u64) -> Result<usize, SourceError> {
        match self {
            Stream::Plain { file, size } => {
                let left = usize::try_from(*size - offset).unwrap_or(usize::MAX);
                let want = buffer.len().min(left);
                let count = file.read_at(offset, &mut buffer[..want])?;
                if count < want {
                    return Err(cut_short(file.location(), *size, offset + count as u64).into());
                }
                Ok(count)
            }
            Stream::Decoder { decoder, location, format } => loop {
                match decoder.read(buffer) {
                    Ok(count) => return Ok(count),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(decode_error(location, format, offset, error)),
                }
            },
        }
    }
}

/// The first bytes of the text of a file, `bytes` at most.
pub(super) fn head(
    storage: &Storage,
    object: &Object,
    bytes: usize,
) -> Result<Vec<u8>, SourceError> {
    let whole = LaneFile { object: object.clone(), range: 0..object.size };
    let mut stream = Stream::new(storage.open_listed(object)?, &whole)?;
    let (mut text, mut filled) = (vec![0; bytes], 0);
    while filled < bytes {
        match stream.read(&mut text[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    text.truncate(filled);
    Ok(text)
}

fn decode_error(
    location: &crate::location::Location,
    format: &str,
    offset: u64,
    error: io::Error,
) -> SourceError {
    let text = error.to_string();
    let kind = error.kind();
    if let Some(inner) = error.into_inner()
        && let Ok(storage) = inner.downcast::<StorageError>()
    {
        return (*storage).into();
    }
    let what = match kind {
        io::ErrorKind::UnexpectedEof => format!("the {format} data is cut short"),
        _ => format!("the {format} data is corrupt ({text})"),
    };
    SourceError::Input {
        location: location.to_string(),
        reason: format!("{what}, after {offset} bytes of decompressed text; copy the file again"),
    }
}

/// The bytes of a compressed file, in order.
struct Compressed {
    file: Box<dyn ReadAt>,
    at: u64,
    size: u64,
}

impl Read for Compressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let want = buffer.len().min(left);
        let count = self.file.read_at(self.at, &mut buffer[..want]).map_err(io::Error::other)?;
        self.at += count as u64;
        if count < want {
            let error = cut_short(self.file.location(), self.size, self.at);
            return Err(io::Error::other(error));
        }
        Ok(count)
    }
}
