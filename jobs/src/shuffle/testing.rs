//! How tests of shuffles fill stores and read buckets.

use super::{Bucket, Combining, FramesOut, Memory, ReadCode, ShuffleCode, Store, StoreContext};
use crate::exec::Whole;
use arrow::buffer::Buffer;
use std::sync::{Arc, Mutex};
use windrow_datasets::codec::{Compression, Encoder};
use windrow_datasets::memory::Budget;
use windrow_datasets::push::{AnyPush, Demand, Push, PushError, Selection};
use windrow_datasets::{Batch, Builder, Record, for_selected};

/// The numbers of buckets that are tried.
pub(crate) const BUCKETS: [u32; 5] = [1, 2, 7, 256, 512];

/// The rows of the lanes of each task.
pub(crate) type Tasks<T> = Vec<Vec<Vec<T>>>;

pub(crate) fn context(buckets: u32, whole: &Whole) -> StoreContext {
    let (lanes, whole) = (Arc::default(), whole.clone());
    StoreContext {
        buckets,
        lanes,
        whole,
        memory: Memory::default(),
        filter: None,
        combining: Combining::default(),
    }
}

/// The same with so much memory for rows.
pub(crate) fn with_memory(context: &StoreContext, bytes: u64) -> StoreContext {
    let memory = Memory { budget: Budget::of(bytes), ..Memory::default() };
    StoreContext { memory, ..context.clone() }
}

/// Fills a lane: with batches, a selection of a batch, copies of a few rows of one, and single rows.
fn fill<T: Record>(store: &Arc<dyn Store>, rank: u64, rows: &[T]) {
    let mut lane = store.clone().lane(rank).into::<T>();
    for (number, chunk) in rows.chunks(7).enumerate() {
        if number % 4 == 3 {
            chunk.iter().for_each(|row| assert!(lane.row(row.view()).is_ok()));
            continue;
        }
        // Other rows lie between those that count.
        let spread = [1, 2, 6][number % 4];
        let mut builder = T::Builder::default();
        for row in chunk {
            (0..spread).for_each(|_| builder.push(row.view()));
        }
        let selected: Vec<u32> = (0..chunk.len() as u32).map(|at| at * spread).collect();
        let selection = if spread == 1 { Selection::All } else { Selection::Rows(&selected) };
        lane.batch(&builder.finish(), selection).unwrap();
    }
    lane.finish().unwrap();
}

/// The buckets of one store that all tasks' lanes were written to, the last ones first.
pub(crate) fn directly<T: Record>(
    code: &dyn ShuffleCode,
    context: &StoreContext,
    tasks: &Tasks<T>,
) -> Vec<Bucket> {
    let store = code.store(context);
    let lanes: Vec<&Vec<T>> = tasks.iter().flatten().collect();
    for (rank, rows) in lanes.into_iter().enumerate().rev() {
        fill(&store, rank as u64, rows);
    }
    store.seal().unwrap();
    (0..context.buckets).map(|bucket| store.clone().bucket(bucket)).collect()
}

/// The buckets decoded from the blocks of a store for each task.
pub(crate) fn by_blocks<T: Record>(
    code: &dyn ShuffleCode,
    context: &StoreContext,
    tasks: &Tasks<T>,
) -> Vec<Bucket> {
    let mut blocks: Vec<Vec<Buffer>> = vec![Vec::new(); context.buckets as usize];
    for task in tasks {
        let store = code.store(context);
        for (rank, rows) in task.iter().enumerate().rev() {
            fill(&store, rank as u64, rows);
        }
        store.seal().unwrap();
        let mut encoder = Encoder::new(Compression::Lz4);
        for (bucket, blocks) in blocks.iter_mut().enumerate() {
            let (rows, bytes) = encoded(&*store, bucket as u32, &mut encoder);
            assert_eq!(rows == 0, bytes.is_empty());
            blocks.push(Buffer::from_vec(bytes));
        }
    }
    let buckets = (0..).zip(blocks);
    buckets.map(|(bucket, blocks)| code.decode(bucket, blocks, context).unwrap()).collect()
}

/// The rows of a bucket: how many, and their frames.
pub(crate) fn encoded(store: &dyn Store, bucket: u32, encoder: &mut Encoder) -> (u64, Vec<u8>) {
    let mut bytes = Vec::new();
    let mut put = |frames: &[u8]| {
        bytes.extend_from_slice(frames);
        Ok(())
    };
    let mut out = FramesOut::new(encoder, &mut put);
    let rows = store.encode(bucket, &mut out).unwrap();
    out.end().unwrap();
    (rows, bytes)
}

/// The rows that a reader gives of each bucket.
pub(crate) fn read<T: Record>(code: &dyn ReadCode, buckets: Vec<Bucket>) -> Vec<Vec<T>> {
    let one = |bucket| {
        let rows = Arc::new(Mutex::new(Vec::new()));
        let out = AnyPush::new::<T>(Box::new(Take(rows.clone())));
        let count = code.read(vec![bucket], out).unwrap();
        let rows = std::mem::take(&mut *rows.lock().unwrap());
        assert_eq!(count, rows.len() as u64);
        rows
    };
    buckets.into_iter().map(one).collect()
}

struct Take<T>(Arc<Mutex<Vec<T>>>);

impl<T: Record> Push<T> for Take<T> {
    fn batch(&mut self, batch: &T::Batch, selection: Selection<'_>) -> Result<Demand, PushError> {
        let mut rows = self.0.lock().unwrap();
        for_selected!(selection, batch.len(), |index| rows.push(T::own(batch.get(index))));
        Ok(Demand::More)
    }

    fn row(&mut self, _: T::View<'_>) -> Result<Demand, PushError> {
        unreachable!("it takes batches")
    }

    fn finish(&mut self) -> Result<(), PushError> {
        Ok(())
    }
}
