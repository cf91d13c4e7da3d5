//! What is counted of the requests to object stores.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicU64, Ordering};

/// What went to and from object stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Requests, each time that one was sent.
    pub requests: u64,
    /// Those that were answered with an error, or not at all.
    pub failed: u64,
    /// Those that were sent while a first one like it had no answer.
    pub hedged: u64,
    /// Bytes in bodies of answers, as far as they were read.
    pub bytes_received: u64,
    /// Bytes in bodies of requests.
    pub bytes_sent: u64,
}

impl Traffic {
    /// What came to it since `before`.
    #[must_use]
    pub fn since(self, before: Traffic) -> Traffic {
        Traffic {
            requests: self.requests - before.requests,
            failed: self.failed - before.failed,
            hedged: self.hedged - before.hedged,
            bytes_received: self.bytes_received - before.bytes_received,
            bytes_sent: self.bytes_sent - before.bytes_sent,
        }
    }

    /// Adds that of others.
    pub fn add(&mut self, other: Traffic) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.hedged += other.hedged;
        self.bytes_received += other.bytes_received;
        self.bytes_sent += other.bytes_sent;
    }
}

/// Counts traffic.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    requests: AtomicU64,
    failed: AtomicU64,
    hedged: AtomicU64,
    bytes_received: AtomicU64,
    bytes_sent: AtomicU64,
}

impl Meter {
    pub(super) fn request(&self, bytes: u64) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes_sent.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn hedged(&self) {
        self.hedged.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn received(&self, bytes: u64) {
        self.bytes_received.fetch_add(bytes, Ordering::Relaxed);
    }

    /// All so far.
    pub(crate) fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            requests: read(&self.requests),
            failed: read(&self.failed),
            hedged: read(&self.hedged),
            bytes_received: read(&self.bytes_received),
            bytes_sent: read(&self.bytes_sent),
        }
    }
}
