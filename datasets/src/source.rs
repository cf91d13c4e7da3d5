//! Where records come from: list, split, read.
//!
//! A source is cut twice, both times as a function of the input alone. A *split* is what the coordinator packs
//! into tasks (a range of a large file, a pack of small ones, some row groups); it travels as a [`Split`], whose
//! payload only the source understands. A *lane* is what one thread reads at a time: 65,536 records, [`LANE_BYTES`] of
//! text, or up to four times as many rows of a row group. Ordered folds and the order of rows rest on lanes, so their size is part of the rule.

use crate::columns::Predicate;
use crate::push::Push;
use crate::record::Record;
use crate::storage::Storage;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The number of records in a lane where records can be counted ahead.
pub const LANE_RECORDS: u64 = 65_536;

/// The number of bytes in a lane of text or of other sources cut by byte range.
pub const LANE_BYTES: u64 = 4 << 20;

/// The size that sources cut large files to and pack small ones to, in bytes: a quarter of a task, so that tasks made of
/// splits are about the same size.
pub const SPLIT_BYTES: u64 = 16 << 20;

/// A part of a source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// What the source needs to read it; its own encoding (postcard).
    pub payload: Vec<u8>,
    /// Logical bytes: what will be read of it, by which tasks are evened out.
    pub bytes: u64,
    /// The number of lanes, at least 1.
    pub lanes: u32,
    /// The hosts that have it locally; empty where that makes no difference.
    pub hosts: Vec<String>,
}

/// What a person is told of a source (`--explain`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDescription {
    /// The format, as in `text`, `parquet`.
    pub format: String,
    /// Where it lies; empty for memory and generators.
    pub locations: Vec<String>,
    /// The columns that are read; `None` where the format has none.
    pub columns: Option<Vec<String>>,
}

/// A dataset's origin. Pure in its own fields: the same source lists, cuts and reads the same.
///
/// All methods are called on compute threads and may block on local files; remote reads go through [`Storage`].
pub trait Source: Send + Sync + 'static {
    /// The records that it gives.
    type Item: Record;

    /// For people.
    fn describe(&self) -> SourceDescription;

    /// This source without what a predicate is sure not to hold of, such as row groups whose statistics say so; `None`
    /// if it has no such means. The predicate need not hold of what is left, unless the answer says so: records are
    /// filtered by it all the same.
    fn pruned(&self, _predicate: Arc<Predicate<Self::Item>>) -> Option<Pruned<Self>>
    where
        Self: Sized,
    {
        None
    }

    /// Lists the source and cuts it; calls `out` with each split, in the order in which their records count.
    ///
    /// # Errors
    /// [`SourceError`] names the location.
    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError>;

    /// Reads lane `lane` of `split` into `out`, without finishing it. Notes in [`place`](crate::place) what it is at.
    /// Stops early when `out` has [enough](crate::push::Demand::Enough).
    ///
    /// # Errors
    /// [`SourceError`] names location and offset; an error of `out` is passed through.
    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<Self::Item>,
    ) -> Result<(), SourceError>;
}

/// A source without what a predicate does not hold of.
#[derive(Clone, Copy, Debug)]
pub struct Pruned<S> {
    /// The source.
    pub source: S,
    /// Whether the predicate holds of all records that it gives, so that nobody needs to filter them.
    pub exact: bool,
}

/// Why a source could not be listed or read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The data is not what it should be: retrying cannot help.
    #[error("{location}: {reason}")]
    Input {
        /// The file or pattern.
        location: String,
        /// What is wrong, with the offset where there is one, and what to do.
        reason: String,
    },
    /// The storage failed: another attempt may succeed.
    #[error("{location}: {reason}")]
    Storage {
        /// The file or pattern.
        location: String,
        /// What the storage said.
        reason: String,
    },
    /// The receiver of the records failed.
    #[error(transparent)]
    Push(#[from] crate::push::PushError),
}
