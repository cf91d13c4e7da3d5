//! What runs inside a lane: the context that chains are built with, what whole inputs are, and how operators pass
//! records on.

mod emitter;
mod error;
pub mod sink;
mod whole;

pub use emitter::Emitter;
pub use error::{OperatorError, UserError, panic_message};
pub use whole::Whole;

use std::cell::RefCell;

/// What a chain of operators is built with, once a lane.
#[derive(Clone)]
pub struct LaneContext {
    /// How many records operators put into a batch. 1 when a failed lane runs again to find the record to blame.
    pub batch_records: usize,
    /// The collected datasets that the stage reads whole.
    pub whole: Whole,
}

thread_local! {
    /// What the lane on this thread has counted so far, by counter.
    static COUNTED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Adds to a counter of the lane on this thread.
pub(crate) fn count(counter: u32, more: u64) {
    COUNTED.with_borrow_mut(|counted| {
        let at = counter as usize;
        if counted.len() <= at {
            counted.resize(at + 1, 0);
        }
        counted[at] = counted[at].saturating_add(more);
    });
}

/// What the lane on this thread has counted, which is forgotten. To be called before a lane, and after it.
pub fn take_counters() -> Vec<u64> {
    COUNTED.take()
}
