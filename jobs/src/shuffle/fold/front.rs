//! What a thread has before the shared tables: a small table of frequent keys, and a batch of rows for each table.
//!
//! The front fits the thread's cache. A key has one place in it; where another one sits already, that one stays while
//! it has credit, which each time that it comes adds to, and each other key takes from. What is turned away waits in
//! batches, so that slots of cold tables are asked for ahead, and a lock is taken once a batch.
//!
//! Where hardly any key comes again while it is in the front, looking there costs more than it saves: then rows go
//! straight to the batches for a while, until the front is given another trial.
//!
//! Keys that are not inline are copied to a heap of this thread until their rows have been sent.

use super::Folding;
use super::kept::RowOf;
use super::store::FoldStore;
use super::table::{Row, range_of};
use crate::shuffle::Combining;
use windrow_datasets::memory::{Piece, prefetch};
use windrow_datasets::{Heap, Key, Record};

/// The number of places in the front; a power of two.
const PLACES: usize = 16_384;

/// How many rows come to a table at once.
const BATCH: usize = 64;

/// When the heap has this many bytes, all is sent, and the heap is emptied.
const HEAP_BYTES_MAX: usize = 4 << 20;

/// A trial ends with so many rows that were not found: enough to fill the front, and to see whether that helps.
const TRIAL_MISSES: usize = 8 * PLACES;

/// After a trial in which fewer than one row in so many was found in the front, it is passed by.
const FOUND_ONE_IN: usize = 8;

/// For so many rows.
const PASSED_BY_ROWS: usize = 16 * TRIAL_MISSES;

/// Whether rows are looked for in the front.
#[derive(Default)]
struct Trial {
    combining: Combining,
    found: usize,
    missed: usize,
    /// For how many more rows the front is passed by.
    passed_by: usize,
}

impl Trial {
    fn new(combining: Combining) -> Trial {
        let passed_by = if combining == Combining::Never { usize::MAX } else { 0 };
        Trial { combining, passed_by, ..Trial::default() }
    }

    #[inline(always)]
    fn miss(&mut self) {
        self.missed += 1;
        if self.missed == TRIAL_MISSES {
            self.end();
        }
    }

    #[cold]
    fn end(&mut self) {
        let pass = self.combining != Combining::Always
            && self.found * FOUND_ONE_IN < self.found + self.missed;
        let passed_by = if pass { PASSED_BY_ROWS } else { 0 };
        *self = Trial { combining: self.combining, passed_by, ..Trial::default() };
    }
}

struct Place<S, A> {
    row: Row<S, A>,
    credit: u32,
}

type KeyOf<F> = <F as Folding>::Key;
type SlotOf<F> = <KeyOf<F> as Record>::Slot;
type PlaceOf<F> = Place<SlotOf<F>, <F as Folding>::Acc>;

/// See the module.
pub(super) struct Front<F: Folding> {
    places: Piece,
    batches: Piece,
    /// How many rows wait in each batch: those are initialized, and no others.
    waiting: Vec<u8>,
    heap: Heap,
    trial: Trial,
    fold: std::marker::PhantomData<F>,
}

// SAFETY: a front owns its rows; their keys point into its own heap.
unsafe impl<F: Folding> Send for Front<F> {}

impl<F: Folding> Front<F> {
    pub(super) fn new(tables: u32, combining: Combining) -> Front<F> {
        Front {
            places: Piece::zeroed(PLACES * size_of::<PlaceOf<F>>()),
            batches: Piece::zeroed(tables as usize * BATCH * size_of::<RowOf<F>>()),
            waiting: vec![0; tables as usize],
            heap: Heap::new(),
            trial: Trial::new(combining),
            fold: std::marker::PhantomData,
        }
    }

    /// The bytes that it has at most.
    pub(super) fn bytes(&self) -> usize {
        let rows = self.waiting.len() * BATCH * size_of::<RowOf<F>>();
        PLACES * size_of::<PlaceOf<F>>() + rows + HEAP_BYTES_MAX
    }

    #[inline(always)]
    fn place(&self, hash: u64) -> *mut PlaceOf<F> {
        // By low bits of the hash, since high ones choose the table.
        let at = hash as usize % PLACES;
        // SAFETY: `at < PLACES`.
        unsafe { self.places.start().as_ptr().cast::<PlaceOf<F>>().add(at) }
    }

    /// Asks for the place of a key.
    #[inline(always)]
    pub(super) fn prefetch(&self, hash: u64) {
        prefetch(self.place(hash));
    }

    /// Adds one value to a key's accumulator.
    ///
    /// # Safety
    /// What `slot` points to is alive; `hash` is its order hash.
    #[inline(always)]
    pub(super) unsafe fn add(
        &mut self,
        store: &FoldStore<F>,
        hash: u64,
        slot: &SlotOf<F>,
        value: <F::Value as Record>::View<'_>,
    ) {
        let fold = &*store.fold;
        // SAFETY: the caller's promise.
        unsafe {
            self.fold(store, hash, slot, value, |v| fold.start(v), |acc, v| fold.push(acc, v));
        }
    }

    /// Adds what an accumulator has to a key's.
    ///
    /// # Safety
    /// As for [`Front::add`].
    pub(super) unsafe fn merge(
        &mut self,
        store: &FoldStore<F>,
        hash: u64,
        slot: &SlotOf<F>,
        acc: F::Acc,
    ) {
        let fold = &*store.fold;
        // SAFETY: the caller's promise.
        unsafe { self.fold(store, hash, slot, acc, |acc| acc, |acc, more| fold.merge(acc, more)) };
    }

