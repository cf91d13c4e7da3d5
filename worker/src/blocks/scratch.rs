//! The folders in which a worker keeps what is gone when it ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const PREFIX: &str = "windrow-";
const LOCK: &str = "lock";

/// A folder `windrow-PID-TOKEN` in each of some scratch folders; removed when this is dropped.
///
/// The process holds a lock on a file in each, so that a worker that starts finds the folders of processes that were
/// killed, and removes them. It finds there whose they were, if [that was noted](Scratch::note_owner).
#[derive(Debug)]
pub struct Scratch {
    folders: Vec<Folder>,
    /// The owners of those folders that were removed.
    dead: Vec<u128>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Holds the lock; has the owner in it.
    lock: File,
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
        let mut dead = Vec::new();
        let folders = roots.map(|(_, root)| Folder::create(root, token, &mut dead));
        let folders = folders.collect::<io::Result<_>>()?;
        dead.sort_unstable();
        dead.dedup();
        Ok(Scratch { folders, dead })
    }

    /// The folders, at least one.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(|folder| folder.path.as_path())
    }

    /// Notes by which number others know this process. Blocks on the disk. Where it cannot be written, nobody finds it.
    pub fn note_owner(&mut self, owner: u128) {
        for folder in &mut self.folders {
            let _ = writeln!(folder.lock, "{owner:032x}").and_then(|()| folder.lock.flush());
        }
    }

    /// The owners of folders of dead processes that were removed; those that each of these noted last, and before.
    pub fn dead(&self) -> &[u128] {
        &self.dead
    }
}

impl Folder {
    fn create(root: &Path, token: u128, dead: &mut Vec<u128>) -> io::Result<Folder> {
        let named = |path: &Path, error: io::Error| {
            let text = format!("cannot use {} as scratch: {error}", path.display());
            io::Error::new(error.kind(), text)
        };
        fs::create_dir_all(root).map_err(|error| named(root, error))?;
        // Between making a folder and locking it nobody else may look: the root itself is locked for that.
        let gate = File::open(root).map_err(|error| named(root, error))?;
        if gate.lock().is_ok() {
            sweep(root, dead);
        }
        let path = root.join(format!("{PREFIX}{}-{token:032x}", std::process::id()));
        fs::create_dir(&path).map_err(|error| named(&path, error))?;
        let lock = OpenOptions::new().create(true).append(true).open(path.join(LOCK));
        let lock = lock.map_err(|error| named(&path, error))?;
        // Where there are no locks, nobody sweeps either.
        let _ = lock.try_lock();
        Ok(Folder { path, lock })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // If this fails, the next worker that starts sweeps it.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes the folders of processes that are dead: those that nobody has locked. Adds whose they were.
fn sweep(root: &Path, dead_owners: &mut Vec<u128>) {
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
            let owners = fs::read_to_string(entry.path().join(LOCK)).unwrap_or_default();
            let owner = |line: &str| u128::from_str_radix(line, 16).ok();
            dead_owners.extend(owners.lines().filter_map(owner));
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
