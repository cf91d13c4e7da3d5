//! Reads ahead: while a lane is decoded, the bytes of one that follows it in the split are on their way.

use crate::storage::Object;
use std::collections::VecDeque;
use std::fmt::{self, Debug, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The bytes that may be on their way, or here, for lanes that have not begun.
const BYTES_MAX: u64 = 64 << 20;

/// The lanes for which they may be. Some may never begin here, as another process runs them.
const LANES_MAX: usize = 16;

/// The lanes of which is remembered that they began.
const BEGUN_MAX: usize = 512;

/// What a lane reads first: the row of a row group of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) row: u64,
    pub(super) object: Object,
}

/// Lanes that were prepared before they begin.
pub(super) struct Ahead<L>(Mutex<Lanes<L>>);

struct Lanes<L> {
    /// With the bytes that they fetch.
    waiting: VecDeque<(Key, u64, L)>,
    begun: VecDeque<Key>,
}

impl<L> Default for Ahead<L> {
    fn default() -> Ahead<L> {
        Ahead(Mutex::new(Lanes { waiting: VecDeque::new(), begun: VecDeque::new() }))
    }
}

impl<L> Debug for Ahead<L> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Ahead(..)")
    }
}

impl<L> Ahead<L> {
    fn lanes(&self) -> MutexGuard<'_, Lanes<L>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A lane begins: gives what was prepared of it.
    pub(super) fn begin(&self, key: &Key) -> Option<L> {
        let mut lanes = self.lanes();
        lanes.begun.truncate(BEGUN_MAX - 1);
        lanes.begun.push_front(key.clone());
        let at = lanes.waiting.iter().position(|(waiting, ..)| waiting == key)?;
        lanes.waiting.remove(at).map(|(.., lane)| lane)
    }

    /// How many lanes are prepared.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lanes().waiting.len()
    }

    /// How many bytes may be fetched for a lane now; none if it has begun or is prepared.
    pub(super) fn room(&self, key: &Key) -> u64 {
        let lanes = self.lanes();
        if lanes.begun.contains(key) || lanes.waiting.iter().any(|(waiting, ..)| waiting == key) {
            return 0;
        }
        BYTES_MAX.saturating_sub(lanes.waiting.iter().map(|(_, bytes, _)| bytes).sum())
    }

    /// Keeps a lane that fetches so many bytes until it begins. Should it have begun by now, or should there be too
    /// many, that is wasted.
    pub(super) fn keep(&self, key: Key, bytes: u64, lane: L) {
        let mut lanes = self.lanes();
        if !lanes.begun.contains(&key) {
            lanes.waiting.truncate(LANES_MAX - 1);
            lanes.waiting.push_front((key, bytes, lane));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_prepared_is_given_once() {
        let ahead = Ahead::default();
        let key =
            |row| Key { row, object: Object::named("/data/a.parquet".parse().unwrap(), 1000) };
        assert_eq!((ahead.begin(&key(0)), ahead.room(&key(0))), (None, 0));
        assert_eq!(ahead.room(&key(1)), BYTES_MAX);
        ahead.keep(key(1), BYTES_MAX - 1, "one");
        assert_eq!((ahead.room(&key(1)), ahead.room(&key(2))), (0, 1));
        assert_eq!((ahead.begin(&key(1)), ahead.begin(&key(1))), (Some("one"), None));
        assert_eq!(ahead.room(&key(2)), BYTES_MAX);
        // It began before it was there.
        ahead.keep(key(1), 1, "late");
        assert_eq!(ahead.begin(&key(1)), None);
        for row in 10..100 {
            ahead.keep(key(row), 0, "many");
        }
        assert!(ahead.waiting() <= LANES_MAX);
    }
}
