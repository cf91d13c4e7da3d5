//! The block files that an attempt writes.

use super::Wanted;
use super::run::BlockOut;
use crate::blocks::{BlockFileWriter, BlockFolders};
use std::io;
use std::path::{Path, PathBuf};
use windrow_protocol::executor::WrittenBlocks;
use windrow_protocol::ids::{AttemptId, ShuffleId};

/// Writes an attempt's blocks into files. Dropped before [`keep`](FileOut::keep), it leaves none.
pub(super) struct FileOut<'a> {
    folders: &'a BlockFolders,
    attempt: AttemptId,
    wanted: &'a Wanted,
    /// The file that is being written.
    current: Option<(ShuffleId, PathBuf, io::Result<BlockFileWriter>)>,
    written: Vec<(ShuffleId, PathBuf)>,
}

impl<'a> FileOut<'a> {
    /// Nothing is written yet; of shuffles that are in `wanted` only those buckets will be.
    pub(super) fn new(
        folders: &'a BlockFolders,
        attempt: AttemptId,
        wanted: &'a Wanted,
    ) -> FileOut<'a> {
        FileOut { folders, attempt, wanted, current: None, written: Vec::new() }
    }

    /// An error that names the file's folder, and says what to do.
    fn named(file: &Path, error: &io::Error) -> io::Error {
        let help = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free space on that disk, or choose another folder with --scratch"
            }
            _ => "check that folder, or choose another one with --scratch",
        };
        let folder = file.parent().unwrap_or(file).display();
        io::Error::new(error.kind(), format!("{folder}: {error}; {help}"))
    }

    /// The files that were written stay.
    pub(super) fn keep(mut self) -> Vec<WrittenBlocks> {
        let files = std::mem::take(&mut self.written).into_iter();
        files
            .map(|(shuffle, path)| WrittenBlocks {
                shuffle,
                path: path.to_string_lossy().into_owned(),
            })
            .collect()
    }
}

impl BlockOut for FileOut<'_> {
    fn begin(&mut self, shuffle: ShuffleId, buckets: u32) {
        let path = self.folders.file(self.attempt, shuffle);
        let writer = BlockFileWriter::create(&path, buckets);
        self.current = Some((shuffle, path, writer));
    }

    fn bucket(&mut self, bucket: u32, frames: &[u8]) -> io::Result<()> {
        let Some((shuffle, path, writer)) = &mut self.current else {
            return Err(io::Error::other("a bucket without a shuffle: a defect of the engine"));
        };
        if self.wanted.get(shuffle).is_some_and(|wanted| !wanted.contains(&bucket)) {
            return Ok(());
        }
        let added = match writer {
            Ok(writer) => writer.add(bucket, frames),
            // The attempt fails with it: it is told once.
            failed => std::mem::replace(failed, Err(io::ErrorKind::Other.into())).map(drop),
        };
        added.map_err(|error| Self::named(path, &error))
    }

    fn end(&mut self) -> io::Result<u64> {
        let Some((shuffle, path, writer)) = self.current.take() else {
            return Err(io::Error::other("the end of no shuffle: a defect of the engine"));
        };
        let bytes =
            writer.and_then(BlockFileWriter::finish).map_err(|error| Self::named(&path, &error))?;
        self.written.push((shuffle, path));
        Ok(bytes)
    }
}

impl Drop for FileOut<'_> {
    fn drop(&mut self) {
        for (_, path) in &self.written {
            // The folder goes with its job at the latest.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_protocol::ids::{JobId, Round, StageId, TaskId, TaskKind};

    #[test]
    fn buckets_that_are_not_wanted_are_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let folders = BlockFolders::new([folder.path().to_path_buf()]);
        let (job, stage, round) = (JobId(1), StageId(0), Round::default());
        let task = TaskId { job, stage, round, kind: TaskKind::Compute, partition: 0 };
        let wanted = Wanted::from([(ShuffleId(1), [1].into())]);
        let mut out = FileOut::new(&folders, AttemptId { task, number: 0 }, &wanted);
        let mut bytes = |shuffle| {
            out.begin(ShuffleId(shuffle), 3);
            (0..3).for_each(|bucket| out.bucket(bucket, &[7; 1000]).unwrap());
            out.end().unwrap()
        };
        let (all, one) = (bytes(0), bytes(1));
        assert!(all >= 3000 && (1000..2000).contains(&one), "{all}, {one}");
    }
}
