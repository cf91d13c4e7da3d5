//! The tables that all threads share: each has a range of the hashes, so that nothing is merged at the end.

use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

use super::word::Word;
use crate::limits::{
    arena::{Arena, Piece, Zeroed},
    prefetch,
};

/// The number of tables.
pub(super) const TABLES: usize = 256;

/// How many rows come to a table at once.
const BATCH: usize = 64;

/// Slots behind the last home, so that a probe need not go round to the first.
const PAD: usize = 64;

/// A word and how often it came.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub(super) word: Word<'a>,
    /// Zero in an empty slot.
    pub(super) count: u64,
}

// SAFETY: zero bytes are an empty row.
unsafe impl Zeroed for Row<'_> {}

/// All tables.
pub(super) struct Shared<'a> {
    tables: Vec<Mutex<Table<'a>>>,
    /// The size of the input, and how much of it has been seen.
    bytes: u64,
    passed: AtomicU64,
    arena: &'a Arena,
}

/// One table: open addressing, a row at or behind its home. Homes ascend with the hash.
struct Table<'a> {
    slots: Piece<'a, Row<'a>>,
    used: usize,
}

impl<'a> Shared<'a> {
    /// Tables for an input of so many bytes, small at first.
    pub(super) fn new(arena: &'a Arena, bytes: u64) -> Self {
        let slots = (bytes as usize / 1024 / TABLES).clamp(1 << 9, 1 << 20);
        let table = || Mutex::new(Table { slots: arena.zeroed(slots), used: 0 });
        Self {
            tables: (0..TABLES).map(|_| table()).collect(),
            bytes,
            passed: AtomicU64::new(0),
            arena,
        }
    }

    /// Notes that so many bytes more are being counted.
    pub(super) fn passed(&self, bytes: usize) {
        self.passed.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many times as many slots a table that is full is to have: a fresh page costs more than the work done in it,
    /// so it grows to what it will need at the end, if the rest of the input brings new words a little more slowly
    /// than what was seen.
    fn growth(&self) -> f64 {
        let seen = self.passed.load(Ordering::Relaxed) as f64 / self.bytes as f64;
        (1.1 * seen.max(1e-3).powf(-0.8)).clamp(1.4, 16.0)
    }

    /// Adds rows whose hashes are of this table.
    fn add(&self, table: usize, rows: &[Row<'a>]) {
        let mut table = self.tables[table].lock().expect("no panic under a table's lock");
        if table.used + rows.len() > table.slots.len() / 4 * 3 {
            table.grow(self.growth(), self.arena);
        }
        table.prefetch(rows);
        for row in rows {
            table.add(row, self.arena);
        }
    }

    /// The rows of a table, ordered by hash, then word. The table is empty afterwards.
    pub(super) fn take_ordered(&self, table: usize) -> Ordered<'a> {
        let mut table = self.tables[table].lock().expect("no panic under a table's lock");
        let slots = std::mem::replace(&mut table.slots, self.arena.zeroed(0));
        table.used = 0;
        Ordered::new(slots)
    }
}

impl<'a> Table<'a> {
    /// Where a hash belongs: its bits below those that choose the table, scaled to the slots.
    #[inline(always)]
    fn home(&self, hash: u64) -> usize {
        home(hash, self.slots.len() - PAD)
    }

