//! A table from keys to accumulators whose slots ascend with the hash, so that one scan gives the rows in order.
//!
//! Open addressing with linear probing; the home of a key is its hash, scaled to the number of slots, and a tail pad
//! saves going round to the first slot. Rows leave ordered by (hash, key): homes ascend with the hash, so a row is out
//! of place only among its neighbours, and an insertion sort in the same scan puts that right.
//!
//! Where keys crowd, homes follow from the hash in another way, and from the whole key with a secret where that does not
//! help either: keys may be made so that they all have one hash.
//!
//! All `unsafe` is about slots: [`Key`]'s functions ask that what a slot points to is alive. Slots in a table point
//! into the table's own heap.

use super::chunks::Chunks;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::mem::MaybeUninit;
use windrow_datasets::memory::{Piece, prefetch};
use windrow_datasets::{Heap, Key};

/// The size of a cache line, in bytes.
const LINE: usize = 64;

/// Slots behind the last home.
const PAD: usize = 64;

/// A key that is not found within so many slots [scatters](Homes) the table.
const PROBES_MAX: usize = 256;

/// The fewest homes; few in tests, so that tables grow.
const HOMES_MIN: usize = if cfg!(test) { 12 } else { 192 };

/// A key's hash as tables keep it: zero means an empty slot, so it stands for one. Where the order of rows rests on
/// the hash, it is this one.
#[inline(always)]
pub(crate) fn order_hash(hash: u64) -> u64 {
    hash.max(1)
}

/// A row: key and accumulator.
pub(super) struct Row<S, A> {
    /// Zero in an empty slot.
    pub(super) hash: u64,
    pub(super) slot: MaybeUninit<S>,
    pub(super) acc: MaybeUninit<A>,
}

impl<S, A> Row<S, A> {
    pub(super) const EMPTY: Row<S, A> =
        Row { hash: 0, slot: MaybeUninit::uninit(), acc: MaybeUninit::uninit() };

    /// The row; an empty one is in its place then.
    #[inline(always)]
    fn take(&mut self) -> Row<S, A> {
        let hash = std::mem::take(&mut self.hash);
        // SAFETY: a bit copy: of the two, only the new one says that there is something.
        Row { hash, ..unsafe { std::ptr::read(self) } }
    }

    #[inline(always)]
    pub(super) fn new(hash: u64, slot: S, acc: A) -> Row<S, A> {
        Row { hash, slot: MaybeUninit::new(slot), acc: MaybeUninit::new(acc) }
    }
}

/// See the module.
pub(super) struct Table<K: Key, A> {
    rows: Piece,
    /// Slots in all, pad included.
    len: usize,
    used: usize,
    heap: Heap,
    /// Of how many tables this is one: the hash times this has the table's number above, and below where in it.
    tables: u32,
    homes: Homes,
    /// Whether the rows are at the front, in order.
    ordered: bool,
    types: std::marker::PhantomData<(K, A)>,
}

// SAFETY: the table owns its rows, whose keys point into its own heap.
unsafe impl<K: Key, A: Send> Send for Table<K, A> {}
// SAFETY: as above; a shared table is only read.
unsafe impl<K: Key, A: Sync> Sync for Table<K, A> {}

/// The slots of a table with room for about so many rows, pad included.
fn slots_for(rows: usize) -> usize {
    (rows * 3 / 2).max(HOMES_MIN) + PAD
}

type KeyRow<K, A> = Row<<K as windrow_datasets::Record>::Slot, A>;

impl<K: Key, A> Table<K, A> {
    /// The bytes of a new table with room for about `rows`.
    pub(super) fn bytes_for(rows: usize) -> u64 {
        (slots_for(rows) * size_of::<KeyRow<K, A>>()) as u64
    }

    /// A table that is one of `tables`, with room for about `rows`.
    pub(super) fn new(tables: u32, rows: usize) -> Table<K, A> {
        let len = slots_for(rows);
        Table {
            rows: Piece::zeroed(len * size_of::<KeyRow<K, A>>()),
            len,
            used: 0,
            heap: Heap::new(),
            tables,
            homes: Homes::ByHash,
            ordered: false,
            types: std::marker::PhantomData,
        }
    }

    /// The number of rows.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    #[inline(always)]
    fn start(&self) -> *mut KeyRow<K, A> {
        self.rows.start().as_ptr().cast()
    }

