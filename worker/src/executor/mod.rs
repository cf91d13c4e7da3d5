//! The executor: runs the lanes of tasks, with the job's code.
//!
//! `lane` runs one lane, `failure` says why one failed, `units` says which lanes a task has; `task` is one attempt of a task.

pub mod failure;
pub mod lane;
pub mod task;
pub mod units;
