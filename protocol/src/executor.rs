//! What a supervisor and an executor say to each other, over a Unix socket that the executor inherits.
//!
//! Each side begins with a preface of [`PREFACE_BYTES`]: a supervisor may be of another release of Windrow than the binary of
//! a job. Each message is a frame then: its length (u32, big endian) and the message in postcard.

use crate::control::{AttemptEnd, GiveUp, JobSpec, Progress};
use crate::failure::Failure;
use crate::ids::{AttemptId, JobId, ShuffleId, WorkerId};
pub use crate::preface::PREFACE_BYTES;
use crate::preface::{preface_of, version_of};
use crate::security::Given;
use crate::task::TaskOrder;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// The version of what they say: processes of different versions refuse one another.
pub const EXECUTOR_VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"WREXEC\r\n";

/// The preface of this version.
pub fn preface() -> [u8; PREFACE_BYTES] {
    preface_of(MAGIC, EXECUTOR_VERSION)
}

/// The version of a preface; `None` if it is none.
pub fn preface_version(bytes: &[u8; PREFACE_BYTES]) -> Option<u32> {
    version_of(MAGIC, bytes)
}

/// The most bytes of a message.
pub const EXECUTOR_MESSAGE_BYTES_MAX: usize = 512 << 20;

/// The environment variable with the number of the file descriptor of the executor's end of the socket.
pub const EXECUTOR_SOCKET_VAR: &str = "WINDROW_EXECUTOR_SOCKET";

/// What a supervisor says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToExecutor {
    /// The first message: what the executor is for.
    Start(Box<ExecutorStart>),
    /// Where the blocks of a shuffle are. Takes the place of what was said about it before, for all attempts that are
    /// told to run after it.
    Blocks(BlockPlaces),
    /// Run this attempt.
    Run(Box<TaskOrder>),
    /// Run this attempt, of which the process may have died: each record that it reads of a source is written down before the
    /// job's code sees it. No other attempt runs meanwhile.
    RunCarefully {
        /// What to run.
        order: Box<TaskOrder>,
        /// The file that it is written into.
        note: String,
        /// The records of which the process dies: they are left out.
        fatal: Vec<Fatal>,
    },
    /// Stop this attempt; it is answered by its end, as any attempt.
    Cancel(AttemptId),
    /// Give up lanes of an attempt; its progress says which.
    GiveUp(GiveUp),
    /// Remove what the job, which has ended without output, has left in its outputs; answered by
    /// [`FromExecutor::Aborted`]. No attempt is run before or after.
    Abort,
    /// End, whatever runs.
    Stop,
}

/// A record of which the process dies, by abort or stack overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fatal {
    /// The lane of its task.
    pub lane: u32,
    /// Which record of the lane it is, of those that can be parsed, from 0 on.
    pub record: u64,
}

/// What an executor needs to know before its first attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutorStart {
    /// The job.
    pub job: JobId,
    /// Its plan, by name and arguments, and what it must be equal to.
    pub spec: JobSpec,
    /// The worker that the executor is part of.
    pub worker: WorkerId,
    /// Its host, as the worker calls it.
    pub host: String,
    /// Whether all other workers are on this host too.
    pub peers_are_here: bool,
    /// What it shows to other workers, where that is wanted.
    pub credentials: Option<Given>,
    /// The number of compute threads.
    pub threads: u32,
    /// Memory for all attempts together, in bytes.
    pub memory: u64,
    /// Folders for spills and the like, the executor's own, which are used by turns.
    pub scratch: Vec<String>,
    /// The folders of the worker's block files of this job.
    pub blocks: Vec<String>,
}

/// Where the blocks of a shuffle are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockPlaces {
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The attempts that wrote it, in the order in which their rows count, and which of `workers` has each.
    pub outputs: Vec<(AttemptId, u32)>,
    /// The workers named above.
    pub workers: Vec<BlockWorker>,
    /// Blocks of other hosts that are here already.
    pub copies: Vec<BlockCopy>,
}

/// Blocks that a worker has fetched ahead: a file with those of each bucket after the other, for each of the attempts in
/// their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockCopy {
    /// The file.
    pub path: String,
    /// Those that wrote them.
    pub attempts: Vec<AttemptId>,
    /// The buckets.
    pub buckets: Range<u32>,
}

/// A worker that has blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockWorker {
    /// Its id.
    pub worker: WorkerId,
    /// Its host, as it calls itself.
    pub host: String,
    /// Where its data plane listens, `HOST:PORT`.
    pub address: String,
}

/// What an executor says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FromExecutor {
    /// It has the job's plan, and takes orders.
    Ready {
        /// The hash of its plan's outline, equal to that of the job.
        fingerprint: u64,
        /// For each stage the shuffles that it reads.
        inputs: Vec<Vec<ShuffleId>>,
    },
    /// It cannot run attempts of this job, and ends.
    Refused(Failure),
    /// How far an attempt has come.
    Progress(AttemptId, Progress),
    /// What the job has left in its outputs is gone, or why it is not.
    Aborted(Result<(), Failure>),
    /// An attempt has ended.
    Ended {
        /// How.
        end: Box<AttemptEnd>,
        /// The block files that it wrote.
        files: Vec<WrittenBlocks>,
    },
}

/// A block file that an attempt wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenBlocks {
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The file.
    pub path: String,
}
