//! The coordinator: what decides and remembers.
//!
//! [`scheduler`] is a pure state machine: events in, outcomes out, time an argument. [`server`] drives it: it serves
//! workers and clients, and keeps what the scheduler does not have to know. [`simulator`] drives the same scheduler over
//! a simulated cluster in virtual time, with faults, and checks what must always hold. [`journal`] keeps records on the
//! disk or in an object store, so that a state that follows from them can be had again, also by another coordinator that
//! stood by. `explain` says why a job did what it did, `history` what became of its attempts, `bounds` what its time went to, and `http` shows all that
//! in a browser, and to programs and monitors.

mod bounds;
mod explain;
mod history;
mod http;
pub mod journal;
pub mod scheduler;
pub mod server;
pub mod simulator;
mod standby;
mod sync;

pub use http::{Webhook, WebhookError};
pub use server::{Config, Coordinator, Running, Scaling, StartError};
