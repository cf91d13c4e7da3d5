//! What a job claims of a cluster that others use too, as flags.

use crate::cluster::Cluster;
use clap::Args;
use windrow_protocol::claim::{Needs, check_name};

// No doc comment: its text would take the place of what a job's own help page says of the job.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClaimFlags {
    /// On a cluster, the queue that the job goes through [default: the one called `default`]
    #[arg(long, value_name = "NAME", requires = "cluster", value_parser = queue)]
    queue: Option<String>,
    /// On a cluster, of the jobs that you have in one queue those of a higher priority go first [default: 0]
    #[arg(long, value_name = "N", requires = "cluster", allow_hyphen_values = true)]
    priority: Option<i16>,
    /// On a cluster, the slots of a worker that each task takes [default: 1]
    #[arg(long, value_name = "N", requires = "cluster", value_parser = clap::value_parser!(u32).range(1..))]
    task_slots: Option<u32>,
    /// On a cluster, the memory of a worker that each task takes [default: that of its slots]
    #[arg(long, value_name = "SIZE", requires = "cluster", value_parser = super::quantity::bytes)]
    task_memory: Option<u64>,
    /// On a cluster, run tasks on workers that have this label; several, if given more than once: on those that have them all
    #[arg(long, value_name = "LABEL", requires = "cluster", value_parser = label)]
    task_label: Vec<String>,
}

impl ClaimFlags {
    /// Has jobs on a cluster claim what the flags say.
    pub(super) fn on(&self, mut cluster: Cluster) -> Cluster {
        if let Some(queue) = &self.queue {
            cluster = cluster.queue(queue);
        }
        if let Some(priority) = self.priority {
            cluster = cluster.priority(priority);
        }
        let needs = Needs {
            slots: self.task_slots.unwrap_or(1),
            memory: self.task_memory.unwrap_or(0),
            labels: self.task_label.clone(),
        };
        if needs.is_ordinary() { cluster } else { cluster.needs(needs) }
    }
}

/// The name of a queue.
fn queue(text: &str) -> Result<String, String> {
    check_name("queue", text).map(|()| text.to_owned())
}

/// A label of workers.
pub(super) fn label(text: &str) -> Result<String, String> {
    check_name("label", text).map(|()| text.to_owned())
}
