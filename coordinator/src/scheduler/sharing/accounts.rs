//! The slots that somebody has, and has had: one account for each queue, user of a queue, and job.

use crate::scheduler::time::Millis;
use serde::{Deserialize, Serialize};

/// Slot time is compared in such parts of a millisecond, for each unit of weight.
const PARTS: u64 = 1_024;

/// Slot time of a unit of weight: who has least is next. It grows with time alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Share(u64);

impl Share {
    /// So much less, or nothing.
    pub(super) fn less(self, other: Share) -> Share {
        Share(self.0.saturating_sub(other.0))
    }

    /// The share of one unit of weight that had all these slots for so long.
    pub(super) fn of(slots: u64, ms: u64) -> Share {
        Share(slots.saturating_mul(ms).saturating_mul(PARTS))
    }
}

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Account {
    weight: u64,
    /// Slot time that it has had until `settled`, in milliseconds.
    had_ms: u64,
    settled: Millis,
    /// The slots that it has.
    running: u64,
    /// The slot time that what it has will take, if it is as what was before, in milliseconds.
    ahead_ms: u64,
}

impl Account {
    pub(super) fn new(weight: u32, now: Millis) -> Account {
        let weight = u64::from(weight.max(1));
        Account { weight, had_ms: 0, settled: now, running: 0, ahead_ms: 0 }
    }

    /// Counts the time until now.
    pub(super) fn settle(&mut self, now: Millis) {
        let more = self.running.saturating_mul(now.since(self.settled));
        self.had_ms = self.had_ms.saturating_add(more);
        self.settled = self.settled.max(now);
    }

    /// It has other slots from now on than it had; to be settled before.
    pub(super) fn change(&mut self, before: Held, now: Held) {
        self.running = (self.running + now.slots).saturating_sub(before.slots);
        self.ahead_ms =
            (self.ahead_ms.saturating_add(now.ahead_ms)).saturating_sub(before.ahead_ms);
    }

    /// What it has now.
    pub(super) fn held(&self) -> Held {
        Held { slots: self.running, ahead_ms: self.ahead_ms }
    }

    /// The slots that it has.
    pub(super) fn running(&self) -> u64 {
        self.running
    }

    pub(super) fn weight(&self) -> u64 {
        self.weight
    }

    /// What it has had.
    pub(super) fn had(&self) -> Share {
        Share(self.had_ms.saturating_mul(PARTS) / self.weight)
    }

    /// The same, with what it will have of what it has now: by this it is decided who is next.
    pub(super) fn share(&self) -> Share {
        Share(self.had_ms.saturating_add(self.ahead_ms).saturating_mul(PARTS) / self.weight)
    }

    /// It counts as having had that much, if it has had less.
    pub(super) fn raise(&mut self, to: Share) {
        let wanted = u128::from(to.0) * u128::from(self.weight);
        let wanted = wanted.div_ceil(u128::from(PARTS)).min(u128::from(u64::MAX)) as u64;
        self.had_ms = self.had_ms.max(wanted);
    }
}

/// The slots that somebody has, and what they will take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) slots: u64,
    pub(super) ahead_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_counts_by_weight() {
        let slots = |slots| Held { slots, ahead_ms: 0 };
        let (mut light, mut heavy) = (Account::new(1, Millis(0)), Account::new(3, Millis(0)));
        light.change(slots(0), slots(1));
        heavy.change(slots(0), slots(3));
        for account in [&mut light, &mut heavy] {
            account.settle(Millis(1_000));
            account.settle(Millis(900));
        }
        assert_eq!(light.had(), heavy.had());
        assert_eq!(light.had(), Share::of(1, 1_000));
        heavy.change(slots(3), Held { slots: 4, ahead_ms: 30 });
        assert!(heavy.share() > heavy.had() && heavy.share().less(heavy.had()) == Share::of(1, 10));
        light.raise(Share::of(1, 500));
        assert_eq!(light.had(), Share::of(1, 1_000));
        heavy.raise(Share::of(1, 2_000));
        assert_eq!(heavy.had(), Share::of(1, 2_000));
    }
}
