//! A log of those who were refused, which strangers cannot fill.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many lines are written in each such time.
const LINES: u32 = 20;

/// See [`LINES`].
const TIME: Duration = Duration::from_secs(10);

/// The log's target: shown unless somebody asks for another log.
pub(super) const TARGET: &str = "windrow::security";

/// Those who were refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Lately>);

#[derive(Debug, Default)]
struct Lately {
    since: Option<Instant>,
    refused: u32,
}

impl Refusals {
    /// Says that a connection was refused, and why, unless many were just now.
    pub(super) fn log(&self, peer: Option<SocketAddr>, why: &dyn Display) {
        let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
        let (is_told, silent) = self.count(Instant::now());
        if silent > 0 {
            tracing::warn!(target: TARGET, silent, "refused, without a line for each");
        }
        if is_told {
            tracing::warn!(target: TARGET, peer, "refused: {why}");
        }
    }

    /// Whether a line may be written, and how many were not when the last time was over.
    fn count(&self, now: Instant) -> (bool, u32) {
        let mut lately = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let over = lately.since.is_none_or(|since| now.duration_since(since) >= TIME);
        let silent = if over { lately.refused.saturating_sub(LINES) } else { 0 };
        if over {
            *lately = Lately { since: Some(now), refused: 0 };
        }
        lately.refused += 1;
        (lately.refused <= LINES, silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_refusals_are_few_lines() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let told = (0..100).filter(|_| refusals.count(now).0).count();
        assert_eq!(told, LINES as usize);
        assert_eq!(refusals.count(now + TIME), (true, 100 - LINES));
        assert_eq!(refusals.count(now + TIME), (true, 0));
    }
}
