//! What clients and workers say to a coordinator: the messages of control, and the tarpc service.
//!
//! Every call is idempotent and has a deadline: a caller that got no answer calls again. Messages are small; bulk data
//! goes over the data plane ([`data`](crate::data)), and lists come in pages.

use crate::attempts::{AttemptsPage, LogsPage};
use crate::binary::{BinaryContent, BinarySource};
use crate::claim::{Claim, QueueStatus};
use crate::events::{EventPage, Since};
use crate::failure::Failure;
use crate::ids::{
    AttemptId, CollectId, JobId, ShuffleId, SinkId, StageId, TaskId, TaskKind, WorkerId,
};
use crate::rests::Rests;
use crate::shape::JobShape;
use crate::task::{LeftOut, Spent, StagedFiles, TaskCounts, TaskOrder, TaskOutput};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The version of the protocol: processes of different versions refuse one another.
pub const PROTOCOL_VERSION: u32 = 4;

/// What code a process runs: of two processes with the same, the closures are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BinaryId {
    /// The build id of the executable, or a hash of the file where there is none; hexadecimal.
    pub build: String,
    /// For people: the executable's name and version.
    pub name: String,
}

/// A job to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobSubmission {
    /// A number that the client draws: submitting twice with the same gives the same job.
    pub token: u128,
    /// The job's name.
    pub name: String,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// The options of the run that tasks must know.
    pub options: JobOptions,
    /// The code that it is of.
    pub binary: BinaryId,
    /// A hash of the plan's outline, which workers compare with that of their own plan.
    pub fingerprint: u64,
    /// The plan, as far as the coordinator knows it.
    pub shape: JobShape,
    /// Its share among jobs that run at once; 1 is ordinary.
    pub weight: u32,
}

/// The options of a run that tasks must know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOptions {
    /// What is done about output that is there already.
    pub mode: windrow_datasets::commit::WriteMode,
    /// The job's short id, which names of part files contain.
    pub short_id: String,
    /// An attempt that runs for longer is ended, in milliseconds.
    pub task_timeout_ms: Option<u64>,
    /// So many records may be left out at which the job's code fails.
    pub bad_records_max: u32,
    /// How object stores are reached. There is no secret in it.
    pub stores: windrow_datasets::storage::StoreOptions,
}

/// A worker that registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerHello {
    /// Must be [`PROTOCOL_VERSION`].
    pub version: u32,
    /// A number that the process drew when it started: registering twice with the same gives the same worker.
    pub token: u128,
    /// The host it runs on, as it calls itself; workers of one host read one another's files.
    pub host: String,
    /// Where its data plane listens, `HOST:PORT`.
    pub data_address: String,
    /// How many tasks it runs at once.
    pub slots: u32,
    /// Memory for records, in bytes: the executors of each job have so much.
    pub memory: u64,
    /// The code that it runs.
    pub binary: BinaryId,
}

/// What a registered worker has to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// Its id.
    pub worker: WorkerId,
    /// A worker that has not polled for so long is lost, in milliseconds.
    pub lease_ms: u64,
    /// Who says so.
    pub term: Term,
}

/// Which coordinator it is, of those that have had one journal. A worker that has heard a later one does nothing that an
/// earlier one says: that has been taken for dead, and does not know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Term {
    /// The journal, by a number that was drawn when it was made; 0 for a coordinator that has none.
    pub journal: u128,
    /// How often that was opened by then.
    pub epoch: u64,
}

impl Term {
    /// Whether it is an earlier one than `other`.
    pub fn is_before(self, other: Term) -> bool {
        self.journal == other.journal && self.epoch < other.epoch
    }
}

/// What a worker says with each poll.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Poll {
    /// The number of the last answer that came: what was in it need not be told again.
    pub seen: u64,
    /// How long the coordinator may wait for something to tell, in milliseconds.
    pub wait_ms: u32,
    /// Attempts that ended. They are told until an answer says that they came.
    pub ended: Vec<AttemptEnd>,
    /// How far the attempts have come that run.
    pub progress: Vec<(AttemptId, Progress)>,
    /// Attempts whose blocks were copied, and whether that is done, or cannot be. They are told until an answer comes.
    pub replicated: Vec<(AttemptId, bool)>,
    /// Whether the worker wants no more work.
    pub draining: bool,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptEnd {
    /// The attempt.
    pub attempt: AttemptId,
    /// What it made, or why it failed.
    pub result: Result<TaskOutput, Failure>,
    /// The first of the lanes that it has given up, if it has.
    pub given_up: Option<u32>,
    /// What its time went to, where that is known.
    pub spent: Spent,
    /// What the job's code logged, in lines.
    pub log: String,
}

