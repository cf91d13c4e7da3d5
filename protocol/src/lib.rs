//! What the processes of a cluster say to each other.
//!
//! `ids` names things, `shape` is what the coordinator knows of a plan, `parts` and `rests` are what tasks have of it, `failure` is why an attempt failed, `task` is
//! what an executor is told to do and what it answers, `control` is what clients and workers say to a coordinator,
//! `data` what workers say to one another, `attempts` what became of those of a job, `binary` what is said of the binaries of jobs, `claim` what a job claims of a cluster that it shares, `events` what subscribers are told, and `executor` what a supervisor and its executors say. `codec` turns
//! messages into bytes, `security` proves who is there, `transport` carries messages, `link` keeps a connection over faults, and `client` is what a submitting
//! process needs.
//! Nothing here decides, computes or stores.

pub mod attempts;
pub mod binary;
pub mod claim;
pub mod client;
pub mod codec;
pub mod control;
pub mod data;
pub mod events;
pub mod executor;
pub mod failure;
pub mod ids;
pub mod link;
pub mod parts;
pub mod preface;
pub mod rests;
pub mod security;
pub mod shape;
pub mod task;
pub mod transport;
