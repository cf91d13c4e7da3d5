//! The executor: runs the lanes of tasks, with the job's code.
//!
//! `lane` runs one lane, `failure` says why one failed, `units` says which lanes a task has.

pub mod failure;
pub mod lane;
pub mod units;
