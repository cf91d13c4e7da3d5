//! Records of one length, one right after the other, as `[u8; N]`: no header, no separator.

mod sink;
mod source;
#[cfg(test)]
mod tests;

pub use sink::{FixedChunk, FixedSink};
pub use source::FixedSource;
