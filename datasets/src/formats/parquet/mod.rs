//! Parquet: columns of records, in row groups.
//!
//! A file's columns are matched with a record's fields by name, nested ones too, whatever their order; no others are
//! read. A field whose column is missing must be an `Option`. A record that is no struct is the column `value`, or the
//! only one of the file. Numbers are widened where nothing is lost.
//!
//! | type | columns that are read as it |
//! |---|---|
//! | `String` | text |
//! | [`Bytes`](bytes::Bytes) | binary, text |
//! | integers, floats, `bool` | the same, or narrower |
//! | [`Date`](crate::record::Date), [`Timestamp`](crate::record::Timestamp), [`Decimal`](crate::record::Decimal) | dates, timestamps, decimals of a scale that fits |
//! | `Option`, `Vec`, structs | columns that may be null, lists, groups |
//!
//! A field that is called as a folder of the path, `NAME=VALUE`, takes its value from there.
//!
//! What a predicate does not hold of is left out as soon as it is known: files by their folders, row groups by
//! statistics and Bloom filters, pages by the page index, and rows before the other columns are decoded.

mod ahead;
mod bind;
mod bloom;
mod chunks;
mod encrypted;
pub(crate) mod facts;
pub(crate) mod file;
mod lane;
mod prune;
#[cfg(test)]
mod pruning_tests;
mod rows;
pub(crate) mod rust;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use sink::PartEncoder;
pub use sink::{BloomFilter, ParquetCompression, ParquetSink, ParquetStatistics};
pub use source::ParquetSource;
