//! Which code this process runs, and which one is in a file: the build id that the linker put into the executable, read from
//! memory or the file.

use object::Architecture;
use object::read::{Object, ReadCache};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use windrow_protocol::binary::own_machine;
use windrow_protocol::control::BinaryId;

/// The code of this process.
pub fn own() -> &'static BinaryId {
    static OWN: OnceLock<BinaryId> = OnceLock::new();
    OWN.get_or_init(|| {
        let executable = std::env::current_exe().unwrap_or_default();
        id_of(&executable, build_id())
    })
}

/// The id of an executable with this build id, if the linker gave it one.
fn id_of(executable: &Path, build: Option<String>) -> BinaryId {
    let name = executable.file_name().unwrap_or_default().to_string_lossy();
    BinaryId {
        build: build.unwrap_or_else(|| hash_of(executable)),
        name: format!("{name} {}", env!("CARGO_PKG_VERSION")),
    }
}

/// The executable of this process; that which runs, also where another one has taken its place since.
const OWN_FILE: &str = "/proc/self/exe";

/// A binary that can be sent to workers.
#[derive(Clone, Debug)]
pub(crate) struct BinaryFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Which code it has.
    pub(crate) id: BinaryId,
    /// The kind of machine that it runs on.
    pub(crate) machine: String,
}

/// Why a file cannot be the binary of a job.
#[derive(Debug, thiserror::Error)]
pub enum BinaryError {
    /// It cannot be read.
    #[error("the binary {} cannot be read: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is none.
    #[error("{} is no binary that workers could start (ELF): {why}", .path.display())]
    NoBinary {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl BinaryFile {
    /// That of this process.
    pub(crate) fn own() -> BinaryFile {
        BinaryFile { path: PathBuf::from(OWN_FILE), id: own().clone(), machine: own_machine() }
    }

    /// A file, which may be for another kind of machine.
    ///
    /// # Errors
    /// [`BinaryError`].
    pub(crate) fn open(path: &Path) -> Result<BinaryFile, BinaryError> {
        let read = |source| BinaryError::Read { path: path.to_path_buf(), source };
        let no_binary = |why: String| BinaryError::NoBinary { path: path.to_path_buf(), why };
        let file = File::open(path).map_err(read)?;
        let cache = ReadCache::new(file);
        let parsed = object::File::parse(&cache).map_err(|error| no_binary(error.to_string()))?;
        let build = parsed.build_id().map_err(|error| no_binary(error.to_string()))?;
        let machine = match parsed.architecture() {
            Architecture::X86_64 => "x86_64-linux",
            Architecture::Aarch64 => "aarch64-linux",
            Architecture::Riscv64 => "riscv64-linux",
            other => return Err(no_binary(format!("its architecture is {other:?}"))),
        };
        Ok(BinaryFile {
            path: path.to_path_buf(),
            id: id_of(path, build.map(hexadecimal)),
            machine: machine.to_owned(),
        })
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A hash of the file, where the linker left no build id.
fn hash_of(executable: &Path) -> String {
    // A file that cannot be read has the hash of no bytes: it is then refused by processes that could read theirs.
    let bytes = std::fs::read(executable).unwrap_or_default();
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes);
    format!("file-{:08x}-{}", crc.finalize(), bytes.len())
}

/// The GNU build id of the main program, in hexadecimal digits.
#[cfg(target_os = "linux")]
fn build_id() -> Option<String> {
    /// A note's type for the build id (`NT_GNU_BUILD_ID`).
    const BUILD_ID: u32 = 3;

    unsafe extern "C" fn visit(
        info: *mut libc::dl_phdr_info,
        _size: usize,
        found: *mut libc::c_void,
    ) -> libc::c_int {
        // SAFETY: the loader gives a valid description of a loaded object; `found` is the `Option` passed below.
        let (info, found) = unsafe { (&*info, &mut *found.cast::<Option<String>>()) };
        for number in 0..usize::from(info.dlpi_phnum) {
            // SAFETY: there are `dlpi_phnum` headers.
            let header = unsafe { &*info.dlpi_phdr.add(number) };
            if header.p_type != libc::PT_NOTE {
                continue;
            }
            let start = (info.dlpi_addr + header.p_vaddr) as usize as *const u8;
            // SAFETY: the segment is loaded, with that many bytes.
            let notes = unsafe { std::slice::from_raw_parts(start, header.p_memsz as usize) };
            *found = find(notes, header.p_align.max(4) as usize);
            if found.is_some() {
                break;
            }
        }
        // The first object is the main program: no other is looked at.
        1
    }

    /// The build id among ELF notes: name length, description length, type, name, description, each aligned.
    fn find(mut notes: &[u8], align: usize) -> Option<String> {
        loop {
            let header = notes.first_chunk::<12>()?;
            let number = |at: usize| {
                let four = [header[at], header[at + 1], header[at + 2], header[at + 3]];
                u32::from_ne_bytes(four)
            };
            let (name_len, len, kind) = (number(0) as usize, number(4) as usize, number(8));
            let at = (12 + name_len).next_multiple_of(align);
            let name = notes.get(12..12 + name_len)?;
            let description = notes.get(at..at + len)?;
            if kind == BUILD_ID && name == b"GNU\0" {
                return Some(hexadecimal(description));
            }
            notes = notes.get((at + len).next_multiple_of(align)..)?;
        }
    }

    let mut found: Option<String> = None;
    // SAFETY: `visit` matches what is asked for, and `found` outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(visit), std::ptr::from_mut(&mut found).cast()) };
    found
}

#[cfg(not(target_os = "linux"))]
fn build_id() -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_has_an_id() {
        assert!(own().build.len() >= 16, "{:?}", own());
        assert_eq!(own(), own());
    }

    #[test]
    fn the_file_has_the_id_of_the_process() {
        let path = std::env::current_exe().unwrap();
        let file = BinaryFile::open(&path).unwrap();
        assert_eq!(file.id, *own());
        assert_eq!(file.machine, BinaryFile::own().machine);
    }

    #[test]
    fn what_is_no_binary_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script.sh");
        std::fs::write(&script, "#!/bin/sh\n").unwrap();
        let refused = BinaryFile::open(&script).unwrap_err().to_string();
        assert!(refused.contains("script.sh is no binary"), "{refused}");
        let refused = BinaryFile::open(&folder.path().join("nowhere")).unwrap_err().to_string();
        assert!(refused.contains("nowhere cannot be read"), "{refused}");
    }
}
