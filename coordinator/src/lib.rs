//! Windrow's coordinator: it decides and remembers.
//!
//! `scheduler` is a pure state machine that decides what runs where; `simulator` drives it through clusters of any
//! size, with faults, in virtual time.

pub mod scheduler;
pub mod simulator;
