//! Processes that get little of the processors, by a control group: of version 1 or 2, where this user may make one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The time in which the quota counts, in microseconds.
const PERIOD_US: u32 = 20_000;

/// A control group; removed when it is dropped, by when nobody may be in it any more.
#[derive(Debug)]
pub(crate) struct Group {
    folder: PathBuf,
    is_first_version: bool,
}

impl Group {
    /// A group whose processes get so many thousandths of one processor; none where groups cannot be made.
    pub(crate) fn make(name: &str, thousandths: u32) -> Option<Group> {
        let first = Path::new("/sys/fs/cgroup/cpu").join(name);
        let second = Path::new("/sys/fs/cgroup").join(name);
        let group = if fs::create_dir(&first).is_ok() {
            Group { folder: first, is_first_version: true }
        } else if fs::create_dir(&second).is_ok() {
            Group { folder: second, is_first_version: false }
        } else {
            return None;
        };
        let quota = PERIOD_US / 1000 * thousandths;
        let set = if group.is_first_version {
            group
                .write("cpu.cfs_period_us", &PERIOD_US.to_string())
                .and_then(|()| group.write("cpu.cfs_quota_us", &quota.max(1_000).to_string()))
        } else {
            group.write("cpu.max", &format!("{} {PERIOD_US}", quota.max(1_000)))
        };
        set.is_ok().then_some(group)
    }

    fn write(&self, file: &str, text: &str) -> io::Result<()> {
        fs::write(self.folder.join(file), text)
    }

    /// Takes a process in; one that has ended is none.
    pub(crate) fn take(&self, pid: u32) {
        // It may have ended.
        let _ = self.write("cgroup.procs", &pid.to_string());
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let root = self.folder.parent().unwrap_or(Path::new("/"));
        for pid in fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default().lines()
        {
            let _ = fs::write(root.join("cgroup.procs"), pid);
        }
        let _ = fs::remove_dir(&self.folder);
    }
}
