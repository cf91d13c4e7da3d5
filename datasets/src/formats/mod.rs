//! The formats that come with the engine. They use the public traits [`Source`](crate::Source) and
//! [`Sink`](crate::Sink) only, as any other format would.

mod files;
pub mod fixed;
pub mod memory;
pub mod parquet;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;

pub use fixed::{FixedSink, FixedSource};
pub use memory::{GeneratedSource, MemorySource};
pub use parquet::{BloomFilter, ParquetCompression, ParquetSink, ParquetSource, ParquetStatistics};
pub use text::{FileLinesSource, LineText, TextSink, TextSource, WordsSource};
