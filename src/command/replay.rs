//! `replay`: one task of a job again, in this process.

use super::jobs::{TaskName, job_id, task_name};
use super::quantity::human;
use super::security::OnCluster;
use super::worker::Plans;
use super::{Failed, number_of, tell};
use crate::registry::JobEntry;
use crate::replay::{Replayed, TaskReplay};
use crate::{cluster, local};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use windrow_datasets::commit::StagedFiles;
use windrow_datasets::location::Location;
use windrow_datasets::memory;
use windrow_protocol::client::Client;
use windrow_protocol::ids::{JobId, TaskKind};
use windrow_protocol::task::TaskOutput;
use windrow_worker::executor_process::note_places_of_panics;

/// `windrow replay`.
#[derive(Args, Debug)]
pub(crate) struct ReplayFlags {
    /// The job, as in j7, which runs or has ended
    #[arg(value_parser = job_id)]
    job: JobId,
    /// The task, as in s1/3: its stage, and its number in it; s0/split is the one that lists what stage s0 reads
    #[arg(value_name = "STAGE/PARTITION", value_parser = task_name)]
    task: TaskName,
    #[command(flatten)]
    on: OnCluster,
    /// Keep the files that the task writes, in this folder, which must not hold any yet
    #[arg(long, value_name = "LOCATION")]
    output: Option<Location>,
    /// Threads that compute
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Memory: what does not fit goes to scratch [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = super::quantity::bytes)]
    memory: Option<u64>,
    /// The folder for what does not fit the memory, and for shuffles; several, if given more than once, are used by turns
    /// [default: that of the system for temporary files]
    #[arg(long, value_name = "DIR")]
    scratch: Vec<PathBuf>,
    /// Tell nothing on the way
    #[arg(long)]
    quiet: bool,
}

impl ReplayFlags {
    pub(super) fn run(self, jobs: Vec<JobEntry>) -> Result<(), Failed> {
        note_places_of_panics();
        let because = |error: &dyn std::fmt::Display| Failed::Because(error.to_string());
        let TaskName { stage, kind, partition } = self.task;
        let said = |line: &dyn std::fmt::Display| {
            if !self.quiet {
                tell(&format!("{line}\n"));
            }
        };
        let credentials = self.on.security.credentials()?;
        let replayed = cluster::runtime()?.block_on(async {
            let client = Client::connect(&self.on.cluster, credentials).await;
            let client = client.map_err(|error| Failed::Because(format!("replay: {error}")))?;
            let replay = TaskReplay {
                client: &client,
                plans: Arc::new(Plans::of(jobs)),
                job: self.job,
                stage,
                kind,
                partition,
                output: self.output,
                threads: self.threads.map_or_else(local::threads, usize::from),
                memory: self.memory.unwrap_or_else(memory::of_machine),
                scratch: match &self.scratch[..] {
                    [] => vec![std::env::temp_dir()],
                    given => given.to_vec(),
                },
                tell: &said,
            };
            replay.run().await.map_err(|error| because(&error))
        })?;
        let other = replayed.differences();
        super::print(&shown(&replayed, kind, other.is_empty()))?;
        match &other[..] {
            [] => Ok(()),
            other => Err(Failed::Because(format!(
                "task {} made other {} than attempt {} did: its code is not deterministic, or is of another build, or what it reads was changed",
                replayed.attempt.task,
                other.join(" and "),
                replayed.attempt
            ))),
        }
    }
}

/// What is told on standard output.
fn shown(replayed: &Replayed, kind: TaskKind, same: bool) -> String {
    let Replayed { attempt, made, output } = replayed;
    let compared = match (made, kind) {
        (Some(_), _) if same => format!("; the same as attempt {attempt} made"),
        (None, TaskKind::Compute) => "; no attempt of it was done when the job ran".to_string(),
        _ => String::new(),
    };
    format!("task {}: {}{compared}\n", attempt.task, made_by(output, kind))
}

/// What a task has made, in short.
fn made_by(output: &TaskOutput, kind: TaskKind) -> String {
    if kind == TaskKind::Split {
        let bytes = output.splits.iter().map(|split| split.bytes).sum();
        return format!("{}, {}", number_of(output.splits.len() as u64, "split"), human(bytes));
    }
    let mut parts = Vec::new();
    if !output.shuffles.is_empty() {
        let rows = output.shuffles.iter().map(|made| made.rows).sum();
        parts.push(format!("{} into shuffles", number_of(rows, "row")));
    }
    for (_, staged) in &output.staged {
        let StagedFiles { files, rows, bytes, .. } = staged;
        let (files, rows) = (number_of(*files, "file"), number_of(*rows, "row"));
        parts.push(format!("{rows} in {files}, {}", human(*bytes)));
    }
    for (_, frames) in &output.collected {
        parts.push(format!("{} collected", human(frames.len() as u64)));
    }
    if !output.left_out.is_empty() {
        parts.push(format!("{} left out", number_of(output.left_out.len() as u64, "record")));
    }
    if parts.is_empty() { "nothing".to_string() } else { parts.join("; ") }
}
