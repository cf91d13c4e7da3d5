//! The coordinator: what decides and remembers.
//!
//! [`scheduler`] is a pure state machine: events in, outcomes out, time an argument. [`server`] drives it: it serves
//! workers and clients, and keeps what the scheduler does not have to know.

pub mod scheduler;
pub mod server;

pub use server::{Config, Coordinator, Running, StartError};
