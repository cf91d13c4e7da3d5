//! The blocks that an attempt reads: where they are, and how they are brought together.

use crate::blocks::{BlockFolders, BlockRoom, OpenFiles};
use crate::data_plane::{BlockClient, Fetch, ReadError, no_room, read_in_place};
use arrow::buffer::Buffer;
use futures::stream::{StreamExt, TryStreamExt};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use windrow_protocol::executor::{BlockPlaces, BlockWorker, ExecutorStart};
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, ShuffleId};
use windrow_protocol::parts::Piece;

/// The most workers that one attempt asks at once.
const ASKED_AT_ONCE: usize = 16;

/// What all attempts of an executor fetch with.
pub(super) struct Fetcher {
    /// Who the reader is.
    pub(super) start: ExecutorStart,
    /// Asks other workers.
    pub(super) client: BlockClient,
    /// The files of the own worker, and those of them that are open.
    pub(super) folders: BlockFolders,
    pub(super) files: Arc<OpenFiles>,
}

/// The blocks that one attempt reads.
#[derive(Clone)]
pub(super) struct Places {
    fetcher: Arc<Fetcher>,
    inputs: Arc<Vec<Input>>,
}

/// One shuffle of them.
struct Input {
    shuffle: ShuffleId,
    /// The number of map outputs.
    outputs: usize,
    /// For each worker its outputs, and which they are in the order of all.
    by_worker: Vec<(BlockWorker, Vec<AttemptId>, Vec<usize>)>,
}

impl Places {
    /// Where the blocks of these shuffles are; of one of them only those of some map outputs, if a task has but a piece.
    ///
    /// # Errors
    /// If the lists make no sense.
    pub(super) fn new(
        fetcher: Arc<Fetcher>,
        shuffles: &[Arc<BlockPlaces>],
        piece: Option<Piece>,
    ) -> Result<Places, Failure> {
        let mut inputs = Vec::new();
        for places in shuffles {
            let mut by_worker: Vec<_> = places
                .workers
                .iter()
                .map(|worker| (worker.clone(), Vec::new(), Vec::new()))
                .collect();
            let all = places.outputs.len();
            let piece = piece.filter(|piece| piece.shuffle == places.shuffle);
            let outputs = &places.outputs[piece.map_or(0..all, |piece| piece.outputs(all))];
            for (at, &(attempt, worker)) in outputs.iter().enumerate() {
                let Some((_, attempts, positions)) = by_worker.get_mut(worker as usize) else {
                    let text = format!(
                        "the list of blocks of shuffle {} names worker {worker} of {}: a defect of the engine",
                        places.shuffle.0,
                        places.workers.len()
                    );
                    return Err(Failure::new(FailureClass::Internal, text));
                };
                attempts.push(attempt);
                positions.push(at);
            }
            by_worker.retain(|(_, attempts, _)| !attempts.is_empty());
            let outputs = outputs.len();
            inputs.push(Input { shuffle: places.shuffle, outputs, by_worker });
        }
        Ok(Places { fetcher, inputs: Arc::new(inputs) })
    }

    /// The blocks of some buckets: by bucket, by shuffle, in the order of the map outputs. Those that have no room lie in
    /// scratch, and are mapped.
    ///
    /// # Errors
    /// [`FailureClass::LostBlock`], if some cannot be had; [`FailureClass::Memory`], if scratch has no room either.
    pub(super) async fn fetch(
        &self,
        buckets: Range<u32>,
        room: &BlockRoom,
    ) -> Result<Vec<Vec<Vec<Buffer>>>, Failure> {
        let mut fetched: Vec<Vec<Vec<Option<Buffer>>>> = buckets
            .clone()
            .map(|_| self.inputs.iter().map(|input| vec![None; input.outputs]).collect())
            .collect();
        let mut questions = Vec::new();
        for (number, input) in self.inputs.iter().enumerate() {
            for (worker, attempts, positions) in &input.by_worker {
                let ask = self.ask(worker, input.shuffle, attempts, buckets.clone(), room);
                questions.push(async move { Ok((number, positions, ask.await?)) });
            }
        }
        let mut answers = futures::stream::iter(questions).buffer_unordered(ASKED_AT_ONCE);
        while let Some((number, positions, blocks)) = answers.try_next().await? {
            for (bucket, blocks) in fetched.iter_mut().zip(blocks) {
                for (&at, block) in positions.iter().zip(blocks) {
                    bucket[number][at] = Some(block);
                }
            }
        }
        let whole =
            |input: Vec<Option<Buffer>>| -> Option<Vec<Buffer>> { input.into_iter().collect() };
        let whole = |bucket: Vec<_>| bucket.into_iter().map(whole).collect::<Option<Vec<_>>>();
        fetched.into_iter().map(whole).collect::<Option<Vec<_>>>().ok_or_else(|| {
            Failure::new(
                FailureClass::Internal,
                "a block was not asked for: a defect of the engine",
            )
        })
    }

    /// The blocks of some outputs that one worker has: by bucket, in the order of the outputs.
    async fn ask(
        &self,
        source: &BlockWorker,
        shuffle: ShuffleId,
        attempts: &[AttemptId],
        buckets: Range<u32>,
        room: &BlockRoom,
    ) -> Result<Vec<Vec<Buffer>>, Failure> {
        let start = &self.fetcher.start;
        if source.worker != start.worker {
            let fetch = Fetch {
                source,
                job: start.job,
                shuffle,
                attempts,
                buckets: (buckets.start, buckets.end),
                host: &start.host,
                room,
            };
            return self.fetcher.client.fetch(fetch).await;
        }
        let folders = &self.fetcher.folders;
        let paths: Vec<PathBuf> =
            attempts.iter().map(|&attempt| folders.file(attempt, shuffle)).collect();
        let (files, count) = (self.fetcher.files.clone(), buckets.len());
        let room = room.clone();
        let read =
            tokio::task::spawn_blocking(move || read_in_place(&files, &paths, buckets, room));
        let blocks = match read.await {
            Ok(Ok(blocks)) => blocks,
            Ok(Err(ReadError::File(at, error))) => {
                return Err(Failure::lost_block(attempts[at], source.worker, error));
            }
            Ok(Err(ReadError::Scratch(error))) => return Err(no_room(shuffle, &error)),
            Err(error) => return Err(Failure::new(FailureClass::Internal, error.to_string())),
        };
        let mut blocks = blocks.into_iter();
        Ok((0..count).map(|_| blocks.by_ref().take(attempts.len()).collect()).collect())
    }
}
