//! Where work is done.
//!
//! `executor` runs the lanes of tasks with the job's code; `local` runs a whole job in one process; `shape` is what others
//! need to know of a plan.

pub mod executor;
pub mod local;
pub mod shape;
