//! What a store keeps of one range of the hash: a table as long as that is small, and then rows that are set apart.
//!
//! A table that lies in no cache costs a row a miss or two, and has room that nothing is in. So when a table would become
//! large, its rows leave it, in order: they are *settled*. Those that come from then on *wait*, one after the other. When
//! so many wait that it is worth it, or when the range is read, all go into a table for a moment, which has the cache to
//! itself meanwhile, and leave it in order again.
//!
//! Partitions of an aggregate that are put together once they are large are from the hybrid hash aggregation of data
//! base systems; see also "Cache-Efficient Aggregation: Hashing Is Sorting" (Müller, Sanders, Lacurie, Lehner and Färber,
//! 2015).

use super::Folding;
use super::chunks::Chunks;
use super::settling::Settling;
use super::table::{Row, Table, rows_between};
use windrow_datasets::memory::Budget;
use windrow_datasets::{Heap, Key, Record};

/// Rows are settled when this many times as many wait as there are keys.
const WAITING: usize = 2;

/// The same, where hardly a row's key was there before: then there is little to be saved.
const WAITING_NEW: usize = 8;

/// The part of rows with a key that was not there before from which on that is so.
const MOSTLY_NEW: f64 = 0.75;

/// A key's row in a table of a folding.
pub(super) type RowOf<F> = Row<<<F as Folding>::Key as Record>::Slot, <F as Folding>::Acc>;

/// See the module.
pub(super) enum Kept<F: Folding> {
    Table(Table<F::Key, F::Acc>),
    Apart(Apart<F>),
}

impl<F: Folding> Kept<F> {
    /// The bytes that it has for rows, and for what their keys point to.
    #[inline(always)]
    pub(super) fn bytes(&self) -> (usize, usize) {
        match self {
            Kept::Table(table) => table.bytes(),
            Kept::Apart(apart) => apart.bytes(),
        }
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Kept::Table(table) => table.used() == 0,
            Kept::Apart(apart) => apart.settled.len() + apart.waiting.len() == 0,
        }
    }

    /// Whether nothing is to be done before so many rows are added.
    #[inline(always)]
    pub(super) fn has_room(&self, more: usize) -> bool {
        match self {
            Kept::Table(table) => table.has_room(more),
            Kept::Apart(apart) => apart.waiting.room() >= more,
        }
    }

    /// Whether the rows can be read as they are.
    pub(super) fn is_ordered(&self) -> bool {
        match self {
            Kept::Table(table) => table.is_ordered(),
            Kept::Apart(apart) => apart.waiting.len() == 0,
        }
    }

    /// Brings the rows in order. Nothing may be added to a table afterwards.
    pub(super) fn order(&mut self, fold: &F, budget: &Budget) {
        match self {
            Kept::Table(table) => table.order(),
            Kept::Apart(apart) => apart.settle(fold, budget),
        }
    }

    /// The rows with a hash of a range, first and last included, in order, after [`Kept::order`].
    pub(super) fn between(&self, from: u64, to: u64) -> impl Iterator<Item = &[RowOf<F>]> {
        let (table, settled) = match self {
            Kept::Table(table) => (Some(table.ordered()), None),
            Kept::Apart(apart) => (None, Some(apart.settled.slices())),
        };
        let all = table.into_iter().chain(settled.into_iter().flatten());
        all.map(move |rows| rows_between(rows, from, to)).filter(|rows| !rows.is_empty())
    }

    /// Gives all rows, ordered, with hash and borrowed key, to `each`; there is none then.
    pub(super) fn drain(
        &mut self,
        fold: &F,
        budget: &Budget,
        mut each: impl FnMut(u64, &<F::Key as Record>::Slot, F::Acc),
    ) {
        match self {
            Kept::Table(table) => table.drain(each),
            Kept::Apart(apart) => {
                apart.settle(fold, budget);
                apart.settled.take(|rows| {
                    for row in rows {
                        // SAFETY: rows are initialized, and are not used afterwards; their keys are in the heap.
                        unsafe {
                            each(row.hash, row.slot.assume_init_ref(), row.acc.assume_init_read());
                        }
                    }
                });
                apart.keys = Heap::new();
            }
        }
    }

    /// Sets the rows of one of `tables` tables apart, and those that come.
    pub(super) fn set_apart(&mut self, tables: u32) {
        if let Kept::Table(table) = self {
            let mut settled = Chunks::default();
            table.leave(&mut settled);
            let keys = table.take_keys();
            let (waiting, waiting_keys) = (Chunks::default(), Heap::new());
            *self = Kept::Apart(Apart { tables, settled, keys, waiting, waiting_keys, new: 1.0 });
        }
    }
}

