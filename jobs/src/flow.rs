//! A flow: what a plan function builds datasets in.

use crate::dataset::Dataset;
use crate::graph::{Graph, Kind, Node, NodeId};
use crate::ops::tee::{close, discard, end, tee};
use std::panic::Location as CodePlace;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use windrow_datasets::formats::avro::AvroSource;
use windrow_datasets::formats::csv::CsvSource;
use windrow_datasets::formats::fixed::FixedSource;
use windrow_datasets::formats::ipc::IpcSource;
use windrow_datasets::formats::json::JsonSource;
use windrow_datasets::formats::memory::{GeneratedSource, MemorySource};
use windrow_datasets::formats::parquet::ParquetSource;
use windrow_datasets::formats::text::{FileLinesSource, LineText, TextSource, WordsSource};
use windrow_datasets::location::IntoLocations;
use windrow_datasets::{Record, Source};

/// Where a plan begins: reads datasets, and makes counters. Cheap to clone; all clones are one flow.
#[derive(Clone, Default)]
pub struct Flow {
    graph: Arc<Mutex<Graph>>,
}

impl Flow {
    /// A flow without datasets.
    pub fn new() -> Flow {
        Flow::default()
    }

    pub(crate) fn graph(&self) -> MutexGuard<'_, Graph> {
        self.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the graph out, for the plan.
    pub(crate) fn take(&self) -> Graph {
        std::mem::take(&mut *self.graph())
    }

    /// Adds a node, and gives its dataset.
    pub(crate) fn add<T: Record>(
        &self,
        operator: &'static str,
        place: &'static CodePlace<'static>,
        inputs: Vec<NodeId>,
        kind: Kind,
    ) -> Dataset<T> {
        let mut graph = self.graph();
        let node = graph.nodes.len();
        let gates = graph.loops.iter().filter_map(|of| of.gate).collect();
        graph.nodes.push(Node {
            operator,
            detail: String::new(),
            predicate: None,
            by_key: false,
            probes: None,
            passes: 1.0,
            row: std::any::type_name::<T>(),
            place,
            inputs,
            kind,
            gates,
            until_empty: None,
            close: close::<T>,
            end: end::<T>,
            tee: tee::<T>,
            discard: discard::<T>,
        });
        drop(graph);
        Dataset::new(self.clone(), node)
    }

    /// The records of a source; formats of your own are read this way.
    #[track_caller]
    pub fn read<S: Source>(&self, source: S) -> Dataset<S::Item> {
        self.read_as("read", source, CodePlace::caller())
    }

    fn read_as<S: Source>(
        &self,
        operator: &'static str,
        source: S,
        place: &'static CodePlace<'static>,
    ) -> Dataset<S::Item> {
        self.add(operator, place, Vec::new(), Kind::Source(Arc::new(source)))
    }

    /// The lines of text files, as `String`: text that is not UTF-8 is an error. Files may be compressed with gzip
    /// (`.gz`), zstd (`.zst`), lz4 (`.lz4`), bzip2 (`.bz2`) or snappy (`.sz`).
    ///
    /// ```
    /// use windrow_jobs::Flow;
    ///
    /// let flow = Flow::new();
    /// let errors = flow.read_lines("/var/log/**/*.log").filter(|line| line.contains("ERROR"));
    /// ```
    #[track_caller]
    pub fn read_lines(&self, locations: impl IntoLocations) -> Dataset<String> {
        self.read_as("read_lines", TextSource::new(locations), CodePlace::caller())
    }

    /// The lines of text files as `String` or as [`Bytes`](bytes::Bytes), for which any bytes do.
    #[track_caller]
    pub fn read_lines_as<T: LineText>(&self, locations: impl IntoLocations) -> Dataset<T> {
        self.read_as("read_lines", TextSource::<T>::new(locations), CodePlace::caller())
    }

    /// The lines of text files, each behind the location of its file: `(file, line)`. Lines are `String` or
    /// [`Bytes`](bytes::Bytes).
    ///
    /// ```
    /// # let flow = windrow_jobs::Flow::new();
    /// let logs = flow.read_file_lines::<String>("/var/log/**/*.log");
    /// let errors_of_each = logs.filter(|(_, line)| line.contains("ERROR")).count_by_key();
    /// ```
    #[track_caller]
    pub fn read_file_lines<T: LineText>(
        &self,
        locations: impl IntoLocations,
    ) -> Dataset<(String, T)> {
        let source = FileLinesSource::<T>::new(locations);
        self.read_as("read_file_lines", source, CodePlace::caller())
    }

