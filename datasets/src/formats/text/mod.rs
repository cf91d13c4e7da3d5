//! Text: lines, words, and records written as lines.
//!
//! A line ends with `\n`; a `\r` at its end is not part of it; the last line need not have an end. Words are runs of
//! bytes other than ASCII white space ([`u8::is_ascii_whitespace`]). Files whose names end with `.gz`, `.zst`, `.lz4`,
//! `.bz2` or `.sz` (snappy, framed) are decompressed.

mod blocks;
mod file_lines;
mod lines;
mod pieces;
mod sink;
#[cfg(test)]
mod tests;
mod words;

pub use file_lines::FileLinesSource;
pub use lines::{LineText, TextSource};
pub(crate) use pieces::{Piece, RowsOfFile, push_what_fits, read_pieces};
pub use sink::TextSink;
pub use words::WordsSource;

use self::blocks::Region;
use crate::formats::compression::Compression;
use crate::formats::files::{Sizes, split};
use crate::location::Locations;
use crate::place::DescribeRow;
use crate::source::{SourceError, Split};
use crate::storage::{Object, Storage};

/// The first bytes of the text of a file, decompressed as its extension says; `bytes` at most.
pub(crate) fn head(
    storage: &Storage,
    object: &Object,
    bytes: usize,
) -> Result<Vec<u8>, SourceError> {
    blocks::head(storage, object, bytes)
}

/// Cuts files of text, compressed as their extensions say.
pub(super) fn split_text(
    storage: &Storage,
    locations: &Locations,
    sizes: Sizes,
    out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
) -> Result<(), SourceError> {
    split(storage, locations, sizes, &|object| Ok(Some(Compression::of(&object.location))), out)
}

/// Names the records of a batch, of which the one at `row` begins at `starts[row]` of the region's buffer.
fn describe_rows(region: &Region<'_>, starts: Vec<usize>) -> DescribeRow {
    let places: Vec<(String, String)> = starts.iter().map(|&at| region.describe(at)).collect();
    Box::new(move |row| match places.get(row).or(places.last()) {
        Some((file, offset)) => format!("{file}, {offset}"),
        None => "an empty batch".to_string(),
    })
}