    /// Asks for all that `add` will look at: first the slots, then the words that they point to.
    #[inline(always)]
    fn prefetch(&self, rows: &[Row<'a>]) {
        for row in rows {
            prefetch(&self.slots[self.home(row.word.hash())]);
        }
        for row in rows.iter().filter(|row| row.word.hash() & 1 == 1) {
            let from = &self.slots[self.home(row.word.hash())..];
            let found =
                from.iter().find(|slot| slot.count == 0 || slot.word.hash() == row.word.hash());
            if let Some(slot) = found {
                slot.word.prefetch();
            }
        }
    }

    #[inline(always)]
    fn add(&mut self, row: &Row<'a>, arena: &'a Arena) {
        let mut at = self.home(row.word.hash());
        loop {
            let Some(slot) = self.slots.get_mut(at) else {
                self.grow(2.0, arena);
                at = self.home(row.word.hash());
                continue;
            };
            if slot.count == 0 {
                *slot = *row;
                self.used += 1;
                return;
            }
            if slot.word.is(&row.word) {
                slot.count += row.count;
                return;
            }
            at += 1;
        }
    }

    /// Makes so many times as many slots. Old and new ones are gone through in one direction.
    #[cold]
    fn grow(&mut self, times: f64, arena: &'a Arena) {
        let mut size = self.slots.len();
        'larger: loop {
            size = (size as f64 * times) as usize;
            let mut slots = arena.zeroed::<Row<'_>>(size);
            for row in self.slots.iter().filter(|row| row.count > 0) {
                let mut at = home(row.word.hash(), size - PAD);
                while slots.get(at).is_some_and(|slot| slot.count > 0) {
                    at += 1;
                }
                match slots.get_mut(at) {
                    Some(slot) => *slot = *row,
                    None => {
                        arena.give_back(slots);
                        continue 'larger;
                    }
                }
            }
            arena.give_back(std::mem::replace(&mut self.slots, slots));
            return;
        }
    }
}

/// The home of a hash among `homes`.
#[inline(always)]
fn home(hash: u64, homes: usize) -> usize {
    ((u128::from(hash << TABLES.trailing_zeros()) * homes as u128) >> 64) as usize
}

/// The rows of a table in their order.
pub(super) struct Ordered<'a> {
    slots: Piece<'a, Row<'a>>,
    len: usize,
}

impl<'a> Ordered<'a> {
    /// Brings the rows to the front, in order. Homes ascend with the hash, so a row is out of place only among its
    /// neighbours.
    fn new(mut slots: Piece<'a, Row<'a>>) -> Self {
        let mut len = 0;
        for at in 0..slots.len() {
            let row = slots[at];
            if row.count == 0 {
                continue;
            }
            let mut to = len;
            while to > 0 && comes_before(&row, &slots[to - 1]) {
                slots[to] = slots[to - 1];
                to -= 1;
            }
            slots[to] = row;
            len += 1;
        }
        Self { slots, len }
    }

    /// The rows.
    pub(super) fn rows(&self) -> &[Row<'a>] {
        &self.slots[..self.len]
    }
}

#[inline(always)]
fn comes_before(row: &Row<'_>, other: &Row<'_>) -> bool {
    let (a, b) = (row.word.hash(), other.word.hash());
    a < b || a == b && row.word.text_order(&other.word).is_lt()
}

/// What a thread has ready for the tables: a batch each.
pub(super) struct Batches<'a> {
    rows: Piece<'a, Row<'a>>,
    lens: [u8; TABLES],
}

impl<'a> Batches<'a> {
    pub(super) fn new(arena: &'a Arena) -> Self {
        Self { rows: arena.zeroed(TABLES * BATCH), lens: [0; TABLES] }
    }

    /// Sets a row aside; when its batch is full, that one goes to its table.
    #[inline(always)]
    pub(super) fn add(&mut self, row: Row<'a>, shared: &Shared<'a>) {
        let table = (row.word.hash() >> (64 - TABLES.trailing_zeros())) as usize;
        let len = self.lens[table] as usize;
        self.rows[table * BATCH + len] = row;
        self.lens[table] += 1;
        if len == BATCH - 1 {
            self.send(table, shared);
        }
    }

    #[inline(never)]
    fn send(&mut self, table: usize, shared: &Shared<'a>) {
        let len = std::mem::take(&mut self.lens[table]) as usize;
        shared.add(table, &self.rows[table * BATCH..][..len]);
    }

    /// Sends all that is left.
    pub(super) fn finish(&mut self, shared: &Shared<'a>) {
        (0..TABLES).for_each(|table| self.send(table, shared));
    }
}
