//! Processes that get little of the processors, by a control group: of version 1 or 2, where this user may make one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The time in which the quota counts, in microseconds.
const PERIOD_US: u32 = 20_000;

/// The same where the quota would be too small.
const LONG_PERIOD_US: u32 = 200_000;

/// The smallest quota that the system takes, in microseconds.
const QUOTA_US_MIN: u32 = 1_000;

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
        let quota = |period: u32| period / 1000 * thousandths;
        let is_small = quota(PERIOD_US) < QUOTA_US_MIN;
        let period = if is_small { LONG_PERIOD_US } else { PERIOD_US };
        let quota = quota(period).max(QUOTA_US_MIN);
        let set = if group.is_first_version {
            group
                .write("cpu.cfs_period_us", &period.to_string())
                .and_then(|()| group.write("cpu.cfs_quota_us", &quota.to_string()))
        } else {
            group.write("cpu.max", &format!("{quota} {period}"))
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
