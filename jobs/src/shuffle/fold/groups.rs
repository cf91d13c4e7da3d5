//! Batches whose keys come with few codes, as dictionaries have them: rows are folded by code, and each code's key is
//! looked up once a batch.

use super::front::Front;
use super::{FoldStore, Folding, order_hash};
use windrow_datasets::push::Selection;
use windrow_datasets::{Batch, Key, Record};

/// The most codes, so that accumulators stay near.
const CODES_MAX: u32 = 1024;

/// How many rows there must be to a code.
const ROWS_A_CODE: u32 = 4;

/// Memory for the groups of a batch; empty between batches.
pub(super) struct Groups<A> {
    /// The code of each row.
    codes: Vec<u32>,
    /// By code: the first row of it, and its accumulator.
    groups: Vec<Option<(usize, A)>>,
}

impl<A> Default for Groups<A> {
    fn default() -> Groups<A> {
        Groups { codes: Vec::new(), groups: Vec::new() }
    }
}

impl<A> Groups<A> {
    /// Folds the rows of a batch into the front, if its keys have codes; says whether they had.
    pub(super) fn fold<F: Folding<Acc = A>>(
        &mut self,
        front: &mut Front<F>,
        store: &FoldStore<F>,
        batch: &<F::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> bool {
        let count = selection.count(batch.len());
        let most = CODES_MAX.min(u32::try_from(count).unwrap_or(u32::MAX) / ROWS_A_CODE);
        if most == 0 {
            return false;
        }
        self.codes.clear();
        self.codes.resize(count, 0);
        let Some(codes) = F::key_codes(batch, selection, most, &mut self.codes) else {
            return false;
        };
        self.groups.clear();
        self.groups.resize_with(codes as usize, || None);
        let fold = &*store.fold;
        let groups = &mut self.groups[..];
        for (at, &code) in self.codes.iter().enumerate() {
            // In one loop for both kinds of selections: then what it calls is inlined.
            let index = match selection {
                Selection::All => at,
                Selection::Rows(rows) => rows[at] as usize,
            };
            // SAFETY: the indexes of a selection are below the batch's length.
            let (_, value) = unsafe { F::take(batch, index) };
            match &mut groups[code as usize] {
                Some((_, acc)) => fold.push(acc, value),
                none => *none = Some((index, fold.start(value))),
            }
        }
        for (index, acc) in self.groups.drain(..).flatten() {
            // SAFETY: the index is one of the selection's; the slot borrows from the batch.
            unsafe {
                let (slot, _) = F::take(batch, index);
                let hash = order_hash(F::Key::slot_hash(&slot));
                front.merge(store, hash, &slot, acc);
            }
        }
        true
    }
}
