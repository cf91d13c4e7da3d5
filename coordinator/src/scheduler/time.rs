//! The scheduler's time: an argument, never a clock.

use serde::{Deserialize, Serialize};

/// A point in time, in milliseconds since a start that the caller chose (the coordinator's first start, or the
/// beginning of a simulation). Durations are `u64` values whose names end in `_ms`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Millis(pub u64);

impl Millis {
    /// The point `duration_ms` later.
    pub fn plus(self, duration_ms: u64) -> Millis {
        Millis(self.0.saturating_add(duration_ms))
    }

    /// The milliseconds since `earlier`, or 0 where that is not earlier.
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A value that no outcome carries: when something was heard, begun or measured, and what is derived from it. It has no
/// part in the equality of states, nor in what is kept of them, for a recovered state does not know it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Volatile<T>(pub(crate) T);

impl<T> Serialize for Volatile<T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_unit()
    }
}

impl<'de, T: Default> Deserialize<'de> for Volatile<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <()>::deserialize(deserializer).map(|()| Volatile::default())
    }
}

impl<T> PartialEq for Volatile<T> {
    fn eq(&self, _: &Volatile<T>) -> bool {
        true
    }
}

/// How long the attempts of a stage took: counts by half powers of two, so that a median costs no memory a task.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Durations {
    counts: Vec<u32>,
    total: u32,
}

impl Durations {
    /// Counts a duration.
    pub(crate) fn add(&mut self, duration_ms: u64) {
        let bucket = bucket_of(duration_ms);
        if self.counts.len() <= bucket {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// An upper bound of the median, at most 1.5 times the median itself, or `None` where nothing was counted.
    pub(crate) fn median_ms(&self) -> Option<u64> {
        let mut left = self.total.div_ceil(2);
        for (bucket, &count) in self.counts.iter().enumerate() {
            if count >= left && count > 0 {
                return Some(end_of(bucket));
            }
            left -= count;
        }
        None
    }
}

/// Two buckets an octave: [2^n, 1.5 * 2^n) and [1.5 * 2^n, 2^(n+1)).
fn bucket_of(duration_ms: u64) -> usize {
    let value = duration_ms.max(1);
    let octave = value.ilog2();
    let upper = octave > 0 && value >> (octave - 1) & 1 == 1;
    octave as usize * 2 + usize::from(upper)
}

fn end_of(bucket: usize) -> u64 {
    let base = 1_u64 << (bucket / 2).min(61);
    if bucket.is_multiple_of(2) { base + base.div_ceil(2) } else { base * 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_near_from_above() {
        let mut durations = Durations::default();
        assert_eq!(durations.median_ms(), None);
        for ms in 1..=999 {
            durations.add(ms);
        }
        let median = durations.median_ms().unwrap();
        assert!((500..=750).contains(&median), "{median}");
    }

    #[test]
    fn extreme_durations_have_a_bucket() {
        let mut durations = Durations::default();
        durations.add(0);
        assert_eq!(durations.median_ms(), Some(2));
        durations.add(u64::MAX);
        durations.add(u64::MAX);
        assert!(durations.median_ms().unwrap() > 1 << 60);
    }
}
