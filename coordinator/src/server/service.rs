//! The tarpc service: calls become calls of [`Core`], under a lock that is never held across an await; long polls wait
//! outside of it.
#![allow(clippy::disallowed_methods, reason = "the driver is what reads the clock")]

use super::binaries::{JobBinary, Store};
use super::core::Core;
use super::limits::PROGRESS_MS;
use super::{End, Shared};
use crate::bounds::bounds;
use crate::explain::explain;
use crate::history::History;
use crate::scheduler::Millis;
use bytes::Bytes;
use std::io;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tarpc::context::Context;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use windrow_protocol::attempts::{AttemptsPage, LogsPage};
use windrow_protocol::binary::{BinaryContent, BinarySource};
use windrow_protocol::claim::{Claim, QueueStatus};
use windrow_protocol::control::{
    BinaryId, BlockPage, CertificateOf, Coordinator, Issued, JobRecord, JobSpec, JobStatus,
    JobSubmission, PROTOCOL_VERSION, Poll, PollAnswer, Refusal, Registered, TaskRecord,
    WorkerHello, WorkerStatus,
};
use windrow_protocol::events::{EventPage, Since};
use windrow_protocol::ids::{CollectId, JobId, ShuffleId, StageId, TaskId, TaskKind, WorkerId};
use windrow_protocol::security::{Gate, Identity};
use windrow_protocol::transport::wait_for;

/// One handle of the server, as each call gets it.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) shared: Arc<Shared>,
    /// Who calls.
    pub(crate) who: Identity,
}

impl Service {
    /// The state, and the time.
    ///
    /// # Panics
    /// After a panic under the lock: the state is not to be trusted then, and calls answer with an error.
    pub(crate) fn lock(&self) -> (MutexGuard<'_, Core>, Millis) {
        let core = self.shared.core.lock();
        let core = core.expect("the coordinator broke in an earlier call: restart it");
        (core, self.shared.now())
    }

    /// Waits until all that was decided so far is kept: nobody must be told of it before. Where it cannot be kept, the
    /// coordinator ends, and this call does not.
    pub(crate) async fn kept(&self) {
        let Some(journal) = &self.shared.journal else { return };
        if let Err(error) = journal.synced(journal.number()).await {
            self.shared.end(End::Failed(error));
            std::future::pending::<()>().await;
        }
    }

    /// Does something with the binaries that are kept, for a job; that ends if it fails.
    async fn with_store<T: Send + 'static>(
        &self,
        job: JobId,
        work: impl FnOnce(&Store) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Refusal> {
        let store = self.shared.binaries.clone();
        let done = spawn_blocking(move || work(&store)).await.map_err(io::Error::other);
        done.and_then(|done| done).map_err(|error| {
            let why = format!("the coordinator cannot keep the job's binary: {error}");
            let (mut core, now) = self.lock();
            core.no_binary(job, why.clone(), now);
            Refusal::Invalid(why)
        })
    }

    fn binary_is_here(&self, content: BinaryContent) {
        let (mut core, now) = self.lock();
        core.binary_is_here(content, now);
    }

    /// Where processes are let in; none if nothing is secured.
    pub(crate) fn gate(&self) -> Option<Arc<Gate>> {
        self.shared.gate.clone()
    }

    /// Cancels a job.
    pub(crate) async fn cancelled(&self, job: JobId) -> Result<(), Refusal> {
        let cancelled = {
            let (mut core, now) = self.lock();
            core.cancel(job, now)
        };
        self.kept().await;
        cancelled
    }

    /// Why a job, or one task of it, did what it did.
    pub(crate) async fn explained(
        &self,
        job: JobId,
        task: Option<TaskId>,
    ) -> Result<String, Refusal> {
        let Ok(_only) = self.shared.explaining.try_acquire() else {
            let text = "another job is being explained: try again when that is done";
            return Err(Refusal::Invalid(text.to_owned()));
        };
        let (has_ended, kept) = {
            let (mut core, _) = self.lock();
            (!core.job(job)?.is_running(), core.log.kept())
        };
        let explained = spawn_blocking(move || explain(kept, job, task, has_ended)).await;
        let explained = explained.map_err(|error| Refusal::Invalid(error.to_string()))?;
        explained.map_err(|error| Refusal::Invalid(error.to_string()))
    }

