//! Files of any format as rows whose columns are those of the files: what jobs read that take whatever there is.
//!
//! All rows have the columns of the first file that is not empty; what it has as text of any layout is text, and every
//! column may be null. A column that a later file lacks is null in its rows, one that only a later file has is left out,
//! and a column of another type is widened where nothing is lost. The columns of CSV and JSON are guessed from the
//! beginning of the first file.

mod fits;
mod numbered;
mod parquet;
mod schema;
mod sink;
mod source;
mod task;
#[cfg(test)]
mod tests;

pub use numbered::NumberedRows;
pub use parquet::RowsParquetSink;
pub(crate) use schema::{columns_of, format_of, schema_of};
pub use sink::RowsTextSink;
pub use source::{RowsOptions, RowsSource, decode_schema, encode_schema};

pub(crate) use fits::as_wanted;
pub(crate) use task::file_of_rows;

use serde::{Deserialize, Serialize};
use std::fmt;

/// The formats whose files are rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowsFormat {
    /// Parquet.
    Parquet,
    /// CSV.
    Csv,
    /// JSON lines.
    Json,
    /// Arrow IPC, in the file format or as a stream.
    Ipc,
    /// Avro object container files.
    Avro,
    /// Lines of text: the one column `value`.
    Text,
}

impl fmt::Display for RowsFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RowsFormat::Parquet => "parquet",
            RowsFormat::Csv => "csv",
            RowsFormat::Json => "json",
            RowsFormat::Ipc => "ipc",
            RowsFormat::Avro => "avro",
            RowsFormat::Text => "text",
        })
    }
}
