//! What the processes of a cluster say to each other.
//!
//! `ids` names things, `shape` is what the coordinator knows of a plan, the other modules are the
//! messages and services. Nothing here decides, computes or stores.

pub mod failure;
pub mod ids;
pub mod shape;
