//! `jobs list|show|attach|cancel`: jobs on a cluster.

use super::Failed;
use crate::cluster;
use clap::{Args, Subcommand};
use windrow_protocol::client::Client;
use windrow_protocol::control::{JobState, JobStatus};
use windrow_protocol::ids::JobId;

/// `windrow jobs`.
#[derive(Args, Debug)]
pub(crate) struct JobsFlags {
    /// The coordinator
    #[arg(long, value_name = "HOST:PORT", global = true, default_value = "127.0.0.1:7077")]
    cluster: String,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// All jobs that the coordinator knows, the newest first
    List,
    /// How a job stands
    Show {
        /// The job, as in j7
        #[arg(value_parser = job_id)]
        job: JobId,
    },
    /// Waits for a job's end
    Attach {
        /// The job, as in j7
        #[arg(value_parser = job_id)]
        job: JobId,
    },
    /// Ends a job without output
    Cancel {
        /// The job, as in j7
        #[arg(value_parser = job_id)]
        job: JobId,
    },
}

pub(super) fn job_id(text: &str) -> Result<JobId, String> {
    let number = text.strip_prefix('j').unwrap_or(text).parse();
    number.map(JobId).map_err(|_| format!("`{text}` is no job; they are named as in j7"))
}

impl JobsFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        let because = |error: &dyn std::fmt::Display| Failed::Because(format!("jobs: {error}"));
        cluster::runtime()?.block_on(async {
            let client = Client::connect(&self.cluster).await.map_err(|error| because(&error))?;
            match self.action {
                Action::List => {
                    let jobs = client.jobs().await.map_err(|error| because(&error))?;
                    jobs.iter().for_each(|job| println!("{}", line(job)));
                }
                Action::Show { job } => {
                    let wait = std::time::Duration::ZERO;
                    let status = client.status(job, wait).await.map_err(|error| because(&error))?;
                    print!("{}", shown(&status));
                }
                Action::Attach { job } => {
                    let status = client.wait(job, |_| {}).await.map_err(|error| because(&error))?;
                    print!("{}", shown(&status));
                    match status.state {
                        JobState::Failed(failure) => {
                            return Err(Failed::Because(failure.to_string()));
                        }
                        JobState::Cancelled => return Err(Failed::Cancelled),
                        _ => {}
                    }
                }
                Action::Cancel { job } => {
                    client.cancel(job).await.map_err(|error| because(&error))?;
                }
            }
            Ok(())
        })
    }
}

fn state(status: &JobStatus) -> String {
    match &status.state {
        JobState::Running { waiting: None } => "running".to_string(),
        JobState::Running { waiting: Some(why) } => format!("waiting: {why}"),
        JobState::Succeeded => "succeeded".to_string(),
        JobState::Failed(failure) => format!("failed: {failure}"),
        JobState::Cancelled => "cancelled".to_string(),
    }
}

/// A job in a line.
pub(super) fn line(status: &JobStatus) -> String {
    let done: u32 = status.stages.iter().map(|stage| stage.done).sum();
    let seconds = status.elapsed_ms as f64 / 1000.0;
    format!(
        "job {} {} {seconds:.1} s, {done} tasks done, {}",
        status.job,
        status.name,
        state(status)
    )
}

fn shown(status: &JobStatus) -> String {
    let mut text = format!("{}\n", line(status));
    for stage in &status.stages {
        let tasks = stage.tasks.map_or("?".to_string(), |tasks| tasks.to_string());
        text.push_str(&format!(
            "  stage {}, {} of {tasks} tasks done, {} running: {}\n",
            stage.stage.0, stage.done, stage.running, stage.name
        ));
    }
    for note in &status.notes {
        text.push_str(&format!("  {note}\n"));
    }
    text
}
