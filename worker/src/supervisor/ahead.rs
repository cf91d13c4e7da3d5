//! Fetching ahead: while map tasks still run, the worker copies the blocks that it will most likely read from the workers
//! on other hosts that have made some already. The network works then while the processors do, and no slot is taken.
//!
//! What is fetched is the coordinator's hint ([`Ahead`]), and nothing depends on it: an executor reads a copy where there
//! is one, and asks the other worker for all else, as well as where a copy cannot be read. Copies lie with the worker's
//! blocks of the job, and go with them.

use super::control::Control;
use super::keeping::Keeping;
use crate::blocks::{BlockFileWriter, BlockFolders, BlockRoom};
use crate::data_plane::{BlockClient, ClientLimits, Fetch};
use arrow::buffer::Buffer;
use futures::stream::{StreamExt, iter};
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use windrow_protocol::control::Ahead;
use windrow_protocol::executor::{BlockCopy, BlockPlaces, BlockWorker};
use windrow_protocol::ids::{AttemptId, JobId, ShuffleId, WorkerId};
use windrow_protocol::security::Credentials;

/// The outputs whose blocks are fetched and kept together, at most; and about how many bytes.
const OUTPUTS_TOGETHER: u64 = 64;
const BYTES_TOGETHER: u64 = 4 << 20;

/// The most workers that are asked at once, for one shuffle.
const ASKED_AT_ONCE: usize = 4;

/// The memory for the blocks that are fetched together, in bytes; more go through scratch.
const ROOM: u64 = 8 << 20;

/// How often it is asked what there is: at first, and at the least.
const LOOK_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// To look takes no more than this part of the time.
const LOOKING_PART: u32 = 20;

/// What is fetched ahead, of all jobs.
pub(super) struct FetchAhead {
    client: BlockClient,
    /// For blocks on their way.
    scratch: Vec<PathBuf>,
    shuffles: Mutex<HashMap<(JobId, ShuffleId), OfShuffle>>,
}

#[derive(Default)]
struct OfShuffle {
    copies: Vec<BlockCopy>,
    task: Option<AbortHandle>,
}

