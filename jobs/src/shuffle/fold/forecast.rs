//! How many keys there will be, told from those that came so far.
//!
//! Of `rows` rows that are drawn from `N` keys alike, `N (1 - e^(-rows / N))` keys are expected: from how few came again
//! one learns `N`. Keys are seldom all alike, so that new ones go on coming more slowly (Heaps' law): the greater of
//! the two is taken. It is about memory alone, of which a fresh page costs more than the work that is done in it.

use crate::shuffle::Lanes;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The exponent of Heaps' law, from the middle of what is found in texts.
const HEAPS: f64 = 0.5;

/// By how much more room is made than for the keys that are expected.
const MARGIN: f64 = 1.2;

/// How many times as much room is made while nothing is known.
const UNKNOWN: f64 = 4.0;

/// The least part of the input that is taken for seen.
const PART_MIN: f64 = 1e-3;

/// Counts what came to the tables of a store.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Rows of lanes, so far and of those that ended.
    rows: AtomicU64,
    rows_of_ended: AtomicU64,
    lanes_ended: AtomicU64,
    /// What was left of the rows when they came to the tables, and how many of these had a new key.
    arrived: AtomicU64,
    keys: AtomicU64,
}

impl Seen {
    /// Counts rows of a lane.
    pub(super) fn rows(&self, rows: u64) {
        self.rows.fetch_add(rows, Relaxed);
    }

    /// Counts a lane that has ended, with all its rows.
    pub(super) fn lane(&self, rows: u64) {
        self.rows_of_ended.fetch_add(rows, Relaxed);
        self.lanes_ended.fetch_add(1, Relaxed);
    }

    /// Counts rows that came to a table, of which so many had a new key.
    pub(super) fn arrived(&self, rows: usize, keys: usize) {
        self.arrived.fetch_add(rows as u64, Relaxed);
        self.keys.fetch_add(keys as u64, Relaxed);
    }

    /// How many times as many keys there should be room for as there are.
    pub(super) fn growth(&self, lanes: &Lanes) -> f64 {
        let Some(part) = self.part(lanes) else { return UNKNOWN };
        MARGIN * alike(self.new_so_far(), part).max(part.powf(-HEAPS))
    }

    /// Which part of all rows that come to the tables will have brought a new key; `None` while nothing is known.
    pub(super) fn new_at_end(&self, lanes: &Lanes) -> Option<f64> {
        let part = self.part(lanes)?;
        Some(self.new_so_far() * alike(self.new_so_far(), part) * part)
    }

    /// Which part of the rows that came to the tables so far had a new key.
    fn new_so_far(&self) -> f64 {
        let arrived = self.arrived.load(Relaxed) as f64;
        self.keys.load(Relaxed) as f64 / arrived.max(1.0)
    }

    /// Which part of all rows has come; `None` while no lane with rows has ended.
    fn part(&self, lanes: &Lanes) -> Option<f64> {
        let (rows, ended) = (self.rows_of_ended.load(Relaxed), self.lanes_ended.load(Relaxed));
        if rows == 0 || lanes.all() == 0 {
            return None;
        }
        let expected = rows as f64 / ended as f64 * lanes.all() as f64;
        Some((self.rows.load(Relaxed) as f64 / expected).clamp(PART_MIN, 1.0))
    }
}

/// How many times as many keys all rows have as the `part` of them that came, of which the part `new` had a new key.
fn alike(new: f64, part: f64) -> f64 {
    // Rows that came to each key: the solution of (1 - e^-x) / x = new, which falls with x, and is below 1 / new.
    let (mut low, mut high) = (0.0, 1.0 / new.clamp(1e-6, 1.0));
    for _ in 0..50 {
        let x = (low + high) / 2.0;
        if -f64::exp_m1(-x) / x > new { low = x } else { high = x }
    }
    let x = low.max(1e-12);
    f64::exp_m1(-x / part) / f64::exp_m1(-x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_never_come_again_go_on_coming() {
        assert!((alike(1.0, 0.01) - 100.0).abs() < 1.0);
    }

    #[test]
    fn keys_that_are_alike_are_counted_by_how_few_come_again() {
        // A million keys, of 10 million rows.
        let (all, keys) = (1e7, 1e6);
        let expected = |rows: f64| keys * (1.0 - f64::exp(-rows / keys));
        for part in [0.001, 0.01, 0.1, 0.5] {
            let rows = all * part;
            let times = alike(expected(rows) / rows, part);
            assert!((times * expected(rows) / expected(all) - 1.0).abs() < 0.01, "{part}: {times}");
        }
    }

    #[test]
    fn lanes_that_ended_tell_how_many_rows_there_will_be() {
        let (seen, lanes) = (Seen::default(), Lanes::of(10));
        seen.rows(500);
        seen.arrived(500, 500);
        assert_eq!((seen.part(&lanes), seen.growth(&lanes)), (None, UNKNOWN));
        seen.rows(500);
        seen.lane(1000);
        seen.rows(250);
        assert_eq!(seen.part(&lanes), Some(0.125));
        assert_eq!(seen.part(&Lanes::default()), None);
        seen.arrived(750, 750);
        assert!((seen.growth(&lanes) - MARGIN * 8.0).abs() < 0.01);
    }

    #[test]
    fn keys_that_come_again_ask_for_little() {
        let (seen, lanes) = (Seen::default(), Lanes::of(10));
        seen.rows(1000);
        seen.lane(1000);
        seen.arrived(1000, 10);
        assert!(seen.growth(&lanes) <= MARGIN * 0.1f64.powf(-HEAPS));
        assert!(seen.new_at_end(&lanes).unwrap() < 0.01);
    }

    #[test]
    fn new_keys_at_the_end_are_fewer_than_now_unless_all_are_new() {
        let (seen, lanes) = (Seen::default(), Lanes::of(10));
        assert_eq!(seen.new_at_end(&lanes), None);
        seen.rows(1000);
        seen.lane(1000);
        seen.arrived(500, 500);
        assert!((seen.new_at_end(&lanes).unwrap() - 1.0).abs() < 0.01);
        // 900 of 1000 new: there are some 4,700 keys for the 10,000 rows.
        seen.arrived(500, 400);
        let new = seen.new_at_end(&lanes).unwrap();
        assert!((0.35..0.5).contains(&new), "{new}");
    }
}
