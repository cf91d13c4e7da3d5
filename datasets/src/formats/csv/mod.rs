//! CSV: a record a row, with the columns' names in the first one.
//!
//! Columns are matched with fields by their names, whatever their order; no others are parsed. An empty value is a null,
//! or an empty text where the field is a `String`. Numbers, dates, times, decimals and text can be values; lists, structs
//! and arrays of bytes cannot.

mod apart;
mod options;
mod sink;
mod source;

pub use options::CsvOptions;
pub use sink::CsvSink;
pub use source::CsvSource;
pub(crate) use source::guess;
