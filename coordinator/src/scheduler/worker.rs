//! One worker: its leases, and the map outputs that it has.

use super::event::HostId;
use super::time::{Millis, Volatile};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use windrow_protocol::claim::Needs;
use windrow_protocol::ids::{AttemptId, JobId, TaskId};

/// A worker that is alive, or whose loss is being handled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Worker {
    pub(crate) slots: u32,
    /// Memory for records, in bytes.
    pub(crate) memory: u64,
    pub(crate) host: HostId,
    pub(crate) build: Box<str>,
    pub(crate) draining: bool,
    /// Tasks that failed on it, one after the other, since one was done; and the last of them.
    pub(crate) strikes: u8,
    pub(crate) struck_by: Option<TaskId>,
    /// Until when it is set aside, and how often it was.
    pub(crate) aside_until: Option<Millis>,
    pub(crate) asides: u8,
    /// What its attempts take of the medians of their stages, in percent, the last ones counting most; 0 before the first.
    pub(crate) pace_percent: Volatile<u32>,
    pub(crate) running: Vec<Running>,
    /// The slots in use, of all that is `running`.
    pub(crate) used: u32,
    /// Map outputs, by job and group. A task is in it for good, also when another worker makes its output again: who
    /// looks asks the task.
    pub(crate) outputs: BTreeMap<(JobId, u32), BTreeSet<u32>>,
    pub(crate) heard: Volatile<Millis>,
    /// What is special about it. They are written beside the worker: see [`Claims`](super::state::Claims).
    #[serde(skip)]
    pub(crate) labels: Vec<String>,
}

/// An attempt that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) attempt: AttemptId,
    pub(crate) started: Volatile<Millis>,
    pub(crate) permille: Volatile<u16>,
    /// When it was heard last to be further than before.
    pub(crate) advanced: Volatile<Millis>,
    /// When it was asked to give up lanes.
    pub(crate) asked: Volatile<Option<Millis>>,
}

impl Worker {
    /// Whether it may get another attempt.
    pub(crate) fn is_free(&self) -> bool {
        self.takes_work() && self.used < self.slots
    }

    /// Whether it gets attempts at all.
    pub(crate) fn takes_work(&self) -> bool {
        !self.draining && self.aside_until.is_none()
    }

    /// The slots that an attempt takes here that needs this; `None` if it never runs here.
    pub(crate) fn slots_for(&self, needs: &Needs) -> Option<u32> {
        needs.slots_of(self.slots, self.memory, &self.labels)
    }

    /// An attempt has taken so many percent of the median of its stage.
    pub(crate) fn took(&mut self, percent: u64) {
        let percent = percent.min(10_000) as u32;
        let pace = &mut self.pace_percent.0;
        *pace = if *pace == 0 { percent } else { (*pace * 3 + percent) / 4 };
    }

    pub(crate) fn running(&self, attempt: AttemptId) -> Option<&Running> {
        self.running.iter().find(|running| running.attempt == attempt)
    }
}
