//! `explain`: why a job did what it did.

use super::Failed;
use super::jobs::{TaskName, job_id, task_name};
use super::security::OnCluster;
use crate::cluster;
use clap::Args;
use windrow_protocol::client::Client;
use windrow_protocol::ids::JobId;

/// `windrow explain`.
#[derive(Args, Debug)]
pub(crate) struct ExplainFlags {
    /// The job, as in j7, which runs or has ended
    #[arg(value_parser = job_id)]
    job: JobId,
    /// One task of it alone, as in s1/3: its stage, and its number in it
    #[arg(value_name = "STAGE/PARTITION", value_parser = task_name)]
    task: Option<TaskName>,
    #[command(flatten)]
    on: OnCluster,
}

impl ExplainFlags {
    pub(super) fn run(self) -> Result<(), Failed> {
        let task = self.task.map(|task| task.of(self.job));
        let credentials = self.on.security.credentials()?;
        let explained = cluster::runtime()?.block_on(async {
            Client::connect(&self.on.cluster, credentials).await?.explain(self.job, task).await
        });
        let explained = explained.map_err(|error| Failed::Because(format!("explain: {error}")))?;
        super::print(&explained)
    }
}
