//! What a reader of shuffle blocks and the worker that has them say to each other: the data plane.
//!
//! A connection begins with a preface of [`PREFACE_BYTES`], the same from both sides. Then the reader sends requests,
//! one after the other: the length (u32, little endian) and a [`DataRequest`] in postcard. A [`BinaryRequest`] is answered by
//! a [`BinaryAnswer`], in the same form, and after [`BinaryAnswer::Stream`] by the bytes of the binary, from the first one
//! that was asked for to the last; a [`BlockRequest`] by a [`BlockAnswer`]. After [`BlockAnswer::Stream`] the blocks follow: for each bucket of the request,
//! for each of its attempts, in the order of the request, a [`BlockHead`] and the bytes. A worker that finds that it
//! cannot read a block after all sends [`BlockHead::UNREADABLE`] in its place, and closes the connection.

use crate::binary::BinaryContent;
use crate::ids::{AttemptId, JobId, ShuffleId};
pub use crate::preface::PREFACE_BYTES;
use crate::preface::{preface_of, version_of};
use serde::{Deserialize, Serialize};

/// The version of the data plane: processes of different versions refuse one another.
pub const DATA_VERSION: u32 = 2;

/// The most bytes of an encoded [`DataRequest`].
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// The most bytes of an encoded [`BlockAnswer`] or [`BinaryAnswer`].
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The most attempts of one request: so many fit whatever their numbers are.
pub const REQUEST_ATTEMPTS_MAX: usize = 16 << 10;

const MAGIC: [u8; 8] = *b"WRDATA\r\n";

/// The preface of this version.
pub fn preface() -> [u8; PREFACE_BYTES] {
    preface_of(MAGIC, DATA_VERSION)
}

/// The version of a preface; `None` if it is none.
pub fn preface_version(bytes: &[u8; PREFACE_BYTES]) -> Option<u32> {
    version_of(MAGIC, bytes)
}

/// What a reader asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataRequest {
    /// Blocks.
    Blocks(BlockRequest),
    /// A binary.
    Binary(BinaryRequest),
}

/// Asks for the binary of a job, which only workers may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BinaryRequest {
    /// Which one.
    pub content: BinaryContent,
    /// Bytes that have come already.
    pub from: u64,
}

/// What a worker answers to a [`BinaryRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BinaryAnswer {
    /// The bytes follow.
    Stream,
    /// The worker does not have it, or the reader may not have it, for people.
    Refused(String),
}

/// Asks for blocks of one shuffle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockRequest {
    /// The job.
    pub job: JobId,
    /// The shuffle.
    pub shuffle: ShuffleId,
    /// The attempts whose blocks are wanted, at most [`REQUEST_ATTEMPTS_MAX`].
    pub attempts: Vec<AttemptId>,
    /// The first bucket.
    pub first_bucket: u32,
    /// One past the last bucket.
    pub end_bucket: u32,
    /// Blocks, in the order of the answer, that have come already.
    pub blocks_seen: u64,
    /// Bytes of the block after them that have come already.
    pub bytes_seen: u64,
    /// The reader's host, if it can read files of a worker on the same host; empty if it wants a stream.
    pub host: String,
}

/// What a worker answers to a [`BlockRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlockAnswer {
    /// The blocks follow.
    Stream,
    /// The reader is on the worker's host: the files of the attempts, in the order of the request.
    Files(Vec<String>),
    /// The worker does not have the blocks of these attempts.
    Missing(Vec<AttemptId>),
    /// The request makes no sense to the worker, for people.
    Refused(String),
}

/// What stands before the bytes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHead {
    /// The length of the whole block, even where the first bytes are left out.
    pub len: u64,
    /// The checksum (CRC-32) of the whole block.
    pub crc: u32,
}

impl BlockHead {
    /// The length of an encoded head.
    pub const BYTES: usize = 12;

    /// Stands for a block that the worker cannot read.
    pub const UNREADABLE: BlockHead = BlockHead { len: u64::MAX, crc: 0 };

    /// As it is sent.
    pub fn encode(self) -> [u8; BlockHead::BYTES] {
        let mut bytes = [0; BlockHead::BYTES];
        bytes[..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// What was sent.
    pub fn decode(bytes: [u8; BlockHead::BYTES]) -> BlockHead {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
        BlockHead {
            len: u64::from_le_bytes([a, b, c, d, e, f, g, h]),
            crc: u32::from_le_bytes([i, j, k, l]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{Round, StageId, TaskId, TaskKind};

    #[test]
    fn heads_and_prefaces_come_back() {
        let head = BlockHead { len: 0x0102_0304_0506_0708, crc: 0x090a_0b0c };
        assert_eq!(BlockHead::decode(head.encode()), head);
        assert_eq!(preface_version(&preface()), Some(DATA_VERSION));
        assert_eq!(preface_version(b"GET / HTTP/1"), None);
    }

    #[test]
    fn the_largest_request_fits() {
        let task = TaskId {
            job: JobId(u64::MAX),
            stage: StageId(u32::MAX),
            round: Round(u32::MAX),
            kind: TaskKind::Compute,
            partition: u32::MAX,
        };
        let attempt = AttemptId { task, number: u32::MAX };
        let request = BlockRequest {
            job: task.job,
            shuffle: ShuffleId(u32::MAX),
            attempts: vec![attempt; REQUEST_ATTEMPTS_MAX],
            first_bucket: 0,
            end_bucket: u32::MAX,
            blocks_seen: u64::MAX,
            bytes_seen: u64::MAX,
            host: "h".repeat(255),
        };
        let request = DataRequest::Blocks(request);
        let bytes = postcard::to_allocvec(&request).map(|bytes| bytes.len());
        assert!(bytes.as_ref().is_ok_and(|bytes| *bytes <= REQUEST_BYTES_MAX), "{bytes:?}");
    }
}
