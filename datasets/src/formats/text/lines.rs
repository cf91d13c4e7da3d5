//! Lines of text as records.

use super::blocks::{Region, Separator, read_lane};
use super::{describe_rows, split_text};
use crate::formats::files;
use crate::location::{IntoLocations, Locations};
use crate::place;
use crate::push::{BATCH_RECORDS, Demand, Push};
use crate::record::{BytesColumn, Record};
use crate::source::{Source, SourceDescription, SourceError, Split};
use crate::storage::Storage;
use crate::text::positions;
use crate::text::split::load;
use crate::unparsed;
use arrow::array::GenericByteViewArray;
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{BinaryViewType, ByteViewType, StringViewType};
use bytes::Bytes;
use std::marker::PhantomData;

/// The longest text that is inline in a view.
const INLINE_BYTES: usize = 12;

/// What a line can be: `String` (it must be UTF-8) or [`Bytes`] (anything).
pub trait LineText: Record<Batch = BytesColumn<Self::Kind>> {
    /// The Arrow type of the column.
    type Kind: ByteViewType;

    /// Whether these bytes may be such a line.
    ///
    /// # Errors
    /// The position of the first byte that is wrong.
    fn check(bytes: &[u8]) -> Result<(), usize>;
}

impl LineText for String {
    type Kind = StringViewType;

    fn check(bytes: &[u8]) -> Result<(), usize> {
        std::str::from_utf8(bytes).map(|_| ()).map_err(|e| e.valid_up_to())
    }
}

impl LineText for Bytes {
    type Kind = BinaryViewType;

    fn check(_bytes: &[u8]) -> Result<(), usize> {
        Ok(())
    }
}

/// The lines of text files.
#[derive(Clone, Debug)]
pub struct TextSource<T> {
    locations: Locations,
    sizes: files::Sizes,
    line: PhantomData<fn() -> T>,
}

impl<T: LineText> TextSource<T> {
    /// The lines of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> TextSource<T> {
        TextSource {
            locations: locations.into_locations(),
            sizes: files::Sizes::default(),
            line: PhantomData,
        }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(super) fn with_sizes(self, sizes: files::Sizes) -> Self {
        Self { sizes, ..self }
    }
}

impl<T: LineText> Source for TextSource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "text".to_string(),
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
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        let mut lines = Lines { views: Vec::new(), ends: Vec::new(), pack: Alone };
        read_lane(storage, split, lane, self.sizes, Separator::LineFeed, &mut |region| {
            lines.push_region::<T>(region, out)
        })
    }
}

/// Makes records of a column of lines.
pub(super) trait Pack<T: LineText> {
    /// The records.
    type Item: Record;

    /// The records of the lines that begin at these places of the region's buffer.
    fn pack(
        &mut self,
        lines: BytesColumn<T::Kind>,
        region: &Region<'_>,
        starts: impl Fn() -> Vec<usize>,
    ) -> <Self::Item as Record>::Batch;

    /// The lines again.
    fn unpack(batch: <Self::Item as Record>::Batch) -> BytesColumn<T::Kind>;
}

/// Lines and nothing else.
struct Alone;

impl<T: LineText> Pack<T> for Alone {
    type Item = T;

    fn pack(
        &mut self,
        lines: BytesColumn<T::Kind>,
        _: &Region<'_>,
        _: impl Fn() -> Vec<usize>,
    ) -> BytesColumn<T::Kind> {
        lines
    }

    fn unpack(batch: BytesColumn<T::Kind>) -> BytesColumn<T::Kind> {
        batch
    }
}

/// Cuts regions into lines, and passes records of them on.
pub(super) struct Lines<P> {
    /// Memory that is used again for each batch.
    pub(super) views: Vec<u128>,
    /// The same for each region: where its lines end.
    pub(super) ends: Vec<u32>,
    pub(super) pack: P,
}

impl<P> Lines<P> {
    pub(super) fn push_region<T: LineText>(
        &mut self,
        region: &Region<'_>,
        out: &mut dyn Push<P::Item>,
    ) -> Result<Demand, SourceError>
    where
        P: Pack<T>,
    {
        let text = region.text();
        let base = region.range.start;
        if let Err(at) = T::check(text) {
            if unparsed::leaves_out() {
                return self.push_what_is_text(region, out);
            }
            let (location, offset) = region.describe(base + at);
            return Err(SourceError::Input {
                location,
                reason: format!(
                    "is not UTF-8 at {offset}; read it as lines of `Bytes`, or convert it (iconv -t UTF-8)"
                ),
            });
        }
        let mut ends = std::mem::take(&mut self.ends);
        ends.clear();
        positions(text, b'\n', &mut ends);
        let demand = self.push_lines(region, 0, &ends, out);
        self.ends = ends;
        demand
    }