    fn slots(&self) -> &[KeyRow<K, A>] {
        // SAFETY: the piece has `len` rows; zero bytes are an empty one.
        unsafe { std::slice::from_raw_parts(self.start(), self.len) }
    }

    fn slots_mut(&mut self) -> &mut [KeyRow<K, A>] {
        // SAFETY: as above, and the table is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.start(), self.len) }
    }

    /// Where a key belongs.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline(always)]
    unsafe fn home(&self, hash: u64, slot: &K::Slot) -> usize {
        // SAFETY: the caller's promise.
        unsafe { self.homes.of::<K>(hash, slot, self.tables, self.len - PAD) }
    }

    /// Where a key of this hash most likely belongs.
    #[inline(always)]
    fn likely_home(&self, hash: u64) -> usize {
        self.homes.likely(hash, self.tables, self.len - PAD)
    }

    /// The bytes that it has for rows, and for what their keys point to.
    #[inline(always)]
    pub(super) fn bytes(&self) -> (usize, usize) {
        (self.len * size_of::<KeyRow<K, A>>(), self.heap.allocated_bytes())
    }

    /// Whether there is room for `more` rows without growing.
    #[inline(always)]
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.used + more <= (self.len - PAD) / 5 * 4
    }

    /// Makes room for `more` rows, if need be by growing `times` as large.
    #[inline]
    pub(super) fn make_room(&mut self, more: usize, times: impl FnOnce() -> f64) {
        if !self.has_room(more) {
            self.grow(times().max((self.used + more) as f64 * 1.5 / (self.len - PAD) as f64));
        }
    }

    /// Asks for the slot where a key of this hash belongs.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        // SAFETY: a home is below `len`.
        let row = unsafe { self.start().add(self.likely_home(hash)) };
        prefetch(row);
        // It may lie across two cache lines, and a key that is not at its home sits just behind it.
        prefetch(row.cast::<u8>().wrapping_add(LINE.max(size_of::<KeyRow<K, A>>()) - 1));
    }

    /// Asks for what `upsert` will compare keys with, once their slots are near.
    #[inline(always)]
    pub(super) fn prefetch_key(&self, hash: u64) {
        // SAFETY: a home is below `len`; an occupied slot's key is initialized.
        unsafe {
            let row = &*self.start().add(self.likely_home(hash));
            if row.hash == hash {
                K::prefetch(row.slot.assume_init_ref());
            }
        }
    }

    /// Adds to the accumulator of a key that is there, or puts the key there with a first one. `acc` goes into
    /// `merge` or into the table. [Room](Table::make_room) for the row was made before.
    ///
    /// # Safety
    /// What `slot` points to is alive; `hash` is its [`order_hash`], and one of this table's.
    #[inline(always)]
    pub(super) unsafe fn upsert(
        &mut self,
        hash: u64,
        slot: &K::Slot,
        acc: A,
        merge: impl FnOnce(&mut A, A),
    ) {
        // SAFETY: the caller's promise.
        unsafe { self.fold(hash, slot, acc, |acc| acc, merge) };
    }

    /// As [`Table::upsert`] for a value that becomes a first accumulator by `start`, or is added by `push`.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub(super) unsafe fn fold<V>(
        &mut self,
        hash: u64,
        slot: &K::Slot,
        value: V,
        start: impl FnOnce(V) -> A,
        push: impl FnOnce(&mut A, V),
    ) {
        debug_assert!(!self.ordered && hash != 0);
        // SAFETY: the caller answers for `slot`.
        let mut at = unsafe { self.home(hash, slot) };
        let mut last = self.last_probe(at);
        loop {
            if at >= last {
                if self.homes.wrap() {
                    at = 0;
                } else {
                    self.scatter();
                    // SAFETY: as above.
                    at = unsafe { self.home(hash, slot) };
                }
                last = self.last_probe(at);
            }
            // SAFETY: `at < len`.
            let row = unsafe { &mut *self.start().add(at) };
            if row.hash == hash {
                // SAFETY: an occupied slot is initialized, and points into the heap; the caller answers for `slot`.
                if unsafe { K::slot_eq(row.slot.assume_init_ref(), slot) } {
                    // SAFETY: as above.
                    push(unsafe { row.acc.assume_init_mut() }, value);
                    return;
                }
            } else if row.hash == 0 {
                row.acc.write(start(value));
                // SAFETY: the caller answers for `slot`.
                row.slot.write(unsafe { K::keep_slot(slot, &mut self.heap) });
                // Occupied from here on: `start`, the job's code, may panic.
                row.hash = hash;
                self.used += 1;
                return;
            }
            at += 1;
        }
    }

    /// One past the last slot that is looked at for a key whose home is `at`.
    #[inline(always)]
    fn last_probe(&self, at: usize) -> usize {
        if self.homes.wrap() { self.len } else { self.len.min(at + PROBES_MAX) }
    }

    #[cold]
    #[inline(never)]
    fn scatter(&mut self) {
        self.homes.scatter();
        self.grow(1.0);
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, times: f64) {
        let len = ((self.len as f64 * times) as usize).max(HOMES_MIN + PAD);
        'again: loop {
            let piece = Piece::zeroed(len * size_of::<KeyRow<K, A>>());
            let start = piece.start().as_ptr().cast::<KeyRow<K, A>>();
            for row in self.slots().iter().filter(|row| row.hash != 0) {
                // SAFETY: an occupied slot is initialized, and points into the heap.
                let slot = unsafe { row.slot.assume_init_ref() };
                // SAFETY: as above.
                let mut at = unsafe { self.homes.of::<K>(row.hash, slot, self.tables, len - PAD) };
                // SAFETY: `at < len` is looked at first; zero bytes are an empty row.
                while at < len && unsafe { (*start.add(at)).hash } != 0 {
                    at += 1;
                    if at == len && self.homes.wrap() {
                        at = 0;
                    }
                }
                if at == len {
                    // Nothing was moved for good: the old rows are still owned by the old piece.
                    self.homes.scatter();
                    continue 'again;
                }
                // SAFETY: `at < len`; the row moves, and the old piece is dropped without its rows.
                unsafe { std::ptr::copy_nonoverlapping(row, start.add(at), 1) };
            }
            self.rows = piece;
            self.len = len;
            return;
        }
    }

    /// Brings the rows to the front, ordered by hash, then key. Nothing may be added afterwards.
    pub(super) fn order(&mut self) {
        if std::mem::replace(&mut self.ordered, true) {
            return;
        }
        let (mut len, scattered) = (0, !matches!(self.homes, Homes::ByHash));
        let slots = self.slots_mut();
        for at in 0..slots.len() {
            if slots[at].hash == 0 {
                continue;
            }
            slots[len] = slots[at].take();
            if !scattered {
                insert_last::<K, A>(&mut slots[..=len]);
            }
            len += 1;
        }
        if scattered {
            slots[..len].sort_unstable_by(order::<K, A>);
        }
        debug_assert_eq!(len, self.used);
    }

    /// Whether the rows are in order, and nothing may be added.
    pub(super) fn is_ordered(&self) -> bool {
        self.ordered
    }

    /// The rows in order, after [`Table::order`].
    pub(super) fn ordered(&self) -> &[KeyRow<K, A>] {
        debug_assert!(self.ordered);
        &self.slots()[..self.used]
    }

    /// Gives all rows, ordered, with hash and borrowed key, to `each`; the table is empty then.
    pub(super) fn drain(&mut self, mut each: impl FnMut(u64, &K::Slot, A)) {
        self.order();
        let used = std::mem::take(&mut self.used);
        for row in &mut self.slots_mut()[..used] {
            let hash = std::mem::take(&mut row.hash);
            // SAFETY: the first `used` rows are initialized, and were marked empty before they are read out.
            unsafe { each(hash, row.slot.assume_init_ref(), row.acc.assume_init_read()) };
        }
        self.heap.clear();
        self.ordered = false;
        self.homes = Homes::ByHash;
    }

    /// Moves all rows, ordered, to the end of a list; the table is empty then, but has what their keys point to.
    pub(super) fn leave(&mut self, to: &mut Chunks<KeyRow<K, A>>) {
        if self.ordered || !matches!(self.homes, Homes::ByHash) {
            self.order();
            let used = std::mem::take(&mut self.used);
            self.slots_mut()[..used].iter_mut().for_each(|row| to.push(row.take()));
            (self.ordered, self.homes) = (false, Homes::ByHash);
            return;
        }
        self.used = 0;
        let slots = self.slots_mut();
        let mut at = 0;
        while at < slots.len() {
            // Rows between two empty slots have their homes there: none belongs before or behind other such rows.
            let from = at;
            while at < slots.len() && slots[at].hash != 0 {
                insert_last::<K, A>(&mut slots[from..=at]);
                at += 1;
            }
            slots[from..at].iter_mut().for_each(|row| to.push(row.take()));
            at += 1;
        }
    }

    /// What the keys of rows point to that [left](Table::leave).
    pub(super) fn take_keys(&mut self) -> Heap {
        std::mem::take(&mut self.heap)
    }
}