    /// Adds something, which `start` makes a key's first accumulator of, and `push` adds to one.
    ///
    /// # Safety
    /// As for [`Front::add`].
    #[inline(always)]
    unsafe fn fold<V>(
        &mut self,
        store: &FoldStore<F>,
        hash: u64,
        slot: &SlotOf<F>,
        value: V,
        start: impl FnOnce(V) -> F::Acc,
        push: impl FnOnce(&mut F::Acc, V),
    ) {
        if self.trial.passed_by > 0 {
            self.trial.passed_by -= 1;
            let acc = start(value);
            // SAFETY: the caller answers for `slot`.
            let kept = unsafe { KeyOf::<F>::keep_slot(slot, &mut self.heap) };
            return self.pass(store, Row::new(hash, kept, acc));
        }
        // SAFETY: the pointer is to a place of this front, which is borrowed alone; zero bytes are an empty one.
        let place = unsafe { &mut *self.place(hash) };
        if place.row.hash == hash {
            // SAFETY: an occupied place is initialized; its key is alive in the heap, the caller answers for `slot`.
            unsafe {
                if KeyOf::<F>::slot_eq(place.row.slot.assume_init_ref(), slot) {
                    push(place.row.acc.assume_init_mut(), value);
                    place.credit += 1;
                    self.trial.found += 1;
                    return;
                }
            }
        }
        self.trial.miss();
        let acc = start(value);
        // SAFETY: the caller answers for `slot`.
        let kept = unsafe { KeyOf::<F>::keep_slot(slot, &mut self.heap) };
        let new = Row::new(hash, kept, acc);
        if place.credit > 0 {
            place.credit -= 1;
            self.pass(store, new);
        } else {
            place.credit = 1;
            let old = std::mem::replace(&mut place.row, new);
            if old.hash != 0 {
                self.pass(store, old);
            }
        }
    }

    /// Whether the heap has grown so much that [`Front::flush`] is due.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.heap.allocated_bytes() > HEAP_BYTES_MAX
    }

    /// Puts a row into its table's batch; a full one goes to the table.
    #[inline(always)]
    fn pass(&mut self, store: &FoldStore<F>, row: RowOf<F>) {
        let table = range_of(row.hash, store.tables()) as usize;
        let at = self.waiting[table] as usize;
        // SAFETY: there are `BATCH` rows for each table, and `at` is below that: a full batch is sent at once.
        unsafe { self.batch(table).add(at).write(row) };
        self.waiting[table] += 1;
        if at == BATCH - 1 {
            self.send(store, table);
        }
    }

    #[inline(always)]
    fn batch(&self, table: usize) -> *mut RowOf<F> {
        // SAFETY: `table` is a table's number, and there are `BATCH` rows for each.
        unsafe { self.batches.start().as_ptr().cast::<RowOf<F>>().add(table * BATCH) }
    }

    #[inline(never)]
    fn send(&mut self, store: &FoldStore<F>, table: usize) {
        let count = std::mem::take(&mut self.waiting[table]) as usize;
        if count == 0 {
            return;
        }
        // SAFETY: `count` rows are initialized, and marked as gone just above: they move into the table.
        let rows = unsafe { std::slice::from_raw_parts(self.batch(table), count) };
        // SAFETY: keys are alive in the heap, and the rows are of this table.
        unsafe { store.merge(table, rows) };
    }

    /// Sends all that is left, and forgets the heap.
    pub(super) fn flush(&mut self, store: &FoldStore<F>) {
        for at in 0..PLACES {
            // SAFETY: `at` is below `PLACES`; an occupied place is initialized.
            let place = unsafe { &mut *self.place(at as u64) };
            place.credit = 0;
            let row = std::mem::replace(&mut place.row, Row::EMPTY);
            if row.hash != 0 {
                self.pass(store, row);
            }
        }
        for table in 0..self.waiting.len() {
            self.send(store, table);
        }
        self.heap.clear();
    }
}

impl<F: Folding> Drop for Front<F> {
    fn drop(&mut self) {
        if !std::mem::needs_drop::<F::Acc>() {
            return;
        }
        for at in 0..PLACES {
            // SAFETY: as in `flush`.
            unsafe {
                let place = &mut *self.place(at as u64);
                if place.row.hash != 0 {
                    place.row.acc.assume_init_drop();
                }
            }
        }
        for table in 0..self.waiting.len() {
            for at in 0..self.waiting[table] as usize {
                // SAFETY: as many rows as wait are initialized.
                unsafe { (*self.batch(table).add(at)).acc.assume_init_drop() };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_front_that_finds_nothing_is_passed_by() {
        let mut trial = Trial { found: TRIAL_MISSES / 10, ..Trial::default() };
        (1..TRIAL_MISSES).for_each(|_| trial.miss());
        assert_eq!(trial.passed_by, 0);
        trial.miss();
        assert_eq!((trial.passed_by, trial.found, trial.missed), (PASSED_BY_ROWS, 0, 0));
        let mut trial = Trial { found: TRIAL_MISSES / 2, ..Trial::default() };
        (0..TRIAL_MISSES).for_each(|_| trial.miss());
        assert_eq!((trial.passed_by, trial.found, trial.missed), (0, 0, 0));
        let mut trial = Trial::new(Combining::Always);
        (0..TRIAL_MISSES).for_each(|_| trial.miss());
        assert_eq!(trial.passed_by, 0);
        assert!(Trial::new(Combining::Never).passed_by > usize::MAX / 2);
    }
}
