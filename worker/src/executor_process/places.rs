//! The blocks that an attempt reads: where they are, and how they are brought together.

use crate::blocks::{BlockFolders, BlockRoom, OpenFiles};
use crate::data_plane::{BlockClient, Fetch, ReadError, no_room, read_blocks, read_in_place};
use arrow::buffer::Buffer;
use futures::stream::{StreamExt, TryStreamExt};
use std::collections::HashMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use windrow_protocol::executor::{BlockCopy, BlockPlaces, BlockWorker, ExecutorStart};
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
    /// Bytes that were read where the worker had fetched them ahead, since that was told last.
    pub(super) copied: AtomicU64,
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
    by_worker: Vec<(BlockWorker, Vec<(AttemptId, usize)>)>,
    copies: Vec<Copied>,
}

/// Blocks of other hosts that the worker has fetched ahead.
struct Copied {
    path: PathBuf,
    buckets: Range<u32>,
    /// The outputs that the file has blocks of.
    outputs: u32,
    /// Those of them that are wanted: which they are in the file, and in the order of all.
    wanted: Vec<(u32, usize)>,
}

impl Copied {
    /// Reads the blocks of some buckets: by bucket, in the order of those that are wanted. Blocks on the disk.
    fn read(
        &self,
        files: &OpenFiles,
        buckets: Range<u32>,
        room: BlockRoom,
    ) -> Result<Vec<Buffer>, ReadError> {
        let from = buckets.start - self.buckets.start;
        let numbers = (from..from + buckets.len() as u32)
            .flat_map(|bucket| self.wanted.iter().map(move |(at, _)| bucket * self.outputs + at));
        read_blocks(files, &self.path, numbers, room)
    }
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
            let mut by_worker: Vec<_> =
                places.workers.iter().map(|worker| (worker.clone(), Vec::new())).collect();
            let all = places.outputs.len();
            let piece = piece.filter(|piece| piece.shuffle == places.shuffle);
            let outputs = &places.outputs[piece.map_or(0..all, |piece| piece.outputs(all))];
            for (at, &(attempt, worker)) in outputs.iter().enumerate() {
                let Some((_, of_worker)) = by_worker.get_mut(worker as usize) else {
                    let text = format!(
                        "the list of blocks of shuffle {} names worker {worker} of {}: a defect of the engine",
                        places.shuffle.0,
                        places.workers.len()
                    );
                    return Err(Failure::new(FailureClass::Internal, text));
                };
                of_worker.push((attempt, at));
            }
            by_worker.retain(|(_, outputs)| !outputs.is_empty());
            let copies = copied(outputs, &places.copies);
            let outputs = outputs.len();
            inputs.push(Input { shuffle: places.shuffle, outputs, by_worker, copies });
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
        for number in 0..self.inputs.len() {
            for copy in 0..self.inputs[number].copies.len() {
                self.take_copied(number, copy, &buckets, room, &mut fetched).await?;
            }
        }
        let mut questions = Vec::new();
        for (number, input) in self.inputs.iter().enumerate() {
            for (worker, outputs) in &input.by_worker {
                // A copy has all of these buckets.
                let is_here =
                    |at: usize| fetched.first().is_some_and(|of| of[number][at].is_some());
                let wanted = outputs.iter().filter(|(_, at)| !is_here(*at)).copied();
                let (attempts, positions): (Vec<AttemptId>, Vec<usize>) = wanted.unzip();
                if attempts.is_empty() {
                    continue;
                }
                let buckets = buckets.clone();
                questions.push(async move {
                    let blocks = self.ask(worker, input.shuffle, &attempts, buckets, room).await?;
                    Ok((number, positions, blocks))
                });
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

    /// Takes what a copy has of some buckets, if it has all of them. One that cannot be read is as none: its blocks are
    /// asked for where they were made.
    async fn take_copied(
        &self,
        number: usize,
        copy: usize,
        buckets: &Range<u32>,
        room: &BlockRoom,
        fetched: &mut [Vec<Vec<Option<Buffer>>>],
    ) -> Result<(), Failure> {
        let input = &self.inputs[number];
        let copied = &input.copies[copy];
        if buckets.start < copied.buckets.start || buckets.end > copied.buckets.end {
            return Ok(());
        }
        let (inputs, files) = (self.inputs.clone(), self.fetcher.files.clone());
        let (of, room) = (buckets.clone(), room.clone());
        let read = move || inputs[number].copies[copy].read(&files, of, room);
        let mut blocks = match tokio::task::spawn_blocking(read).await {
            Ok(Ok(blocks)) => blocks.into_iter(),
            Ok(Err(ReadError::File(_, error))) => {
                tracing::warn!(error, "blocks that were fetched ahead are fetched again");
                return Ok(());
            }
            Ok(Err(ReadError::Scratch(error))) => return Err(no_room(input.shuffle, &error)),
            Err(error) => return Err(Failure::new(FailureClass::Internal, error.to_string())),
        };
        let mut bytes = 0;
        for bucket in fetched {
            for ((_, at), block) in copied.wanted.iter().zip(&mut blocks) {
                bytes += block.len() as u64;
                bucket[number][*at] = Some(block);
            }
        }
        self.fetcher.copied.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
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

/// What copies have of these outputs, in their order.
fn copied(outputs: &[(AttemptId, u32)], copies: &[BlockCopy]) -> Vec<Copied> {
    if copies.is_empty() {
        return Vec::new();
    }
    let positions: HashMap<AttemptId, usize> =
        outputs.iter().enumerate().map(|(at, (attempt, _))| (*attempt, at)).collect();
    let copied = copies.iter().map(|copy| Copied {
        path: PathBuf::from(&copy.path),
        buckets: copy.buckets.clone(),
        outputs: copy.attempts.len() as u32,
        wanted: (0..)
            .zip(&copy.attempts)
            .filter_map(|(in_file, attempt)| Some((in_file, *positions.get(attempt)?)))
            .collect(),
    });
    copied.filter(|copied| !copied.wanted.is_empty()).collect()
}