impl<K: Key, A> Drop for Table<K, A> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<A>() {
            for row in self.slots_mut().iter_mut().filter(|row| row.hash != 0) {
                row.hash = 0;
                // SAFETY: an occupied slot is initialized, and is marked empty before.
                unsafe { row.acc.assume_init_drop() };
            }
        }
    }
}

/// The order in which rows leave.
fn order<K: Key, A>(row: &KeyRow<K, A>, other: &KeyRow<K, A>) -> std::cmp::Ordering {
    // SAFETY: both are occupied rows of one table, whose heap is alive.
    row.hash.cmp(&other.hash).then_with(|| unsafe {
        K::slot_cmp(row.slot.assume_init_ref(), other.slot.assume_init_ref())
    })
}

/// Moves the last row to its place among those before it, which are in order.
#[inline(always)]
fn insert_last<K: Key, A>(rows: &mut [KeyRow<K, A>]) {
    let mut at = rows.len() - 1;
    while at > 0 && comes_before::<K, A>(&rows[at], &rows[at - 1]) {
        rows.swap(at, at - 1);
        at -= 1;
    }
}

#[inline(always)]
fn comes_before<K: Key, A>(row: &KeyRow<K, A>, other: &KeyRow<K, A>) -> bool {
    row.hash < other.hash || (row.hash == other.hash && key_comes_before::<K, A>(row, other))
}

