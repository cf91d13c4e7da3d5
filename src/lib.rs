//! Windrow: a MapReduce-style parallel batch engine.
//!
//! A job is a struct of arguments and a plan function; closures in it get typed views of records. The same job runs in
//! this process, over local worker processes, and on a cluster, and gives the same bytes each time.
//!
//! ```
//! use windrow::prelude::*;
//!
//! #[derive(Serialize, Deserialize)]
//! struct Lengths;
//!
//! impl Job for Lengths {
//!     const NAME: &str = "lengths";
//!
//!     fn plan(&self, flow: &Flow) -> Result<()> {
//!         flow.from_iter(["a".to_string(), "bb".to_string(), "cc".to_string()])
//!             .map(|word| (word.len() as u64, 1u64))
//!             .sum_by_key()
//!             .sort_by_key()
//!             .collect("lengths")
//!     }
//! }
//!
//! let outcome = Local::new().threads(2).run(&Lengths)?;
//! assert_eq!(outcome.rows::<(u64, u64)>("lengths")?, [(1, 1), (2, 2)]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it has |
//! |---|---|
//! | [`prelude`] | what a job needs |
//! | [`record`], [`location`], [`formats`] | what records are, and where they lie |
//! | [`columns`] | columns by name: keys, aggregates and predicates that the plan sees |
//! | [`ops`] | what can be done with datasets |
//! | [`source`], [`sink`] | the traits of formats, for your own |
//! | [`main`], [`jobs!`](crate::jobs) | a program with the whole command line |

mod allocator;
mod binary;
mod cluster;
mod command;
mod config;
mod doctor;
mod error;
mod hosts;
mod launcher;
mod local;
#[cfg(doctest)]
mod pages;
mod registry;
mod replay;
mod state;
mod telemetry;
mod trace;

// For tests that have worker processes of their own.
pub use binary::BinaryError;
#[doc(hidden)]
pub use binary::own as own_binary;
pub use cluster::Cluster;
pub use command::main;
pub use error::RunError;
pub use local::Local;
pub use registry::{JobEntry, library};
#[doc(hidden)]
pub use replay::{ReplayError, Replayed, TaskReplay};
// What `#[derive(Record)]` writes names the crate by this path.
#[doc(hidden)]
pub use windrow_datasets as datasets;
pub use windrow_datasets::{
    Batch, Builder, Col, Cols, Columns, Heap, Key, Record, Sink, Source, TextRecord, codec,
    columns, commit, formats, generate, location, place, push, record, sink, source, storage,
};
pub use windrow_jobs::shuffle::Combining;
pub use windrow_jobs::{
    Broadcast, Counter, Dataset, Error, Flow, Job, JobArgs, Lookup, Out, Outcome, Result,
    RowsError, Summary, Values, exec, ops, plan,
};
pub use windrow_protocol::claim::Needs;
pub use windrow_protocol::failure::{Failure, FailureClass};

/// What a job needs, in one line: `use windrow::prelude::*`.
pub mod prelude {
    pub use crate::jobs;
    pub use crate::location::{Location, Locations};
    pub use crate::record::{Date, Decimal, Encoded, LocalTimestamp, Record, Timestamp};
    pub use crate::{Columns, Dataset, Error, Flow, Job, Key, Local, Result};
    pub use clap::Args;
    pub use serde::{Deserialize, Serialize};
    pub use std::process::ExitCode;
}

/// The jobs of a program, for [`main`](crate::main): `windrow::main(jobs![Fares, Tips])`.
#[macro_export]
macro_rules! jobs {
    ($($job:ty),* $(,)?) => {
        vec![$($crate::JobEntry::of::<$job>()),*]
    };
}
