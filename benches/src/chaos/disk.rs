//! A scratch folder, on a small disk of its own where this user may mount one.

use super::AnyError;
use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The size of the disk: no job has so much at a time.
const SIZE: &str = "size=1g";

/// See the module. It is unmounted when this is dropped.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) folder: PathBuf,
    is_mounted: bool,
}

impl Disk {
    /// Makes the folder.
    pub(super) fn make(folder: PathBuf) -> Result<Disk, AnyError> {
        fs::create_dir_all(&folder)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SIZE, "windrow-chaos"]).arg(&folder);
        let mounted = mount.stderr(Stdio::null()).status();
        Ok(Disk { folder, is_mounted: mounted.is_ok_and(|status| status.success()) })
    }

    fn filler(&self) -> PathBuf {
        self.folder.join("filler")
    }

    /// Writes until nothing fits any more; not on a disk that others use.
    pub(super) fn fill(&self) -> bool {
        if !self.is_mounted {
            return false;
        }
        let Ok(mut file) = File::create(self.filler()) else { return false };
        let block = vec![1; 1 << 20];
        while file.write_all(&block).is_ok() {}
        true
    }

    /// Makes room again.
    pub(super) fn free(&self) {
        // There may be none.
        let _ = fs::remove_file(self.filler());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
        }
    }
}
