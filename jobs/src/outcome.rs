//! What a job that has ended gives to whoever ran it.

use arrow::buffer::Buffer;
use std::collections::BTreeMap;
use std::time::Duration;
use windrow_datasets::codec::{self, CodecError};
use windrow_datasets::commit::Manifest;
use windrow_datasets::location::Location;
use windrow_datasets::scan::Scan;
use windrow_datasets::storage::Traffic;
use windrow_datasets::{Batch, Record};

/// The result of a job.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The totals of the job's counters, by name.
    pub counters: BTreeMap<String, u64>,
    /// The outputs, in the order of the plan.
    pub outputs: Vec<(Location, Manifest)>,
    /// What it took.
    pub summary: Summary,
    collected: BTreeMap<String, Vec<u8>>,
}

/// What a job took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records that sources gave: without those that they left out by filters behind them.
    pub records_read: u64,
    /// Logical bytes of the sources.
    pub bytes_read: u64,
    /// Records in the outputs.
    pub records_written: u64,
    /// Bytes in the outputs.
    pub bytes_written: u64,
    /// Tasks that were done.
    pub tasks: u64,
    /// Attempts that failed or were lost.
    pub retries: u64,
    /// Records that were left out, since the job's code failed at them.
    pub left_out: u64,
    /// Bytes that went from process to process, or to disk, between stages.
    pub shuffle_bytes: u64,
    /// Bytes that did not fit the memory and went to scratch, compressed or not.
    pub spilled_bytes: u64,
    /// Bytes of blocks that workers had from other hosts before the tasks began that read them.
    pub fetched_ahead_bytes: u64,
    /// The most memory that a process that ran tasks of the job had, in bytes.
    pub memory_peak_bytes: u64,
    /// What went to and from object stores.
    pub traffic: Traffic,
    /// What sources that prune read, and what they left out.
    pub scan: Scan,
    /// Time from start to end.
    pub elapsed: Duration,
    /// Each stage: its name, its tasks, its time.
    pub stages: Vec<(String, u64, Duration)>,
}

/// Why collected rows could not be given.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// No dataset was collected by that name.
    #[error("no dataset was collected as `{name}`; there are: {present}")]
    Missing {
        /// The name.
        name: String,
        /// The names that there are.
        present: String,
    },
    /// The rows are of another type.
    #[error("the dataset collected as `{name}` has other records than {record}: {source}")]
    Type {
        /// The name.
        name: String,
        /// What was asked for.
        record: &'static str,
        /// What does not fit.
        source: CodecError,
    },
}

impl Outcome {
    /// An outcome with these collected frames, by name.
    pub fn with_collected(collected: BTreeMap<String, Vec<u8>>) -> Outcome {
        Outcome { collected, ..Outcome::default() }
    }

    /// The frames of all collected datasets, by name: to see whether two runs gave the same bytes.
    pub fn collected(&self) -> &BTreeMap<String, Vec<u8>> {
        &self.collected
    }

    /// The rows of a dataset that the job [collected](crate::Dataset::collect) by this name, in their order.
    ///
    /// # Errors
    /// If there is none, or its records are of another type than `T`.
    pub fn rows<T: Record>(&self, name: &str) -> Result<Vec<T>, RowsError> {
        let Some(bytes) = self.collected.get(name) else {
            let present: Vec<&str> = self.collected.keys().map(String::as_str).collect();
            return Err(RowsError::Missing { name: name.to_string(), present: present.join(", ") });
        };
        let mistyped = |source| RowsError::Type {
            name: name.to_string(),
            record: std::any::type_name::<T>(),
            source,
        };
        let mut rows = Vec::new();
        for frame in codec::frames(&Buffer::from_slice_ref(bytes)) {
            let batch = frame.and_then(|frame| codec::decode::<T>(&frame)).map_err(mistyped)?;
            rows.extend((0..batch.len()).map(|at| T::own(batch.get(at))));
        }
        Ok(rows)
    }
}
