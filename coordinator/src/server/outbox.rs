//! What a worker has still to be told: in numbered answers, each told again until the worker has seen it.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};
use windrow_protocol::control::JobOver;
use windrow_protocol::ids::{AttemptId, LaneRange, WorkerId};

/// Something to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Item {
    /// An attempt to run.
    Assign(AttemptId, LaneRange),
    /// An attempt to stop.
    Cancel(AttemptId),
    /// A job that is over.
    JobOver(JobOver),
    /// An attempt that is to give up lanes which it has not begun, and how many of them it keeps, in thousandths.
    GiveUp(AttemptId, u16),
    /// An attempt whose blocks are to be copied, and the worker that has them.
    Replicate(AttemptId, WorkerId),
}

/// The outbox of one worker.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Outbox {
    waiting: VecDeque<Item>,
    /// Told, in the answer of that number, and not seen yet as far as we know.
    told: BTreeMap<u64, Vec<Item>>,
    number: u64,
}

impl Outbox {
    /// An outbox whose answers have numbers above this one.
    pub(crate) fn above(number: u64) -> Outbox {
        Outbox { number, ..Outbox::default() }
    }

    /// Goes on after all that it ever had was pushed again: what is not `wanted` any more is left out, and answers have
    /// numbers above this one.
    pub(crate) fn go_on(&mut self, number: u64, wanted: impl FnMut(&Item) -> bool) {
        self.tell_again();
        self.waiting.retain(wanted);
        self.number = number;
    }

    /// Adds something to tell.
    pub(crate) fn push(&mut self, item: Item) {
        self.waiting.push_back(item);
    }

    /// Takes an attempt back that may have been told already. Says whether the worker must be told to stop it.
    pub(crate) fn take_back(&mut self, attempt: AttemptId) -> bool {
        let is_it = |item: &Item| matches!(item, Item::Assign(it, _) if *it == attempt);
        let before = self.waiting.len();
        self.waiting.retain(|item| !is_it(item));
        if self.waiting.len() < before {
            return false;
        }
        for items in self.told.values_mut() {
            items.retain(|item| !is_it(item));
        }
        true
    }

    /// An attempt has ended: the worker knows of it, and need not be told again.
    pub(crate) fn forget(&mut self, attempt: AttemptId) {
        for items in self.told.values_mut() {
            items.retain(|item| !matches!(item, Item::Assign(it, _) if *it == attempt));
        }
    }

    /// The worker has seen all answers up to this number.
    pub(crate) fn seen(&mut self, number: u64) {
        if number <= self.number {
            self.told.retain(|&told, _| told > number);
        }
    }

    /// Whether there is something to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.told.values().all(Vec::is_empty)
    }

    /// What was told and not seen waits again.
    fn tell_again(&mut self) {
        for (_, items) in std::mem::take(&mut self.told).into_iter().rev() {
            for item in items.into_iter().rev() {
                self.waiting.push_front(item);
            }
        }
    }

    /// The next answer's items: what was told and not seen, then what waits, as far as `fits` says so. At least one is
    /// told. Gives the answer's number as well.
    pub(crate) fn next(&mut self, mut fits: impl FnMut(&Item) -> bool) -> (u64, Vec<Item>) {
        self.tell_again();
        let mut items = Vec::new();
        while let Some(&item) = self.waiting.front() {
            if !fits(&item) && !items.is_empty() {
                break;
            }
            self.waiting.pop_front();
            items.push(item);
        }
        if !items.is_empty() {
            self.number += 1;
            self.told.insert(self.number, items.clone());
        }
        (self.number, items)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_protocol::ids::JobId;

    fn over(job: u64) -> Item {
        Item::JobOver(JobOver { job: JobId(job), abort: false })
    }

    #[test]
    fn what_was_not_seen_is_told_again_in_order() {
        let mut outbox = Outbox::default();
        outbox.push(over(1));
        assert_eq!(outbox.next(|_| true), (1, vec![over(1)]));
        outbox.push(over(2));
        assert_eq!(outbox.next(|_| true), (2, vec![over(1), over(2)]));
        outbox.seen(1);
        assert!(!outbox.is_empty());
        outbox.seen(2);
        assert!(outbox.is_empty());
        assert_eq!(outbox.next(|_| true), (2, vec![]));
    }

    #[test]
    fn a_number_that_was_never_given_is_no_sign_of_anything() {
        let mut outbox = Outbox::default();
        outbox.push(over(1));
        outbox.next(|_| true);
        outbox.seen(u64::MAX);
        assert!(!outbox.is_empty());
    }

    #[test]
    fn answers_are_bounded_and_never_stuck() {
        let mut outbox = Outbox::default();
        for job in 1..=3 {
            outbox.push(over(job));
        }
        let mut room = 2;
        let mut fits = |_: &Item| {
            room -= 1;
            room >= 0
        };
        assert_eq!(outbox.next(&mut fits), (1, vec![over(1), over(2)]));
        outbox.seen(1);
        assert_eq!(outbox.next(|_| false), (2, vec![over(3)]));
    }
}
