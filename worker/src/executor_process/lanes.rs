//! The lanes that an attempt has still to run, the last of which it may give up.

use crate::sync::{Mutex, MutexGuard, PoisonError};
use windrow_protocol::control::Progress;
use windrow_protocol::ids::LaneRange;

/// The lanes of an attempt. They are taken in order, and what was not taken may be given up meanwhile.
#[derive(Debug, Default)]
pub(super) struct Lanes(Mutex<Left>);

#[derive(Debug, Default)]
struct Left {
    first: u32,
    /// The next one to run.
    next: u32,
    end: u32,
    done: u32,
    given_up: Option<u32>,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, Left> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It is known which they are: those of the range, of so many that the task has. Returns them.
    pub(super) fn begin(&self, range: LaneRange, all: u32) -> Vec<u32> {
        let (first, end) = (range.start, range.end.min(all).max(range.start));
        *self.lock() = Left { first, next: first, end, ..Left::default() };
        (first..end).collect()
    }

    /// The next one, which is run now.
    pub(super) fn take(&self) -> Option<u32> {
        let mut left = self.lock();
        let next = (left.next < left.end).then_some(left.next)?;
        left.next += 1;
        Some(next)
    }

    /// One that was taken is done.
    pub(super) fn done(&self) {
        self.lock().done += 1;
    }

    /// Gives up the last of those that were not taken, and keeps so many of them, in thousandths. Whether there are any. What
    /// has given up some gives up no more: it may be told twice to.
    pub(super) fn give_up(&self, keep_permille: u16) -> bool {
        let mut left = self.lock();
        let waiting = left.end - left.next;
        let keep = (u64::from(waiting) * u64::from(keep_permille)).div_ceil(1000);
        if left.given_up.is_some() || keep >= u64::from(waiting) {
            return false;
        }
        left.end = left.next + keep as u32;
        left.given_up = Some(left.end);
        true
    }

    /// The first of those that were given up, if any were.
    pub(super) fn given_up(&self) -> Option<u32> {
        self.lock().given_up
    }

    /// How far it is, with so many records.
    pub(super) fn progress(&self, records: u64) -> Progress {
        let left = self.lock();
        let lanes = left.end - left.first;
        Progress { lanes_done: left.done, lanes, records, given_up: left.given_up }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_begun_is_given_up_once() {
        let lanes = Lanes::default();
        assert!(!lanes.give_up(0), "nothing is known of them yet");
        assert_eq!(lanes.begin(LaneRange { start: 2, end: u32::MAX }, 12).len(), 10);
        assert_eq!((lanes.take(), lanes.take()), (Some(2), Some(3)));
        // Of eight it keeps two, at the least so many thousandths.
        assert!(lanes.give_up(200) && !lanes.give_up(0));
        assert_eq!(lanes.given_up(), Some(6));
        lanes.done();
        let progress = Progress { lanes_done: 1, lanes: 4, records: 9, given_up: Some(6) };
        assert_eq!(lanes.progress(9), progress);
        assert_eq!((lanes.take(), lanes.take(), lanes.take()), (Some(4), Some(5), None));
    }

    #[test]
    fn an_attempt_that_has_begun_all_gives_up_nothing() {
        let lanes = Lanes::default();
        lanes.begin(LaneRange::ALL, 3);
        while lanes.take().is_some() {}
        assert!(!lanes.give_up(0));
        lanes.begin(LaneRange::ALL, 3);
        assert!(!lanes.give_up(1000));
        assert_eq!(lanes.given_up(), None);
    }
}
