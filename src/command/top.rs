//! `top`: jobs and workers of a cluster, in a terminal, drawn again each second.

use super::jobs::job_id;
use super::quantity::human;
use super::security::OnCluster;
use super::{Failed, print};
use crate::cluster;
use clap::Args;
use console::{Term, truncate_str};
use std::fmt::Write;
use std::time::Duration;
use windrow_protocol::client::{Client, ClientError};
use windrow_protocol::control::{JobState, JobStatus, StageStatus, WorkerStatus};
use windrow_protocol::ids::JobId;

/// The lines and columns of what is no terminal.
const SIZE: (u16, u16) = (60, 160);

/// The columns of a bar.
const BAR: usize = 20;

/// `windrow top`.
#[derive(Args, Debug)]
pub(crate) struct TopFlags {
    /// One job, as in j7, with its stages and what was noticed, until it has ended [default: all jobs, and workers]
    #[arg(value_parser = job_id)]
    job: Option<JobId>,
    /// How often it is drawn, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    every: u16,
    /// Write it once, and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    on: OnCluster,
}

impl TopFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        let because = |error: ClientError| Failed::Because(format!("top: {error}"));
        let credentials = self.on.security.credentials()?;
        let terminal = Term::stdout();
        cluster::runtime()?.block_on(async {
            let client = Client::connect(&self.on.cluster, credentials).await.map_err(because)?;
            loop {
                let (lines, columns) = match terminal.is_term() {
                    true => terminal.size(),
                    false => SIZE,
                };
                let (text, is_end) = match self.job {
                    Some(job) => {
                        let status = client.status(job, Duration::ZERO).await.map_err(because)?;
                        (of_job(&status), !matches!(status.state, JobState::Running { .. }))
                    }
                    None => {
                        let workers = client.workers().await.map_err(because)?;
                        let jobs = client.jobs().await.map_err(because)?;
                        (of_cluster(&workers, &jobs, usize::from(lines)), false)
                    }
                };
                let shown = text.lines().take(usize::from(lines).saturating_sub(1));
                let shown: String = shown
                    .map(|line| format!("{}\n", truncate_str(line, usize::from(columns), "…")))
                    .collect();
                if terminal.is_term() && !self.once {
                    // To its first place, and what was there before is gone.
                    print(&format!("\x1b[H\x1b[J{shown}"))?;
                } else {
                    print(&shown)?;
                }
                if self.once || is_end {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_secs(u64::from(self.every))).await;
            }
        })
    }
}

fn bar(part: f64) -> String {
    let full = (part.clamp(0.0, 1.0) * BAR as f64) as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR - full))
}

fn seconds(ms: u64) -> String {
    match ms / 1000 {
        whole @ 0..60 => format!("{whole}.{} s", ms % 1000 / 100),
        whole @ 60..3600 => format!("{}:{:02} min", whole / 60, whole % 60),
        whole => format!("{}:{:02} h", whole / 3600, whole % 3600 / 60),
    }
}

fn state(status: &JobStatus) -> String {
    match &status.state {
        JobState::Running { waiting: None } => "running".to_owned(),
        JobState::Running { waiting: Some(why) } => format!("waits for {why}"),
        JobState::Succeeded => "succeeded".to_owned(),
        JobState::Failed(failure) => format!("failed: {failure}"),
        JobState::Cancelled => "cancelled".to_owned(),
    }
}

