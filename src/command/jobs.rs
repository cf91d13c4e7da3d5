//! `jobs list|show|attach|logs|cancel`: jobs on a cluster.

use super::security::OnCluster;
use super::{Failed, number_of, print, tell};
use crate::cluster;
use clap::{Args, Subcommand};
use windrow_protocol::claim::DEFAULT_QUEUE;
use windrow_protocol::client::{Client, ClientError};
use windrow_protocol::control::{JobState, JobStatus};
use windrow_protocol::ids::{JobId, NoJobName, Round, StageId, TaskId, TaskKind};

/// `windrow jobs`.
#[derive(Args, Debug)]
pub(crate) struct JobsFlags {
    #[command(flatten)]
    on: OnCluster,
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
    /// Prints what the job's code logged, attempt by attempt
    Logs {
        /// The job, as in j7
        #[arg(value_parser = job_id)]
        job: JobId,
        /// One task of it alone, as in s1/3
        #[arg(value_name = "STAGE/PARTITION", value_parser = task_name)]
        task: Option<TaskName>,
    },
    /// Ends a job without output
    Cancel {
        /// The job, as in j7
        #[arg(value_parser = job_id)]
        job: JobId,
    },
}

pub(super) fn job_id(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|error: NoJobName| error.to_string())
}

/// A task of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TaskName {
    pub(super) stage: StageId,
    pub(super) kind: TaskKind,
    pub(super) partition: u32,
}

impl TaskName {
    /// The task of that name of a job.
    pub(super) fn of(self, job: JobId) -> TaskId {
        let TaskName { stage, kind, partition } = self;
        TaskId { job, stage, round: Round::default(), kind, partition }
    }
}

/// Reads the name of a task, as in `s1/3`.
pub(super) fn task_name(text: &str) -> Result<TaskName, String> {
    let read = || {
        let (stage, partition) = text.split_once('/')?;
        let stage = StageId(stage.strip_prefix('s').unwrap_or(stage).parse().ok()?);
        Some(match partition {
            "split" => TaskName { stage, kind: TaskKind::Split, partition: 0 },
            "commit" => TaskName { stage, kind: TaskKind::Commit, partition: 0 },
            _ => TaskName { stage, kind: TaskKind::Compute, partition: partition.parse().ok()? },
        })
    };
    read().ok_or_else(|| format!("`{text}` is no task; they are named as in s1/3"))
}

impl JobsFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        let because = |error: &dyn std::fmt::Display| Failed::Because(format!("jobs: {error}"));
        let credentials = self.on.security.credentials()?;
        cluster::runtime()?.block_on(async {
            let client = Client::connect(&self.on.cluster, credentials).await;
            let client = client.map_err(|error| because(&error))?;
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
                Action::Logs { job, task } => {
                    let logs = logs(&client, job, task.map(|task| task.of(job)));
                    logs.await.map_err(|error| because(&error))??;
                }
                Action::Cancel { job } => {
                    client.cancel(job).await.map_err(|error| because(&error))?;
                }
            }
            Ok(())
        })
    }
}

/// Prints the logs of a job's attempts, or of those at one task.
async fn logs(
    client: &Client,
    job: JobId,
    task: Option<TaskId>,
) -> Result<Result<(), Failed>, ClientError> {
    let mut from = Some(0);
    let mut left_out = 0;
    while let Some(next) = from {
        let page = client.logs(job, next).await?;
        let wanted =
            page.logs.iter().filter(|log| task.is_none_or(|task| log.attempt.task == task));
        let text: String = wanted
            .map(|log| {
                format!("{} on {}, {}\n{}", log.attempt, log.worker, log.how.name(), log.text)
            })
            .collect();
        if let failed @ Err(_) = print(&text) {
            return Ok(failed);
        }
        (from, left_out) = (page.next, page.left_out);
    }
    if left_out > 0 {
        tell(&format!("windrow: {} of more are not kept\n", number_of(left_out, "log")));
    }
    Ok(Ok(()))
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
        "job {} {} {seconds:.1} s, {done} tasks done, {}{}",
        status.job,
        status.name,
        state(status),
        whose(status)
    )
}

/// Whose a job is, and its queue if that is not the one that jobs go through unasked.
fn whose(status: &JobStatus) -> String {
    let queue = (status.queue != DEFAULT_QUEUE).then(|| format!(", queue {}", status.queue));
    let user = (!status.user.is_empty()).then(|| format!(", of {}", status.user));
    [user, queue].into_iter().flatten().collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_named_by_stage_and_partition() {
        let named = |stage, kind, partition| TaskName { stage: StageId(stage), kind, partition };
        assert_eq!(task_name("s1/3"), Ok(named(1, TaskKind::Compute, 3)));
        assert_eq!(task_name("12/0"), Ok(named(12, TaskKind::Compute, 0)));
        assert_eq!(task_name("s0/split"), Ok(named(0, TaskKind::Split, 0)));
        assert_eq!(task_name("s0/commit"), Ok(named(0, TaskKind::Commit, 0)));
        for wrong in ["", "3", "s1", "s1/", "/3", "s1/x", "s-1/3", "s1/3/4"] {
            assert!(task_name(wrong).unwrap_err().contains("s1/3"), "{wrong}");
        }
    }
}