    /// The same without the lines that are no text, which are noted.
    #[cold]
    fn push_what_is_text<T: LineText>(
        &mut self,
        region: &Region<'_>,
        out: &mut dyn Push<P::Item>,
    ) -> Result<Demand, SourceError>
    where
        P: Pack<T>,
    {
        let text = region.text();
        let mut ends = Vec::new();
        positions(text, b'\n', &mut ends);
        // The line at hand, and the first of those before it that were not passed on.
        let (mut start, mut first, mut from) = (0, 0, 0);
        for (at, &end) in ends.iter().enumerate() {
            if T::check(&text[start..end as usize]).is_err() {
                if self.push_lines(region, from, &ends[first..at], out)? == Demand::Enough {
                    return Ok(Demand::Enough);
                }
                let (location, offset) = region.describe(region.range.start + start);
                if unparsed::note(format!("{location}, {offset}"), "the line is not UTF-8")
                    == Demand::Enough
                {
                    return Ok(Demand::Enough);
                }
                (first, from) = (at + 1, end as usize + 1);
            }
            start = end as usize + 1;
        }
        self.push_lines(region, from, &ends[first..], out)
    }

    /// Passes the lines on that end at `ends` of the region, the first of which begins at `start`.
    fn push_lines<T: LineText>(
        &mut self,
        region: &Region<'_>,
        mut start: usize,
        ends: &[u32],
        out: &mut dyn Push<P::Item>,
    ) -> Result<Demand, SourceError>
    where
        P: Pack<T>,
    {
        let base = region.range.start;
        let padded = region.padded();
        let mut batch_start = start;
        for &end in ends {
            let end = end as usize;
            let len = trimmed(padded, start, end);
            self.views.push(view(padded, start, len, base));
            start = end + 1;
            if self.views.len() == BATCH_RECORDS {
                if self.push_batch(region, batch_start, out)? == Demand::Enough {
                    return Ok(Demand::Enough);
                }
                batch_start = start;
            }
        }
        if self.views.is_empty() {
            return Ok(Demand::More);
        }
        self.push_batch(region, batch_start, out)
    }

    /// Passes the views on; the first of their lines is at `start` of the region.
    fn push_batch<T: LineText>(
        &mut self,
        region: &Region<'_>,
        start: usize,
        out: &mut dyn Push<P::Item>,
    ) -> Result<Demand, SourceError>
    where
        P: Pack<T>,
    {
        let count = self.views.len();
        let views = ScalarBuffer::from(std::mem::take(&mut self.views));
        // SAFETY: each view is of a line within the buffer; `check` accepted the text that all lines are of, or each of
        // them, and a line begins and ends at a line feed, so at a boundary of characters.
        let array = unsafe {
            GenericByteViewArray::<T::Kind>::new_unchecked(
                views,
                [region.buffer.clone()].into(),
                None,
            )
        };
        let starts = || starts(region, start, count);
        let batch = self.pack.pack(BytesColumn::Views(array), region, starts);
        let demand = place::push(out, &batch, &|| describe_rows(region, starts()))?;
        if let BytesColumn::Views(array) = P::unpack(batch) {
            let (views, _, _) = array.into_parts();
            self.views = views.into_inner().into_vec().unwrap_or_default();
            self.views.clear();
        }
        Ok(demand)
    }
}

/// Where the `count` lines from `start` of a region on begin in its buffer.
fn starts(region: &Region<'_>, start: usize, count: usize) -> Vec<usize> {
    let text = &region.text()[start..];
    let first = region.range.start + start;
    let next = memchr::memchr_iter(b'\n', text).map(|end| first + end + 1);
    std::iter::once(first).chain(next).take(count).collect()
}

/// The length of a line without a `\r` at its end.
#[inline(always)]
fn trimmed(text: &[u8], start: usize, end: usize) -> usize {
    end - start - usize::from(end > start && text[end - 1] == b'\r')
}

/// The Arrow view of the `len` bytes at `start` of a text, behind which there are others, and which lies at `base` of
/// buffer 0. Without a branch: which lines are short enough to be inline is anybody's guess.
#[inline(always)]
fn view(padded: &[u8], start: usize, len: usize, base: usize) -> u128 {
    let inline = load(padded, start, len.min(INLINE_BYTES)) << 32;
    let prefix = u32::from_le_bytes(*padded[start..].first_chunk().expect("there is padding"));
    let long = u128::from(prefix) << 32 | ((base + start) as u128) << 96;
    (if len <= INLINE_BYTES { inline } else { long }) | len as u128
}
