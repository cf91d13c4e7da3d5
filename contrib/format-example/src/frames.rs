//! Messages with their length before them: four bytes, the low one first, then so many bytes of message.
//!
//! [`FrameSource`] and [`FrameSink`] are all that a format needs. A place within such a file does not tell where a
//! message begins, so a file is never cut: each is one split of one lane.

use bytes::Bytes;
use std::io::{self, BufReader, Read, Write};
use windrow::location::{IntoLocations, Location, Locations};
use windrow::place;
use windrow::push::{BATCH_RECORDS, Demand, Push, PushError, Selection};
use windrow::sink::{EncodeLane, EncodePart};
use windrow::source::{SourceDescription, SourceError, Split};
use windrow::storage::{ReadAt, Storage};
use windrow::{Batch, Builder, Record, Sink, Source};

/// The longest message, in bytes. A length beyond it is taken as damage, and not as a reason to ask for that memory.
const MESSAGE_BYTES_MAX: u32 = 64 << 20;

/// Reads files of messages.
pub struct FrameSource {
    locations: Locations,
}

impl FrameSource {
    /// The messages of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> FrameSource {
        FrameSource { locations: locations.into_locations() }
    }
}

impl Source for FrameSource {
    type Item = Bytes;

    fn describe(&self) -> SourceDescription {
        let locations = self.locations.names();
        SourceDescription { format: "frames".to_string(), locations, columns: None }
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        for object in storage.list(&self.locations)? {
            if object.size > 0 {
                let payload = object.location.to_string().into_bytes();
                out(Split { payload, bytes: object.size, lanes: 1, hosts: Vec::new() })?;
            }
        }
        Ok(())
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        _lane: u32,
        out: &mut dyn Push<Bytes>,
    ) -> Result<(), SourceError> {
        let name = String::from_utf8_lossy(&split.payload);
        let wrong = |reason: String| SourceError::Input { location: name.to_string(), reason };
        let location: Location = name.parse().map_err(|_| wrong("is no location".to_string()))?;
        let file = storage.open(&location)?;
        let mut frames = Frames { file: BufReader::new(Positioned::new(&*file)), at: 0 };
        loop {
            let mut builder = <Bytes as Record>::Builder::default();
            let mut offsets = Vec::new();
            while builder.len() < BATCH_RECORDS {
                let offset = frames.at;
                let Some(message) = frames.next().map_err(wrong)? else { break };
                builder.push(&message);
                offsets.push(offset);
            }
            if offsets.is_empty() {
                return Ok(());
            }
            // Where each message lies, should the job fail at one.
            let describe = || -> place::DescribeRow {
                let (name, offsets) = (name.to_string(), offsets.clone());
                Box::new(move |row| format!("{name}, byte {}", offsets[row]))
            };
            if place::push(out, &builder.finish(), &describe)? == Demand::Enough {
                return Ok(());
            }
        }
    }
}

/// The messages of a file, one after the other.
struct Frames<R> {
    file: R,
    /// Where the next one begins.
    at: u64,
}

impl<R: Read> Frames<R> {
    /// The next message; `None` at the end of the file. An error says what is wrong at which byte.
    fn next(&mut self) -> Result<Option<Vec<u8>>, String> {
        let at = self.at;
        let mut header = Vec::new();
        let failed = |error: io::Error| format!("cannot be read at byte {at}: {error}");
        self.file.by_ref().take(4).read_to_end(&mut header).map_err(failed)?;
        let Ok(header) = <[u8; 4]>::try_from(&*header) else {
            let ends =
                format!("ends within the length of the message at byte {at}: it is cut short");
            return if header.is_empty() { Ok(None) } else { Err(ends) };
        };
        let length = u32::from_le_bytes(header);
        if length > MESSAGE_BYTES_MAX {
            return Err(format!(
                "the message at byte {at} claims {length} bytes, of {MESSAGE_BYTES_MAX} at most: this is no file of messages, or it is damaged"
            ));
        }
        let mut message = Vec::new();
        self.file.by_ref().take(length.into()).read_to_end(&mut message).map_err(failed)?;
        if message.len() < length as usize {
            return Err(format!("ends within the message at byte {at}: it is cut short"));
        }
        self.at += 4 + u64::from(length);
        Ok(Some(message))
    }
}

/// A file that is read by position, as a stream.
struct Positioned<'f> {
    file: &'f dyn ReadAt,
    offset: u64,
}

impl<'f> Positioned<'f> {
    fn new(file: &'f dyn ReadAt) -> Positioned<'f> {
        Positioned { file, offset: 0 }
    }
}

impl Read for Positioned<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(self.offset, buffer)?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// Writes files of messages.
pub struct FrameSink;

impl Sink for FrameSink {
    type Item = Bytes;
    type Chunk = Vec<u8>;

    fn format(&self) -> String {
        "frames".to_string()
    }

    fn extension(&self) -> String {
        "frames".to_string()
    }

    fn lane(&self) -> Box<dyn EncodeLane<Bytes, Vec<u8>>> {
        Box::new(FrameLane::default())
    }

    fn part(&self) -> Box<dyn EncodePart<Vec<u8>>> {
        Box::new(FramePart)
    }

    // A file is nothing but its messages, so that several threads can write it.
    fn pieces<'a>(&self, chunk: &'a Vec<u8>) -> Option<Vec<&'a [u8]>> {
        Some(vec![chunk])
    }
}

#[derive(Default)]
struct FrameLane {
    frames: Vec<u8>,
}

impl FrameLane {
    fn add(&mut self, message: &[u8]) -> Result<(), PushError> {
        match u32::try_from(message.len()) {
            Ok(length) if length <= MESSAGE_BYTES_MAX => {
                self.frames.extend_from_slice(&length.to_le_bytes());
                self.frames.extend_from_slice(message);
                Ok(())
            }
            _ => {
                Err(format!("a message of {} bytes is too long to be written", message.len())
                    .into())
            }
        }
    }
}

impl EncodeLane<Bytes, Vec<u8>> for FrameLane {
    fn batch(
        &mut self,
        batch: &<Bytes as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<(), PushError> {
        match selection {
            Selection::All => (0..batch.len()).try_for_each(|row| self.add(batch.get(row))),
            Selection::Rows(rows) => {
                rows.iter().try_for_each(|&row| self.add(batch.get(row as usize)))
            }
        }
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, PushError> {
        Ok(self.frames)
    }
}

struct FramePart;

impl EncodePart<Vec<u8>> for FramePart {
    fn write(&mut self, chunk: Vec<u8>, file: &mut dyn Write) -> Result<(), PushError> {
        Ok(file.write_all(&chunk)?)
    }

    fn finish(self: Box<Self>, _file: &mut dyn Write) -> Result<(), PushError> {
        Ok(())
    }
}
