//! What a job is: typed operators on datasets, the plan that they make, and what runs inside a lane of it.
//!
//! A [`Job`] builds its plan in a [`Flow`]: [`Dataset`]s and the operators on them ([`ops`]). [`plan::Plan`] cuts that into
//! stages, which are run by whoever has workers and storage: this crate knows neither. Inside a stage records are pushed
//! from the root through a chain of operators ([`exec`]) into sinks and shuffles ([`shuffle`]).

pub mod checked;
mod dataset;
mod error;
pub mod exec;
mod flow;
mod graph;
mod job;

pub mod library;
pub mod ops;
mod outcome;
pub mod plan;
pub mod shuffle;

pub use dataset::Dataset;
pub use error::{Error, Result};
pub use flow::{Counter, Flow};
pub use graph::SourceCode;
pub use job::{Job, JobArgs};
pub use ops::{Broadcast, Lookup, Out, Values};
pub use outcome::{Outcome, RowsError, Summary};
pub use shuffle::collect::{CollectCode, LaneFrames};
