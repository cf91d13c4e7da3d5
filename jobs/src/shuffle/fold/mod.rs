//! The shuffle of exact and commutative aggregates: one accumulator a key, combined in any order.
//!
//! The store is a number of tables, each with a range of the hash. A thread adds to its [`front::Front`], which sends
//! what it turns away to the tables, a batch at a time. Nothing is merged at the end: a bucket is a range of a table's
//! rows, in the order of (hash, key), whoever added them. In place of a table that would lie in no cache, rows are set
//! apart, and put together when there are many ([`kept::Kept`]).
//!
//! When memory is short, a table that has no room left is written to scratch in the order of its rows, and is empty then.
//! A bucket's rows are then what merging its parts gives, each of them in order.

mod chunks;
mod combiner;
mod forecast;
mod front;
mod groups;
mod kept;
mod lane;
mod read;
mod settling;
mod spilled;
mod store;
mod table;

pub(crate) use combiner::Combiner;
pub(crate) use read::FoldRead;
pub(crate) use table::{order_hash, range_of};

use self::read::{FoldBucket, Tables};
use self::spilled::{Merged, check_bucket};
use self::store::FoldStore;
use self::table::Table;
use super::{Bucket, ShuffleCode, Store, StoreContext};
use arrow::buffer::Buffer;
use std::sync::Arc;
use windrow_datasets::codec;
use windrow_datasets::push::{PushError, Selection};
use windrow_datasets::{Batch, Key, Record};

/// How keys and values are taken from rows, and values put together.
///
/// `push` and `merge` may be done in any order and any grouping: the result must not depend on it.
pub(crate) trait Folding: Send + Sync + 'static {
    /// The rows that come in.
    type Row: Record;
    /// The key.
    type Key: Key;
    /// What is folded.
    type Value: Record;
    /// What a key has in the tables.
    type Acc: Send + Sync + 'static;
    /// The accumulator of one batch's values in the making: it may be smaller, and quicker to add to.
    type Tally: Send + 'static;
    /// An accumulator on its way between processes.
    type Wire: Record;
    /// What comes out for a key.
    type Out: Record;

    /// The key's slot, borrowed from the batch, and the value of a batch's row.
    ///
    /// # Safety
    /// `index` is below the batch's length.
    unsafe fn take(
        batch: &<Self::Row as Record>::Batch,
        index: usize,
    ) -> (<Self::Key as Record>::Slot, <Self::Value as Record>::View<'_>);

    /// Codes of the keys of the selected rows, as [`Key::add_codes`] gives them.
    fn key_codes(
        batch: &<Self::Row as Record>::Batch,
        selection: Selection<'_>,
        most: u32,
        codes: &mut [u32],
    ) -> Option<u32>;

    /// The key's slot, borrowed from the view, and the value of a single row.
    fn take_view<'a>(
        view: <Self::Row as Record>::View<'a>,
    ) -> (<Self::Key as Record>::Slot, <Self::Value as Record>::View<'a>);

    /// The accumulator of a key's first value.
    fn start(&self, value: <Self::Value as Record>::View<'_>) -> Self::Acc;
    /// Adds a value.
    fn push(&self, acc: &mut Self::Acc, value: <Self::Value as Record>::View<'_>);
    /// Adds what another accumulator has.
    fn merge(&self, acc: &mut Self::Acc, other: Self::Acc);
    /// A tally of no value yet.
    fn empty(&self) -> Self::Tally;
    /// Adds a value.
    fn tally(&self, tally: &mut Self::Tally, value: <Self::Value as Record>::View<'_>);
    /// The accumulator of the `values` that were added; `None` if there were none.
    fn tallied(&self, tally: Self::Tally, values: u64) -> Option<Self::Acc>;
    /// The accumulator for the way to another process.
    fn to_wire(&self, acc: &Self::Acc) -> Self::Wire;
    /// What [`Folding::to_wire`] was given.
    #[expect(clippy::wrong_self_convention, reason = "the folding is no part of the accumulator")]
    fn from_wire(&self, wire: <Self::Wire as Record>::View<'_>) -> Self::Acc;
    /// The result.
    ///
    /// # Errors
    /// If it cannot be represented, as a sum that overflows.
    fn finish(&self, acc: &Self::Acc) -> Result<Self::Out, PushError>;
}

/// The tally of a [`Folding`] that has no better one: an accumulator, once there is a value.
macro_rules! tally_by_accumulator {
    () => {
        type Tally = Option<Self::Acc>;

        fn empty(&self) -> Self::Tally {
            None
        }
        #[inline(always)]
        fn tally(
            &self,
            tally: &mut Self::Tally,
            value: <Self::Value as windrow_datasets::Record>::View<'_>,
        ) {
            match tally {
                Some(acc) => self.push(acc, value),
                none => *none = Some(self.start(value)),
            }
        }
        fn tallied(&self, tally: Self::Tally, _: u64) -> Option<Self::Acc> {
            tally
        }
    };
}
pub(crate) use tally_by_accumulator;

/// A shuffle over a [`Folding`].
pub(crate) struct FoldShuffle<F> {
    pub(crate) fold: Arc<F>,
}

impl<F: Folding> ShuffleCode for FoldShuffle<F> {
    fn store(&self, context: &StoreContext) -> Arc<dyn Store> {
        Arc::new(FoldStore::new(self.fold.clone(), context))
    }

    fn decode(
        &self,
        bucket: u32,
        blocks: Vec<Buffer>,
        context: &StoreContext,
    ) -> Result<Bucket, PushError> {
        let parts = blocks.iter().map(|block| codec::frames(block).collect());
        let parts: Vec<Vec<Buffer>> = parts.collect::<Result<_, _>>()?;
        let frames = || parts.iter().flatten();
        let rows = frames().map(|frame| codec::frame_records(frame)).sum::<Result<_, _>>()?;
        // Rows of a block come in the order of their hashes: there must be room for all from the beginning.
        let tables = if Table::<F::Key, F::Acc>::bytes_for(rows) > context.memory.room() {
            let fold = self.fold.clone();
            Tables::Parts(Merged::of_frames(fold, parts, bucket, context.buckets))
        } else {
            Tables::Own(self.table_of(frames(), rows, bucket, context.buckets)?)
        };
        Ok(Bucket::new(FoldBucket::<F> { tables, from: 0, to: u64::MAX }))
    }
}

impl<F: Folding> FoldShuffle<F> {
    /// The rows of a bucket, of which there are so many in all frames, in one table, in order.
    fn table_of<'f>(
        &self,
        frames: impl Iterator<Item = &'f Buffer>,
        rows: usize,
        bucket: u32,
        buckets: u32,
    ) -> Result<Table<F::Key, F::Acc>, PushError> {
        let mut table = Table::new(buckets, rows);
        for frame in frames {
            let batch = codec::decode::<(F::Key, F::Wire)>(frame)?;
            for index in 0..batch.len() {
                // SAFETY: the index is in bounds; the slot borrows from the batch.
                unsafe {
                    let slot = F::Key::probe_batch(&batch.0, index);
                    let hash = order_hash(F::Key::slot_hash(&slot));
                    check_bucket(hash, bucket, buckets)?;
                    let acc = self.fold.from_wire(batch.1.get_unchecked(index));
                    table.upsert(hash, &slot, acc, |acc, more| self.fold.merge(acc, more));
                }
            }
        }
        table.order();
        Ok(table)
    }
}

#[cfg(test)]
mod tests;
