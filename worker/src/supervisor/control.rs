//! What a supervisor asks of its coordinator.

use bytes::Bytes;
use windrow_protocol::binary::{BinaryContent, BinarySource};
use windrow_protocol::control::{
    BlockPage, CertificateOf, Issued, JobSpec, Poll, PollAnswer, Refusal, Registered, WorkerHello,
};
use windrow_protocol::ids::{JobId, ShuffleId, WorkerId};

/// Why a call brought no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// The coordinator answered, with a refusal: the same call again would not help.
    #[error("the coordinator refused: {0}")]
    Refused(#[from] Refusal),
    /// There was no answer; another call may succeed.
    #[error("the coordinator cannot be reached: {0}")]
    Unreachable(String),
}

/// The coordinator, as a supervisor sees it. Each call is idempotent; the supervisor gives each a deadline, and makes it
/// again after a failure, so an implementation need not try twice.
///
/// All calls must be cancel safe: a poll is dropped when there is something to tell.
pub trait Control: Send + Sync + 'static {
    /// Registers a worker, with what is special about it.
    fn register(
        &self,
        hello: WorkerHello,
        labels: Vec<String>,
    ) -> impl Future<Output = Result<Registered, ControlError>> + Send;

    /// Some workers, by the numbers that they registered with, are dead.
    fn gone(&self, tokens: Vec<u128>) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// The long poll; answered within [`Poll::wait_ms`].
    fn poll(
        &self,
        worker: WorkerId,
        poll: Poll,
    ) -> impl Future<Output = Result<PollAnswer, ControlError>> + Send;

    /// What an executor of a job has to know.
    fn job_spec(&self, job: JobId) -> impl Future<Output = Result<JobSpec, ControlError>> + Send;

    /// Where blocks are, from the output of this number on; beyond the last output the page is empty, but has the
    /// version.
    fn blocks(
        &self,
        job: JobId,
        shuffle: ShuffleId,
        from: u32,
    ) -> impl Future<Output = Result<BlockPage, ControlError>> + Send;

    /// Certifies a public key.
    fn certify(
        &self,
        public_key: Vec<u8>,
        of: CertificateOf,
    ) -> impl Future<Output = Result<Issued, ControlError>> + Send;

    /// What the binary of a job is, once that is known.
    fn job_binary(
        &self,
        job: JobId,
    ) -> impl Future<Output = Result<Option<BinaryContent>, ControlError>> + Send;

    /// Where to read a binary.
    fn binary_source(
        &self,
        worker: WorkerId,
        content: BinaryContent,
    ) -> impl Future<Output = Result<BinarySource, ControlError>> + Send;

    /// A piece of a binary.
    fn binary_piece(
        &self,
        content: BinaryContent,
        piece: u32,
    ) -> impl Future<Output = Result<Bytes, ControlError>> + Send;

    /// A binary is here, or did not come from where it was to be read.
    fn binary_fetched(
        &self,
        worker: WorkerId,
        content: BinaryContent,
        is_here: bool,
    ) -> impl Future<Output = Result<(), ControlError>> + Send;

    /// This process has other credentials: further calls are to be made with those.
    fn connect_anew(&self);
}
