//! The executor: runs the lanes of tasks, with the job's code.
//!
//! `lane` runs one lane, `failure` says why one failed, `units` says which lanes a task has; `targets` are what
//! its lanes write into, `task` is one attempt of a task, and `probe` looks rows up as they come.

pub mod failure;
pub mod lane;
mod probe;
mod targets;
pub mod task;
pub mod units;

pub use probe::BuildSide;
pub(crate) use probe::ProbeStore;
pub(crate) use targets::{Targets, Writer};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex whose content a panic under the lock cannot spoil.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
