//! The formats that come with the engine. They use the public traits [`Source`](crate::Source) and
//! [`Sink`](crate::Sink) only, as any other format would.

pub mod avro;
mod bind;
#[cfg(test)]
mod columnar_tests;
mod columns;
pub(crate) mod compression;
pub mod csv;
pub(in crate::formats) mod files;
pub mod fixed;
mod folders;
mod hive;
pub mod ipc;
pub mod json;
pub mod memory;
mod open_ahead;
pub mod parquet;
pub mod rows;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;

pub use avro::AvroSource;
pub use columns::CannotWrite;
pub use compression::TextCompression;
pub use csv::{CsvOptions, CsvSink, CsvSource};
pub use fixed::{FixedSink, FixedSource};
pub use ipc::{IpcCompression, IpcSink, IpcSource};
pub use json::{JsonSink, JsonSource};
pub use memory::{GeneratedSource, MemorySource};
pub use parquet::{BloomFilter, ParquetCompression, ParquetSink, ParquetSource, ParquetStatistics};
pub use rows::{NumberedRows, RowsFormat, RowsOptions, RowsParquetSink, RowsSource, RowsTextSink};
pub use text::{FileLinesSource, LineText, TextSink, TextSource, WordsSource};
