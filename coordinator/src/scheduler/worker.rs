//! One worker: its leases, and the map outputs that it has.

use super::event::HostId;
use super::time::{Millis, Volatile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::ids::{AttemptId, JobId};

/// A worker that is alive, or whose loss is being handled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) slots: u32,
    /// Memory for records, in bytes.
    pub(crate) memory: u64,
    pub(crate) host: HostId,
    pub(crate) build: Box<str>,
    pub(crate) draining: bool,
    pub(crate) running: Vec<Running>,
    /// The slots in use: as many as `running`.
    pub(crate) used: u32,
    /// Map outputs, by job and group. A task is in it for good, also when another worker makes its output again: who
    /// looks asks the task.
    pub(crate) outputs: BTreeMap<(JobId, u32), BTreeSet<u32>>,
    pub(crate) heard: Volatile<Millis>,
}

/// An attempt that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) attempt: AttemptId,
    pub(crate) started: Volatile<Millis>,
    pub(crate) permille: Volatile<u16>,
}

impl Worker {
    /// Whether it may get another attempt.
    pub(crate) fn is_free(&self) -> bool {
        !self.draining && self.used < self.slots
    }

    pub(crate) fn running(&self, attempt: AttemptId) -> Option<&Running> {
        self.running.iter().find(|running| running.attempt == attempt)
    }
}