    /// What became of some attempts of a job.
    pub(crate) async fn attempts_of(&self, id: JobId, from: u64) -> Result<AttemptsPage, Refusal> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let page = {
            let (core, now) = self.lock();
            let job = core.job(id)?;
            AttemptsPage {
                submitted_unix_ms: self.shared.unix_ms().saturating_sub(now.since(job.submitted)),
                elapsed_ms: job.elapsed_ms(now),
                left_out: job.attempts_so_far(),
                ..AttemptsPage::default()
            }
        };
        let found = self.of_history(id, move |history| history.page(from)).await?;
        Ok(match found {
            Some((rows, known, left_out)) => AttemptsPage { rows, known, left_out, ..page },
            None => page,
        })
    }

    /// What attempts of a job have logged.
    pub(crate) async fn logs_of(&self, id: JobId, from: u64) -> Result<LogsPage, Refusal> {
        let logs = self.of_history(id, move |history| history.logs_page(id, from)).await?;
        Ok(logs.unwrap_or_default())
    }

    /// Looks at the history of a job, if it is kept.
    pub(crate) async fn of_history<T: Send + 'static>(
        &self,
        id: JobId,
        look: impl FnOnce(&History) -> T + Send + 'static,
    ) -> Result<Option<T>, Refusal> {
        let (seen, look) = {
            let (core, _) = self.lock();
            let job = core.job(id)?;
            match job.is_running() {
                true => (Ok(look(&job.history)), None),
                false => (Err(core.histories.clone()), Some(look)),
            }
        };
        self.kept().await;
        match (seen, look) {
            (Err(histories), Some(look)) => {
                // It may be on the disk.
                let read = move || histories.get(id).map(|history| look(&history));
                Ok(spawn_blocking(read).await.unwrap_or_default())
            }
            (seen, _) => Ok(seen.ok()),
        }
    }

    /// What bounds a job, in lines.
    pub(crate) async fn bounds_of(&self, id: JobId) -> Result<Vec<String>, Refusal> {
        let (shape, elapsed_ms, name, slots) = {
            let (core, now) = self.lock();
            let job = core.job(id)?;
            let alive = core.workers.iter().filter(|(_, worker)| worker.is_alive());
            let slots = alive.map(|(id, worker)| (*id, u64::from(worker.hello.slots))).collect();
            let name = format!("{id} {}", job.submission.name);
            (job.shape.clone(), job.elapsed_ms(now), name, slots)
        };
        let history = self.of_history(id, History::clone).await?;
        let compute = move || Some(bounds(&history?, &shape, elapsed_ms, &slots).lines(&name));
        let lines = spawn_blocking(compute).await.unwrap_or_default();
        lines.ok_or_else(|| {
            let text = format!("what became of the attempts of job {id} is not kept any more");
            Refusal::Invalid(text)
        })
    }

    /// The next events, once there are some, or after so long. Nobody is told of what is not kept yet.
    pub(crate) async fn events_within(
        &self,
        mut since: Since,
        job: Option<JobId>,
        wait: Duration,
    ) -> EventPage {
        let deadline = Instant::now() + wait;
        let mut number = self.lock().0.bus.changed();
        loop {
            let (page, is_last) = {
                let (core, _) = self.lock();
                let page = core.bus.since(since, job);
                let is_last = page.cursor == core.bus.cursor();
                (page, is_last)
            };
            // What others may have, without an event of this job, is passed over.
            let is_news = !page.events.is_empty() || page.missed.is_some();
            if is_news || (is_last && !changed(&mut number, deadline).await) {
                self.kept().await;
                return page;
            }
            since = Since::Cursor(page.cursor);
        }
    }
}

/// Waits for another number, until `deadline` at most; says whether there is one.
async fn changed(number: &mut watch::Receiver<u64>, deadline: Instant) -> bool {
    match tokio::time::timeout_at(deadline, number.changed()).await {
        Ok(Ok(())) => true,
        Ok(Err(_)) | Err(_) => false,
    }
}

impl Coordinator for Service {
    async fn hello(self, _: Context) -> (u32, BinaryId) {
        (PROTOCOL_VERSION, self.lock().0.config.binary.clone())
    }

    async fn submit(
        self,
        _: Context,
        version: u32,
        job: JobSubmission,
        mut claim: Claim,
        machine: Option<String>,
    ) -> Result<JobId, Refusal> {
        if let Some(holder) = self.who.holder() {
            claim.user = holder.to_owned();
        }
        let submitter = self.who.holder().unwrap_or_default().to_owned();
        let binary = machine.map(|machine| JobBinary { machine, submitter, content: None });
        let submitted = {
            let (mut core, now) = self.lock();
            core.submit(version, job, claim, binary, now)
        };
        self.kept().await;
        submitted
    }