/// The workers that are there, the jobs that run, and the last that have ended, in so many lines.
fn of_cluster(workers: &[WorkerStatus], jobs: &[JobStatus], lines: usize) -> String {
    let there =
        |worker: &&WorkerStatus| !worker.state.starts_with("lost") && worker.state != "drained";
    let workers: Vec<&WorkerStatus> = workers.iter().filter(there).collect();
    let slots: u64 = workers.iter().map(|worker| u64::from(worker.slots)).sum();
    let used: u64 = workers.iter().map(|worker| u64::from(worker.running)).sum();
    let is_running = |job: &&JobStatus| matches!(job.state, JobState::Running { .. });
    let (running, ended): (Vec<&JobStatus>, Vec<&JobStatus>) = jobs.iter().partition(is_running);
    let mut text = format!(
        "{} workers, {used} of {slots} slots in use {}, {} jobs running, {} ended\n\n",
        workers.len(),
        bar(used as f64 / slots.max(1) as f64),
        running.len(),
        ended.len()
    );
    let _ = writeln!(
        text,
        "{:>6} {:<20} {:<BAR$} {:>15} {:>7} {:>7} {:>9} {:>9}  state",
        "job", "name", "done", "tasks", "running", "retries", "read", "time"
    );
    // Half of the room, and the rest for workers.
    let room = (lines.saturating_sub(6) / 2).max(5);
    for job in running.into_iter().chain(ended).take(room) {
        let (tasks, done) = sums(job);
        let attempts: u32 = job.stages.iter().map(|stage| stage.running).sum();
        let _ = writeln!(
            text,
            "{:>6} {:<20} {} {:>15} {attempts:>7} {:>7} {:>9} {:>9}  {}",
            job.job.to_string(),
            truncate_str(&job.name, 20, "…"),
            bar(done as f64 / tasks.max(1) as f64),
            format!("{done} of {tasks}"),
            job.retries,
            human(job.counts.bytes_read),
            seconds(job.elapsed_ms),
            state(job)
        );
    }
    let _ = writeln!(
        text,
        "\n{:>6} {:<24} {:<BAR$} {:>11}  state",
        "worker", "host", "in use", "slots"
    );
    for worker in workers {
        let _ = writeln!(
            text,
            "{:>6} {:<24} {} {:>11}  {}",
            worker.worker.to_string(),
            truncate_str(&worker.host, 24, "…"),
            bar(f64::from(worker.running) / f64::from(worker.slots.max(1))),
            format!("{} of {}", worker.running, worker.slots),
            worker.state
        );
    }
    text
}

fn sums(job: &JobStatus) -> (u64, u64) {
    let of = |stage: &StageStatus| (u64::from(stage.tasks.unwrap_or(0)), u64::from(stage.done));
    job.stages.iter().map(of).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
}

fn of_job(job: &JobStatus) -> String {
    let (tasks, done) = sums(job);
    let counts = &job.counts;
    let mut text =
        format!("{} {}: {}, {}\n", job.job, job.name, state(job), seconds(job.elapsed_ms));
    let _ = writeln!(
        text,
        "{} {done} of {tasks} tasks, {} retries",
        bar(done as f64 / tasks.max(1) as f64),
        job.retries
    );
    let _ = writeln!(
        text,
        "read {}, shuffled {}, spilled {}, wrote {}\n",
        human(counts.bytes_read),
        human(job.shuffle_bytes),
        human(counts.spilled_bytes),
        human(counts.bytes_written)
    );
    for stage in &job.stages {
        let (known, tasks) = (stage.tasks.is_some(), stage.tasks.unwrap_or(0));
        let part =
            if known && tasks == 0 { 1.0 } else { f64::from(stage.done) / f64::from(tasks.max(1)) };
        let tasks = if known { tasks.to_string() } else { "?".to_owned() };
        let _ = writeln!(
            text,
            "{:>4} {} {:>15} {:>5} running {:>9}  {}",
            stage.stage.to_string(),
            bar(part),
            format!("{} of {tasks}", stage.done),
            stage.running,
            seconds(stage.elapsed_ms),
            stage.name
        );
    }
    if !job.notes.is_empty() {
        text.push('\n');
    }
    job.notes.iter().rev().for_each(|note| text += &format!("{note}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(seconds(1_234), "1.2 s");
        assert_eq!(seconds(61_000), "1:01 min");
        assert_eq!(seconds(3_600_000 * 2 + 60_000 * 5), "2:05 h");
    }

    #[test]
    fn a_bar_is_as_full_as_its_part() {
        assert_eq!(bar(0.0), "░".repeat(BAR));
        assert_eq!(bar(0.5), "█".repeat(BAR / 2) + &"░".repeat(BAR / 2));
        assert_eq!(bar(7.0), "█".repeat(BAR));
    }
}
