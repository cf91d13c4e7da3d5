//! `events`: what happens on a cluster, or to one job, as it does.

use super::jobs::job_id;
use super::security::OnCluster;
use super::{Failed, print, tell};
use crate::cluster;
use clap::Args;
use std::time::Duration;
use windrow_protocol::client::Client;
use windrow_protocol::events::{Event, Since, What};
use windrow_protocol::ids::JobId;

/// A call waits so long for the next event.
const WAIT: Duration = Duration::from_secs(30);

/// `windrow events`.
#[derive(Args, Debug)]
pub(crate) struct EventsFlags {
    /// The job, as in j7, whose events are told, until it has ended [default: those of all, until the command is ended]
    #[arg(value_parser = job_id)]
    job: Option<JobId>,
    /// From where on: `now`, `oldest`, or the cursor of the last event that was seen [default: oldest with a job, else now]
    #[arg(long, value_name = "CURSOR")]
    since: Option<Since>,
    /// Write each event as JSON in a line
    #[arg(long)]
    json: bool,
    /// Leave out those of tasks and attempts
    #[arg(long)]
    coarse: bool,
    /// End once all is told that has happened
    #[arg(long)]
    no_follow: bool,
    #[command(flatten)]
    on: OnCluster,
}

impl EventsFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        let because = |error: &dyn std::fmt::Display| Failed::Because(format!("events: {error}"));
        let credentials = self.on.security.credentials()?;
        cluster::runtime()?.block_on(async {
            let client = Client::connect(&self.on.cluster, credentials).await;
            let client = client.map_err(|error| because(&error))?;
            if let Some(job) = self.job {
                client.status(job, Duration::ZERO).await.map_err(|error| because(&error))?;
            }
            let or = if self.job.is_some() { Since::Oldest } else { Since::Now };
            let mut since = self.since.unwrap_or(or);
            let wait = if self.no_follow { Duration::ZERO } else { WAIT };
            loop {
                let page = client.events(since, self.job, wait).await;
                let page = page.map_err(|error| because(&error))?;
                if let Some(missed) = page.missed {
                    let many = if missed > 0 { format!("{missed} ") } else { String::new() };
                    tell(&format!("windrow: {many}events before these are not kept\n"));
                }
                let is_end = page.events.is_empty();
                let wanted = page.events.iter().filter(|of| !self.coarse || !of.what.is_of_a_task());
                let lines: String = wanted.map(|event| self.line(event, page.cursor.stream)).collect();
                print(&lines)?;
                let ends = |event: &Event| matches!(&event.what, What::JobEnded { job, .. } if self.job == Some(*job));
                if page.events.iter().any(ends) || (self.no_follow && is_end) {
                    return Ok(());
                }
                since = Since::Cursor(page.cursor);
            }
        })
    }

    fn line(&self, event: &Event, stream: u64) -> String {
        let value = event.to_json(stream);
        if self.json {
            return format!("{value}\n");
        }
        let mut line = format!("{:>9.3} {}", event.at_ms as f64 / 1000.0, event.what.kind());
        let fields = value.as_object().into_iter().flatten();
        for (name, value) in
            fields.filter(|(name, _)| !["cursor", "at_ms", "event"].contains(&name.as_str()))
        {
            match value.as_str() {
                Some(text) => line += &format!(" {name}={text}"),
                None => line += &format!(" {name}={value}"),
            }
        }
        line + "\n"
    }
}
