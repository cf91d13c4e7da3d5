//! Reads Avro files as records.

use super::blocks::Records;
use super::file::AvroFile;
use crate::columns::Predicate;
use crate::formats::bind::{Names, Wanted, bind_error};
use crate::formats::compression::Compression;
use crate::formats::files::{self, LaneFile, Sizes, lane_files};
use crate::formats::folders::ByFolder;
use crate::formats::text::RowsOfFile;
use crate::location::{IntoLocations, Locations};
use crate::place;
use crate::push::{BATCH_RECORDS, Demand, Push};
use crate::record::{Batch, Record};
use crate::source::{Pruned, Source, SourceDescription, SourceError, Split};
use crate::storage::{Object, Storage};
use arrow::datatypes::Fields;
use arrow::error::ArrowError;
use arrow_avro::reader::{Decoder, DecoderMode, ReaderBuilder};
use arrow_avro::schema::{AvroSchema, SchemaStore};
use std::sync::Arc;

/// The rows of Avro object container files. Which columns are read is what `T` names.
#[derive(Debug)]
pub struct AvroSource<T: Record> {
    locations: Locations,
    wanted: Wanted,
    sizes: Sizes,
    by_folder: ByFolder<T>,
}

impl<T: Record> AvroSource<T> {
    /// The rows of all files at these locations, in order.
    pub fn new(locations: impl IntoLocations) -> AvroSource<T> {
        AvroSource::of(locations.into_locations(), Wanted::of::<T>())
    }

    /// The same with other columns than those that the type says.
    pub(crate) fn of(locations: Locations, wanted: Wanted) -> AvroSource<T> {
        AvroSource { locations, wanted, sizes: Sizes::default(), by_folder: ByFolder::default() }
    }

    /// Other sizes, to see that they do not matter.
    #[cfg(test)]
    pub(in crate::formats) fn with_sizes(self, sizes: Sizes) -> Self {
        Self { sizes, ..self }
    }

    fn read_part(
        &self,
        storage: &Storage,
        part: &LaneFile,
        out: &mut dyn Push<T>,
    ) -> Result<Demand, SourceError> {
        let file = AvroFile::open(storage, &part.object)?;
        let found = columns(&file)?;
        let given = self.wanted.given(&part.object.location)?;
        let names = Names::new(&self.wanted, &found).with_given(given);
        let positions = names.positions(&found);
        let projected: Fields = positions.iter().map(|&at| found[at].clone()).collect();
        let check = names.check::<T>(&projected, &found);
        check.map_err(|e| bind_error(&part.object.location, e, 0))?;
        let (blocks, bytes) = file.blocks(&part.range)?;
        let decoder = file.run(|| decoder(file.schema(), positions))?;
        let mut records = Records::new(&file, decoder, blocks, bytes);
        let mut first = 0;
        while let Some(decoded) = file.run(|| records.next())? {
            let rows = RowsOfFile { file: part, first };
            let batch = names.records::<T>(&decoded).map_err(|e| rows.bind_error(e))?;
            if place::push(out, &batch, &rows)? == Demand::Enough {
                return Ok(Demand::Enough);
            }
            first += batch.len() as u64;
        }
        Ok(Demand::More)
    }
}

/// Text is not read as views: the decoder forgets which of them are null.
fn builder() -> ReaderBuilder {
    ReaderBuilder::new().with_batch_size(BATCH_RECORDS)
}

/// Decodes records of this schema, one at a time; of their columns those at these positions.
fn decoder(schema: &AvroSchema, positions: Vec<usize>) -> Result<Decoder, ArrowError> {
    let mut store = SchemaStore::new();
    let fingerprint = store.register(schema.clone())?;
    builder()
        .with_reader_schema(schema.clone())
        .with_projection(positions)
        .with_writer_schema_store(store)
        .with_active_fingerprint(fingerprint)
        .with_decoder_mode(DecoderMode::UnframedDatum)
        .build_decoder()
}

/// The columns of a file.
pub(crate) fn columns(file: &AvroFile) -> Result<Fields, SourceError> {
    let reader = file.run(|| builder().build(file.empty()))?;
    Ok(reader.schema().fields().clone())
}

impl<T: Record> Source for AvroSource<T> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription {
            format: "avro".to_string(),
            locations: self.locations.names(),
            columns: Some(self.wanted.names()),
        }
    }

    fn pruned(&self, predicate: Arc<Predicate<T>>) -> Option<Pruned<Self>> {
        let source = AvroSource {
            locations: self.locations.clone(),
            wanted: self.wanted.clone(),
            sizes: self.sizes,
            by_folder: self.by_folder.and(predicate),
        };
        Some(Pruned { source, exact: false })
    }

    fn split(
        &self,
        storage: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let look = |object: &Object| {
            let wanted = self.by_folder.may_hold(storage, &self.wanted, object)?;
            Ok(wanted.then_some(Compression::None))
        };
        files::split(storage, &self.locations, self.sizes, &look, out)
    }

    fn read(
        &self,
        storage: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        for part in lane_files(split, lane)? {
            if self.read_part(storage, &part, out)? == Demand::Enough {
                break;
            }
        }
        Ok(())
    }
}