impl FetchAhead {
    /// Nothing yet; `scratch` are folders for blocks on their way.
    pub(super) fn new(scratch: Vec<PathBuf>, credentials: Credentials) -> FetchAhead {
        let client = BlockClient::untold(ClientLimits::default(), credentials);
        FetchAhead { client, scratch, shuffles: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(JobId, ShuffleId), OfShuffle>> {
        self.shuffles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The copies of a shuffle's blocks. No others are made from now on: tasks fetch themselves what they read.
    pub(super) fn copies(&self, job: JobId, shuffle: ShuffleId) -> Vec<BlockCopy> {
        let mut shuffles = self.lock();
        let of = shuffles.entry((job, shuffle)).or_default();
        if let Some(task) = of.task.take() {
            task.abort();
        }
        of.copies.clone()
    }

    /// Forgets a job, whose files are removed.
    pub(super) fn forget(&self, job: JobId) {
        self.forget_if(|of| of == job);
    }

    /// Forgets all jobs.
    pub(super) fn forget_all(&self) {
        self.forget_if(|_| true);
    }

    fn forget_if(&self, goes: impl Fn(JobId) -> bool) {
        self.lock().retain(|(job, _), of| {
            if goes(*job)
                && let Some(task) = &of.task
            {
                task.abort();
            }
            !goes(*job)
        });
    }
}

/// Begins to fetch what the coordinator says, unless that has begun.
pub(super) fn begin<C: Control>(keeping: &Arc<Keeping<C>>, worker: WorkerId, all: Vec<Ahead>) {
    let mut shuffles = keeping.ahead.lock();
    for ahead in all {
        let key = (ahead.job, ahead.shuffle);
        if ahead.buckets.is_empty() || shuffles.contains_key(&key) {
            continue;
        }
        let task = tokio::spawn(fetch(keeping.clone(), worker, ahead)).abort_handle();
        shuffles.insert(key, OfShuffle { copies: Vec::new(), task: Some(task) });
    }
}

/// Fetches what comes, until all has come, or there is no room for it.
async fn fetch<C: Control>(keeping: Arc<Keeping<C>>, worker: WorkerId, ahead: Ahead) {
    let Ahead { job, shuffle, .. } = ahead;
    let mut here = HashSet::new();
    let mut seen = 0;
    let mut pause = LOOK_EVERY;
    loop {
        tokio::time::sleep(pause).await;
        let looked = Instant::now();
        pause = (pause * 2).min(LOOK_EVERY_MAX);
        match keeping.locations.version(job, shuffle).await {
            Ok(version) if version != seen => {}
            // Another look may be luckier; a coordinator that does not know the job ends it on its own.
            _ => continue,
        }
        let Ok(Some(list)) = keeping.locations.list(job, shuffle).await else { continue };
        seen = list.version;
        pause = LOOK_EVERY.max(looked.elapsed() * LOOKING_PART).min(LOOK_EVERY_MAX);
        if list.complete {
            // The tasks that read it begin now, and fetch what is not here.
            return;
        }
        let sources = by_source(list.places, &here, |source| {
            // Files of this host are read where they are.
            source.worker != worker && source.host != keeping.config.host
        });
        let copied = sources.into_iter().map(|source| copy_all(&keeping, &ahead, source));
        let mut copied = iter(copied).buffer_unordered(ASKED_AT_ONCE);
        while let Some(copied) = copied.next().await {
            match copied {
                Ok(copied) => here.extend(copied),
                Err(error) => {
                    tracing::warn!(%job, shuffle = shuffle.0, %error, "no more blocks are fetched ahead");
                    return;
                }
            }
        }
    }
}

/// The outputs of a list by the worker that has them, without those that are `here` already: of the workers that are
/// `wanted`.
fn by_source(
    list: BlockPlaces,
    here: &HashSet<AttemptId>,
    wanted: impl Fn(&BlockWorker) -> bool,
) -> Vec<(BlockWorker, Vec<AttemptId>)> {
    let mut by_source: Vec<(BlockWorker, Vec<AttemptId>)> =
        list.workers.into_iter().map(|source| (source, Vec::new())).collect();
    for (attempt, of) in list.outputs {
        let of = by_source.get_mut(of as usize);
        if let Some((_, attempts)) = of.filter(|_| !here.contains(&attempt)) {
            attempts.push(attempt);
        }
    }
    by_source.retain(|(source, attempts)| wanted(source) && !attempts.is_empty());
    by_source
}

/// Copies the blocks of some outputs of one worker, a few at a time, as long as it gives them. Says whose it has.
async fn copy_all<C: Control>(
    keeping: &Arc<Keeping<C>>,
    ahead: &Ahead,
    (source, attempts): (BlockWorker, Vec<AttemptId>),
) -> io::Result<Vec<AttemptId>> {
    let mut here = Vec::new();
    // What is on its way when the map tasks are done is fetched again: that is to be little.
    let mut together = 1;
    while here.len() < attempts.len() {
        let next = &attempts[here.len()..];
        let next = &next[..together.min(next.len())];
        let Some((copy, bytes)) = copy(keeping, ahead, &source, next).await? else { break };
        if let Some(of) = keeping.ahead.lock().get_mut(&(ahead.job, ahead.shuffle)) {
            of.copies.push(copy);
        }
        here.extend_from_slice(next);
        let of_one = bytes / next.len() as u64;
        together = (BYTES_TOGETHER / of_one.max(1)).clamp(1, OUTPUTS_TOGETHER) as usize;
    }
    Ok(here)
}

/// Copies blocks of one worker, and says how many bytes; `None` if it does not give them: whoever reads them says so.
async fn copy<C: Control>(
    keeping: &Arc<Keeping<C>>,
    ahead: &Ahead,
    source: &BlockWorker,
    attempts: &[AttemptId],
) -> io::Result<Option<(BlockCopy, u64)>> {
    let Ahead { job, shuffle, buckets } = ahead.clone();
    let room = BlockRoom::beside(ROOM, keeping.ahead.scratch.clone());
    let fetch = Fetch {
        source,
        job,
        shuffle,
        attempts,
        buckets: (buckets.start, buckets.end),
        host: &keeping.config.host,
        room: &room,
    };
    let Ok(blocks) = keeping.ahead.client.fetch(fetch).await else { return Ok(None) };
    let (keeping, attempts) = (keeping.clone(), attempts.to_vec());
    let written = tokio::task::spawn_blocking(move || {
        let written = write(&keeping.blocks.folders(job), shuffle, &attempts, &blocks);
        if !keeping.ahead.lock().contains_key(&(job, shuffle)) {
            // The job is over, and its files were removed before this one was there.
            keeping.blocks.drop_job(job);
        }
        let (path, bytes) = written?;
        let path = path.to_string_lossy().into_owned();
        Ok((BlockCopy { path, attempts, buckets }, bytes))
    });
    written.await.map_err(io::Error::other)?.map(Some)
}

/// Writes blocks into a file of their own; how many bytes they have.
fn write(
    folders: &BlockFolders,
    shuffle: ShuffleId,
    attempts: &[AttemptId],
    blocks: &[Vec<Buffer>],
) -> io::Result<(PathBuf, u64)> {
    let path = attempts.first().map(|first| folders.file(*first, shuffle)).unwrap_or_default();
    let path = path.with_extension("ahead");
    std::fs::create_dir_all(path.parent().unwrap_or(Path::new("")))?;
    let count = blocks.iter().map(Vec::len).sum::<usize>();
    let count = u32::try_from(count).map_err(io::Error::other)?;
    let mut file = BlockFileWriter::create(&path, count)?;
    for (number, block) in (0..).zip(blocks.iter().flatten()).filter(|(_, block)| !block.is_empty())
    {
        file.add(number, block)?;
    }
    let bytes = file.finish()?;
    Ok((path, bytes))
}
