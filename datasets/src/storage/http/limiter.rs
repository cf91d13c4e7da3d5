//! How many requests run at once: one more when the store bears them, fewer when it is overloaded.
//!
//! Additive increase, multiplicative decrease, as TCP's congestion avoidance does (RFC 5681), on requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Requests at once in the beginning.
const FIRST: f64 = 32.0;

/// The fewest and the most requests at once.
const BOUNDS: (f64, f64) = (2.0, 256.0);

/// By what the limit is multiplied when the store is overloaded.
const CUT: f64 = 0.7;

/// The limit is cut no more often than this, since many requests may meet one overload.
const CUT_EVERY: Duration = Duration::from_millis(200);

/// See the module.
#[derive(Debug)]
pub(super) struct Limiter {
    state: Mutex<State>,
    /// Told when there may be room.
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: f64,
    running: u32,
    cut: Option<Instant>,
}

impl Default for Limiter {
    fn default() -> Self {
        let state = State { limit: FIRST, running: 0, cut: None };
        Limiter { state: Mutex::new(state), freed: Notify::new() }
    }
}

impl Limiter {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until one more request may run. Whoever gives up waiting takes nothing.
    pub(super) async fn acquire(self: Arc<Self>) -> Permit {
        loop {
            {
                let mut state = self.state();
                if f64::from(state.running) + 1.0 <= state.limit {
                    state.running += 1;
                    drop(state);
                    // There may be room for another one that waits.
                    self.freed.notify_one();
                    return Permit(self);
                }
            }
            self.freed.notified().await;
        }
    }

    /// Learns from an answer.
    pub(super) fn answered(&self, overloaded: bool) {
        let mut state = self.state();
        if !overloaded {
            // Only a limit that is made use of says something.
            if f64::from(state.running) * 2.0 >= state.limit {
                state.limit = (state.limit + 1.0 / state.limit).min(BOUNDS.1);
            }
            return;
        }
        let now = Instant::now();
        if state.cut.is_none_or(|cut| now.duration_since(cut) >= CUT_EVERY) {
            state.limit = (state.limit * CUT).max(BOUNDS.0);
            state.cut = Some(now);
        }
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> f64 {
        self.state().limit
    }
}

/// A request that runs.
pub(super) struct Permit(Arc<Limiter>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.state().running -= 1;
        self.0.freed.notify_one();
    }
}
