//! What a thread does with the rows of a lane.

use super::Folding;
use super::front::Front;
use super::groups::Groups;
use super::store::FoldStore;
use super::table::order_hash;
use std::mem::MaybeUninit;
use std::sync::Arc;
use windrow_datasets::push::{Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Key, Record};

/// A thread's receiver. The front goes back to the store when the lane ends, however it ends: what a failed lane has
/// added spoils the store, which is dropped then.
pub(super) struct FoldLane<F: Folding> {
    store: Arc<FoldStore<F>>,
    front: Option<Front<F>>,
    groups: Groups<F::Tally>,
    /// Rows that came, and those of them that the store was told of.
    rows: u64,
    told: u64,
}

/// After so many rows that came one by one the store is told of them.
const TELL_ROWS: u64 = 4096;

impl<F: Folding> FoldLane<F> {
    pub(super) fn new(store: Arc<FoldStore<F>>) -> FoldLane<F> {
        let front = Some(store.front());
        FoldLane { store, front, groups: Groups::default(), rows: 0, told: 0 }
    }

    /// Tells the store of rows that came.
    fn tell(&mut self) -> Result<(), PushError> {
        self.store.seen.rows(self.rows - self.told);
        self.told = self.rows;
        self.store.check()
    }
}

/// How many keys are hashed before the first is looked up.
const AHEAD: usize = 32;

/// Rows are compared with the next ones where one in so many has the hash of the one before it. Where that is so by
/// chance only, the processor cannot foresee how the comparison ends, which costs more than looking keys up.
const ALIKE_ONE_IN: usize = 2;

impl<F: Folding> Push<F::Row> for FoldLane<F> {
    fn batch(
        &mut self,
        batch: &<F::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        let count = selection.count(batch.len());
        self.rows += count as u64;
        self.tell()?;
        let Some(front) = &mut self.front else { return Ok(Demand::Enough) };
        let store = &*self.store;
        let mut keys = [const { (0u64, MaybeUninit::<<F::Key as Record>::Slot>::uninit()) }; AHEAD];
        let index = |at: usize| match selection {
            Selection::All => at,
            Selection::Rows(rows) => rows[at] as usize,
        };
        if self.groups.fold(front, store, batch, selection) {
            return Ok(Demand::More);
        }
        let mut from = 0;
        while from < count {
            let to = (from + AHEAD).min(count);
            let (mut before, mut alike) = (0, 0);
            for at in from..to {
                // SAFETY: the indexes of a selection are below the batch's length.
                unsafe {
                    let (slot, _) = F::take(batch, index(at));
                    let hash = order_hash(F::Key::slot_hash(&slot));
                    front.prefetch(hash);
                    keys[at - from] = (hash, MaybeUninit::new(slot));
                    alike += usize::from(hash == before);
                    before = hash;
                }
            }
            if alike * ALIKE_ONE_IN < to - from {
                for (at, (hash, slot)) in (from..to).zip(&keys) {
                    // SAFETY: as above; the slot was written just before, and borrows from the batch.
                    unsafe {
                        let value = F::take(batch, index(at)).1;
                        front.add(store, *hash, slot.assume_init_ref(), value);
                    }
                }
                from = to;
                continue;
            }
            // Input is often sorted or grouped: equal neighbours are looked up once.
            let mut at = from;
            while at < to {
                let (hash, slot) = &keys[at - from];
                // SAFETY: as above; the slot was written just before, and borrows from the batch.
                let (slot, value) =
                    unsafe { (slot.assume_init_ref(), F::take(batch, index(at)).1) };
                at += 1;
                let again = |at: usize| {
                    if at < to {
                        let (other, key) = &keys[at - from];
                        // SAFETY: as above.
                        return other == hash
                            && unsafe { F::Key::slot_eq(key.assume_init_ref(), slot) };
                    }
                    // SAFETY: as above.
                    at < count && unsafe { F::Key::slot_eq(&F::take(batch, index(at)).0, slot) }
                };
                if !again(at) {
                    // SAFETY: as above.
                    unsafe { front.add(store, *hash, slot, value) };
                    continue;
                }
                let mut acc = store.fold.start(value);
                while again(at) {
                    // SAFETY: as above.
                    store.fold.push(&mut acc, unsafe { F::take(batch, index(at)).1 });
                    at += 1;
                }
                // SAFETY: as above.
                unsafe { front.merge(store, *hash, slot, acc) };
            }
            from = at;
        }
        if front.is_full() {
            front.flush(store);
        }
        Ok(Demand::More)
    }

    #[inline]
    fn row(&mut self, view: <F::Row as Record>::View<'_>) -> Result<Demand, PushError> {
        let Some(front) = &mut self.front else { return Ok(Demand::Enough) };
        let (slot, value) = F::take_view(view);
        // SAFETY: the slot borrows from the view, which is alive.
        unsafe {
            let hash = order_hash(F::Key::slot_hash(&slot));
            front.add(&self.store, hash, &slot, value);
        }
        if front.is_full() {
            front.flush(&self.store);
        }
        self.rows += 1;
        if self.rows - self.told == TELL_ROWS {
            self.tell()?;
        }
        Ok(Demand::More)
    }

    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.tell()?;
        self.store.seen.lane(self.rows);
        if let Some(front) = self.front.take() {
            self.store.rest(front);
        }
        Ok(())
    }
}
