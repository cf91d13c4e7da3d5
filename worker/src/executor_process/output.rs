//! The block files that an attempt writes.

use super::run::BlockOut;
use crate::blocks::{BlockFileWriter, file_path};
use std::io;
use std::path::{Path, PathBuf};
use windrow_protocol::executor::WrittenBlocks;
use windrow_protocol::ids::{AttemptId, ShuffleId};

/// Writes an attempt's blocks into files. Dropped before [`keep`](FileOut::keep), it leaves none.
pub(super) struct FileOut<'a> {
    folder: &'a Path,
    attempt: AttemptId,
    current: Option<(ShuffleId, io::Result<BlockFileWriter>)>,
    written: Vec<(ShuffleId, PathBuf)>,
}

impl<'a> FileOut<'a> {
    /// Nothing is written yet.
    pub(super) fn new(folder: &'a Path, attempt: AttemptId) -> FileOut<'a> {
        FileOut { folder, attempt, current: None, written: Vec::new() }
    }

    /// An error that names the folder, and says what to do.
    fn named(&self, error: &io::Error) -> io::Error {
        let help = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "free space on that disk, or choose another folder with --scratch"
            }
            _ => "check that folder, or choose another one with --scratch",
        };
        io::Error::new(error.kind(), format!("{}: {error}; {help}", self.folder.display()))
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
        let path = file_path(self.folder, self.attempt, shuffle);
        self.current = Some((shuffle, BlockFileWriter::create(&path, buckets)));
    }

    fn bucket(&mut self, bucket: u32, frames: &[u8]) -> io::Result<()> {
        let added = match &mut self.current {
            Some((_, Ok(writer))) => writer.add(bucket, frames),
            // The attempt fails with it: it is told once.
            Some((_, failed)) => {
                std::mem::replace(failed, Err(io::ErrorKind::Other.into())).map(drop)
            }
            None => Err(io::Error::other("a bucket without a shuffle: a defect of the engine")),
        };
        added.map_err(|error| self.named(&error))
    }

    fn end(&mut self) -> io::Result<u64> {
        let Some((shuffle, writer)) = self.current.take() else {
            return Err(io::Error::other("the end of no shuffle: a defect of the engine"));
        };
        let bytes = writer.and_then(BlockFileWriter::finish).map_err(|error| self.named(&error))?;
        self.written.push((shuffle, file_path(self.folder, self.attempt, shuffle)));
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
