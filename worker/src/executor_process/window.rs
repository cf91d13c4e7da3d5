//! Fetching the blocks of the next lanes while a lane runs, up to a bound in bytes.

use super::places::Places;
use crate::blocks::BlockRoom;
use arrow::buffer::Buffer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::{Notify, mpsc};
use tokio::task::AbortHandle;
use tracing::Instrument;
use windrow_datasets::spill::Spills;
use windrow_protocol::failure::Failure;

/// The most buckets that are asked for at once.
const GROUP_MAX: u64 = 64;

/// A lane's blocks, by input shuffle.
pub(super) type LaneBlocks = Option<Vec<Vec<Buffer>>>;

/// Gives lanes with their blocks, in order, and fetches ahead.
///
/// As long as less than `room` bytes wait to be used, the next buckets are asked for: so many as will fit, judged by
/// those that came; so there is at most one bucket more in memory than fits, and always one, unless it is much larger than
/// those before or than the room: what does not fit then lies in scratch.
pub(super) struct Window {
    lanes: mpsc::Receiver<Result<(u32, LaneBlocks, u64), Failure>>,
    held: Arc<Held>,
    task: AbortHandle,
}

#[derive(Default)]
struct Held {
    bytes: AtomicU64,
    freed: Notify,
}

impl Window {
    /// Begins to fetch for these lanes: each with its bucket, if it has one.
    pub(super) fn start(
        places: Places,
        lanes: Vec<(u32, Option<u32>)>,
        room: u64,
        spills: Spills,
    ) -> Window {
        let held = Arc::new(Held::default());
        let (out, receiver) = mpsc::channel(GROUP_MAX as usize);
        let work = produce(places, lanes, room, spills, held.clone(), out);
        let task = tokio::spawn(work.in_current_span()).abort_handle();
        Window { lanes: receiver, held, task }
    }

    /// The next lane, its blocks, and their bytes; these count as held until they are [freed](Window::freed).
    pub(super) async fn next(&mut self) -> Option<Result<(u32, LaneBlocks, u64), Failure>> {
        self.lanes.recv().await
    }

    /// The blocks of a lane were used.
    pub(super) fn freed(&self, bytes: u64) {
        self.held.bytes.fetch_sub(bytes, Ordering::AcqRel);
        self.held.freed.notify_one();
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn produce(
    places: Places,
    lanes: Vec<(u32, Option<u32>)>,
    room: u64,
    spills: Spills,
    held: Arc<Held>,
    out: mpsc::Sender<Result<(u32, LaneBlocks, u64), Failure>>,
) {
    let mut rest = &lanes[..];
    // Bytes of a bucket: unknown before the first.
    let mut usual = u64::MAX;
    while let Some(&(lane, bucket)) = rest.first() {
        let Some(first) = bucket else {
            if out.send(Ok((lane, None, 0))).await.is_err() {
                return;
            }
            rest = &rest[1..];
            continue;
        };
        let mut free = room.saturating_sub(held.bytes.load(Ordering::Acquire));
        while free == 0 {
            held.freed.notified().await;
            free = room.saturating_sub(held.bytes.load(Ordering::Acquire));
        }
        let most = (free / usual.max(1)).clamp(1, GROUP_MAX) as usize;
        let neighbours = rest.iter().zip(first..).take(most);
        let count = neighbours.take_while(|((_, bucket), next)| *bucket == Some(*next)).count();
        let (group, later) = rest.split_at(count);
        rest = later;
        let told = tracing::info_span!(target: "windrow::trace", "fetch", buckets = count as u64);
        // A bucket as usual is not sent to scratch for what is left of the room.
        let in_memory = free.max(usual.saturating_mul(2).min(room));
        let in_memory = BlockRoom::of(in_memory, spills.clone());
        let fetch = places.fetch(first..first + count as u32, &in_memory).instrument(told);
        let fetched = match fetch.await {
            Ok(fetched) => fetched,
            Err(failure) => {
                // If nobody listens, the attempt has ended.
                let _ = out.send(Err(failure)).await;
                return;
            }
        };
        let mut sum = 0;
        for (&(lane, _), blocks) in group.iter().zip(fetched) {
            let bytes: u64 = blocks.iter().flatten().map(|block| block.len() as u64).sum();
            sum += bytes;
            held.bytes.fetch_add(bytes, Ordering::AcqRel);
            if out.send(Ok((lane, Some(blocks), bytes))).await.is_err() {
                return;
            }
        }
        usual = sum / count as u64 + 1;
    }
}
