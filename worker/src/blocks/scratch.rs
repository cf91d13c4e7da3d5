//! The folders in which a worker keeps what is gone when it ends.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

const PREFIX: &str = "windrow-";
const LOCK: &str = "lock";

/// A folder `windrow-PID-TOKEN` in each of some scratch folders; removed when this is dropped.
///
/// The process holds a lock on a file in each, so that a worker that starts finds the folders of processes that were
/// killed, and removes them.
#[derive(Debug)]
pub struct Scratch(Vec<Folder>);

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

impl Scratch {
    /// Removes what dead processes left in each of `roots`, and makes a folder there. Blocks on the disk.
    ///
    /// # Errors
    /// If one cannot be made: the error names the folder. If there is no root.
    pub fn create(roots: &[PathBuf], token: u128) -> io::Result<Scratch> {
        if roots.is_empty() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "no folder is given as scratch",
            ));
        }
        // A root that is named twice is used once.
        let first = |(at, root): &(usize, &PathBuf)| !roots[..*at].contains(root);
        let roots = roots.iter().enumerate().filter(first);
        roots.map(|(_, root)| Folder::create(root, token)).collect::<io::Result<_>>().map(Scratch)
    }

    /// The folders, at least one.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().map(|folder| folder.path.as_path())
    }
}

impl Folder {
    fn create(root: &Path, token: u128) -> io::Result<Folder> {
        let named = |path: &Path, error: io::Error| {
            let text = format!("cannot use {} as scratch: {error}", path.display());
            io::Error::new(error.kind(), text)
        };
        fs::create_dir_all(root).map_err(|error| named(root, error))?;
        // Between making a folder and locking it nobody else may look: the root itself is locked for that.
        let gate = File::open(root).map_err(|error| named(root, error))?;
        if gate.lock().is_ok() {
            sweep(root);
        }
        let path = root.join(format!("{PREFIX}{}-{token:032x}", std::process::id()));
        fs::create_dir(&path).map_err(|error| named(&path, error))?;
        let lock = File::create(path.join(LOCK)).map_err(|error| named(&path, error))?;
        // Where there are no locks, nobody sweeps either.
        let _ = lock.try_lock();
        Ok(Folder { path, _lock: lock })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If this fails, the next worker that starts sweeps it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of processes that are dead: those that nobody has locked.
fn sweep(root: &Path) {
    let Ok(entries) = fs::read_dir(root) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let ours = name.to_str().is_some_and(is_scratch_name);
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let dead = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => match lock.try_lock() {
                Ok(()) => true,
                Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
            },
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if dead {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether it is `windrow-PID-TOKEN`.
fn is_scratch_name(name: &str) -> bool {
    let Some((pid, token)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    !pid.is_empty()
        && pid.bytes().all(|b| b.is_ascii_digit())
        && token.len() == 32
        && token.bytes().all(|b| b.is_ascii_hexdigit())
}
