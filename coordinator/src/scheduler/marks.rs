//! Marks: how often each odd branch of the scheduler was taken, so that a test can prove that it took one.

/// An odd branch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// A report of an attempt that is not running, or from a worker that is lost, was ignored.
    LateReport,
    /// A job or worker that was known already was ignored.
    KnownAlready,
    /// A page of splits that is not the next one was ignored.
    OddPage,
    /// A job's shape was refused.
    Refused,
    /// A worker's lease ended.
    LeaseEnded,
    /// A worker left.
    WorkerLeft,
    /// An attempt ended with its worker.
    AttemptLost,
    /// A map output went with its worker, or was handed over, and was needed.
    OutputReopened,
    /// A block was lost, and its task runs again.
    BlockReopened,
    /// A lost block was reported that is being made again already.
    BlockKnown,
    /// A task failed by its own fault and runs again.
    Retried,
    /// A task runs again uncharged.
    Requeued,
    /// A worker was passed over for a task that had failed on it.
    Avoided,
    /// A task failed too often: its job ends.
    JobFailed,
    /// A failure that no other attempt can help: its job ends.
    JobAtFault,
    /// A backup attempt started.
    Backup,
    /// A backup attempt was done first.
    BackupWon,
    /// The other attempt of a committed task was revoked.
    OtherRevoked,
    /// A job was cancelled.
    Cancelled,
    /// A cancel came after the commit was decided, or for no job that runs.
    CancelledLate,
    /// A worker drains.
    Draining,
    /// A draining worker may end.
    Drained,
    /// A commit task failed and waits.
    CommitDelayed,
    /// A task went to a host that has its bytes.
    Local,
    /// A task went to the worker that was to fetch its blocks ahead.
    AtHome,
    /// A stage without tasks was complete at once.
    EmptyStage,
    /// Rows are looked up as they come.
    LookedUp,
    /// A stage waited for a table that its rows may be looked up in.
    WaitsForTable,
    /// The tasks of a stage were made by the sizes of buckets.
    PartsBySize,
    /// A bucket was cut into several tasks.
    BucketCut,
    /// A slow worker was passed over for a backup attempt.
    SlowPassedOver,
    /// A worker was set aside.
    SetAside,
    /// A worker that was set aside got work again.
    BroughtBack,
    /// A task of a small job got a second attempt at once.
    Doubled,
    /// A slow attempt was asked to give up lanes.
    RestAsked,
    /// Lanes that an attempt gave up are a task of their own.
    RestSplitOff,
    /// An attempt gave lanes up when another one ran them all.
    GivenUpLate,
    /// A dear output is to be copied.
    ReplicaOrdered,
    /// A replica took the place of an output that is gone.
    ReplicaUsed,
    /// The coordinator stood still, and heard nobody meanwhile.
    StoodStill,
    /// A job that waited for a place in its queue has one.
    WaitedForQueue,
    /// An attempt was revoked for somebody who had no slot for long.
    Preempted,
    /// A worker's free slots were kept for an attempt that needs several.
    KeptForWide,
    /// A job got no slot, for its user has as many as may be.
    UserAtLimit,
}

impl Mark {
    /// All marks.
    pub const ALL: [Mark; 44] = [
        Mark::LateReport,
        Mark::KnownAlready,
        Mark::OddPage,
        Mark::Refused,
        Mark::LeaseEnded,
        Mark::WorkerLeft,
        Mark::AttemptLost,
        Mark::OutputReopened,
        Mark::BlockReopened,
        Mark::BlockKnown,
        Mark::Retried,
        Mark::Requeued,
        Mark::Avoided,
        Mark::JobFailed,
        Mark::JobAtFault,
        Mark::Backup,
        Mark::BackupWon,
        Mark::OtherRevoked,
        Mark::Cancelled,
        Mark::CancelledLate,
        Mark::Draining,
        Mark::Drained,
        Mark::CommitDelayed,
        Mark::Local,
        Mark::AtHome,
        Mark::EmptyStage,
        Mark::LookedUp,
        Mark::WaitsForTable,
        Mark::PartsBySize,
        Mark::BucketCut,
        Mark::SlowPassedOver,
        Mark::SetAside,
        Mark::BroughtBack,
        Mark::Doubled,
        Mark::RestAsked,
        Mark::RestSplitOff,
        Mark::GivenUpLate,
        Mark::ReplicaOrdered,
        Mark::ReplicaUsed,
        Mark::StoodStill,
        Mark::WaitedForQueue,
        Mark::Preempted,
        Mark::KeptForWide,
        Mark::UserAtLimit,
    ];
}

/// How often each branch was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks([u64; Mark::ALL.len()]);

impl Default for Marks {
    fn default() -> Marks {
        Marks([0; Mark::ALL.len()])
    }
}

impl Marks {
    /// Counts a branch.
    pub(crate) fn mark(&mut self, mark: Mark) {
        self.0[mark as usize] += 1;
    }

    /// How often a branch was taken.
    pub fn count(&self, mark: Mark) -> u64 {
        self.0[mark as usize]
    }

    /// What was counted after `before`, which was counted on the way.
    pub(crate) fn since(&self, before: &Marks) -> Marks {
        let mut more = *self;
        more.0.iter_mut().zip(before.0).for_each(|(all, before)| *all -= before);
        more
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Marks) {
        for (sum, more) in self.0.iter_mut().zip(other.0) {
            *sum += more;
        }
    }
}