    /// The rows of Parquet files. A derived record's fields name the columns that are read, and no others are.
    ///
    /// ```
    /// use windrow_datasets::Record;
    ///
    /// #[derive(Record)]
    /// # #[record(crate = "windrow_datasets")]
    /// struct Trip { zone_id: u32, fare: f64 }
    ///
    /// # let flow = windrow_jobs::Flow::new();
    /// let fares = flow.read_parquet::<Trip>("s3://trips/2026").map(|t| (t.zone_id, t.fare)).sum_by_key();
    /// ```
    #[track_caller]
    pub fn read_parquet<T: Record>(&self, locations: impl IntoLocations) -> Dataset<T> {
        self.read_as("read_parquet", ParquetSource::<T>::new(locations), CodePlace::caller())
    }

    /// The rows of CSV files, whose first row names the columns. A derived record's fields say which columns are parsed,
    /// and as what. For other options than usual, [`read`](Flow::read) a [`CsvSource`] that has them. Files may be
    /// compressed, as those of lines.
    ///
    /// ```
    /// use windrow_datasets::Record;
    ///
    /// #[derive(Record)]
    /// # #[record(crate = "windrow_datasets")]
    /// struct Trip { zone_id: u32, fare: Option<f64> }
    ///
    /// # let flow = windrow_jobs::Flow::new();
    /// let paid = flow.read_csv::<Trip>("trips/*.csv.gz").filter(|t| t.fare.is_some());
    /// ```
    #[track_caller]
    pub fn read_csv<T: Record>(&self, locations: impl IntoLocations) -> Dataset<T> {
        self.read_as("read_csv", CsvSource::<T>::new(locations), CodePlace::caller())
    }

    /// The objects of files of JSON lines, one on each. A derived record's fields say which members are read, and as
    /// what. Files may be compressed, as those of lines.
    #[track_caller]
    pub fn read_json<T: Record>(&self, locations: impl IntoLocations) -> Dataset<T> {
        self.read_as("read_json", JsonSource::<T>::new(locations), CodePlace::caller())
    }

    /// The rows of Arrow IPC files, in the file format or as streams. A derived record's fields name the columns that are
    /// read.
    #[track_caller]
    pub fn read_ipc<T: Record>(&self, locations: impl IntoLocations) -> Dataset<T> {
        self.read_as("read_ipc", IpcSource::<T>::new(locations), CodePlace::caller())
    }

    /// The rows of Avro object container files. A derived record's fields name the columns that are read.
    #[track_caller]
    pub fn read_avro<T: Record>(&self, locations: impl IntoLocations) -> Dataset<T> {
        self.read_as("read_avro", AvroSource::<T>::new(locations), CodePlace::caller())
    }

    /// The words of text files: runs of bytes other than ASCII white space. Faster than splitting lines.
    #[track_caller]
    pub fn read_words(&self, locations: impl IntoLocations) -> Dataset<bytes::Bytes> {
        self.read_as("read_words", WordsSource::new(locations), CodePlace::caller())
    }

    /// The records of files that consist of records of `N` bytes each.
    #[track_caller]
    pub fn read_fixed<const N: usize>(&self, locations: impl IntoLocations) -> Dataset<[u8; N]> {
        self.read_as("read_fixed", FixedSource::<N>::new(locations), CodePlace::caller())
    }

    /// The records of an iterator, which every process runs: it must give the same each time.
    #[track_caller]
    pub fn from_iter<T: Record>(&self, records: impl IntoIterator<Item = T>) -> Dataset<T> {
        let source = MemorySource::new(records);
        self.read_as("from_iter", source, CodePlace::caller())
    }

    /// `count` records, made from their numbers.
    #[track_caller]
    pub fn generate<T: Record>(
        &self,
        count: u64,
        make: impl Fn(u64) -> T + Send + Sync + 'static,
    ) -> Dataset<T> {
        self.read_as("generate", GeneratedSource::new(count, make), CodePlace::caller())
    }

    /// A counter, to be used in closures; its total is in the job's result. Attempts that fail do not count.
    pub fn counter(&self, name: impl Into<String>) -> Counter {
        let mut graph = self.graph();
        let name = name.into();
        let at = graph.counters.iter().position(|there| *there == name).unwrap_or_else(|| {
            graph.counters.push(name);
            graph.counters.len() - 1
        });
        Counter(at as u32)
    }
}

/// Counts something in closures. `Copy`, so that closures can have it without a clone.
#[derive(Clone, Copy, Debug)]
pub struct Counter(u32);

impl Counter {
    /// Adds to the count of the task that runs on this thread.
    pub fn add(self, more: u64) {
        crate::exec::count(self.0, more);
    }
}
