//! The programs of executors: this process's own for jobs of the same code, and the binaries of others, which are kept, and
//! fetched of the coordinator and of other workers.

use super::control::{Control, ControlError};
use super::keeping::Keeping;
use super::within;
use crate::binaries::{Binaries, Part};
use crate::data_plane::{ClientLimits, fetch_binary};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;
use windrow_protocol::binary::{BinaryContent, BinarySource, PIECE_BYTES, PIECE_WITHIN};
use windrow_protocol::control::JobSpec;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{JobId, WorkerId};

/// The pauses before it is asked again for a binary that cannot be had yet.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A program to start.
pub(super) struct Program {
    pub(super) path: PathBuf,
    /// Whether it came from the one who submitted the job.
    pub(super) is_foreign: bool,
}

/// The program of a job's executor. Waits until it can be had.
///
/// # Errors
/// It cannot be kept here, or the job is over. Cancel safe.
pub(super) async fn of_job<C: Control>(
    keeping: &Keeping<C>,
    worker: WorkerId,
    job: JobId,
    spec: &JobSpec,
) -> Result<Program, Failure> {
    let config = &keeping.config;
    let own = || Program { path: config.executor.program.clone(), is_foreign: false };
    let Some(binaries) = &keeping.binaries else { return Ok(own()) };
    if spec.binary.build == config.binary.build {
        return Ok(own());
    }
    let path = Fetching { keeping, worker, job, binaries }.until_here().await.map_err(|error| {
        let text = format!("the job's binary cannot be had: {error}");
        let class = match error {
            Cannot::Keep(_) => FailureClass::LostWorker,
            Cannot::Refused(_) => FailureClass::Collateral,
        };
        Failure::new(class, text)
    })?;
    Ok(Program { path, is_foreign: true })
}

/// Why a binary cannot be had, whatever is tried.
#[derive(Debug, thiserror::Error)]
enum Cannot {
    /// Here.
    #[error("{0}")]
    Keep(#[from] io::Error),
    /// The coordinator says no.
    #[error("{0}")]
    Refused(ControlError),
}

/// Why one try did not bring it.
enum Failed {
    Here(io::Error),
    There(String),
}

struct Fetching<'k, C> {
    keeping: &'k Keeping<C>,
    worker: WorkerId,
    job: JobId,
    binaries: &'k Arc<Binaries>,
}

impl<C: Control> Fetching<'_, C> {
    async fn until_here(&self) -> Result<PathBuf, Cannot> {
        let Keeping { config, control, fetching, .. } = self.keeping;
        let answer = config.limits.answer;
        let mut pause = PAUSES.0;
        let mut part: Option<(BinaryContent, Part)> = None;
        loop {
            let content = match within(answer, control.job_binary(self.job)).await {
                Ok(content) => content,
                Err(refused @ ControlError::Refused(_)) => return Err(Cannot::Refused(refused)),
                Err(error) => {
                    tracing::debug!(job = %self.job, %error, "asking again for a binary");
                    None
                }
            };
            if let Some(content) = content {
                // Executors of several jobs may need the same one: they get it one after the other.
                let one_at_a_time = fetching.acquire().await.map_err(io::Error::other)?;
                let tried = self.once(content, &mut part).await;
                drop(one_at_a_time);
                match tried {
                    Ok(Some(path)) => return Ok(path),
                    Ok(None) => {}
                    Err(Failed::Here(error)) => return Err(Cannot::Keep(error)),
                    Err(Failed::There(why)) => {
                        tracing::warn!(job = %self.job, %content, why, "a binary did not come; trying again");
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Finds a binary here, or fetches it; none if it cannot be read anywhere yet.
    async fn once(
        &self,
        content: BinaryContent,
        part: &mut Option<(BinaryContent, Part)>,
    ) -> Result<Option<PathBuf>, Failed> {
        let binaries = self.binaries.clone();
        if let Some(path) = self.blocking(move || binaries.find(content)).await? {
            self.tell(content, true).await;
            return Ok(Some(path));
        }
        let Keeping { config, control, .. } = self.keeping;
        let asked = control.binary_source(self.worker, content);
        let source = within(config.limits.answer, asked).await;
        let source = source.map_err(|error| Failed::There(error.to_string()))?;
        if source == BinarySource::NotYet {
            return Ok(None);
        }
        let (_, mut writing) = match part.take().filter(|(of, _)| *of == content) {
            Some(begun) => begun,
            None => {
                let binaries = self.binaries.clone();
                (content, self.blocking(move || binaries.begin(content)).await?)
            }
        };
        let fetched = match &source {
            BinarySource::NotYet => Ok(()),
            BinarySource::Coordinator => self.of_coordinator(content, &mut writing).await,
            BinarySource::Worker(_, address) => fetch_binary(
                address,
                &config.credentials,
                &ClientLimits::default(),
                content,
                &mut writing,
            )
            .await
            .map_err(|error| Failed::There(format!("of the worker at {address}: {error}"))),
        };
        if let Err(failed) = fetched {
            *part = Some((content, writing));
            self.tell(content, false).await;
            return Err(failed);
        }
        let finished = self.blocking(move || writing.finish()).await?;
        self.tell(content, finished.is_some()).await;
        match finished {
            Some(path) => {
                tracing::info!(job = %self.job, %content, ?source, "a binary has come");
                Ok(Some(path))
            }
            None => Err(Failed::There(format!("{source:?} sent another one"))),
        }
    }

    async fn of_coordinator(&self, content: BinaryContent, part: &mut Part) -> Result<(), Failed> {
        let control = &self.keeping.control;
        while part.bytes() < content.bytes {
            // A part that another worker has sent may end within a piece.
            let piece = (part.bytes() / PIECE_BYTES) as u32;
            let seen = part.bytes() % PIECE_BYTES;
            let bytes = within(PIECE_WITHIN, control.binary_piece(content, piece)).await;
            let bytes = bytes.map_err(|error| Failed::There(error.to_string()))?;
            let Some(new) = bytes.get(seen as usize..).filter(|new| !new.is_empty()) else {
                return Err(Failed::There(format!("piece {piece} has only {} bytes", bytes.len())));
            };
            part.write(new).map_err(Failed::Here)?;
        }
        Ok(())
    }

    /// Tells the coordinator; where that does not hear it, others read it elsewhere.
    async fn tell(&self, content: BinaryContent, is_here: bool) {
        let told = self.keeping.control.binary_fetched(self.worker, content, is_here);
        if let Err(error) = within(self.keeping.config.limits.answer, told).await {
            tracing::debug!(%error, "the coordinator was not told of a binary");
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, Failed> {
        let done = spawn_blocking(work).await.map_err(io::Error::other);
        done.and_then(|done| done).map_err(Failed::Here)
    }
}