#[cold]
fn key_comes_before<K: Key, A>(row: &KeyRow<K, A>, other: &KeyRow<K, A>) -> bool {
    // SAFETY: both are occupied rows of one table, whose heap is alive.
    unsafe { K::slot_cmp(row.slot.assume_init_ref(), other.slot.assume_init_ref()).is_lt() }
}

/// How the home of a key follows from it. Rows of a table whose homes do not ascend with the hash are put in order by
/// sorting them.
enum Homes {
    /// In the order of the hashes.
    ByHash,
    /// By the hash, mixed: keys that come in the order of their hashes, as those of another keyed operator do, would crowd
    /// the first homes.
    Mixed,
    /// By the whole key, with a secret: keys may have been made to have one hash.
    Keyed(RandomState),
}

impl Homes {
    /// The next way, for a table that is crowded.
    fn scatter(&mut self) {
        *self = match self {
            Homes::ByHash => Homes::Mixed,
            Homes::Mixed | Homes::Keyed(_) => Homes::Keyed(RandomState::new()),
        };
    }

    /// Whether keys that find no place to the end of the table are looked for from its beginning.
    #[inline(always)]
    fn wrap(&self) -> bool {
        matches!(self, Homes::Keyed(_))
    }

    /// Which of so many homes a key has, in one of `tables` tables.
    ///
    /// # Safety
    /// What the slot points to is alive.
    #[inline(always)]
    unsafe fn of<K: Key>(&self, hash: u64, slot: &K::Slot, tables: u32, homes: usize) -> usize {
        match self {
            // SAFETY: the caller's promise.
            Homes::Keyed(secret) => unsafe { keyed_home::<K>(secret, slot, homes) },
            _ => self.likely(hash, tables, homes),
        }
    }

    /// The same as far as the hash tells.
    #[inline(always)]
    fn likely(&self, hash: u64, tables: u32, homes: usize) -> usize {
        const MIX: u64 = 0x9e37_79b9_7f4a_7c15;
        let within = match self {
            Homes::ByHash => hash.wrapping_mul(u64::from(tables)),
            _ => hash.wrapping_mul(MIX).swap_bytes().wrapping_mul(MIX),
        };
        scaled(within, homes)
    }
}

