//! What threads share. Tests that try out how threads may be interleaved (`tests/interleavings.rs`) put in its place what lets
//! them decide who runs next.

pub(crate) use std::sync::{Mutex, MutexGuard, PoisonError};
