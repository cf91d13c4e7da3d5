//! What both sides of a connection say first, where that is not [control](crate::codec): a magic word of 8 bytes, and the version
//! (u32, little endian).

/// The length of a preface.
pub const PREFACE_BYTES: usize = 12;

/// The preface of a protocol with this magic word, in this version.
pub(crate) fn preface_of(magic: [u8; 8], version: u32) -> [u8; PREFACE_BYTES] {
    let mut bytes = [0; PREFACE_BYTES];
    bytes[..8].copy_from_slice(&magic);
    bytes[8..].copy_from_slice(&version.to_le_bytes());
    bytes
}

/// The version of a preface; `None` if it is none of the protocol with this magic word.
pub(crate) fn version_of(magic: [u8; 8], bytes: &[u8; PREFACE_BYTES]) -> Option<u32> {
    let (word, version) = bytes.split_at(8);
    let version = <[u8; 4]>::try_from(version).ok()?;
    (word == magic).then_some(u32::from_le_bytes(version))
}
