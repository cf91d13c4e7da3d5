//! What rows are looked up in as they come: fetched and made once for all attempts that look rows up in it.

use super::Executor;
use super::compute::compute;
use super::places::Places;
use crate::blocks::BlockRoom;
use crate::executor::BuildSide;
use arrow::buffer::Buffer;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;
use tracing::Instrument;
use windrow_protocol::executor::BlockPlaces;
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::ShuffleId;
use windrow_protocol::shape::{Cut, LookUp};

/// Buckets that are asked for at once.
const BUCKETS_AT_ONCE: usize = 64;

/// By shuffle whose rows are looked up.
#[derive(Default)]
pub(super) struct Sides {
    made: Mutex<HashMap<ShuffleId, Arc<OnceCell<BuildSide>>>>,
}

impl Sides {
    /// What an attempt looks its rows up in, by their shuffle; `places` are those of the tables' blocks. What no attempt
    /// uses any more is let go of.
    ///
    /// # Errors
    /// If blocks cannot be had, or rows not be read. Cancel safe: another attempt goes on, or begins again.
    pub(super) async fn of(
        &self,
        executor: &Arc<Executor>,
        lookups: &[(LookUp, Cut)],
        places: &[Arc<BlockPlaces>],
    ) -> Result<Vec<(ShuffleId, BuildSide)>, Failure> {
        let cells = self.cells(lookups);
        let mut sides = Vec::with_capacity(lookups.len());
        for ((&(lookup, cut), places), cell) in lookups.iter().zip(places).zip(cells) {
            let side = cell.get_or_try_init(|| make(executor, lookup, cut, places)).await?;
            sides.push((lookup.shuffle, side.clone()));
        }
        Ok(sides)
    }

    fn cells(&self, lookups: &[(LookUp, Cut)]) -> Vec<Arc<OnceCell<BuildSide>>> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.retain(|shuffle, cell| {
            let is_used = |side: &BuildSide| Arc::strong_count(&side.table) > 1;
            lookups.iter().any(|(lookup, _)| lookup.shuffle == *shuffle)
                || cell.get().is_none_or(is_used)
        });
        lookups.iter().map(|(lookup, _)| made.entry(lookup.shuffle).or_default().clone()).collect()
    }
}

async fn make(
    executor: &Arc<Executor>,
    lookup: LookUp,
    cut: Cut,
    places: &Arc<BlockPlaces>,
) -> Result<BuildSide, Failure> {
    let places = Places::new(executor.fetcher.clone(), std::slice::from_ref(places), None)?;
    let share = executor.env.memory.budget.share();
    let mut blocks: Vec<Vec<Buffer>> = Vec::with_capacity(cut.buckets as usize);
    for from in (0..cut.buckets).step_by(BUCKETS_AT_ONCE) {
        let to = cut.buckets.min(from + BUCKETS_AT_ONCE as u32);
        let told =
            tracing::info_span!(target: "windrow::trace", "fetch", buckets = u64::from(to - from));
        for bucket in places.fetch(from..to, &BlockRoom::unlimited()).instrument(told).await? {
            blocks.push(bucket.into_iter().flatten().collect());
        }
        let all = blocks.iter().flatten().map(|block| block.len() as u64).sum::<u64>();
        share.add(all - share.bytes());
    }
    let Executor { engine, plan, env, .. } = &**executor;
    let (engine, plan, env) = (engine.clone(), plan.clone(), env.clone());
    compute(&executor.pool, move || {
        let side = engine.build_side(&plan, lookup, cut, blocks, &env);
        drop(share);
        side
    })
    .await
}
