//! How long bytes take over the links to other hosts.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use windrow_datasets::codec::Choice;

/// What has come counts half as much once so many bytes more have.
const LATELY: u64 = 64 << 20;

/// Measures, and tells those who compress: the bytes of all answers, by the time in which some answer was on its way.
pub(super) struct Link {
    choice: Choice,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Answers that are on their way.
    open: u32,
    since: Option<Instant>,
    busy: Duration,
    bytes: u64,
}

impl Link {
    pub(super) fn new(choice: Choice) -> Link {
        Link { choice, state: Mutex::default() }
    }

    /// An answer is on its way until what this gives is dropped.
    pub(super) fn answer(&self) -> Answer<'_> {
        self.change(|state| state.open += 1);
        Answer { link: self, bytes: 0 }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some(since) = state.since.replace(now).filter(|_| state.open > 0) {
            state.busy += now - since;
        }
        change(&mut state);
    }
}

/// See [`Link::answer`].
pub(super) struct Answer<'l> {
    link: &'l Link,
    bytes: u64,
}

impl Answer<'_> {
    /// So many bytes of it have come.
    pub(super) fn came(&mut self, bytes: u64) {
        self.bytes += bytes;
    }
}

impl Drop for Answer<'_> {
    fn drop(&mut self) {
        let (link, bytes) = (self.link, self.bytes);
        link.change(|state| {
            state.open -= 1;
            state.bytes += bytes;
            if state.bytes >= LATELY {
                let picoseconds = state.busy.as_nanos() * 1000 / u128::from(state.bytes);
                link.choice.set_link(picoseconds as u64);
                state.bytes /= 2;
                state.busy /= 2;
            }
        });
    }
}
