//! A job: arguments, and a plan function that is pure in them.

use crate::error::Result;
use crate::flow::Flow;
use crate::outcome::Outcome;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What a job's arguments must be, so that all processes of a cluster can have them: serde's `Serialize` and
/// `Deserialize`. Implemented for all that have both.
#[diagnostic::on_unimplemented(
    message = "job `{Self}` cannot be sent to workers",
    label = "a job's fields are its arguments, which travel",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`"
)]
pub trait JobArgs: Sized + Send + Sync + 'static {
    /// The arguments as JSON.
    ///
    /// # Errors
    /// If a field cannot be JSON, as a map whose keys are no text.
    fn to_json(&self) -> Result<String, serde_json::Error>;

    /// What [`JobArgs::to_json`] was given.
    ///
    /// # Errors
    /// If the text is not of this job.
    fn from_json(json: &str) -> Result<Self, serde_json::Error>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> JobArgs for T {
    fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    fn from_json(json: &str) -> Result<T, serde_json::Error> {
        serde_json::from_str(json)
    }
}

/// A job. Its fields are its arguments; [`plan`](Job::plan) says what is to be done with them.
///
/// The plan function runs in every process of the job, with the same arguments, and has to give the same plan: it must
/// not look at the time, the machine or the environment.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use windrow_jobs::{Flow, Job, Result};
///
/// #[derive(Serialize, Deserialize)]
/// struct LongLines { input: String, output: String, least: usize }
///
/// impl Job for LongLines {
///     const NAME: &str = "long-lines";
///
///     fn plan(&self, flow: &Flow) -> Result<()> {
///         let least = self.least;
///         flow.read_lines(&self.input).filter(move |line| line.len() >= least).write_text(&self.output)
///     }
/// }
/// ```
pub trait Job: JobArgs {
    /// What it is called on the command line.
    const NAME: &'static str;

    /// Builds the plan in `flow`.
    ///
    /// # Errors
    /// Whatever makes the plan impossible.
    fn plan(&self, flow: &Flow) -> Result<()>;

    /// What the command line shows on standard output when the job has succeeded: nothing, unless it says so.
    fn show(&self, _outcome: &Outcome) -> Option<String> {
        None
    }
}