    async fn status(self, ctx: Context, id: JobId, wait_ms: u32) -> Result<JobStatus, Refusal> {
        let begun = Instant::now();
        let deadline = begun + wait_for(&ctx, wait_ms);
        let progress = begun + Duration::from_millis(PROGRESS_MS);
        let (mut number, seen, wanted) = {
            let (mut core, _) = self.lock();
            let job = core.job_mut(id)?;
            (job.news.watch(), job.news.count(), job.wants_binary())
        };
        loop {
            let (told, has_news) = {
                let (core, now) = self.lock();
                let job = core.job(id)?;
                let (at, has_news) = (Instant::now(), job.news.count() != seen);
                let is_wanted = job.wants_binary() && !wanted;
                let is_news = has_news && at >= progress;
                let is_time = !job.is_running() || at >= deadline || is_wanted || is_news;
                (is_time.then(|| job.status(now, true)), has_news)
            };
            if let Some(status) = told {
                self.kept().await;
                return Ok(status);
            }
            changed(&mut number, if has_news { progress.min(deadline) } else { deadline }).await;
        }
    }

    async fn collected(
        self,
        _: Context,
        job: JobId,
        collect: CollectId,
        from: u64,
    ) -> Result<Vec<u8>, Refusal> {
        self.lock().0.collected(job, collect, from)
    }

    async fn jobs(self, _: Context) -> Vec<JobStatus> {
        let (core, now) = self.lock();
        core.jobs.values().rev().take(1_000).map(|job| job.status(now, false)).collect()
    }

    async fn cancel(self, _: Context, job: JobId) -> Result<(), Refusal> {
        self.cancelled(job).await
    }

    async fn workers(self, _: Context) -> Vec<WorkerStatus> {
        self.lock().0.worker_list()
    }

    async fn drain(self, _: Context, worker: WorkerId) -> Result<(), Refusal> {
        let drained = {
            let (mut core, now) = self.lock();
            core.drain(worker, now)
        };
        self.kept().await;
        drained
    }

    async fn shut_down(self, _: Context) {
        self.shared.end(End::Cluster);
    }

    async fn register(
        self,
        _: Context,
        worker: WorkerHello,
        labels: Vec<String>,
    ) -> Result<Registered, Refusal> {
        let registered = {
            let (mut core, now) = self.lock();
            core.register(worker, labels, now)
        };
        self.kept().await;
        registered
    }

    async fn poll(self, ctx: Context, worker: WorkerId, poll: Poll) -> PollAnswer {
        let (mut waiting, deadline, mut answer) = {
            let (mut core, now) = self.lock();
            let wait = wait_for(&ctx, poll.wait_ms);
            let wait = wait.min(Duration::from_millis(core.config.scheduler.lease_ms / 3));
            let Some(waiting) = core.poll_begin(worker, poll, now) else { return core.unknown() };
            let answer = core.poll_answer(&waiting, false, now);
            (waiting, Instant::now() + wait, answer)
        };
        loop {
            if let Some(answer) = answer {
                self.kept().await;
                return answer;
            }
            let is_over = !changed(&mut waiting.changed, deadline).await;
            let (mut core, now) = self.lock();
            answer = core.poll_answer(&waiting, is_over, now);
        }
    }

    async fn job_spec(self, _: Context, job: JobId) -> Result<JobSpec, Refusal> {
        Ok(self.lock().0.job(job)?.spec())
    }

    async fn blocks(
        self,
        _: Context,
        job: JobId,
        shuffle: ShuffleId,
        from: u32,
    ) -> Result<BlockPage, Refusal> {
        self.lock().0.blocks(job, shuffle, from)
    }

    async fn job_record(self, _: Context, job: JobId) -> Result<JobRecord, Refusal> {
        self.lock().0.job_record(job)
    }

    async fn task_record(
        self,
        _: Context,
        job: JobId,
        stage: StageId,
        kind: TaskKind,
        partition: u32,
    ) -> Result<TaskRecord, Refusal> {
        self.lock().0.task_record(job, stage, kind, partition)
    }

    async fn explain(
        self,
        _: Context,
        job: JobId,
        task: Option<TaskId>,
    ) -> Result<String, Refusal> {
        self.explained(job, task).await
    }

    async fn attempts(self, _: Context, job: JobId, from: u64) -> Result<AttemptsPage, Refusal> {
        self.attempts_of(job, from).await
    }

    async fn logs(self, _: Context, job: JobId, from: u64) -> Result<LogsPage, Refusal> {
        self.logs_of(job, from).await
    }

