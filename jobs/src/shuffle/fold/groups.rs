//! Batches whose keys come with few codes, as dictionaries have them: rows are folded by code, and each code's key is
//! looked up once a batch.

use super::front::Front;
use super::store::FoldStore;
use super::{Folding, order_hash};
use windrow_datasets::push::Selection;
use windrow_datasets::{Batch, Key, Record};

/// The most codes, so that accumulators stay near.
const CODES_MAX: u32 = 1024;

/// How many rows there must be to a code.
const ROWS_A_CODE: u32 = 4;

/// Memory for the groups of a batch; empty between batches.
pub(super) struct Groups<T> {
    /// The code of each row.
    codes: Vec<u32>,
    /// By code.
    groups: Vec<Group<T>>,
}

/// The rows of one code.
struct Group<T> {
    /// How many there are.
    rows: u64,
    /// The index of the first, if there is any.
    first: usize,
    tally: T,
}

impl<T> Default for Groups<T> {
    fn default() -> Groups<T> {
        Groups { codes: Vec::new(), groups: Vec::new() }
    }
}

impl<T> Groups<T> {
    /// Folds the rows of a batch into the front, if its keys have codes; says whether they had.
    pub(super) fn fold<F: Folding<Tally = T>>(
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
        let fold = &*store.fold;
        self.groups.clear();
        self.groups.resize_with(codes as usize, || Group {
            rows: 0,
            first: 0,
            tally: fold.empty(),
        });
        let groups = &mut self.groups[..];
        for (at, &code) in self.codes.iter().enumerate() {
            // In one loop for both kinds of selections: then what it calls is inlined.
            let index = match selection {
                Selection::All => at,
                Selection::Rows(rows) => rows[at] as usize,
            };
            let group = &mut groups[code as usize];
            if group.rows == 0 {
                group.first = index;
            }
            group.rows += 1;
            // SAFETY: the indexes of a selection are below the batch's length.
            let (_, value) = unsafe { F::take(batch, index) };
            fold.tally(&mut group.tally, value);
        }
        for group in self.groups.drain(..) {
            let Some(acc) = fold.tallied(group.tally, group.rows) else { continue };
            // SAFETY: the index is one of the selection's; the slot borrows from the batch.
            unsafe {
                let (slot, _) = F::take(batch, group.first);
                let hash = order_hash(F::Key::slot_hash(&slot));
                front.merge(store, hash, &slot, acc);
            }
        }
        true
    }
}
