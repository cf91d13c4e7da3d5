//! Rows that came in any order are put together, and in order, with those that were settled before.
//!
//! The range of the hash is cut finely enough that a table of one part lies in a core's own cache: rows go to their parts
//! first, and then part after part through a table.

use super::Folding;
use super::chunks::Chunks;
use super::kept::{RowOf, upsert_all};
use super::table::{Table, range_of};
use windrow_datasets::Heap;
use windrow_datasets::memory::{Budget, Share};

/// About the most bytes of a table.
const TABLE_BYTES: usize = if cfg!(test) { 4 << 10 } else { 512 << 10 };

/// The most parts: a row is written to one of as many places.
const PARTS_MAX: usize = 64;

/// How many rows are looked up at once, so that their slots are asked for ahead.
const LOOKED_UP: usize = 64;

/// See the module. What it is given must be alive until it [ends](Settling::end).
pub(super) struct Settling<'a, F: Folding> {
    fold: &'a F,
    /// Of how many ranges of the hash this is one.
    ranges: u32,
    /// The parts of it.
    parts: u32,
    /// Rows of each part.
    waiting: Vec<Chunks<RowOf<F>>>,
    /// The part that the table is for.
    part: u32,
    table: Table<F::Key, F::Acc>,
    /// Of the table.
    share: Share,
    settled: Chunks<RowOf<F>>,
}

impl<'a, F: Folding> Settling<'a, F> {
    /// Settles rows of one of so many ranges; `rows` is about how many there will be.
    pub(super) fn new(fold: &'a F, budget: &Budget, ranges: u32, rows: usize) -> Self {
        let bytes = rows * size_of::<RowOf<F>>() / 2 * 3;
        let parts = (bytes / TABLE_BYTES + 1).next_power_of_two().min(PARTS_MAX);
        let share = budget.share();
        let table = Table::new(ranges * parts as u32, rows / parts);
        share.set(table.bytes().0 as u64);
        Settling {
            fold,
            ranges,
            parts: parts as u32,
            waiting: (0..parts).map(|_| Chunks::default()).collect(),
            part: 0,
            table,
            share,
            settled: Chunks::default(),
        }
    }

    #[inline(always)]
    fn part_of(&self, hash: u64) -> u32 {
        range_of(hash.wrapping_mul(u64::from(self.ranges)), self.parts)
    }

    /// Moves rows that are in no order.
    ///
    /// # Safety
    /// The rows are initialized, of the range, are not used afterwards, and what their keys point to is alive until the end.
    pub(super) unsafe fn wait(&mut self, rows: &[RowOf<F>]) {
        for row in rows {
            let part = self.part_of(row.hash) as usize;
            // SAFETY: the row moves.
            self.waiting[part].push(unsafe { std::ptr::read(row) });
        }
    }

    /// Moves rows that are in order, behind those that were moved so before. No more can wait then.
    ///
    /// # Safety
    /// As for [`Settling::wait`].
    pub(super) unsafe fn add(&mut self, mut rows: &[RowOf<F>]) {
        while !rows.is_empty() {
            let (of_part, more) =
                rows.split_at(rows.partition_point(|row| self.part_of(row.hash) <= self.part));
            // SAFETY: the caller's promise.
            unsafe { upsert(&mut self.table, self.fold, of_part) };
            rows = more;
            if !rows.is_empty() {
                self.end_part();
            }
        }
    }

    /// The part that is at hand is complete.
    fn end_part(&mut self) {
        let (fold, table) = (self.fold, &mut self.table);
        // SAFETY: rows of the list are initialized, and are gone then; the caller of `wait` answers for their keys.
        self.waiting[self.part as usize].take(|rows| unsafe { upsert(table, fold, rows) });
        self.share.set(table.bytes().0 as u64);
        self.part += 1;
        self.table.leave(&mut self.settled);
    }

    /// All rows, in order, one a key; and what their keys point to.
    pub(super) fn end(mut self) -> (Chunks<RowOf<F>>, Heap) {
        while self.part < self.parts {
            self.end_part();
        }
        (self.settled, self.table.take_keys())
    }
}

/// Moves rows into a table, which has room made for them.
///
/// # Safety
/// As for [`upsert_all`].
unsafe fn upsert<F: Folding>(table: &mut Table<F::Key, F::Acc>, fold: &F, rows: &[RowOf<F>]) {
    for rows in rows.chunks(LOOKED_UP) {
        table.make_room(rows.len(), || 1.5);
        // SAFETY: the caller's promise.
        unsafe { upsert_all(table, fold, rows) };
    }
}
