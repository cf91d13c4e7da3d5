//! What a process needs that submits jobs and looks after a cluster.

use crate::attempts::{AttemptsPage, LogsPage};
use crate::binary::{BINARY_BYTES_MAX, BinaryContent, PIECE_BYTES, PIECE_WITHIN};
use crate::claim::{Claim, QueueStatus};
use crate::control::{
    JobRecord, JobState, JobStatus, JobSubmission, PROTOCOL_VERSION, Refusal, TaskRecord,
    WorkerStatus,
};
use crate::events::{EventPage, Since};
use crate::ids::{CollectId, JobId, StageId, TaskId, TaskKind, WorkerId};
use crate::link::{Link, LinkConfig, LinkError};
use crate::security::Credentials;
use bytes::Bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::spawn_blocking;

/// A call is answered within this time, or made again.
const ANSWER: Duration = Duration::from_secs(10);

/// So long for an explanation, for which a scheduler decides all once more.
const EXPLANATION: Duration = Duration::from_secs(60);

/// Before it is asked again how a job stands whose binary was not taken.
const PAUSE: Duration = Duration::from_millis(500);

/// How long one status call waits for something new.
const STATUS_WAIT: Duration = Duration::from_secs(5);

/// Why a coordinator did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It was not reached, or did not answer.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What it answered cannot be.
    #[error("{0}")]
    Answer(String),
    /// The job's binary cannot be read.
    #[error("the binary of the job, {}, cannot be sent: {source}", .path.display())]
    Binary {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl ClientError {
    /// Whether the coordinator said no: what was asked for was not done.
    pub fn is_refusal(&self) -> bool {
        matches!(self, ClientError::Refused(_) | ClientError::Link(LinkError::Denied { .. }))
    }
}

/// A client of a coordinator. It connects again by itself when the connection breaks. All methods are cancel safe:
/// what was asked for may have been done.
#[derive(Debug)]
pub struct Client {
    link: Link,
}

impl Client {
    /// Connects to the coordinator at `HOST:PORT`.
    ///
    /// # Errors
    /// At once if nobody is there, or somebody else, or another version.
    pub async fn connect(address: &str, credentials: Credentials) -> Result<Client, ClientError> {
        Client::connect_with(address, credentials, LinkConfig::default()).await
    }

    /// As [`connect`](Client::connect), with another patience.
    ///
    /// # Errors
    /// As [`connect`](Client::connect).
    pub async fn connect_with(
        address: &str,
        credentials: Credentials,
        config: LinkConfig,
    ) -> Result<Client, ClientError> {
        let link = Link::connect(address, credentials, config).await;
        Ok(Client { link: link.map_err(LinkError::from)? })
    }

    /// The coordinator's address, as given.
    pub fn address(&self) -> &str {
        self.link.address()
    }

    /// Submits a job for workers of its build. Its token must be new ([`draw_token`](crate::link::draw_token)): the same one is
    /// the same job.
    ///
    /// # Errors
    /// The coordinator was not reached, or refused the job.
    pub async fn submit(&self, job: &JobSubmission) -> Result<JobId, ClientError> {
        self.submit_claiming(job, &Claim::default(), None).await
    }

    /// As [`submit`](Client::submit), with what the job claims of the cluster; with a kind of machine for any workers of that: its
    /// binary is wanted then, and [sent](Client::wait_and_send) by who waits for its end.
    ///
    /// # Errors
    /// As there.
    pub async fn submit_claiming(
        &self,
        job: &JobSubmission,
        claim: &Claim,
        machine: Option<&str>,
    ) -> Result<JobId, ClientError> {
        let submit = |client: crate::control::CoordinatorClient, ctx| {
            let (job, claim) = (job.clone(), claim.clone());
            let machine = machine.map(str::to_owned);
            async move { client.submit(ctx, PROTOCOL_VERSION, job, claim, machine).await }
        };
        Ok(self.link.call(ANSWER, submit).await??)
    }

    /// How a job stands, after waiting up to `wait` for something new.
    ///
    /// # Errors
    /// The coordinator was not reached, or knows no such job.
    pub async fn status(&self, job: JobId, wait: Duration) -> Result<JobStatus, ClientError> {
        let wait_ms = wait.as_millis().min(60_000) as u32;
        let answer = Duration::from_millis(u64::from(wait_ms)) + ANSWER;
        let status = |client: crate::control::CoordinatorClient, ctx| async move {
            client.status(ctx, job, wait_ms).await
        };
        Ok(self.link.call(answer, status).await??)
    }

    /// Waits for a job's end, and shows each status on the way and the last one.
    ///
    /// # Errors
    /// The coordinator was not reached for longer than the link's patience, or knows no such job. That the job failed
    /// is no error: see [`JobStatus::state`].
    pub async fn wait(
        &self,
        job: JobId,
        on_progress: impl FnMut(&JobStatus),
    ) -> Result<JobStatus, ClientError> {
        self.wait_with(job, None, on_progress).await
    }

    /// As [`wait`](Client::wait), and sends the file `binary`, which is that of the job, if workers want it.
    ///
    /// # Errors
    /// As there, and if the file cannot be read.
    pub async fn wait_and_send(
        &self,
        job: JobId,
        binary: &Path,
        on_progress: impl FnMut(&JobStatus),
    ) -> Result<JobStatus, ClientError> {
        self.wait_with(job, Some(binary), on_progress).await
    }

    async fn wait_with(
        &self,
        job: JobId,
        binary: Option<&Path>,
        mut on_progress: impl FnMut(&JobStatus),
    ) -> Result<JobStatus, ClientError> {
        let mut wait = Duration::ZERO;
        loop {
            let status = self.status(job, wait).await?;
            on_progress(&status);
            if !matches!(status.state, JobState::Running { .. }) {
                return Ok(status);
            }
            if let Some(binary) = binary.filter(|_| status.wants_binary) {
                match self.send_binary(job, binary).await {
                    // The job may have ended meanwhile, and its status says why.
                    Err(ClientError::Refused(why)) => {
                        tracing::debug!(%why, "the binary is not taken");
                        wait = PAUSE;
                        continue;
                    }
                    sent => sent?,
                }
            }
            wait = STATUS_WAIT;
        }
    }

    /// The job that was submitted with this token, if it is remembered.
    ///
    /// # Errors
    /// The coordinator was not reached.
    pub async fn submitted(&self, token: u128) -> Result<Option<JobId>, ClientError> {
        let submitted = |client: crate::control::CoordinatorClient, ctx| async move {
            client.submitted(ctx, token).await
        };
        Ok(self.link.call(ANSWER, submitted).await?)
    }

    /// Sends the binary of a job, as far as the coordinator has not got it: nobody needs this process then.
    ///
    /// # Errors
    /// The coordinator was not reached, does not take it (a job that has ended needs none), or the file cannot be read.
    pub async fn send_binary(&self, job: JobId, path: &Path) -> Result<(), ClientError> {
        let failed = |source| ClientError::Binary { path: path.to_path_buf(), source };
        let opened = path.to_path_buf();
        let opened = blocking(move || {
            let file = File::open(opened)?;
            let content = BinaryContent::of(&file)?;
            Ok((Arc::new(file), content))
        });
        let (file, content) = opened.await.map_err(failed)?;
        if content.bytes > BINARY_BYTES_MAX {
            let text =
                format!("it has {} bytes, and {BINARY_BYTES_MAX} are the most", content.bytes);
            return Err(failed(io::Error::other(text)));
        }
        let offer = |client: crate::control::CoordinatorClient, ctx| async move {
            client.offer_binary(ctx, job, content).await
        };
        let first = self.link.call(ANSWER, offer).await??;
        for piece in first..content.pieces() {
            let file = file.clone();
            let read = blocking(move || {
                let mut bytes = vec![0; content.piece_bytes(piece) as usize];
                file.read_exact_at(&mut bytes, u64::from(piece) * PIECE_BYTES)?;
                Ok(Bytes::from(bytes))
            });
            let bytes = read.await.map_err(failed)?;
            let put = |client: crate::control::CoordinatorClient, ctx| {
                let bytes = bytes.clone();
                async move { client.put_binary(ctx, job, piece, bytes).await }
            };
            self.link.call(PIECE_WITHIN, put).await??;
        }
        Ok(())
    }

    /// The rows of a collected dataset of a job that has succeeded: frames.
    ///
    /// # Errors
    /// The coordinator was not reached, or has no such dataset.
    pub async fn collected(&self, job: JobId, collect: CollectId) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        loop {
            let from = all.len() as u64;
            let page = self
                .link
                .call(ANSWER, |client, ctx| async move {
                    client.collected(ctx, job, collect, from).await
                })
                .await??;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend_from_slice(&page);
        }
    }

    /// What is kept of a job so that its tasks can be run again here.
    ///
    /// # Errors
    /// The coordinator was not reached, or does not know the job, or no longer what its tasks read.
    pub async fn job_record(&self, job: JobId) -> Result<JobRecord, ClientError> {
        let record = |client: crate::control::CoordinatorClient, ctx| async move {
            client.job_record(ctx, job).await
        };
        Ok(self.link.call(ANSWER, record).await??)
    }

    /// What is kept of a task that lists a source or computes.
    ///
    /// # Errors
    /// As for [`job_record`](Client::job_record), and if there is no such task.
    pub async fn task_record(
        &self,
        job: JobId,
        stage: StageId,
        kind: TaskKind,
        partition: u32,
    ) -> Result<TaskRecord, ClientError> {
        let record = |client: crate::control::CoordinatorClient, ctx| async move {
            client.task_record(ctx, job, stage, kind, partition).await
        };
        Ok(self.link.call(ANSWER, record).await??)
    }

    /// What became of the attempts of a job, from the one of this number on, as many as fit.
    ///
    /// # Errors
    /// The coordinator was not reached, or does not know the job.
    pub async fn attempts(&self, job: JobId, from: u64) -> Result<AttemptsPage, ClientError> {
        let attempts = |client: crate::control::CoordinatorClient, ctx| async move {
            client.attempts(ctx, job, from).await
        };
        Ok(self.link.call(ANSWER, attempts).await??)
    }

    /// What the code of a job logged, in its attempts from the one of this number on, as many as fit.
    ///
    /// # Errors
    /// The coordinator was not reached, or does not know the job.
    pub async fn logs(&self, job: JobId, from: u64) -> Result<LogsPage, ClientError> {
        let logs = |client: crate::control::CoordinatorClient, ctx| async move {
            client.logs(ctx, job, from).await
        };
        Ok(self.link.call(ANSWER, logs).await??)
    }

    /// What bounds a job, in some lines, for people.
    ///
    /// # Errors
    /// The coordinator was not reached, or does not know the job, or what became of its attempts no more.
    pub async fn bounds(&self, job: JobId) -> Result<Vec<String>, ClientError> {
        let bounds = |client: crate::control::CoordinatorClient, ctx| async move {
            client.bounds(ctx, job).await
        };
        Ok(self.link.call(ANSWER, bounds).await??)
    }

    /// Why a job, or one task of it, did what it did, for people.
    ///
    /// # Errors
    /// The coordinator was not reached, or does not know the job or the task, or what happened no more.
    pub async fn explain(&self, job: JobId, task: Option<TaskId>) -> Result<String, ClientError> {
        let explain = |client: crate::control::CoordinatorClient, ctx| async move {
            client.explain(ctx, job, task).await
        };
        Ok(self.link.call(EXPLANATION, explain).await??)
    }

    /// What has happened since, on the cluster or to one job; after waiting up to `wait` for the next event where there is none.
    ///
    /// # Errors
    /// The coordinator was not reached.
    pub async fn events(
        &self,
        since: Since,
        job: Option<JobId>,
        wait: Duration,
    ) -> Result<EventPage, ClientError> {
        let wait_ms = wait.as_millis().min(60_000) as u32;
        let answer = Duration::from_millis(u64::from(wait_ms)) + ANSWER;
        let events = |client: crate::control::CoordinatorClient, ctx| async move {
            client.events(ctx, since, job, wait_ms).await
        };
        Ok(self.link.call(answer, events).await?)
    }

    /// All jobs that the coordinator remembers, the newest first.
    ///
    /// # Errors
    /// The coordinator was not reached.
    pub async fn jobs(&self) -> Result<Vec<JobStatus>, ClientError> {
        Ok(self.link.call(ANSWER, |client, ctx| async move { client.jobs(ctx).await }).await?)
    }

    /// Cancels a job. One that has ended stays as it is.
    ///
    /// # Errors
    /// The coordinator was not reached, or knows no such job.
    pub async fn cancel(&self, job: JobId) -> Result<(), ClientError> {
        let cancel = |client: crate::control::CoordinatorClient, ctx| async move {
            client.cancel(ctx, job).await
        };
        Ok(self.link.call(ANSWER, cancel).await??)
    }

    /// All workers that the coordinator knows.
    ///
    /// # Errors
    /// The coordinator was not reached.
    pub async fn workers(&self) -> Result<Vec<WorkerStatus>, ClientError> {
        Ok(self.link.call(ANSWER, |client, ctx| async move { client.workers(ctx).await }).await?)
    }

    /// All queues.
    ///
    /// # Errors
    /// The coordinator was not reached.
    pub async fn queues(&self) -> Result<Vec<QueueStatus>, ClientError> {
        Ok(self.link.call(ANSWER, |client, ctx| async move { client.queues(ctx).await }).await?)
    }

    /// Lets a worker finish what it has, and no more.
    ///
    /// # Errors
    /// The coordinator was not reached, or knows no such worker.
    pub async fn drain(&self, worker: WorkerId) -> Result<(), ClientError> {
        let drain = |client: crate::control::CoordinatorClient, ctx| async move {
            client.drain(ctx, worker).await
        };
        Ok(self.link.call(ANSWER, drain).await??)
    }

    /// Ends the coordinator and its workers.
    ///
    /// # Errors
    /// The coordinator was not reached.
    pub async fn shut_down(&self) -> Result<(), ClientError> {
        Ok(self.link.call(ANSWER, |client, ctx| async move { client.shut_down(ctx).await }).await?)
    }
}

/// Reads from the disk, where no other task waits for that.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(read).await.map_err(io::Error::other)?
}
