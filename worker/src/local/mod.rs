//! Runs a job in this process: all lanes of a stage on one pool, shuffles in memory.
//!
//! A stage's lanes are taken in order by the pool's threads, whatever task they belong to; tasks only decide which part
//! file rows go to, as they do over workers, so that the output has the same files. A failed lane fails the job: closures
//! that loop for ever or exhaust memory cannot be stopped here.

mod job;
mod order;
mod stage;

pub use job::{LocalJob, LocalOptions};
pub use stage::StageProgress;
