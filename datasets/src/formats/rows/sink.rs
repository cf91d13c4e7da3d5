//! Writes rows of one column as lines.

use crate::formats::columns::{CannotWrite, columns_of};
use crate::formats::compression::TextCompression;
use crate::push::{PushError, Selection};
use crate::record::Row;
use crate::sink::{EncodeLane, EncodePart, Sink};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::DataType;
use std::io::Write;

/// Writes the one column of rows as lines; nothing is escaped, and a null is an empty line.
#[derive(Clone, Copy, Debug, Default)]
pub struct RowsTextSink {
    compression: TextCompression,
}

impl RowsTextSink {
    /// A sink for files `part-….txt`.
    pub fn new(compression: TextCompression) -> RowsTextSink {
        RowsTextSink { compression }
    }
}

impl Sink for RowsTextSink {
    type Item = Row;
    type Chunk = Vec<u8>;

    fn format(&self) -> String {
        "text".to_string()
    }

    fn extension(&self) -> String {
        self.compression.extension("txt")
    }

    fn lane(&self) -> Box<dyn EncodeLane<Row, Vec<u8>>> {
        Box::new(Lines { compression: self.compression, text: Vec::new() })
    }

    fn part(&self) -> Box<dyn EncodePart<Vec<u8>>> {
        Box::new(Part)
    }

    fn pieces<'a>(&self, chunk: &'a Vec<u8>) -> Option<Vec<&'a [u8]>> {
        Some(vec![chunk])
    }
}

struct Lines {
    compression: TextCompression,
    text: Vec<u8>,
}

impl EncodeLane<Row, Vec<u8>> for Lines {
    fn batch(
        &mut self,
        batch: &crate::record::RowBatch,
        selection: Selection<'_>,
    ) -> Result<(), PushError> {
        let Some(columns) = columns_of::<Row>(batch, selection)? else { return Ok(()) };
        let [column] = columns.columns() else {
            let count = columns.num_columns();
            return Err(Box::new(CannotWrite(format!(
                "text is one column, and there are {count}; write csv or json, or read lines (--from text)"
            ))));
        };
        let lines = cast(column, &DataType::Binary)?;
        for line in lines.as_binary::<i32>() {
            self.text.extend_from_slice(line.unwrap_or_default());
            self.text.push(b'\n');
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, PushError> {
        Ok(self.compression.compress(self.text)?)
    }
}

struct Part;

impl EncodePart<Vec<u8>> for Part {
    fn write(&mut self, chunk: Vec<u8>, file: &mut dyn Write) -> Result<(), PushError> {
        Ok(file.write_all(&chunk)?)
    }

    fn finish(self: Box<Self>, _file: &mut dyn Write) -> Result<(), PushError> {
        Ok(())
    }
}
