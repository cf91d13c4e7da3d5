//! Avro object container files.
//!
//! The columns of a file are matched with fields as those of Parquet are; a union of a type and null is a column that may
//! be null. Blocks may be compressed with deflate, snappy, zstd or bzip2. A file is cut at the marks between its blocks.

mod blocks;
mod file;
mod source;

pub(crate) use file::AvroFile;
pub use source::AvroSource;
pub(crate) use source::columns;
