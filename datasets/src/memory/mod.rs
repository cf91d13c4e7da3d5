//! Memory: how much of it there may be, and pieces of it on huge pages that are used again.

mod arena;
mod budget;
mod gather;
mod read_buffer;

pub use arena::{Piece, arena_bytes, prefetch, trim};
pub use budget::{Budget, Share, Shortage, of_machine};
pub use gather::Gather;
pub use read_buffer::ReadBuffer;
