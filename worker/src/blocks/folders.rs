//! Where the block files of a job lie.

use std::path::{Path, PathBuf};
use windrow_protocol::ids::{AttemptId, ShuffleId, TaskKind};

/// The folders of a worker's block files of one job, one on each scratch folder that it was given. Files go to them by
/// turns, so that all disks are used side by side, and an attempt that is made again goes to another one.
#[derive(Clone, Debug)]
pub struct BlockFolders(Vec<PathBuf>);

impl BlockFolders {
    /// Files will be in these.
    pub fn new(folders: impl IntoIterator<Item = PathBuf>) -> BlockFolders {
        BlockFolders(folders.into_iter().collect())
    }

    /// The folders.
    pub fn paths(&self) -> &[PathBuf] {
        &self.0
    }

    /// The file with an attempt's blocks of a shuffle.
    pub fn file(&self, attempt: AttemptId, shuffle: ShuffleId) -> PathBuf {
        let turn = attempt.task.partition as usize + attempt.number as usize + shuffle.0 as usize;
        let folder = self.0.get(turn % self.0.len().max(1)).map_or(Path::new(""), PathBuf::as_path);
        folder.join(file_name(attempt, shuffle))
    }
}

/// The name of the file with an attempt's blocks of a shuffle, in a folder of the job's blocks.
fn file_name(attempt: AttemptId, shuffle: ShuffleId) -> String {
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
