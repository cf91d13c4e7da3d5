//! Arrow IPC: record batches as they lie in memory, in the file format and in the stream format.
//!
//! The columns of a file are matched with fields as those of Parquet are. A lane of a file has the record batches that
//! begin in its range of bytes; a stream has no list of its batches, so that it is one lane.

mod file;
mod sink;
mod source;

pub(crate) use file::IpcFile;
pub use sink::{IpcCompression, IpcSink};
pub use source::IpcSource;
pub(crate) use source::Stream;
