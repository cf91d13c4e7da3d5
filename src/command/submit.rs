//! `__submit`: submits a job of this program for a coordinator that was asked to over HTTP.
//!
//! What the job is to be comes on standard input, as JSON, and is read by the job's own flags alone: whoever asks a coordinator
//! says nothing about how this process runs. The flags are the coordinator's.

use super::Failed;
use super::run::{RunFlags, run_job};
use crate::registry::JobEntry;
use clap::{Args, Command, FromArgMatches};
use serde::Deserialize;
use std::io::Read;

/// The first word of such a command line.
pub(super) const SUBMIT: &str = "__submit";

/// The most bytes of what is asked for.
const BYTES_MAX: u64 = 1 << 20;

/// What is asked for.
#[derive(Debug, Deserialize)]
struct Asked {
    /// The job's name.
    job: String,
    /// Its arguments, as words of a command line.
    arguments: Vec<String>,
}

/// Submits a job as standard input says, and prints its name.
pub(super) fn submit(jobs: &[JobEntry]) -> Result<(), Failed> {
    let because = |why: String| Failed::Because(format!("submit: {why}"));
    let flags =
        RunFlags::augment_args(Command::new(SUBMIT)).get_matches_from(std::env::args_os().skip(1));
    let flags = RunFlags::from_arg_matches(&flags)?;
    let mut text = String::new();
    let read = std::io::stdin().take(BYTES_MAX).read_to_string(&mut text);
    read.map_err(|error| because(error.to_string()))?;
    let asked: Asked = serde_json::from_str(&text).map_err(|error| because(error.to_string()))?;
    let Some(entry) = jobs.iter().find(|job| job.name == asked.job) else {
        let names: Vec<&str> = jobs.iter().map(|job| job.name).collect();
        let names = names.join(", ");
        return Err(because(format!("there is no job `{}`; there are {names}", asked.job)));
    };
    let command = (entry.flags)(Command::new(entry.name)).no_binary_name(true);
    let matches = command.try_get_matches_from(asked.arguments)?;
    run_job(entry.name, &*(entry.of_flags)(&matches)?, &flags)
}
