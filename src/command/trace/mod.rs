//! `trace`: where the time of a job went: what bounds it, in some lines, and a file for trace viewers.

mod chart;

use super::jobs::job_id;
use super::security::OnCluster;
use super::{Failed, number_of, print, tell};
use crate::cluster;
use chart::Chart;
use clap::Args;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use windrow_protocol::client::Client;
use windrow_protocol::ids::JobId;

/// `windrow trace`.
#[derive(Args, Debug)]
pub(crate) struct TraceFlags {
    /// The job, as in j7, which runs or has ended
    #[arg(value_parser = job_id)]
    job: JobId,
    /// The file that the trace is written to [default: JOB.trace.json, here]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    on: OnCluster,
}

impl TraceFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        let because = |error: &dyn std::fmt::Display| Failed::Because(format!("trace: {error}"));
        let credentials = self.on.security.credentials()?;
        let (job, default) = (self.job, PathBuf::from(format!("{}.trace.json", self.job)));
        let file = self.output.unwrap_or(default);
        let (lines, chart) = cluster::runtime()?
            .block_on(async {
                let client = Client::connect(&self.on.cluster, credentials).await?;
                let status = client.status(job, Duration::ZERO).await?;
                let lines = client.bounds(job).await?;
                let workers = client.workers().await?;
                let mut chart = Chart::new(status, workers);
                loop {
                    let page = client.attempts(job, chart.attempts()).await?;
                    if !chart.add(page) {
                        return Ok((lines, chart));
                    }
                }
            })
            .map_err(|error: windrow_protocol::client::ClientError| because(&error))?;
        write(&file, &chart)
            .map_err(|error| because(&format!("{} cannot be written: {error}", file.display())))?;
        print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
        let attempts = number_of(chart.attempts(), "attempt");
        let file = file.display();
        tell(&format!("{attempts} in {file}: ui.perfetto.dev and chrome://tracing show it\n"));
        Ok(())
    }
}

/// Writes the whole trace, or nothing: what was there before stays until it is written.
fn write(file: &Path, chart: &Chart) -> std::io::Result<()> {
    let mut new = file.as_os_str().to_owned();
    new.push(".new");
    let written = File::create(&new).map(BufWriter::new).and_then(|mut out| {
        chart.write(&mut out)?;
        out.flush()
    });
    let kept = written.and_then(|()| fs::rename(&new, file));
    if kept.is_err() {
        // What is wrong was said.
        let _ = fs::remove_file(&new);
    }
    kept
}
