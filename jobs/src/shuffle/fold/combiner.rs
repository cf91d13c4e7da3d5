//! The table of one lane, for folds in the order of the rows.

use super::Folding;
use super::table::{Table, order_hash};
use crate::exec::Emitter;
use std::sync::Arc;
use windrow_datasets::push::PushError;
use windrow_datasets::{Key, Record};

/// A table of one lane, for folds in the order of the rows.
pub(crate) struct Combiner<F: Folding> {
    fold: Arc<F>,
    table: Table<F::Key, F::Acc>,
}

impl<F: Folding> Combiner<F> {
    pub(crate) fn new(fold: Arc<F>) -> Combiner<F> {
        Combiner { fold, table: Table::new(1, 0) }
    }

    /// The number of keys.
    #[inline(always)]
    pub(crate) fn keys(&self) -> usize {
        self.table.used()
    }

    /// Adds one value.
    ///
    /// # Safety
    /// What `slot` points to is alive.
    #[inline(always)]
    pub(crate) unsafe fn add(
        &mut self,
        slot: &<F::Key as Record>::Slot,
        value: <F::Value as Record>::View<'_>,
    ) {
        self.table.make_room(1, || 2.0);
        let fold = &*self.fold;
        // SAFETY: the caller's promise.
        unsafe {
            let hash = order_hash(F::Key::slot_hash(slot));
            self.table.fold(
                hash,
                slot,
                value,
                |value| fold.start(value),
                |acc, value| {
                    fold.push(acc, value);
                },
            );
        }
    }

    /// Passes all keys on, in the order of their hashes; the table is empty then.
    ///
    /// # Errors
    /// What the receiver says.
    pub(crate) fn drain(&mut self, out: &mut Emitter<(F::Key, F::Wire)>) -> Result<(), PushError> {
        let mut result = Ok(());
        let fold = &*self.fold;
        self.table.drain(|_, slot, acc| {
            if result.is_ok() {
                // SAFETY: the slot points into the table's heap.
                let key = unsafe { F::Key::slot_view(slot) };
                result = out.push((key, fold.to_wire(&acc).view())).map(|_| ());
            }
        });
        result
    }
}
