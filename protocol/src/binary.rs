//! Binaries of jobs on their way to workers: what tells one from all others, and the pieces in which it travels.

use crate::ids::WorkerId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

/// The bytes of a piece; the last one of a binary may have fewer.
pub const PIECE_BYTES: u64 = 4 << 20;

/// So long for a piece, which travels, and is kept; with the last one, all of the binary is read again.
pub const PIECE_WITHIN: Duration = Duration::from_secs(60);

/// The most bytes of a binary.
pub const BINARY_BYTES_MAX: u64 = 8 << 30;

/// So many workers read a binary of one place at once: those that wait read of the others, once these have it.
pub const READERS_MAX: usize = 2;

/// What begins the build by which workers register that take jobs of any binary for their kind of machine.
const ANY: &str = "any-";

/// The kind of machine that a binary runs on: that of this process.
pub fn own_machine() -> String {
    format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS)
}

/// The build by which workers register that take jobs of any binary for a kind of machine. No binary has such a build.
pub fn any_build(machine: &str) -> String {
    format!("{ANY}{machine}")
}

/// The kind of machine of such a build; none if it is that of a binary.
pub fn machine_of(build: &str) -> Option<&str> {
    build.strip_prefix(ANY)
}

/// What is in a binary: its length, and a SHA-256 (FIPS 180-4) of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BinaryContent {
    /// The SHA-256.
    pub sha256: [u8; 32],
    /// The length in bytes.
    pub bytes: u64,
}

impl BinaryContent {
    /// The content of what is read.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn of(mut from: impl Read) -> io::Result<BinaryContent> {
        let mut hash = ring::digest::Context::new(&ring::digest::SHA256);
        let mut buffer = vec![0; 256 << 10];
        let mut bytes = 0;
        loop {
            let read = match from.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hash.update(&buffer[..read]);
            bytes += read as u64;
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(hash.finish().as_ref());
        Ok(BinaryContent { sha256, bytes })
    }

    /// How many pieces it has.
    pub fn pieces(&self) -> u32 {
        u32::try_from(self.bytes.div_ceil(PIECE_BYTES)).unwrap_or(u32::MAX)
    }

    /// The bytes of a piece; 0 if there is no such one.
    pub fn piece_bytes(&self, piece: u32) -> u64 {
        self.bytes.saturating_sub(u64::from(piece) * PIECE_BYTES).min(PIECE_BYTES)
    }
}

/// The SHA-256 in hexadecimal digits.
impl fmt::Display for BinaryContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where a worker is to read a binary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BinarySource {
    /// Nowhere yet: it is on its way, or enough others read it. To be asked again.
    NotYet,
    /// Of the coordinator.
    Coordinator,
    /// Of a worker, whose data plane listens at `HOST:PORT`.
    Worker(WorkerId, String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_has_a_hash_and_pieces() {
        // The example of FIPS 180-4.
        let abc = BinaryContent::of(&b"abc"[..]).unwrap();
        assert_eq!(
            abc.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!((abc.bytes, abc.pieces(), abc.piece_bytes(0), abc.piece_bytes(1)), (3, 1, 3, 0));
        let content = BinaryContent { bytes: 2 * PIECE_BYTES + 1, ..abc };
        assert_eq!(content.pieces(), 3);
        let bytes: Vec<u64> = (0..4).map(|piece| content.piece_bytes(piece)).collect();
        assert_eq!(bytes, [PIECE_BYTES, PIECE_BYTES, 1, 0]);
        assert_eq!(BinaryContent { bytes: 0, ..abc }.pieces(), 0);
    }

    #[test]
    fn a_build_for_any_binary_says_for_which_machine() {
        assert_eq!(machine_of(&any_build("x86_64-linux")), Some("x86_64-linux"));
        assert_eq!(machine_of("cafe"), None);
    }
}
