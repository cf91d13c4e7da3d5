//! Reading a file where its bytes are in the page cache already, and sending them from there to a socket.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsFd;

/// Fills `bytes` with what lies at `at`, if that is in the page cache; whether it is.
///
/// # Errors
/// If the file cannot be read, or ends before.
#[cfg(target_os = "linux")]
pub(super) fn read(file: &File, mut at: u64, mut bytes: &mut [u8]) -> io::Result<bool> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    while !bytes.is_empty() {
        let mut into = [io::IoSliceMut::new(bytes)];
        match preadv2(file, &mut into, at, ReadWriteFlags::NOWAIT) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                at += read as u64;
                bytes = &mut bytes[read..];
            }
            Err(Errno::INTR) => {}
            // Not there, or this file system cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// Nothing is known of the page cache of other systems.
#[cfg(not(target_os = "linux"))]
pub(super) fn read(_: &File, _: u64, bytes: &mut [u8]) -> io::Result<bool> {
    Ok(bytes.is_empty())
}

/// Sends bytes of a file to a socket; how many were sent. None where the system cannot.
#[cfg(target_os = "linux")]
pub(super) fn send(
    socket: &impl AsFd,
    file: &File,
    range: Range<u64>,
) -> Option<io::Result<usize>> {
    let (mut at, len) = (range.start, (range.end - range.start) as usize);
    Some(rustix::fs::sendfile(socket, file, Some(&mut at), len).map_err(io::Error::from))
}

/// As above.
#[cfg(not(target_os = "linux"))]
pub(super) fn send(_: &impl AsFd, _: &File, _: Range<u64>) -> Option<io::Result<usize>> {
    None
}