/// # Safety
/// What the slot points to is alive.
#[cold]
unsafe fn keyed_home<K: Key>(secret: &RandomState, slot: &K::Slot, homes: usize) -> usize {
    let mut hasher = secret.build_hasher();
    // SAFETY: the caller's promise.
    unsafe { K::slot_feed(slot, &mut hasher) };
    scaled(hasher.finish(), homes)
}

#[inline(always)]
fn scaled(hash: u64, homes: usize) -> usize {
    ((u128::from(hash) * homes as u128) >> 64) as usize
}

/// Those of some rows in order whose hash is in a range, first and last included.
pub(super) fn rows_between<S, A>(rows: &[Row<S, A>], from: u64, to: u64) -> &[Row<S, A>] {
    let start = rows.partition_point(|row| row.hash < from);
    let end = rows.partition_point(|row| row.hash <= to);
    &rows[start..end]
}

/// Which of `tables` tables (or buckets) a hash belongs to: they are ranges of the hash.
#[inline(always)]
pub(crate) fn range_of(hash: u64, tables: u32) -> u32 {
    ((u128::from(hash) * u128::from(tables)) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn add(table: &mut Table<String, String>, key: &str, more: &str) {
        table.make_room(1, || 2.0);
        let slot = String::probe(key);
        // SAFETY: `key` is alive, and the hash is its own.
        unsafe {
            let hash = order_hash(String::slot_hash(&slot));
            table.upsert(hash, &slot, more.to_string(), |a, b| a.push_str(&b));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn equals_a_map_in_the_order_of_hashes(
            words in prop::collection::vec("[ab]{0,3}|[a-z]{1,30}", 0..3000),
        ) {
            let mut table = Table::<String, String>::new(1, 0);
            let mut expected: BTreeMap<(u64, String), String> = BTreeMap::new();
            for (at, word) in words.iter().enumerate() {
                let more = format!("{} ", at % 10);
                add(&mut table, word, &more);
                let hash = order_hash(String::hash(word.as_str()));
                expected.entry((hash, word.clone())).or_default().push_str(&more);
            }
            prop_assert_eq!(table.used(), expected.len());
            let mut found = Vec::new();
            table.drain(|_, slot, acc| {
                // SAFETY: the slot is borrowed from the table.
                let view = unsafe { <String as windrow_datasets::Record>::slot_view(slot) };
                found.push((view.to_string(), acc));
            });
            let expected: Vec<(String, String)> =
                expected.into_iter().map(|((_, key), acc)| (key, acc)).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(table.used(), 0);
            add(&mut table, "again", "x");
            prop_assert_eq!(table.used(), 1);
        }
    }

    #[test]
    fn keys_in_the_order_of_their_hashes_scatter_the_table() {
        let mut hashes: Vec<(u64, u64)> =
            (0..100_000u64).map(|key| (order_hash(u64::hash(key)), key)).collect();
        hashes.sort_unstable();
        let mut table = Table::<u64, u64>::new(1, 0);
        for (hash, key) in hashes.iter().chain(&hashes) {
            table.make_room(1, || 2.0);
            // SAFETY: a number points to nothing, and the hash is its own.
            unsafe { table.upsert(*hash, key, 1, |a, b| *a += b) };
        }
        assert!(matches!(table.homes, Homes::Mixed));
        let mut found = Vec::new();
        table.drain(|_, slot, acc| found.push((*slot, acc)));
        assert_eq!(found, hashes.iter().map(|(_, key)| (*key, 2)).collect::<Vec<_>>());
    }

    #[test]
    fn keys_of_one_hash_are_all_there_and_in_order() {
        let mut table = Table::<u32, u64>::new(1, 0);
        for key in (0..50_000u32).rev().chain(0..50_000) {
            table.make_room(1, || 2.0);
            // SAFETY: a number points to nothing; any hash will do for a table alone.
            unsafe { table.upsert(u64::MAX, &key, 1, |a, b| *a += b) };
        }
        assert!(matches!(table.homes, Homes::Keyed(_)));
        let mut found = Vec::new();
        table.drain(|_, slot, acc| found.push((*slot, acc)));
        assert_eq!(found, (0..50_000).map(|key| (key, 2)).collect::<Vec<_>>());
    }
}
