//! What is broken.

use super::proxy::Link;
use super::random::Random;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A worker is killed; another one comes after a while.
    KillWorker,
    /// An executor is killed.
    KillExecutor,
    /// The coordinator is killed, and started again after a while.
    KillCoordinator,
    /// A worker stands still for a while, which may be longer than its lease.
    StopWorker,
    /// An executor does.
    StopExecutor,
    /// The coordinator does.
    StopCoordinator,
    /// A worker and its executors get a fiftieth of a processor for a while.
    SlowWorker,
    /// A worker is told to drain; another one comes.
    Drain,
    /// A bit of a file in some scratch folder is another one.
    FlipBit,
    /// A file in some scratch folder is gone.
    RemoveFile,
    /// A file in some scratch folder is cut short.
    CutFile,
    /// A worker comes.
    AddWorker,
    /// The link between a worker and the coordinator is this for a while.
    Control(Link),
    /// The links by which others fetch blocks from a worker are.
    Data(Link),
    /// A bit of a block that is fetched is another one.
    FlipOnWire,
    /// The disk of some workers is full for a while; where they share one, that of all.
    FillDisk,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Kind; 20] = [
        Kind::KillWorker,
        Kind::KillExecutor,
        Kind::KillCoordinator,
        Kind::StopWorker,
        Kind::StopExecutor,
        Kind::StopCoordinator,
        Kind::SlowWorker,
        Kind::Drain,
        Kind::FlipBit,
        Kind::RemoveFile,
        Kind::CutFile,
        Kind::AddWorker,
        Kind::Control(Link::Cut),
        Kind::Control(Link::Silent),
        Kind::Control(Link::SilentThere),
        Kind::Control(Link::SilentBack),
        Kind::Data(Link::Cut),
        Kind::Data(Link::Silent),
        Kind::FlipOnWire,
        Kind::FillDisk,
    ];

    /// Those whose names begin like this.
    pub(super) fn named(beginning: &str) -> Vec<Kind> {
        let is_named = |kind: &Kind| format!("{kind:?}").starts_with(beginning);
        Kind::ALL.into_iter().filter(is_named).collect()
    }
}

/// A client has submitted its job after so many seconds; before, it fails if there is no coordinator.
const SUBMITTED: f64 = 0.2;

/// A fault of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// What.
    pub(super) kind: Kind,
    /// When, in seconds after the job was submitted.
    pub(super) after: f64,
}

impl Fault {
    /// One of these kinds, of a job that takes so many seconds when nothing is broken.
    pub(super) fn draw(random: &mut Random, kinds: &[Kind], span: f64) -> Fault {
        Fault { kind: *random.one(kinds), after: SUBMITTED + random.part() * span * 1.2 }
    }
}
