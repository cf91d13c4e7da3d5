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

mod bind;
mod encrypted;
pub(crate) mod facts;
pub(crate) mod file;
mod prune;
pub(crate) mod rust;
mod sink;
mod source;
#[cfg(test)]
mod tests;

pub(crate) use sink::PartEncoder;
pub use sink::{BloomFilter, ParquetCompression, ParquetSink, ParquetStatistics};
pub use source::ParquetSource;