impl AttemptEnd {
    /// The end of an attempt that ran all of its lanes, or of none.
    pub fn of(attempt: AttemptId, result: Result<TaskOutput, Failure>) -> AttemptEnd {
        AttemptEnd { attempt, result, given_up: None, spent: Spent::default(), log: String::new() }
    }
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Lanes done.
    pub lanes_done: u32,
    /// Lanes in all.
    pub lanes: u32,
    /// Records read.
    pub records: u64,
    /// The first of the lanes that it has given up, if it has.
    pub given_up: Option<u32>,
}

/// What a worker is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PollAnswer {
    /// Who says so.
    pub term: Term,
    /// The number of this answer: the next poll has it as [`Poll::seen`]. Without that the same is told again.
    pub number: u64,
    /// How many of the poll's ended attempts came, from the first on.
    pub ended_seen: u32,
    /// Attempts to run.
    pub assigned: Vec<TaskOrder>,
    /// Attempts to stop.
    pub cancelled: Vec<AttemptId>,
    /// Blocks to copy.
    pub replicate: Vec<Replicate>,
    /// Attempts that are to give up lanes which they have not begun.
    pub give_up: Vec<GiveUp>,
    /// Jobs that are over: their executors and blocks can go.
    pub jobs_over: Vec<JobOver>,
    /// What may be fetched ahead: all that holds now.
    pub ahead: Vec<Ahead>,
    /// Whether the coordinator does not know this worker (any more): it must register again, as another one.
    pub unknown: bool,
    /// Whether the worker has drained and may end.
    pub drained: bool,
}

/// An attempt is slow, and others would run some of its lanes: it gives up the last of those that it has not begun, and says
/// from which one on, with its progress and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GiveUp {
    /// The attempt.
    pub attempt: AttemptId,
    /// How many of the lanes that it has not begun it keeps, in thousandths.
    pub keep_permille: u16,
}

/// What an attempt wrote is to be kept by this worker too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replicate {
    /// The attempt.
    pub attempt: AttemptId,
    /// The shuffles that it wrote into, and how many buckets these have.
    pub shuffles: Vec<(ShuffleId, u32)>,
    /// The worker that has the blocks.
    pub worker: WorkerId,
    /// Its host.
    pub host: String,
    /// Where its data plane listens, `HOST:PORT`.
    pub address: String,
}

/// Blocks that a worker will most likely read: it may fetch those that are there while map tasks still make others.
/// Nothing depends on whether it does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ahead {
    /// The job.
    pub job: JobId,
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The buckets.
    pub buckets: Range<u32>,
}

/// A job that is over, as a worker is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOver {
    /// The job.
    pub job: JobId,
    /// Whether it ended without output, and this worker is to remove what it has left there: once no attempt of it
    /// runs on the worker any more. Several workers may do so at once.
    pub abort: bool,
}

/// A job, as a worker needs it to start an executor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Its name.
    pub name: String,
    /// Its arguments, as JSON.
    pub arguments: String,
    /// The options of the run.
    pub options: JobOptions,
    /// Its code.
    pub binary: BinaryId,
    /// The hash of its plan's outline.
    pub fingerprint: u64,
    /// Who submitted it, by the name of their token; empty where nobody has to say so.
    pub submitter: String,
}

/// What is kept of a job so that its tasks can be run again elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// What an executor of it has to know.
    pub spec: JobSpec,
    /// The plan, as it was run: some rows may be looked up.
    pub shape: JobShape,
    /// By stage: the number of its tasks, once that is known.
    pub tasks: Vec<Option<u32>>,
    /// By stage: which of them are the rest of others.
    pub rests: Vec<Rests>,
}

/// What is kept of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// What it had to do. The attempt is the one that was committed, or the first, if none was.
    pub order: TaskOrder,
    /// What the committed attempt made, if there is one.
    pub made: Option<TaskMade>,
}

/// What a committed attempt made, as far as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskMade {
    /// Of what it wrote into shuffles: [`shuffles_content`](crate::task::shuffles_content).
    pub shuffles: u32,
    /// The files staged, once for each sink.
    pub staged: Vec<(SinkId, StagedFiles)>,
    /// Collected rows: frames.
    pub collected: Vec<(CollectId, Vec<u8>)>,
    /// The records that were left out, in order.
    pub left_out: Vec<LeftOut>,
}