    async fn bounds(self, _: Context, job: JobId) -> Result<Vec<String>, Refusal> {
        self.bounds_of(job).await
    }

    async fn submitted(self, _: Context, token: u128) -> Option<JobId> {
        let job = self.lock().0.job_tokens.get(&token).copied();
        self.kept().await;
        job
    }

    async fn queues(self, _: Context) -> Vec<QueueStatus> {
        self.lock().0.queue_list()
    }

    async fn events(
        self,
        ctx: Context,
        since: Since,
        job: Option<JobId>,
        wait_ms: u32,
    ) -> EventPage {
        self.events_within(since, job, wait_for(&ctx, wait_ms)).await
    }

    async fn gone(self, _: Context, tokens: Vec<u128>) {
        {
            let (mut core, now) = self.lock();
            tokens.into_iter().for_each(|token| core.gone(token, now));
        }
        self.kept().await;
    }

    async fn certify(
        self,
        _: Context,
        public_key: Vec<u8>,
        of: CertificateOf,
    ) -> Result<Issued, Refusal> {
        let Some(gate) = self.gate() else { return Err(Refusal::CertifiesNobody) };
        gate.certify(&self.who, &public_key, of)
    }

    async fn offer_binary(
        self,
        _: Context,
        job: JobId,
        content: BinaryContent,
    ) -> Result<u32, Refusal> {
        let is_here = {
            let (mut core, now) = self.lock();
            core.offered(job, content, &self.who, now)?;
            core.sources.can_be_read_here(content)
        };
        self.kept().await;
        let next = match is_here {
            true => content.pieces(),
            false => self.with_store(job, move |store| store.next_piece(content)).await?,
        };
        if next == content.pieces() {
            self.binary_is_here(content);
        }
        Ok(next)
    }

    async fn put_binary(
        self,
        _: Context,
        job: JobId,
        piece: u32,
        bytes: Bytes,
    ) -> Result<(), Refusal> {
        let content = {
            let (mut core, now) = self.lock();
            core.put(job, (piece, bytes.len() as u64), &self.who, now)?
        };
        self.with_store(job, move |store| store.put(content, piece, &bytes)).await?;
        if piece + 1 == content.pieces() {
            let in_use = self.lock().0.binaries_in_use();
            let compare = move |store: &Store| {
                store.make_room(&in_use);
                store.is_right(content)
            };
            if !self.with_store(job, compare).await? {
                let why = format!(
                    "the binary of job {job} is another one than {content}, which was offered: did it change while it was sent?"
                );
                let (mut core, now) = self.lock();
                core.no_binary(job, why.clone(), now);
                return Err(Refusal::Invalid(why));
            }
            self.binary_is_here(content);
        }
        Ok(())
    }

    async fn job_binary(self, _: Context, job: JobId) -> Result<Option<BinaryContent>, Refusal> {
        let unseen = self.lock().0.unseen_binary(job);
        if let Some(content) = unseen {
            let next = self.with_store(job, move |store| store.next_piece(content)).await?;
            if next == content.pieces() {
                self.binary_is_here(content);
            }
        }
        let (mut core, now) = self.lock();
        core.job_binary(job, now)
    }

    async fn binary_source(
        self,
        _: Context,
        worker: WorkerId,
        content: BinaryContent,
    ) -> Result<BinarySource, Refusal> {
        self.lock().0.binary_source(worker, content)
    }

    async fn binary_piece(
        self,
        _: Context,
        content: BinaryContent,
        piece: u32,
    ) -> Result<Bytes, Refusal> {
        let refused = |why: &dyn std::fmt::Display| {
            Refusal::Invalid(format!("piece {piece} of binary {content} cannot be read: {why}"))
        };
        if !self.lock().0.sources.can_be_read_here(content) {
            return Err(refused(&"the coordinator does not have it"));
        }
        let store = self.shared.binaries.clone();
        let read = spawn_blocking(move || store.piece(content, piece)).await;
        read.map_err(|error| refused(&error))?.map(Bytes::from).map_err(|error| {
            if error.kind() == io::ErrorKind::NotFound {
                // It was removed, or damaged: who submitted the job is asked for it again.
                self.lock().0.sources.is_not_here(content);
            }
            refused(&error)
        })
    }

    async fn binary_fetched(
        self,
        _: Context,
        worker: WorkerId,
        content: BinaryContent,
        is_here: bool,
    ) {
        self.lock().0.sources.fetched(worker, content, is_here);
    }
}
