//! Words as records: the fastest way from a file of text to single words.

use super::blocks::{PADDING, Region, Separator, read_lane};
use super::{describe_rows, split_text};
use crate::formats::files;
use crate::location::{IntoLocations, Locations};
use crate::place;
use crate::push::{BATCH_RECORDS, Demand, Push};
use crate::record::BytesColumn;
use crate::source::{Source, SourceDescription, SourceError, Split};
use crate::storage::Storage;
use crate::text::split::Splitter;
use arrow::array::BinaryViewArray;
use arrow::buffer::{Buffer, ScalarBuffer};
use bytes::Bytes;

/// The bytes that are split at a time: text and edges stay in cache.
const SPLIT_AT_ONCE: usize = 64 << 10;

/// The longest word that is inline in an Arrow view.
const INLINE_BYTES: u32 = 12;

/// The words of text files: runs of bytes other than ASCII white space. Any bytes are accepted.
#[derive(Clone, Debug)]
pub struct WordsSource {
    locations: Locations,
    sizes: files::Sizes,
}

impl WordsSource {
    /// The words of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> WordsSource {
        WordsSource { locations: locations.into_locations(), sizes: files::Sizes::default() }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(super) fn with_sizes(self, sizes: files::Sizes) -> Self {
        Self { sizes, ..self }
    }
}

impl Source for WordsSource {
    type Item = Bytes;

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "words".to_string(),
            locations: self.locations.names(),
            columns: None,
        }
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        split_text(storage, &self.locations, self.sizes, out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<Bytes>,
    ) -> Result<(), SourceError> {
        let mut words = Words::default();
        read_lane(storage, split, lane, self.sizes, Separator::WhiteSpace, &mut |region| {
            words.push_region(region, out)
        })
    }
}

/// Memory that is used again for each batch.
#[derive(Default)]
struct Words {
    splitter: Splitter,
    views: Vec<u128>,
}

impl Words {
    fn push_region(
        &mut self,
        region: &Region<'_>,
        out: &mut dyn Push<Bytes>,
    ) -> Result<Demand, SourceError> {
        let end = region.range.end;
        let mut from = region.range.start;
        while from < end {
            let to = cut(region.buffer, from, end);
            let words = self.splitter.split(&region.buffer[from..to]);
            for edges in words.edges().chunks(2 * BATCH_RECORDS) {
                let mut views = std::mem::take(&mut self.views);
                fill_views(&mut views, region.buffer, from, edges);
                let views = ScalarBuffer::from(views);
                // SAFETY: `fill_views` made each view of a word within the buffer.
                let array = unsafe {
                    BinaryViewArray::new_unchecked(views, [region.buffer.clone()].into(), None)
                };
                let batch = BytesColumn::Views(array);
                let demand = place::push(out, &batch, &|| {
                    let starts = edges.chunks(2).map(|word| from + word[0] as usize).collect();
                    describe_rows(region, starts)
                })?;
                if let BytesColumn::Views(array) = batch {
                    let (views, _, _) = array.into_parts();
                    self.views = views.into_inner().into_vec().unwrap_or_default();
                }
                if demand == Demand::Enough {
                    return Ok(Demand::Enough);
                }
            }
            from = to;
        }
        Ok(Demand::More)
    }
}

/// Where the piece of text from `from` on ends: behind white space, after about [`SPLIT_AT_ONCE`] bytes.
fn cut(text: &[u8], from: usize, end: usize) -> usize {
    let near = (from + SPLIT_AT_ONCE).min(end);
    let space = |at: &u8| at.is_ascii_whitespace();
    match text[near - 1..end].iter().position(space) {
        Some(more) => near + more,
        None => end,
    }
}

/// Makes the views of the words whose edges are given, relative to `from`.
#[inline(never)]
fn fill_views(views: &mut Vec<u128>, buffer: &Buffer, from: usize, edges: &[u32]) {
    views.clear();
    let text = buffer.as_slice();
    views.extend(edges.chunks_exact(2).map(|word| {
        let start = from + word[0] as usize;
        view(text, start, word[1] - word[0])
    }));
}

/// The Arrow view of the `len` bytes at `start`, behind which [`PADDING`] bytes may be read.
#[inline(always)]
fn view(text: &[u8], start: usize, len: u32) -> u128 {
    /// The lowest bytes set, as many as the index says.
    const MASKS: [u128; 16] = {
        let mut masks = [0; 16];
        let mut at = 1;
        while at < 16 {
            masks[at] = masks[at - 1] << 8 | 0xff;
            at += 1;
        }
        masks
    };
    let first: [u8; PADDING] = match text[start..].first_chunk() {
        Some(bytes) => *bytes,
        None => unreachable!("text is padded"),
    };
    let first = u128::from_le_bytes(first);
    let inline = (first & MASKS[len.min(INLINE_BYTES) as usize]) << 32;
    let outside = u128::from(first as u32) << 32 | (start as u128) << 96;
    u128::from(len) | if len <= INLINE_BYTES { inline } else { outside }
}
