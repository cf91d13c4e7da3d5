//! The blocks of a worker: files with the output of map tasks, and who has which.
//!
//! A map attempt writes one file for each shuffle ([`BlockFileWriter`]); a file has a block for each bucket. Executors
//! write and read the files, supervisors keep account of them ([`Blocks`]) and send them to other workers. All of it
//! lies in the worker's [`Scratch`], which may be on several disks ([`BlockFolders`]).

mod bytes;
mod file;
mod folders;
mod page_cache;
mod registry;
mod scratch;

pub use bytes::BlockRoom;
pub(crate) use bytes::{BlockBytes, BlockList};
pub use file::{BlockError, BlockFile, BlockFileWriter};
pub use folders::BlockFolders;
pub use registry::{Blocks, OpenFiles};
pub use scratch::Scratch;

#[cfg(test)]
mod tests;