/// Where blocks of a shuffle are: the outputs of map tasks, in pages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockPage {
    /// Grows whenever an output of the shuffle comes or goes. All pages of one list have the same; if one has another,
    /// begin again.
    pub version: u64,
    /// Whether all producers are complete: otherwise ask again later.
    pub complete: bool,
    /// The committed attempts, in the order in which their rows count, and which of `workers` has each.
    pub outputs: Vec<(AttemptId, u32)>,
    /// The workers named above: id, host, address of the data plane.
    pub workers: Vec<(WorkerId, String, String)>,
    /// Whether there are more pages.
    pub more: bool,
}

/// What is asked of a job's progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// It runs, or waits for workers.
    Running {
        /// What it waits for, if it does; for people.
        waiting: Option<String>,
    },
    /// It has ended, and its outputs are there.
    Succeeded,
    /// It has ended without output.
    Failed(Failure),
    /// It was cancelled.
    Cancelled,
}

/// A job's progress and result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The job.
    pub job: JobId,
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: JobState,
    /// Its stages.
    pub stages: Vec<StageStatus>,
    /// What was counted by tasks that are done.
    pub counts: TaskCounts,
    /// Attempts that failed or were lost.
    pub retries: u64,
    /// Records that were left out.
    pub left_out: u64,
    /// Bytes that went through shuffles.
    pub shuffle_bytes: u64,
    /// Milliseconds since the job was submitted, up to its end.
    pub elapsed_ms: u64,
    /// Of a job that succeeded: the manifests of its outputs, as JSON; empty where one is too long to travel.
    pub manifests: Vec<(SinkId, String)>,
    /// The last things that happened, for people: failures of attempts and lost workers with their causes.
    pub notes: Vec<String>,
    /// Whether workers wait for the job's binary, which who submitted it has to send.
    pub wants_binary: bool,
    /// The queue that it goes through.
    pub queue: String,
    /// Whose it is; empty where nobody said so.
    pub user: String,
    /// Its priority among the jobs of that user.
    pub priority: i16,
}

/// A stage's progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    /// The stage.
    pub stage: StageId,
    /// Its operators.
    pub name: String,
    /// Its tasks, once they are known.
    pub tasks: Option<u32>,
    /// Tasks that run.
    pub running: u32,
    /// Tasks that are done.
    pub done: u32,
    /// Milliseconds from its first task's start to its last one's end, or until now.
    pub elapsed_ms: u64,
}

/// A worker, as `cluster status` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its id.
    pub worker: WorkerId,
    /// Its host.
    pub host: String,
    /// Its slots.
    pub slots: u32,
    /// Slots in use.
    pub running: u32,
    /// `ready`, `draining` or `lost`, with the reason.
    pub state: String,
    /// Its code.
    pub binary: BinaryId,
    /// What is special about it.
    pub labels: Vec<String>,
}

/// Why a coordinator refused a call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum Refusal {
    /// Another version of the protocol.
    #[error(
        "the coordinator speaks version {coordinator} of the protocol, and this process version {caller}: run the same release of Windrow everywhere"
    )]
    Version {
        /// The coordinator's.
        coordinator: u32,
        /// The caller's.
        caller: u32,
    },
    /// No such job.
    #[error("there is no job {0}; `jobs list` shows those that there are")]
    NoJob(JobId),
    /// No such worker.
    #[error("there is no worker {0}")]
    NoWorker(WorkerId),
    /// Something about the request.
    #[error("{0}")]
    Invalid(String),
    /// Who asks may not have it.
    #[error("{0}")]
    Denied(String),
    /// The coordinator has no key of an authority.
    #[error("the coordinator certifies nobody: certificates are brought along")]
    CertifiesNobody,
}

/// Whose certificate is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CertificateOf {
    /// The worker's that asks.
    Worker,
    /// That of an executor of a job.
    Executor(JobId),
}

/// A certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Issued {
    /// The certificate, and those between it and the authority, in DER.
    pub chain: Vec<Vec<u8>>,
    /// How long it holds, in seconds.
    pub lifetime_s: u64,
}