/// Rows that lie in no table.
pub(super) struct Apart<F: Folding> {
    /// Of how many ranges this is one.
    tables: u32,
    /// A row a key, in order.
    settled: Chunks<RowOf<F>>,
    /// What the keys of those point to.
    keys: Heap,
    /// Rows as they came.
    waiting: Chunks<RowOf<F>>,
    waiting_keys: Heap,
    /// Which part of the rows that were settled last had a key that was not there before.
    new: f64,
}

// SAFETY: it owns its rows, whose keys point into its own heaps.
unsafe impl<F: Folding> Send for Apart<F> {}
// SAFETY: as above; what is shared is only read.
unsafe impl<F: Folding> Sync for Apart<F> {}

impl<F: Folding> Apart<F> {
    pub(super) fn bytes(&self) -> (usize, usize) {
        let keys = self.keys.allocated_bytes() + self.waiting_keys.allocated_bytes();
        (self.settled.bytes() + self.waiting.bytes(), keys)
    }

    /// Moves rows to the end of those that wait.
    ///
    /// # Safety
    /// The rows are initialized, are not used afterwards, and what their keys point to is alive.
    #[inline(always)]
    pub(super) unsafe fn add(&mut self, rows: &[RowOf<F>]) {
        for row in rows {
            // SAFETY: the caller's promise.
            let (slot, acc) = unsafe {
                let slot = F::Key::keep_slot(row.slot.assume_init_ref(), &mut self.waiting_keys);
                (slot, row.acc.assume_init_read())
            };
            self.waiting.push(Row::new(row.hash, slot, acc));
        }
    }

    /// Whether so many rows wait that it is time to settle them.
    pub(super) fn is_due(&self) -> bool {
        let times = if self.new > MOSTLY_NEW { WAITING_NEW } else { WAITING };
        self.waiting.len() >= self.settled.len() * times
    }

    /// Whether settling would free enough to be tried while memory is short.
    pub(super) fn may_shrink(&self) -> bool {
        self.waiting.len() * 2 >= self.settled.len()
    }

    /// Puts the rows that wait together with those that are settled.
    pub(super) fn settle(&mut self, fold: &F, budget: &Budget) {
        let (before, came) = (self.settled.len(), self.waiting.len());
        if came == 0 {
            return;
        }
        // A tenth more than as often as the last time.
        let new = (came as f64 * self.new * 1.1) as usize;
        let mut settling = Settling::new(fold, budget, self.tables, before + new.min(came));
        // SAFETY: rows of the list are initialized, and are gone then; what their keys point to lives until below.
        self.waiting.take(|rows| unsafe { settling.wait(rows) });
        // SAFETY: as above; settled rows are in order.
        self.settled.take(|rows| unsafe { settling.add(rows) });
        (self.settled, self.keys) = settling.end();
        self.waiting_keys.clear();
        self.new = (self.settled.len() - before) as f64 / came as f64;
    }
}

impl<F: Folding> Drop for Apart<F> {
    fn drop(&mut self) {
        if std::mem::needs_drop::<F::Acc>() {
            let drop_all = |rows: &[RowOf<F>]| {
                // SAFETY: rows of the list are initialized, and are gone then.
                rows.iter().for_each(|row| drop(unsafe { row.acc.assume_init_read() }));
            };
            self.settled.take(drop_all);
            self.waiting.take(drop_all);
        }
    }
}

/// Moves rows into a table, which has room for them.
///
/// # Safety
/// The rows are initialized, are not used afterwards, are of this table, and what their keys point to is alive.
pub(super) unsafe fn upsert_all<F: Folding>(
    table: &mut Table<F::Key, F::Acc>,
    fold: &F,
    rows: &[RowOf<F>],
) {
    rows.iter().for_each(|row| table.prefetch(row.hash));
    if !F::Key::PREFIX_IS_EXACT {
        rows.iter().for_each(|row| table.prefetch_key(row.hash));
    }
    for row in rows {
        // SAFETY: the caller's promise.
        unsafe {
            let acc = row.acc.assume_init_read();
            table.upsert(row.hash, row.slot.assume_init_ref(), acc, |acc, more| {
                fold.merge(acc, more);
            });
        }
    }
}
