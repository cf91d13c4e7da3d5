//! The lines of a lane, file by file: for formats whose records are made of text.

use super::blocks::{Separator, read_lane};
use crate::formats::bind::bind_error;
use crate::formats::files::{LaneFile, Sizes};
use crate::place::{self, DescribeRow, Rows};
use crate::push::{BATCH_RECORDS, Demand, Push};
use crate::record::{BindError, Record};
use crate::source::{SourceError, Split};
use crate::storage::Storage;
use crate::unparsed;

/// Whole lines of one file.
pub(crate) struct Piece<'a> {
    /// The file; the lane reads the lines that begin in its range.
    pub(crate) file: &'a LaneFile,
    /// The lines, each with its line feed.
    pub(crate) text: &'a [u8],
    /// Whether they are the first of this file that the lane reads.
    pub(crate) first: bool,
}

/// Calls `each` with the lines of lane `lane` of `split`, until it has enough, and with `None` when those of a file are
/// at their end.
pub(crate) fn read_pieces(
    storage: &Storage,
    split: &Split,
    lane: u32,
    sizes: Sizes,
    each: &mut dyn FnMut(Option<Piece<'_>>) -> Result<Demand, SourceError>,
) -> Result<(), SourceError> {
    // The file at hand, by its address: those of a lane stay where they are.
    let mut at_hand: Option<*const LaneFile> = None;
    let mut enough = false;
    read_lane(storage, split, lane, sizes, Separator::LineFeed, &mut |region| {
        let mut from = region.range.start;
        while from < region.range.end {
            let (file, end) = region.file_at(from);
            let end = end.min(region.range.end);
            let first = at_hand != Some(std::ptr::from_ref(file));
            if first && at_hand.is_some() && each(None)? == Demand::Enough {
                enough = true;
                return Ok(Demand::Enough);
            }
            at_hand = Some(std::ptr::from_ref(file));
            let text = &region.buffer[from..end];
            if each(Some(Piece { file, text, first }))? == Demand::Enough {
                enough = true;
                return Ok(Demand::Enough);
            }
            from = end;
        }
        Ok(Demand::More)
    })?;
    if at_hand.is_some() && !enough {
        each(None)?;
    }
    Ok(())
}

/// Where the rows of a batch lie, which are counted from the beginning of what the lane reads of their file.
pub(crate) struct RowsOfFile<'a> {
    /// The file.
    pub(crate) file: &'a LaneFile,
    /// How many rows of it came before.
    pub(crate) first: u64,
}

impl RowsOfFile<'_> {
    /// What has to be said behind a row's number, for people.
    pub(crate) fn from(&self) -> String {
        match self.file.range.start {
            0 => String::new(),
            start => format!(", counted from byte {start} on"),
        }
    }

    /// The error for rows that the record cannot have.
    pub(crate) fn bind_error(&self, error: BindError) -> SourceError {
        match bind_error(&self.file.object.location, error, self.first) {
            SourceError::Input { location, reason } => {
                SourceError::Input { location, reason: reason + &self.from() }
            }
            other => other,
        }
    }

    /// The error for a file that is not what it should be.
    pub(crate) fn wrong(&self, reason: impl std::fmt::Display) -> SourceError {
        let location = self.file.object.location.to_string();
        SourceError::Input { location, reason: format!("{reason}{}", self.from()) }
    }
}

impl Rows for RowsOfFile<'_> {
    fn capture(&self) -> DescribeRow {
        let (location, from) = (self.file.object.location.to_string(), self.from());
        let first = self.first;
        Box::new(move |row| format!("{location}, row {}{from}", first + row as u64))
    }
}

/// Passes on the records of some texts, each of which should be one, as far as they [are](crate::unparsed) to be passed on
/// whatever others are: a batch at a time, unless one of its texts is at fault, and those are noted. `rows` counts those of the
/// file; `parse` makes the records of so many texts, of which the first is the row of that number.
///
/// # Errors
/// What `out` says.
pub(crate) fn push_what_fits<T: Record>(
    texts: &[impl AsRef<[u8]>],
    file: &LaneFile,
    rows: &mut u64,
    parse: impl Fn(&[u8], usize, u64) -> Result<T::Batch, String>,
    out: &mut dyn Push<T>,
) -> Result<Demand, SourceError> {
    for some in texts.chunks(BATCH_RECORDS) {
        let whole: Vec<u8> = some.iter().flat_map(|text| text.as_ref()).copied().collect();
        if let Ok(batch) = parse(&whole, some.len(), *rows) {
            let demand = place::push(out, &batch, &RowsOfFile { file, first: *rows })?;
            *rows += some.len() as u64;
            if demand == Demand::Enough {
                return Ok(demand);
            }
            continue;
        }
        for text in some {
            let place = RowsOfFile { file, first: *rows };
            let demand = match parse(text.as_ref(), 1, *rows) {
                Ok(batch) => place::push(out, &batch, &place)?,
                Err(why) => unparsed::note(place.capture()(0), why),
            };
            *rows += 1;
            if demand == Demand::Enough {
                return Ok(demand);
            }
        }
    }
    Ok(Demand::More)
}
