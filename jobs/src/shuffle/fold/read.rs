//! Reading what a shuffle kept.

use super::Folding;
use super::kept::RowOf;
use super::spilled::Merged;
use super::store::FoldStore;
use super::table::{Table, rows_between};
use crate::exec::Emitter;
use crate::shuffle::{Bucket, ReadCode};
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, Demand, PushError};
use windrow_datasets::{Key, Record};

/// The rows of a bucket.
pub(super) struct FoldBucket<F: Folding> {
    pub(super) tables: Tables<F>,
    /// The first and the last hash.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// Where they are.
pub(super) enum Tables<F: Folding> {
    Shared(Arc<FoldStore<F>>, usize),
    Own(Table<F::Key, F::Acc>),
    Parts(Merged<F>),
}

/// Reads what a [`FoldShuffle`] kept: rows (key, result).
pub(crate) struct FoldRead<F> {
    pub(crate) fold: Arc<F>,
}

impl<F: Folding> ReadCode for FoldRead<F> {
    fn read(&self, mut buckets: Vec<Bucket>, out: AnyPush) -> Result<u64, PushError> {
        let bucket: FoldBucket<F> = buckets.remove(0).into();
        let mut out = Emitter::new(out);
        match bucket.tables {
            Tables::Own(table) => {
                self.push(rows_between(table.ordered(), bucket.from, bucket.to), &mut out)?;
            }
            Tables::Shared(store, number) => {
                let ordered = store.ordered(number);
                for rows in ordered.kept().between(bucket.from, bucket.to) {
                    if self.push(rows, &mut out)? == Demand::Enough {
                        break;
                    }
                }
            }
            Tables::Parts(merged) => {
                merged.read(|key, acc| {
                    let result = self.fold.finish(&acc)?;
                    out.push((F::Key::shorten(key), result.view()))
                })?;
            }
        }
        out.finish()
    }
}

/// How far ahead of the row at hand keys are asked for.
const PREFETCH_ROWS: usize = 16;

impl<F: Folding> FoldRead<F> {
    fn push(
        &self,
        rows: &[RowOf<F>],
        out: &mut Emitter<(F::Key, F::Out)>,
    ) -> Result<Demand, PushError> {
        for (at, row) in rows.iter().enumerate() {
            if let Some(ahead) = rows.get(at + PREFETCH_ROWS) {
                // SAFETY: ordered rows are initialized.
                F::Key::prefetch(unsafe { ahead.slot.assume_init_ref() });
            }
            // SAFETY: as above; their keys point into a heap that lives as long.
            let (key, acc) = unsafe {
                (F::Key::slot_view(row.slot.assume_init_ref()), row.acc.assume_init_ref())
            };
            let result = self.fold.finish(acc)?;
            if out.push((key, result.view()))? == Demand::Enough {
                return Ok(Demand::Enough);
            }
        }
        Ok(Demand::More)
    }
}
