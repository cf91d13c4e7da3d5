//! Limits of the coordinator: what it keeps, and how much it says at once. All queues and tables end somewhere.

/// Notes that a job keeps.
pub(crate) const NOTES_MAX: usize = 20;

/// Outputs in a page of a shuffle's blocks.
pub(crate) const BLOCKS_PAGE: usize = 5_000;

/// Bytes in a page of a collected dataset.
pub(crate) const COLLECTED_PAGE: usize = 1 << 20;

/// The bytes of collected datasets that one stage may read whole: they travel with each of its tasks.
pub(crate) const WHOLE_INPUTS_MAX: usize = 12 << 20;

/// About how many bytes the order to commit may have: it is one message.
pub(crate) const COMMIT_MAX: usize = 15 << 20;

/// The bytes of collected datasets that are kept of ended jobs.
pub(crate) const COLLECTED_KEPT: usize = 256 << 20;

/// Orders in one answer to a poll.
pub(crate) const ANSWER_ITEMS: usize = 2_000;

/// About how many bytes one answer to a poll has; one order may have more.
pub(crate) const ANSWER_BYTES: usize = 2 << 20;

/// Splits in one page that the scheduler is told.
pub(crate) const SPLITS_PAGE: usize = 10_000;

/// Jobs that may run or wait at once.
pub(crate) const JOBS_MAX: usize = 10_000;

/// Workers that are gone and still listed.
pub(crate) const WORKERS_KEPT: usize = 100;

/// Slots that a worker may claim.
pub(crate) const SLOTS_MAX: u32 = 100_000;

/// Binaries of which it is known where they are, beside those of jobs that run.
pub(crate) const SOURCES_MAX: usize = 1_000;

/// Bytes in the name of a kind of machine.
pub(crate) const MACHINE_MAX: usize = 100;

/// A status call with progress to tell waits at least so long, so that progress does not flood the client.
pub(crate) const PROGRESS_MS: u64 = 100;
