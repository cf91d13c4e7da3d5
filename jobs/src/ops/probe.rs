//! Joins whose rows may come in any order: those of one side are looked up in a table of the other as they come.

use super::group::CoGrouped;
use crate::dataset::Dataset;
use crate::exec::{Emitter, LaneContext};
use crate::shuffle::left_out::leaving_out;
use crate::shuffle::rows::{ByOrder, Found, HashOrder, Seek, Table};
use crate::shuffle::{Bucket, KeyFilter, Memory, ProbeCode, ProbeTable};
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Key, Record};

/// So many rows are looked up together.
const BLOCK: usize = 128;

/// What a join gives of a row of the side that is looked up, and of the rows found for it.
pub(super) trait Probe<K: Key, P: Record, B: Record, U: Record>:
    for<'g> Fn(K::View<'g>, P::View<'g>, Found<'g, K, B>, &mut Emitter<U>) -> Result<(), PushError>
    + Send
    + Sync
    + 'static
{
}

impl<K: Key, P: Record, B: Record, U: Record, F> Probe<K, P, B, U> for F where
    F: for<'g> Fn(
            K::View<'g>,
            P::View<'g>,
            Found<'g, K, B>,
            &mut Emitter<U>,
        ) -> Result<(), PushError>
        + Send
        + Sync
        + 'static
{
}

/// What is looked up, what it is looked up in, and what comes of it.
type Types<K, P, B, U> = PhantomData<fn() -> (K, P, B, U)>;

struct Code<K, P, B, U, F> {
    gives: Arc<F>,
    types: Types<K, P, B, U>,
}

struct Prober<K: Key, P, B: Record, U, F> {
    table: Table<K, B>,
    gives: Arc<F>,
    types: Types<K, P, B, U>,
}

impl<K: Key, P: Record, B: Record, U: Record, F: Probe<K, P, B, U>> ProbeCode
    for Code<K, P, B, U, F>
{
    fn build(
        &self,
        buckets: Vec<Bucket>,
        memory: &Memory,
    ) -> Result<Arc<dyn ProbeTable>, PushError> {
        let table = Table::<K, B>::of(buckets, memory)?;
        let gives = self.gives.clone();
        Ok(Arc::new(Prober::<K, P, B, U, F> { table, gives, types: PhantomData }))
    }
}

impl<K: Key, P: Record, B: Record, U: Record, F: Probe<K, P, B, U>> ProbeTable
    for Prober<K, P, B, U, F>
{
    fn keys(&self, memory: &Memory) -> Option<KeyFilter> {
        self.table.keys(memory)
    }

    fn lane(
        self: Arc<Self>,
        keys: Option<Arc<KeyFilter>>,
        context: &LaneContext,
        out: AnyPush,
    ) -> AnyPush {
        let out = Emitter::with_batches(out, context.batch_records);
        leaving_out::<ByOrder<HashOrder<K, P>>>(
            keys,
            Lane { of: self, out, seeks: Vec::new(), rows: Vec::new() },
        )
    }
}

/// The receiver of a lane's rows.
struct Lane<K: Key, P, B: Record, U: Record, F> {
    of: Arc<Prober<K, P, B, U, F>>,
    out: Emitter<U>,
    /// The keys of a block, those of neighbours that are equal once; memory that is used again.
    seeks: Vec<Seek>,
    /// The rows of a block, each with the number of its key; as well.
    rows: Vec<(u32, u32)>,
}

impl<K: Key, P: Record, B: Record, U: Record, F: Probe<K, P, B, U>> Lane<K, P, B, U, F> {
    /// Looks rows of a batch up.
    fn block(
        &mut self,
        batch: &<(K, P) as Record>::Batch,
        indexes: impl Iterator<Item = usize>,
    ) -> Result<(), PushError> {
        let Prober { table, gives, .. } = &*self.of;
        self.seeks.clear();
        self.rows.clear();
        let mut last: Option<K::Slot> = None;
        for index in indexes {
            // SAFETY: the indexes of a selection are below the batch's length; slots borrow from the batch.
            unsafe {
                let key = K::probe_batch(&batch.0, index);
                if !last.is_some_and(|last| K::slot_eq(&last, &key)) {
                    self.seeks.push(table.seek(&key));
                    last = Some(key);
                }
            }
            self.rows.push((index as u32, self.seeks.len() as u32 - 1));
        }
        self.seeks.iter().for_each(|&seek| table.ask(seek));
        for of_key in self.rows.chunk_by(|a, b| a.1 == b.1) {
            let (first, seek) = of_key[0];
            // SAFETY: as above.
            let found = unsafe {
                let key = K::probe_batch(&batch.0, first as usize);
                table.find(self.seeks[seek as usize], &key)
            };
            for &(index, _) in of_key {
                // SAFETY: as above.
                let (key, value) = unsafe { batch.get_unchecked(index as usize) };
                gives(key, value, found.clone(), &mut self.out)?;
            }
        }
        Ok(())
    }
}

impl<K: Key, P: Record, B: Record, U: Record, F: Probe<K, P, B, U>> Push<(K, P)>
    for Lane<K, P, B, U, F>
{
    fn batch(
        &mut self,
        batch: &<(K, P) as Record>::Batch,
        selection: Selection<'_>,
    ) -> Result<Demand, PushError> {
        match selection {
            Selection::All => {
                for from in (0..batch.len()).step_by(BLOCK) {
                    self.block(batch, Range { start: from, end: batch.len().min(from + BLOCK) })?;
                }
            }
            Selection::Rows(rows) => {
                for rows in rows.chunks(BLOCK) {
                    self.block(batch, rows.iter().map(|&row| row as usize))?;
                }
            }
        }
        Ok(self.out.demand())
    }

    fn finish(&mut self) -> Result<(), PushError> {
        self.out.finish().map(|_| ())
    }
}

impl<U: Record> Dataset<U> {
    /// This dataset, a join's: the order of either side's rows makes no difference but to the order of its own.
    pub(super) fn joined(self) -> Self {
        self.flow.graph().nodes[self.node].probes.get_or_insert_default();
        self
    }
}

impl<K: Key, A: Record, B: Record> CoGrouped<K, A, B> {
    /// The dataset `joined` of a join of these: rows of the left side can be looked up, and then give what `gives` says.
    pub(super) fn left_probes<U: Record>(
        &self,
        joined: Dataset<U>,
        gives: impl Probe<K, A, B, U>,
    ) -> Dataset<U> {
        probes(joined, 0, Code::<K, A, B, U, _> { gives: Arc::new(gives), types: PhantomData })
    }

    /// The same of the right side.
    pub(super) fn right_probes<U: Record>(
        &self,
        joined: Dataset<U>,
        gives: impl Probe<K, B, A, U>,
    ) -> Dataset<U> {
        probes(joined, 1, Code::<K, B, A, U, _> { gives: Arc::new(gives), types: PhantomData })
    }
}

fn probes<U: Record>(
    joined: Dataset<U>,
    side: usize,
    code: impl ProbeCode + 'static,
) -> Dataset<U> {
    let joined = joined.joined();
    if let Some(probes) = &mut joined.flow.graph().nodes[joined.node].probes {
        probes[side] = Some(Arc::new(code));
    }
    joined
}
