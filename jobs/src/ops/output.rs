//! Where datasets go: sinks, and whoever ran the job.

use crate::dataset::Dataset;
use crate::error::{Error, Result};
use crate::graph::{CollectNode, Kind, SinkNode};
use crate::shuffle::collect::Collect;
use std::panic::Location as CodePlace;
use std::sync::Arc;
use windrow_datasets::columns::{Cols, Columns, KeyColumns, NamedColumns};
use windrow_datasets::formats::csv::CsvSink;
use windrow_datasets::formats::fixed::FixedSink;
use windrow_datasets::formats::ipc::IpcSink;
use windrow_datasets::formats::json::JsonSink;
use windrow_datasets::formats::parquet::ParquetSink;
use windrow_datasets::formats::text::TextSink;
use windrow_datasets::location::IntoLocations;
use windrow_datasets::{Record, Sink, TextRecord};

impl<T: Record> Dataset<T> {
    /// Writes the records to a folder, by a sink; formats of your own are written this way.
    ///
    /// # Errors
    /// If `output` is not one location.
    #[track_caller]
    pub fn write<S: Sink<Item = T>>(&self, sink: S, output: impl IntoLocations) -> Result<()> {
        self.write_as("write", CodePlace::caller(), sink, output)
    }

    fn write_as<S: Sink<Item = T>>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        sink: S,
        output: impl IntoLocations,
    ) -> Result<()> {
        let locations = output.into_locations();
        let place_text = || place.to_string();
        let location = match locations.get() {
            Ok([location]) => location.clone(),
            Ok(many) => {
                let reason = format!("an output is one location, and {} were given", many.len());
                return Err(Error::Plan { place: place_text(), reason });
            }
            Err(error) => {
                return Err(Error::Plan { place: place_text(), reason: error.to_string() });
            }
        };
        if let Err(reason) = sink.check() {
            return Err(Error::Plan { place: place_text(), reason });
        }
        let mut graph = self.flow.graph();
        if graph.sinks.iter().any(|sink| sink.location == location) {
            let reason = format!("{location}: two datasets cannot be written to one folder");
            return Err(Error::Plan { place: place_text(), reason });
        }
        let number = graph.sinks.len() as u32;
        graph.sinks.push(SinkNode { code: Arc::new(sink), location });
        drop(graph);
        let _: Dataset<T> = self.flow.add(operator, place, vec![self.node], Kind::Sink(number));
        Ok(())
    }

    /// Writes one line a record, in the form that [`TextRecord`] gives it: fields with tabs between them.
    ///
    /// # Errors
    /// If `output` is not one location.
    #[track_caller]
    pub fn write_text(&self, output: impl IntoLocations) -> Result<()>
    where
        T: TextRecord,
    {
        self.write_as("write_text", CodePlace::caller(), TextSink::new(), output)
    }

    /// Writes Parquet files: a column for each field of a struct or a tuple (`_0`, `_1`), or one column `value`. For other
    /// compression or row groups than usual, [`write`](Dataset::write) a
    /// [`ParquetSink`](windrow_datasets::formats::ParquetSink).
    ///
    /// # Errors
    /// If `output` is not one location.
    #[track_caller]
    pub fn write_parquet(&self, output: impl IntoLocations) -> Result<()> {
        self.write_as("write_parquet", CodePlace::caller(), ParquetSink::<T>::new(), output)
    }

    /// Writes Parquet files into folders by the values of one column or a tuple of them, as in `year=2024/month=7/`, the way
    /// of Hive and Spark; the columns are left out of the files. For other options than usual, [`write`](Dataset::write) a
    /// [`ParquetSink`](windrow_datasets::formats::ParquetSink) that is
    /// [partitioned](windrow_datasets::formats::ParquetSink::partitioned_by).
    ///
    /// Each task writes a file into each folder of which it has rows. Bring the rows of a folder together first, by
    /// [`partition_by`](Dataset::partition_by) or a sort, to have about one file in each.
    ///
    /// ```
    /// use windrow_datasets::Record;
    ///
    /// #[derive(Record)]
    /// # #[record(crate = "windrow_datasets")]
    /// struct Trip { year: i32, month: u8, fare: f64 }
    ///
    /// # let flow = windrow_jobs::Flow::new();
    /// let trips = flow.read_parquet::<Trip>("s3://trips/raw");
    /// trips
    ///     .partition_by(8, |trip| (trip.year, trip.month))
    ///     .write_parquet_by(|c| (c.year, c.month), "s3://trips/by-month")?;
    /// # windrow_jobs::Result::<()>::Ok(())
    /// ```
    ///
    /// # Errors
    /// If `output` is not one location; if no column is left for the files; if a column cannot name folders, since its
    /// name begins with `_`, as those of tuples do.
    #[track_caller]
    pub fn write_parquet_by<K: KeyColumns<T> + NamedColumns<T>>(
        &self,
        columns: impl FnOnce(Cols<T>) -> K,
        output: impl IntoLocations,
    ) -> Result<()>
    where
        T: Columns,
    {
        let sink = ParquetSink::<T>::new().partitioned_by(columns);
        self.write_as("write_parquet_by", CodePlace::caller(), sink, output)
    }

    /// Writes CSV files: a header with the names of the columns, as [`write_parquet`](Dataset::write_parquet) has them, and
    /// a row a record. For other options or compression, [`write`](Dataset::write) a
    /// [`CsvSink`](windrow_datasets::formats::CsvSink).
    ///
    /// # Errors
    /// If `output` is not one location.
    #[track_caller]
    pub fn write_csv(&self, output: impl IntoLocations) -> Result<()> {
        self.write_as("write_csv", CodePlace::caller(), CsvSink::<T>::new(), output)
    }

    /// Writes files of JSON lines, an object on each. For compression, [`write`](Dataset::write) a
    /// [`JsonSink`](windrow_datasets::formats::JsonSink).
    ///
    /// # Errors
    /// If `output` is not one location.
    #[track_caller]
    pub fn write_json(&self, output: impl IntoLocations) -> Result<()> {
        self.write_as("write_json", CodePlace::caller(), JsonSink::<T>::new(), output)
    }

    /// Writes Arrow IPC files, in the file format. For compression, [`write`](Dataset::write) an
    /// [`IpcSink`](windrow_datasets::formats::IpcSink).
    ///
    /// # Errors
    /// If `output` is not one location.
    #[track_caller]
    pub fn write_ipc(&self, output: impl IntoLocations) -> Result<()> {
        self.write_as("write_ipc", CodePlace::caller(), IpcSink::<T>::new(), output)
    }

    /// Gives the records to whoever ran the job, by this name; they must be few: a few megabytes.
    ///
    /// # Errors
    /// If two collected datasets of the job have one name.
    #[track_caller]
    pub fn collect(&self, name: impl Into<String>) -> Result<()> {
        let (place, name) = (CodePlace::caller(), name.into());
        let graph = self.flow.graph();
        if name.is_empty() || graph.collects.iter().any(|collect| collect.name == name) {
            let reason = format!("`{name}`: collected datasets need names, each another");
            return Err(Error::Plan { place: place.to_string(), reason });
        }
        drop(graph);
        let code = Arc::new(Collect::<T>::new());
        self.collected("collect", place, CollectNode { code, name, sample: false });
        Ok(())
    }
}

impl<const N: usize> Dataset<[u8; N]> {
    /// Writes the records one after the other, without anything between them.
    ///
    /// # Errors
    /// If `output` is not one location.
    #[track_caller]
    pub fn write_fixed(&self, output: impl IntoLocations) -> Result<()> {
        self.write_as("write_fixed", CodePlace::caller(), FixedSink::<N>::new(), output)
    }
}
