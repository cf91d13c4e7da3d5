//! How long a store takes to answer a read, and from when on a second request is worth it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// So many answers are remembered.
const REMEMBERED: usize = 256;

/// Fewer answers than this say nothing.
const KNOWN: usize = 32;

/// A second request is sent when the first one takes longer than this share of the remembered ones.
const SHARE: f64 = 0.99;

/// And longer than this: a store that is as fast has no tail that matters.
const LEAST: Duration = Duration::from_millis(50);

/// At most one request in so many is sent twice: a store that is slow as a whole is not made slower.
const ONE_IN: u32 = 10;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The last answers' times, in a ring.
    times: Vec<Duration>,
    next: usize,
    /// By [`SHARE`] of `times`, as of the last time that the ring was full or began to say something.
    patience: Option<Duration>,
    /// How many more may be sent twice, in shares of [`ONE_IN`].
    budget: u32,
}

impl Pace {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait for a first answer; `None` if no second request is to be sent.
    pub(super) fn patience(&self) -> Option<Duration> {
        let state = self.state();
        state.patience.filter(|_| state.budget >= ONE_IN)
    }

    /// A second request was sent.
    pub(super) fn repeated(&self) {
        let mut state = self.state();
        state.budget = state.budget.saturating_sub(ONE_IN);
    }

    /// A read was answered after so long.
    pub(super) fn answered(&self, after: Duration) {
        let mut state = self.state();
        state.budget = (state.budget + 1).min(8 * ONE_IN);
        let at = state.next;
        if at < state.times.len() {
            state.times[at] = after;
        } else {
            state.times.push(after);
        }
        state.next = (at + 1) % REMEMBERED;
        if state.next.is_multiple_of(KNOWN) {
            let mut sorted = state.times.clone();
            sorted.sort_unstable();
            let at = ((sorted.len() as f64 * SHARE) as usize).min(sorted.len() - 1);
            state.patience = Some(sorted[at].max(LEAST));
        }
    }
}
