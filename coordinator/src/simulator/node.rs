//! Simulated worker processes, and the messages between them and the coordinator.

use crate::scheduler::{Event, HostId};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use windrow_protocol::ids::{AttemptId, JobId, WorkerId};

/// A worker process. It is another worker each time that it registers.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) id: WorkerId,
    pub(crate) host: HostId,
    pub(crate) slots: u32,
    pub(crate) dead: bool,
    pub(crate) paused_until: u64,
    pub(crate) cut_in_until: u64,
    pub(crate) cut_out_until: u64,
    pub(crate) slow: bool,
    /// The newest list of attempts that it has seen.
    pub(crate) seen: u64,
    /// When each attempt began, and how long it takes, in milliseconds.
    pub(crate) running: BTreeMap<AttemptId, (u64, u64)>,
    /// Until then all its attempts fail.
    pub(crate) sick_until: u64,
    /// Reports that were not answered yet.
    pub(crate) reports: BTreeMap<AttemptId, Vec<Event>>,
    /// What it made.
    pub(crate) blocks: BTreeMap<AttemptId, u64>,
}

impl Node {
    /// A process that starts.
    pub(crate) fn new(id: WorkerId, host: HostId, slots: u32) -> Node {
        Node {
            id,
            host,
            slots,
            dead: false,
            paused_until: 0,
            cut_in_until: 0,
            cut_out_until: 0,
            slow: false,
            seen: 0,
            running: BTreeMap::new(),
            sick_until: 0,
            reports: BTreeMap::new(),
            blocks: BTreeMap::new(),
        }
    }
}

/// What a message says.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A worker asks what it should run, and says how far its attempts are, in thousandths; that is its heartbeat.
    Poll(Vec<(AttemptId, u16)>),
    /// A worker reports an attempt.
    Report(AttemptId, Vec<Event>),
    /// An attempt starts.
    Start(u64, AttemptId),
    /// These attempts are to run, and no others.
    Run(u64, Vec<AttemptId>),
    /// A report has arrived.
    Heard(u64, AttemptId),
    /// The coordinator does not know the worker: it is lost, or drained.
    Unknown,
}

/// What happens in the simulated world.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    /// A message of a node, in its life as that worker, reaches the coordinator.
    ToCoordinator(usize, WorkerId, Message),
    /// A message reaches a node.
    ToNode(usize, WorkerId, Message),
    /// A node asks again.
    Ask(usize, WorkerId),
    /// A node has run an attempt.
    Finish(usize, WorkerId, AttemptId),
    /// A node starts again.
    Rejoin(usize),
    /// Time for the scheduler.
    Tick,
    /// A job arrives.
    Submit(JobId),
    /// A planned fault.
    Fault(super::swarm::Fault, u64),
    /// All faults end.
    Heal,
}

/// An item, and when it happens: by time, then in the order in which it was planned.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) at: u64,
    pub(crate) sequence: u64,
    pub(crate) item: Box<Item>,
}

impl PartialEq for Planned {
    fn eq(&self, other: &Planned) -> bool {
        self.sequence == other.sequence
    }
}

impl Eq for Planned {}

impl PartialOrd for Planned {
    fn partial_cmp(&self, other: &Planned) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Planned {
    /// The earliest is the greatest, for a heap gives that first.
    fn cmp(&self, other: &Planned) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}
