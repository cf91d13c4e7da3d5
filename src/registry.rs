//! The jobs that a program has, without their types.

use crate::error::RunError;
use clap::{ArgMatches, Args, Command};
use windrow_jobs::library::{
    Components, Convert, Distinct, GenerateTpch, Grep, Index, Kmeans, Measurements, Pagerank,
    Profile, Sample, Terasort, TerasortValidate, Wordcount,
};
use windrow_jobs::plan::Plan;
use windrow_jobs::{Job, Outcome};

/// A job of a program: how its flags are read, and how it is made of what other processes were sent.
#[derive(Clone, Copy)]
pub struct JobEntry {
    pub(crate) name: &'static str,
    pub(crate) flags: fn(Command) -> Command,
    pub(crate) of_flags: fn(&ArgMatches) -> Result<Box<dyn AnyJob>, clap::Error>,
    pub(crate) of_json: fn(&str) -> Result<Box<dyn AnyJob>, serde_json::Error>,
}

impl JobEntry {
    /// The entry of a job type; made by [`jobs!`](crate::jobs).
    pub fn of<J: Job + Args>() -> JobEntry {
        JobEntry {
            name: J::NAME,
            flags: |command| J::augment_args(command),
            of_flags: |matches| Ok(Box::new(J::from_arg_matches(matches)?)),
            of_json: |json| Ok(Box::new(J::from_json(json)?)),
        }
    }
}

/// A [`Job`] without its type.
pub(crate) trait AnyJob: Send + Sync {
    /// The job's plan.
    fn plan(&self) -> windrow_jobs::Result<Plan>;
    /// The job's arguments.
    fn arguments(&self) -> Result<String, RunError>;
    /// What is shown when it has succeeded.
    fn show(&self, outcome: &Outcome) -> Option<String>;
}

impl<J: Job> AnyJob for J {
    fn plan(&self) -> windrow_jobs::Result<Plan> {
        Plan::of(self)
    }

    fn show(&self, outcome: &Outcome) -> Option<String> {
        Job::show(self, outcome)
    }

    fn arguments(&self) -> Result<String, RunError> {
        self.to_json().map_err(|source| RunError::Arguments { job: J::NAME, source })
    }
}

/// The ready jobs, as the `windrow` binary has them.
pub fn library() -> Vec<JobEntry> {
    crate::jobs![
        Wordcount,
        Grep,
        Distinct,
        Index,
        Terasort,
        TerasortValidate,
        Measurements,
        Pagerank,
        Components,
        Kmeans,
        Convert,
        Sample,
        Profile,
        GenerateTpch
    ]
}
