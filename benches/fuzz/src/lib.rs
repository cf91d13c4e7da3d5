//! What the targets have in common.

/// Changes bytes that are not none: for each three of `changes` the byte at the place that the first two name, by the third.
pub fn change(bytes: &mut [u8], changes: &[u8]) {
    let len = bytes.len();
    for change in changes.chunks_exact(3) {
        let at = usize::from(change[0]) << 8 | usize::from(change[1]);
        bytes[at % len] ^= change[2];
    }
}
