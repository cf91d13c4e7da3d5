//! The binary that is tested, as programs of other code.

use super::Room;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// What stands before a build id of 20 bytes in a binary: lengths of a name and of the id, the kind, the name.
const NOTE: &[u8] = b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0";

/// The binary with another build id, one for each number above 0; `None` where the linker gave it none.
pub fn other_binary(room: &Room, number: u8) -> Option<PathBuf> {
    let mut bytes = stripped(room);
    let at = bytes.windows(NOTE.len()).position(|window| window == NOTE);
    let Some(at) = at else {
        eprintln!("skipped: the binary has no build id that could be changed");
        return None;
    };
    bytes[at + NOTE.len()] ^= number;
    Some(binary_of(room, &format!("other-{number}"), bytes))
}

/// The binary without what only debuggers need, which is most of it.
fn stripped(room: &Room) -> Vec<u8> {
    let (binary, path) = (env!("CARGO_BIN_EXE_windrow"), room.path("stripped"));
    let strip = Command::new("strip").arg("-o").arg(&path).arg(binary).status();
    let read = strip.ok().filter(|status| status.success()).and_then(|_| std::fs::read(&path).ok());
    read.unwrap_or_else(|| std::fs::read(binary).unwrap())
}

/// A program of these bytes.
pub fn binary_of(room: &Room, folder: &str, bytes: Vec<u8>) -> PathBuf {
    let path = room.write(&format!("{folder}/windrow"), bytes);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}
