//! Replicas: the worker copies what another one's attempts wrote, as the coordinator says, so that it need not be made again
//! when that worker is lost. It has the blocks then as if its own attempt had written them.

use super::control::Control;
use super::keeping::Keeping;
use crate::blocks::{BlockFileWriter, BlockRoom};
use crate::data_plane::{BlockClient, ClientLimits, Fetch};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use windrow_protocol::control::Replicate;
use windrow_protocol::executor::BlockWorker;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{AttemptId, JobId, ShuffleId};
use windrow_protocol::security::Credentials;

/// So many attempts' blocks are copied at once.
const AT_ONCE: usize = 2;

/// The buckets that are asked for at a time.
const BUCKETS: u32 = 64;

/// The memory for the blocks that are on their way, in bytes; more go through scratch.
const ROOM: u64 = 8 << 20;

/// The replicas that a worker makes, of all jobs: as many as it was told to.
pub(super) struct Replicas {
    client: BlockClient,
    /// For blocks on their way.
    scratch: Vec<PathBuf>,
    turn: Semaphore,
    /// Those that were begun, ended ones too, so that what is told again is not done again.
    begun: Mutex<HashMap<AttemptId, AbortHandle>>,
}

impl Replicas {
    /// Nothing yet; `scratch` are folders for blocks on their way.
    pub(super) fn new(scratch: Vec<PathBuf>, credentials: Credentials) -> Replicas {
        let client = BlockClient::untold(ClientLimits::default(), credentials);
        Replicas { client, scratch, turn: Semaphore::new(AT_ONCE), begun: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AttemptId, AbortHandle>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.lock().retain(|attempt, task| {
            let goes = goes(attempt.task.job);
            if goes {
                task.abort();
            }
            !goes
        });
    }
}

/// Begins to copy what the coordinator says, unless that has begun.
pub(super) fn begin<C: Control>(keeping: &Arc<Keeping<C>>, all: Vec<Replicate>) {
    let mut begun = keeping.replicas.lock();
    for order in all {
        let attempt = order.attempt;
        begun.entry(attempt).or_insert_with(|| {
            let keeping = keeping.clone();
            let copying = tokio::spawn(async move {
                let copied = replicate(&keeping, &order).await;
                if let Err(failure) = &copied {
                    tracing::warn!(%attempt, %failure, "no replica is made");
                }
                keeping.state.replicated(attempt, copied.is_ok());
            });
            copying.abort_handle()
        });
    }
}

async fn replicate<C: Control>(
    keeping: &Arc<Keeping<C>>,
    order: &Replicate,
) -> Result<(), Failure> {
    let replicas = &keeping.replicas;
    let turn = replicas.turn.acquire().await;
    let _turn = turn.map_err(|error| Failure::new(FailureClass::Internal, error.to_string()))?;
    let mut files = Vec::new();
    for &(shuffle, buckets) in &order.shuffles {
        files.push((shuffle, copy(keeping, order, shuffle, buckets).await?));
    }
    for (shuffle, path) in files {
        keeping.blocks.add(order.attempt, shuffle, path);
    }
    Ok(())
}

/// Copies the blocks of one shuffle into a file like that which the attempt wrote.
async fn copy<C: Control>(
    keeping: &Arc<Keeping<C>>,
    order: &Replicate,
    shuffle: ShuffleId,
    buckets: u32,
) -> Result<PathBuf, Failure> {
    let attempt = order.attempt;
    let (job, scratch) = (attempt.task.job, keeping.replicas.scratch.clone());
    let (worker, host, address) = (order.worker, order.host.clone(), order.address.clone());
    let source = BlockWorker { worker, host, address };
    let room = BlockRoom::beside(ROOM, scratch);
    let path = keeping.blocks.folders(job).file(attempt, shuffle);
    let failed = {
        let path = path.clone();
        move |error: std::io::Error| {
            let text = format!("{}: {error}", path.display());
            Failure::new(FailureClass::Storage, text)
        }
    };
    let file = {
        let path = path.clone();
        blocking(move || {
            path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
            BlockFileWriter::create(&path, buckets)
        })
    };
    let mut file = file.await.map_err(&failed)?;
    for first in (0..buckets).step_by(BUCKETS as usize) {
        let attempts = &[attempt];
        // Not the file, which may be on the disk that is lost.
        let fetch = Fetch {
            source: &source,
            job,
            shuffle,
            attempts,
            buckets: (first, buckets.min(first + BUCKETS)),
            host: "",
            room: &room,
        };
        let blocks = keeping.replicas.client.fetch(fetch).await?;
        let added = blocking(move || {
            for (bucket, block) in (first..).zip(blocks.iter().flatten()) {
                file.add(bucket, block)?;
            }
            Ok(file)
        });
        file = added.await.map_err(&failed)?;
    }
    // A job that is over meanwhile has no files, and gets none.
    let keeping = keeping.clone();
    let finished = blocking(move || {
        file.finish()?;
        if !keeping.replicas.lock().contains_key(&attempt) {
            keeping.blocks.drop_job(job);
        }
        Ok(())
    });
    finished.await.map_err(&failed)?;
    Ok(path)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(std::io::Error::other)?
}
