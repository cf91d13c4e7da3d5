//! Leaves out rows in front of a shuffle: those whose key is not among the keys of the other side of a join.

use super::KeyFilter;
use std::marker::PhantomData;
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, BATCH_RECORDS, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Builder, Record, for_selected};

/// So many rows of a lane show whether it is worth to look at them.
const TRIED: u64 = 1 << 13;

/// It is, if at least one row in so many is left out.
const LEAVES_OUT_ONE_IN: u64 = 8;

/// The filter is asked for a key so many rows ahead.
const AHEAD: usize = 16;

/// How the key of a row is hashed.
pub(crate) trait KeyHash: Send + Sync + 'static {
    /// The rows.
    type Row: Record;

    /// The hash that the [`KeyFilter`] knows the row's key by.
    fn hash(row: <Self::Row as Record>::View<'_>) -> u64;
}

/// A receiver of a lane's rows, and where there is a filter, one that leaves out rows in front of it.
pub(crate) fn leaving_out<H: KeyHash>(
    filter: Option<Arc<KeyFilter>>,
    rows: impl Push<H::Row> + 'static,
) -> AnyPush {
    let Some(filter) = filter else { return AnyPush::new::<H::Row>(Box::new(rows)) };
    let builder = <H::Row as Record>::Builder::default();
    AnyPush::new::<H::Row>(Box::new(LeavingOut::<H, _> {
        filter,
        takes_rows: rows.wants_rows(),
        rows,
        builder,
        seen: 0,
        left_out: 0,
        hashes: Vec::new(),
        kept: Vec::new(),
        hash: PhantomData,
    }))
}

/// See the module.
struct LeavingOut<H: KeyHash, P> {
    filter: Arc<KeyFilter>,
    rows: P,
    /// Whether what comes behind takes rows as they are; else those that are kept of rows that came one by one are
    /// gathered here.
    takes_rows: bool,
    builder: <H::Row as Record>::Builder,
    /// Rows that were looked at.
    seen: u64,
    left_out: u64,
    /// The hashes of a batch's rows, each with the row; memory that is used again.
    hashes: Vec<(u64, u32)>,
    /// The rows of a batch that are passed on; as well.
    kept: Vec<u32>,
    hash: PhantomData<fn() -> H>,
}

impl<H: KeyHash, P: Push<H::Row>> LeavingOut<H, P> {
    /// Whether enough rows are left out, as far as was seen.
    #[inline(always)]
    fn is_worth_it(&self) -> bool {
        self.seen < TRIED || self.left_out >= self.seen / LEAVES_OUT_ONE_IN
    }

    /// Passes on what was gathered.
    fn flush(&mut self) -> Result<Demand, PushError> {
        if self.builder.is_empty() {
            return Ok(Demand::More);
        }
        let batch = self.builder.finish();
        self.rows.batch(&batch, Selection::All)
    }
}

impl<H: KeyHash, P: Push<H::Row>> Push<H::Row> for LeavingOut<H, P> {
    fn batch(
        &mut self,
        batch: &<H::Row as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        self.flush()?;
        if !self.is_worth_it() {
            return self.rows.batch(batch, selection);
        }
        let count = selection.count(batch.len());
        self.hashes.clear();
        for_selected!(selection, batch.len(), |index| {
            // SAFETY: the indexes of a selection are below the batch's length.
            let hash = H::hash(unsafe { batch.get_unchecked(index) });
            self.hashes.push((hash, index as u32));
        });
        self.kept.resize(count, 0);
        let mut kept = 0;
        for (at, &(hash, index)) in self.hashes.iter().enumerate() {
            if let Some((ahead, _)) = self.hashes.get(at + AHEAD) {
                self.filter.prefetch(*ahead);
            }
            // Written always, and counted if it is kept: no branch for the processor to guess.
            self.kept[kept] = index;
            kept += usize::from(self.filter.may_have(hash));
        }
        self.seen += count as u64;
        self.left_out += (count - kept) as u64;
        if kept == 0 {
            return Ok(Demand::More);
        }
        self.rows.batch(batch, Selection::Rows(&self.kept[..kept]))
    }

    #[inline]
    fn row(&mut self, row: <H::Row as Record>::View<'_>) -> Result<Demand, PushError> {
        if self.is_worth_it() {
            self.seen += 1;
            if !self.filter.may_have(H::hash(row)) {
                self.left_out += 1;
                return Ok(Demand::More);
            }
        }
        if self.takes_rows {
            return self.rows.row(row);
        }
        self.builder.push(row);
        if self.builder.len() == BATCH_RECORDS { self.flush() } else { Ok(Demand::More) }
    }

    /// A row that is left out is then copied nowhere.
    fn wants_rows(&self) -> bool {
        true
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.flush()?;
        self.rows.finish()
    }
}