/// The coordinator's service.
#[tarpc::service]
pub trait Coordinator {
    /// Who is there: the version of the protocol, and the coordinator's code.
    async fn hello() -> (u32, BinaryId);
    /// Submits a job. With a kind of machine, workers of that kind run it whatever they are built of: who submits it sends
    /// its binary then, if [`JobStatus::wants_binary`] says so. Without one, it is run by workers of its build. Where callers are
    /// known, the user of the claim is who calls.
    async fn submit(
        version: u32,
        job: JobSubmission,
        claim: Claim,
        machine: Option<String>,
    ) -> Result<JobId, Refusal>;
    /// How a job stands. Waits up to `wait_ms` for its state to be another than running, or for progress.
    async fn status(job: JobId, wait_ms: u32) -> Result<JobStatus, Refusal>;
    /// The rows of a collected dataset of a job: frames, from byte `from` on; empty at the end.
    async fn collected(job: JobId, collect: CollectId, from: u64) -> Result<Vec<u8>, Refusal>;
    /// All jobs that are known, the newest first.
    async fn jobs() -> Vec<JobStatus>;
    /// Cancels a job.
    async fn cancel(job: JobId) -> Result<(), Refusal>;
    /// All workers that are known.
    async fn workers() -> Vec<WorkerStatus>;
    /// Lets a worker finish what it has, and no more.
    async fn drain(worker: WorkerId) -> Result<(), Refusal>;
    /// Ends the coordinator, after telling its workers to end.
    async fn shut_down();
    /// Registers a worker, with what is special about it.
    async fn register(worker: WorkerHello, labels: Vec<String>) -> Result<Registered, Refusal>;
    /// The long poll of a worker: heartbeat, ends of attempts, assignments.
    async fn poll(worker: WorkerId, poll: Poll) -> PollAnswer;
    /// What an executor of a job has to know.
    async fn job_spec(job: JobId) -> Result<JobSpec, Refusal>;
    /// Where the blocks of a shuffle are, from the output of this number on.
    async fn blocks(job: JobId, shuffle: ShuffleId, from: u32) -> Result<BlockPage, Refusal>;
    /// What is kept of a job, which runs or has ended, so that its tasks can be run again elsewhere.
    async fn job_record(job: JobId) -> Result<JobRecord, Refusal>;
    /// What is kept of a task of it that lists a source or computes.
    async fn task_record(
        job: JobId,
        stage: StageId,
        kind: TaskKind,
        partition: u32,
    ) -> Result<TaskRecord, Refusal>;
    /// Why a job, or one task of it, did what it did, for people.
    async fn explain(job: JobId, task: Option<TaskId>) -> Result<String, Refusal>;
    /// The processes of some workers are dead, as one sees who starts on their machine; by the numbers that they registered
    /// with. Others than those that are known are ignored.
    async fn gone(tokens: Vec<u128>);
    /// Certifies the public key of a worker, or of an executor of one.
    async fn certify(public_key: Vec<u8>, of: CertificateOf) -> Result<Issued, Refusal>;
    /// Says what the binary of a job is. Answers with the number of the first piece that is wanted; if that is behind the last
    /// one, the coordinator has it whole.
    async fn offer_binary(job: JobId, content: BinaryContent) -> Result<u32, Refusal>;
    /// Sends a piece of what was offered for a job. With the last one, all of it is compared with what was offered.
    async fn put_binary(job: JobId, piece: u32, bytes: Bytes) -> Result<(), Refusal>;
    /// What the binary of a job is; none if nobody has said so yet: the one who submitted it is asked then.
    async fn job_binary(job: JobId) -> Result<Option<BinaryContent>, Refusal>;
    /// Where a worker is to read a binary.
    async fn binary_source(
        worker: WorkerId,
        content: BinaryContent,
    ) -> Result<BinarySource, Refusal>;
    /// A piece of a binary.
    async fn binary_piece(content: BinaryContent, piece: u32) -> Result<Bytes, Refusal>;
    /// A worker has a binary, and other workers may read it there; or it could not read it where it was told to.
    async fn binary_fetched(worker: WorkerId, content: BinaryContent, is_here: bool);
    /// The job that was submitted with this token, if it is remembered.
    async fn submitted(token: u128) -> Option<JobId>;
    /// What has happened since, on the cluster or to one job. Waits up to `wait_ms` for the next event where there is none.
    async fn events(since: Since, job: Option<JobId>, wait_ms: u32) -> EventPage;
    /// The queues.
    async fn queues() -> Vec<QueueStatus>;
    /// What became of the attempts of a job, from the one of this number on, as many as fit.
    async fn attempts(job: JobId, from: u64) -> Result<AttemptsPage, Refusal>;
    /// What the code of a job logged, in its attempts from the one of this number on, as many as fit.
    async fn logs(job: JobId, from: u64) -> Result<LogsPage, Refusal>;
    /// What bounds a job, in some lines, for people.
    async fn bounds(job: JobId) -> Result<Vec<String>, Refusal>;
}
