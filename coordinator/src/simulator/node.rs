//! Simulated worker processes, and the messages between them and the coordinator.

use super::swarm::Fault;
use crate::scheduler::{Event, HostId};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use windrow_protocol::ids::{AttemptId, JobId, LaneRange, WorkerId};

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
    pub(crate) running: BTreeMap<AttemptId, Run>,
    /// Until then all its attempts fail.
    pub(crate) sick_until: u64,
    /// Reports that were not answered yet.
    pub(crate) reports: BTreeMap<AttemptId, Vec<Event>>,
    /// Replicas that it has made, or cannot make.
    pub(crate) replicated: BTreeMap<AttemptId, bool>,
    /// How the attempts ended that did.
    pub(crate) ended: BTreeMap<AttemptId, Vec<Event>>,
    /// What it made, and of which lanes.
    pub(crate) blocks: BTreeMap<AttemptId, (u64, LaneRange)>,
}

/// The lanes of each task.
pub(crate) const LANES: u32 = 8;

/// An attempt that runs on a node.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// When it began, and how long it takes, in milliseconds.
    pub(crate) begun: u64,
    pub(crate) takes: u64,
    pub(crate) lanes: LaneRange,
    /// The first of the lanes that it has given up.
    pub(crate) given_up: Option<u32>,
}

impl Run {
    /// How much of it is done, in thousandths.
    pub(crate) fn permille(&self, now: u64) -> u16 {
        ((now - self.begun) * 1000 / self.takes.max(1)).min(1000) as u16
    }

    /// Gives up lanes that it has not begun, but so many of them. Whether there are any.
    pub(crate) fn give_up(&mut self, keep_permille: u16, now: u64) -> bool {
        let LaneRange { start, end } = self.lanes;
        let end = end.min(LANES);
        let done = u64::from(end - start) * u64::from(self.permille(now)) / 1000;
        let left = (end - start).saturating_sub(done as u32 + 1);
        let keep = (left * u32::from(keep_permille)).div_ceil(1000);
        if keep >= left {
            return false;
        }
        let from = end - (left - keep);
        self.takes = self.takes * u64::from(from - start) / u64::from(end - start);
        self.lanes.end = from;
        self.given_up = Some(from);
        true
    }
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
            replicated: BTreeMap::new(),
            ended: BTreeMap::new(),
            blocks: BTreeMap::new(),
        }
    }
}

/// What a message says.
#[derive(Clone, Debug)]
pub(crate) enum Message {
    /// A worker asks what it should run, and says how far its attempts are, in thousandths, and which lanes they have given
    /// up, and what it has copied; that is its heartbeat.
    Poll(Vec<(AttemptId, u16, Option<u32>)>, Vec<(AttemptId, bool)>),
    /// A worker reports an attempt.
    Report(AttemptId, Vec<Event>),
    /// An attempt starts, with these lanes.
    Start(u64, AttemptId, LaneRange),
    /// These attempts are to run, and no others.
    Run(u64, Vec<(AttemptId, LaneRange)>),
    /// An attempt is to give up lanes that it has not begun, but so many of them, in thousandths.
    GiveUp(AttemptId, u16),
    /// What an attempt wrote is to be copied from a worker.
    Replicate(AttemptId, WorkerId),
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
    /// A node has copied what it should from a worker, if that has it.
    Replicated(usize, WorkerId, AttemptId, WorkerId),
    /// A node starts again.
    Rejoin(usize),
    /// Time for the scheduler.
    Tick,
    /// The coordinator goes on.
    Wake,
    /// A job arrives.
    Submit(JobId),
    /// A planned fault.
    Fault(Fault, u64),
    /// All faults end.
    Heal,
}

impl Item {
    /// Whether the coordinator does it.
    pub(crate) fn is_for_coordinator(&self) -> bool {
        match self {
            Item::ToCoordinator(..) | Item::Rejoin(_) | Item::Tick | Item::Submit(_) => true,
            Item::Fault(fault, _) => matches!(fault, Fault::Drain | Fault::Cancel),
            _ => false,
        }
    }
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
