//! The blocks of a worker: files with the output of map tasks, and who has which.
//!
//! A map attempt writes one file for each shuffle ([`BlockFileWriter`]); a file has a block for each bucket. Executors
//! write and read the files, supervisors keep account of them ([`Blocks`]) and send them to other workers. All of it
//! lies in the worker's [`Scratch`].

mod bytes;
mod file;
mod page_cache;
mod registry;
mod scratch;

pub(crate) use bytes::{BlockBytes, BlockList};
pub use file::{BlockError, BlockFile, BlockFileWriter};
pub use registry::{Blocks, OpenFiles};
pub use scratch::Scratch;

use std::path::{Path, PathBuf};
use windrow_protocol::ids::{AttemptId, ShuffleId, TaskKind};

/// The name of the file with an attempt's blocks of a shuffle, in the folder of the job's blocks.
pub fn file_name(attempt: AttemptId, shuffle: ShuffleId) -> String {
    let task = attempt.task;
    let kind = match task.kind {
        TaskKind::Split => "split",
        TaskKind::Compute => "task",
        TaskKind::Commit => "commit",
    };
    format!(
        "shuffle{}-stage{}.{}-{kind}{}-{}.blocks",
        shuffle.0, task.stage.0, task.round.0, task.partition, attempt.number
    )
}

/// The file with an attempt's blocks of a shuffle, in the `folder` of the job's blocks.
pub fn file_path(folder: &Path, attempt: AttemptId, shuffle: ShuffleId) -> PathBuf {
    folder.join(file_name(attempt, shuffle))
}

#[cfg(test)]
mod tests;
