//! What can be set about the scheduler: leases, limits, backup attempts.

use super::sharing::Policy;
use serde::{Deserialize, Serialize};

/// The settings of a scheduler. Outcomes do not depend on them once made: a recovered state may go on with others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// A worker that was not heard for so long is lost.
    pub lease_ms: u64,
    /// How often [`Event::Tick`](super::Event::Tick) is wanted: leases, backup attempts and delays are seen then.
    pub tick_ms: u64,
    /// A task that failed so often by its own fault fails its job.
    pub attempts_max: u8,
    /// A task that so many workers were lost with fails its job.
    pub losses_max: u8,
    /// A task that had to run again so often through no fault of its own (a lost block, a killed executor) fails its
    /// job: nothing repeats for ever.
    pub misses_max: u8,
    /// How backup attempts are made.
    pub backup: BackupConfig,
    /// A worker on which attempts of so many tasks failed by their own fault, one after the other and with none that was
    /// done between, is set aside, if others do better.
    pub strikes_max: u8,
    /// For so long; doubled each time.
    pub aside_ms: u64,
    /// The longest such time.
    pub aside_ms_max: u64,
    /// A failed commit task waits so long, doubled each time, before it runs again.
    pub commit_delay_ms: u64,
    /// The longest such delay.
    pub commit_delay_ms_max: u64,
    /// What an attempt wrote that took so long is kept by a second worker too; nothing, unless this is given.
    pub replicate_from_ms: Option<u64>,
    /// How users and queues share the slots.
    pub sharing: Policy,
    /// The defect to plant, for tests of the simulator.
    #[cfg(test)]
    #[serde(skip)]
    pub(crate) mutation: Option<Mutation>,
}

/// When a slow attempt gets a backup attempt: by the longest approximate time to its end (Zaharia, Konwinski, Joseph, Katz and
/// Stoica, "Improving MapReduce performance in heterogeneous environments", 2008).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BackupConfig {
    /// Whether there are any.
    pub enabled: bool,
    /// The share of a stage's tasks, in percent, that must be committed before.
    pub committed_percent: u32,
    /// How many times the median of its stage an attempt will take in all, as far as its progress says, or has taken, if it
    /// told none.
    pub slower_than_median: u64,
    /// An attempt that has not run for so long is not slow.
    pub elapsed_ms_min: u64,
    /// The share of all slots, in percent, that may run backup attempts at once (but one always may).
    pub slots_percent: u32,
    /// A worker that was not heard for this share of its lease, in percent, counts as slow.
    pub silent_percent: u64,
    /// A slow attempt that was asked to give up lanes, and has not, gets a backup attempt after so long.
    pub answer_ms: u64,
    /// A worker whose attempts take so many percent of the medians of their stages gets no backup attempts.
    pub pace_percent_max: u32,
    /// Each task of a job of fewer tasks gets a backup attempt at once, if a slot is free that nobody else wants: there is no
    /// time to see that one is slow (Ananthanarayanan, Ghodsi, Shenker and Stoica, "Effective straggler mitigation: attack of
    /// the clones", 2013). 0 for none.
    pub twice_below: u32,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            lease_ms: 30_000,
            tick_ms: 1_000,
            attempts_max: 4,
            losses_max: 12,
            misses_max: 100,
            backup: BackupConfig::default(),
            strikes_max: 3,
            aside_ms: 30_000,
            aside_ms_max: 600_000,
            commit_delay_ms: 1_000,
            commit_delay_ms_max: 60_000,
            replicate_from_ms: None,
            sharing: Policy::default(),
            #[cfg(test)]
            mutation: None,
        }
    }
}

impl Default for BackupConfig {
    fn default() -> BackupConfig {
        BackupConfig {
            enabled: true,
            committed_percent: 25,
            slower_than_median: 2,
            elapsed_ms_min: 2_000,
            slots_percent: 10,
            silent_percent: 50,
            answer_ms: 3_000,
            pace_percent_max: 150,
            twice_below: 0,
        }
    }
}

/// A defect planted in the scheduler, which the simulator must find. They exist in tests only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Mutation {
    /// The map outputs of a lost worker are not made again.
    KeepLostOutputs,
    /// A task commits again when its other attempt is done too.
    CommitTwice,
    /// A failed attempt's task is not queued again.
    ForgetRequeue,
    /// No lease ever ends.
    EndlessLease,
    /// A revoked attempt may still commit its task.
    CommitRevoked,
    /// The commit is decided while one task is undone.
    CommitEarly,
    /// The slot of a failed attempt is not given back.
    LeakSlot,
    /// Each report of a failure counts, also of an attempt that has ended.
    CountTwice,
    /// A draining worker still gets work.
    WorkWhileDraining,
    /// A lost block makes the neighbour of its task run again.
    ReopenNeighbour,
    /// Readers start while a task of a producer is undone.
    ReadEarly,
    /// A lost worker's running attempts are forgotten.
    ForgetAttempts,
    /// It panics when a worker is lost.
    PanicAtLoss,
    /// Rows are looked up though their stage has begun.
    LookUpLate,
    /// The last part of a stage has no task.
    LosePart,
    /// A worker that is set aside still gets work.
    WorkWhileAside,
    /// The map outputs of a worker that is to hand over at once are not made again.
    KeepHandedOver,
    /// A lost worker counts as free.
    KeepLostFree,
    /// The first split of a page is lost.
    LoseSplit,
    /// A job is cancelled though its commit is decided.
    CancelLate,
    /// An attempt has the number of the one before it.
    ReuseNumber,
    /// The first failure of a task fails its job.
    FailAtOnce,
    /// A block that is missing of an earlier attempt makes the task run again that has another by now.
    ReopenOld,
    /// The attempts of a job that ends are not revoked.
    LeaveRunning,
    /// A worker gets attempts beyond its slots.
    Overbook,
    /// A task that has begun begins again.
    RunTwice,
    /// A backup attempt runs on the worker of the attempt that it is for.
    BackUpBeside,
    /// A worker that is set aside is set aside again.
    SetAsideTwice,
    /// A worker that was set aside is brought back twice.
    BringBackTwice,
    /// A draining worker may end while its attempts run.
    DrainEarly,
    /// The first part of a stage has two tasks.
    RepeatPart,
    /// The rest of a task is not queued.
    ForgetRest,
    /// A task keeps the lanes that are another task by now.
    KeepRest,
    /// An attempt gives up lanes while another one of its task runs them all.
    CutBeside,
    /// A replica is used that was not made yet.
    UseUnmadeReplica,
    /// The replicas of a lost worker count as there.
    KeepLostReplicas,
    /// A tick that comes late takes workers for lost that could not be heard.
    JudgeLate,
    /// Attempts run on workers that have not the labels which they need.
    IgnoreLabels,
    /// An attempt that needs several slots counts as one.
    CountWideAsOne,
    /// The task of a preempted attempt is not queued again.
    ForgetPreempted,
    /// A slot that is given back counts as used still, for who had it.
    LeakShare,
    /// Jobs run beyond the most that their queue runs.
    IgnoreQueueLimit,
    /// A user has slots beyond the most.
    IgnoreUserLimit,
    /// A job that waited goes on waiting when it has a place.
    ForgetWaiting,
}
