//! Reads files of any format as rows.

use super::{RowsFormat, format_of, schema_of};
use crate::formats::bind::Wanted;
use crate::formats::csv::{CsvOptions, CsvSource};
use crate::formats::{AvroSource, IpcSource, JsonSource, ParquetSource, TextSource};
use crate::location::Locations;
use crate::push::{Demand, Push, PushError, Selection};
use crate::record::{Batch, Row, RowBatch};
use crate::source::{Source, SourceDescription, SourceError, Split};
use crate::storage::Storage;
use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::{cast, take};
use arrow::datatypes::{Fields, Schema};
use arrow::ipc::convert::{IpcSchemaEncoder, try_fb_to_schema};
use arrow::ipc::root_as_schema;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, PoisonError};

/// How files are read as rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowsOptions {
    /// The format; what the first file is, if it is not said.
    pub format: Option<RowsFormat>,
    /// How CSV is written down.
    pub csv: CsvOptions,
    /// All columns of CSV are text, whatever they look like.
    pub text: bool,
}

/// The rows of files of any format; they have the columns of the first file that is not empty.
#[derive(Debug)]
pub struct RowsSource {
    locations: Locations,
    options: RowsOptions,
    /// The reader that was used last, since the lanes of a job need the same one.
    recent: Mutex<Option<(Head, Arc<Reader>)>>,
}

/// What all splits of a source have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Head {
    format: RowsFormat,
    /// The columns, as Arrow IPC has them.
    schema: Vec<u8>,
}

/// What a [`Split`] holds.
#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    head: Head,
    inner: Vec<u8>,
}

#[derive(Debug)]
enum Reader {
    Parquet(ParquetSource<Row>),
    Csv(CsvSource<Row>),
    Json(JsonSource<Row>),
    Ipc(IpcSource<Row>),
    Avro(AvroSource<Row>),
    Text(TextSource<String>, Fields),
}

impl RowsSource {
    /// The rows of all files at these locations, in order.
    pub fn new(locations: Locations, options: RowsOptions) -> RowsSource {
        RowsSource { locations, options, recent: Mutex::default() }
    }

    fn reader(&self, head: &Head) -> Result<Arc<Reader>, SourceError> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, reader)) = &*recent
            && known == head
        {
            return Ok(reader.clone());
        }
        let schema = decode_schema(&head.schema).ok_or_else(foreign)?;
        let wanted = Wanted::rows(schema.fields().clone());
        let locations = self.locations.clone();
        let reader = Arc::new(match head.format {
            RowsFormat::Parquet => Reader::Parquet(ParquetSource::of(locations, wanted)),
            RowsFormat::Csv => {
                let source = CsvSource::of(locations, wanted);
                Reader::Csv(source.with_options(self.options.csv.clone()))
            }
            RowsFormat::Json => Reader::Json(JsonSource::of(locations, wanted)),
            RowsFormat::Ipc => Reader::Ipc(IpcSource::of(locations, wanted)),
            RowsFormat::Avro => Reader::Avro(AvroSource::of(locations, wanted)),
            RowsFormat::Text => Reader::Text(TextSource::new(locations), wanted.fields),
        });
        *recent = Some((head.clone(), reader.clone()));
        Ok(reader)
    }

    /// The columns of the first file that is not empty; `None` if there is none.
    fn head(&self, storage: &Storage) -> Result<Option<Head>, SourceError> {
        let Some(first) = storage.first(&self.locations, |object| object.size > 0)? else {
            return Ok(None);
        };
        let format = match self.options.format {
            Some(format) => format,
            None => format_of(storage, &first)?,
        };
        let fields = schema_of(storage, &first, format, &self.options)?;
        let schema = encode_schema(&Schema::new(fields));
        Ok(Some(Head { format, schema }))
    }
}

/// A schema as bytes.
pub fn encode_schema(schema: &Schema) -> Vec<u8> {
    IpcSchemaEncoder::new().schema_to_fb(schema).finished_data().to_vec()
}

/// The schema of bytes; `None` if they are of none.
pub fn decode_schema(bytes: &[u8]) -> Option<Schema> {
    try_fb_to_schema(root_as_schema(bytes).ok()?).ok()
}

fn foreign() -> SourceError {
    SourceError::Input {
        location: "a split of files as rows".to_string(),
        reason: "the split is not of this source; all processes must run the same binary"
            .to_string(),
    }
}

impl Source for RowsSource {
    type Item = Row;

    fn describe(&self) -> SourceDescription {
        let format = self.options.format.map_or("rows".to_string(), |format| format.to_string());
        SourceDescription { format, locations: self.locations.names(), columns: None }
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let Some(head) = self.head(storage)? else { return Ok(()) };
        let mut wrap = |split: Split| {
            let payload = Payload { head: head.clone(), inner: split.payload };
            let payload = postcard::to_stdvec(&payload).expect("bytes can be encoded");
            out(Split { payload, ..split })
        };
        match &*self.reader(&head)? {
            Reader::Parquet(source) => source.split(storage, &mut wrap),
            Reader::Csv(source) => source.split(storage, &mut wrap),
            Reader::Json(source) => source.split(storage, &mut wrap),
            Reader::Ipc(source) => source.split(storage, &mut wrap),
            Reader::Avro(source) => source.split(storage, &mut wrap),
            Reader::Text(source, _) => source.split(storage, &mut wrap),
        }
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<Row>,
    ) -> Result<(), SourceError> {
        let payload: Payload = postcard::from_bytes(&split.payload).map_err(|_| foreign())?;
        let split = Split { payload: payload.inner, ..split.clone() };
        match &*self.reader(&payload.head)? {
            Reader::Parquet(source) => source.read(storage, &split, lane, out),
            Reader::Csv(source) => source.read(storage, &split, lane, out),
            Reader::Json(source) => source.read(storage, &split, lane, out),
            Reader::Ipc(source) => source.read(storage, &split, lane, out),
            Reader::Avro(source) => source.read(storage, &split, lane, out),
            Reader::Text(source, fields) => {
                let mut lines = LineRows { fields: fields.clone(), out };
                source.read(storage, &split, lane, &mut lines)
            }
        }
    }
}

/// Lines as rows of one column.
struct LineRows<'a> {
    fields: Fields,
    out: &'a mut dyn Push<Row>,
}

impl Push<String> for LineRows<'_> {
    fn batch(
        &mut self,
        batch: &<String as crate::Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        let mut lines = batch.to_array();
        if let Selection::Rows(rows) = selection
            && rows.len() < lines.len()
        {
            lines = take(&lines, &UInt32Array::from(rows.to_vec()), None)?;
        }
        let lines = cast(&lines, self.fields[0].data_type())?;
        let schema = Arc::new(Schema::new(self.fields.clone()));
        let rows = RowBatch::new(RecordBatch::try_new(schema, vec![lines])?);
        self.out.batch(&rows, Selection::All)
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish()
    }
}
