//! Accounts of this machine, under which processes run that a worker of root starts.

use std::ffi::{CStr, CString};
use std::io;
use std::path::Path;
use tokio::process::Command;

/// The most bytes of what the system says of an account.
const ENTRY_BYTES_MAX: usize = 1 << 20;

/// The most groups of an account.
const GROUPS_MAX: usize = 65_536;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account {
    name: String,
    home: String,
    user: libc::uid_t,
    group: libc::gid_t,
    groups: Vec<libc::gid_t>,
}

impl Account {
    /// The account of this name; none if there is none. Blocks: it may be asked for over the network.
    ///
    /// # Errors
    /// It cannot be found out.
    pub(crate) fn of(name: &str) -> io::Result<Option<Account>> {
        let Ok(c_name) = CString::new(name) else { return Ok(None) };
        let mut room = vec![0; 4096];
        let (user, group, home) = loop {
            let mut entry = std::mem::MaybeUninit::<libc::passwd>::uninit();
            let mut found = std::ptr::null_mut();
            // SAFETY: the name ends with a zero, and the others are room for what is said, with its length.
            let failed = unsafe {
                libc::getpwnam_r(
                    c_name.as_ptr(),
                    entry.as_mut_ptr(),
                    room.as_mut_ptr(),
                    room.len(),
                    &raw mut found,
                )
            };
            if failed == libc::ERANGE && room.len() < ENTRY_BYTES_MAX {
                room.resize(room.len() * 2, 0);
                continue;
            }
            if found.is_null() {
                return match failed {
                    0 | libc::ENOENT | libc::ESRCH => Ok(None),
                    failed => Err(io::Error::from_raw_os_error(failed)),
                };
            }
            // SAFETY: it was found, so that all of the entry was written; its texts are in `room`.
            let (entry, home) = unsafe {
                let entry = entry.assume_init();
                (entry, CStr::from_ptr(entry.pw_dir))
            };
            break (entry.pw_uid, entry.pw_gid, home.to_string_lossy().into_owned());
        };
        let groups = groups(&c_name, group)?;
        Ok(Some(Account { name: name.to_owned(), home, user, group, groups }))
    }

    /// Whether it is that of root.
    pub(crate) fn is_root(&self) -> bool {
        self.user == 0
    }

    /// Lets a command's process have the account, and nothing of this one's. What is asked for of a command before is done as
    /// this process; a signal for when the parent dies has to be asked for after.
    pub(crate) fn taken_by(&self, command: &mut Command) {
        command.env("HOME", &self.home).env("USER", &self.name).env("LOGNAME", &self.name);
        let (user, group, groups) = (self.user, self.group, self.groups.clone());
        let take = move || {
            // SAFETY: plain system calls; the groups are there, as many as is said.
            let failed = unsafe {
                libc::setgroups(groups.len(), groups.as_ptr()) != 0
                    || libc::setgid(group) != 0
                    || libc::setuid(user) != 0
            };
            if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
        };
        // SAFETY: between fork and exec the closure makes system calls only, and allocates nothing.
        unsafe { command.pre_exec(take) };
    }

    /// Makes a folder that this account may write to, and nobody else. Blocks on the disk.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn make_folder(&self, folder: &Path) -> io::Result<()> {
        use std::os::unix::fs::{DirBuilderExt, chown};
        if let Some(above) = folder.parent() {
            std::fs::create_dir_all(above)?;
        }
        match std::fs::DirBuilder::new().mode(0o700).create(folder) {
            // By this worker, for another executor of the job.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        chown(folder, Some(self.user), Some(self.group))
    }
}

/// All groups that an account is in.
fn groups(name: &CStr, group: libc::gid_t) -> io::Result<Vec<libc::gid_t>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let mut count = libc::c_int::try_from(groups.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: the name ends with a zero, and there is room for so many groups as is said.
        let fits = unsafe {
            libc::getgrouplist(name.as_ptr(), group, groups.as_mut_ptr(), &raw mut count)
        };
        if fits >= 0 {
            groups.truncate(usize::try_from(count).unwrap_or_default());
            return Ok(groups);
        }
        if groups.len() >= GROUPS_MAX {
            return Err(io::Error::other("the account is in too many groups"));
        }
        groups.resize(groups.len() * 2, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{die_with_parent, spawn_from_lasting_thread};
    use std::os::unix::fs::MetadataExt;
    use std::process::Stdio;

    #[test]
    fn accounts_are_found_by_name() {
        let root = Account::of("root").unwrap().unwrap();
        assert!(root.is_root() && root.groups.contains(&root.group), "{root:?}");
        assert_eq!(Account::of("nobody-of-this-name").unwrap(), None);
        assert_eq!(Account::of("a\0b").unwrap(), None);
    }

    #[tokio::test]
    async fn a_process_has_the_account_and_its_folder() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root can start processes of others");
            return;
        }
        let Some(nobody) = Account::of("nobody").unwrap() else { return };
        let above = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(above.path(), Some(nobody.user), None).unwrap();
        let folder = above.path().join("executors").join("j1");
        nobody.make_folder(&folder).unwrap();
        nobody.make_folder(&folder).unwrap();
        let made = std::fs::metadata(&folder).unwrap();
        assert_eq!((made.uid(), made.mode() & 0o777), (nobody.user, 0o700));
        let mut command = Command::new("sh");
        command.args(["-c", "id -u; id -g; echo $HOME; echo here > \"$0\"/file"]).arg(&folder);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        nobody.taken_by(&mut command);
        die_with_parent(&mut command);
        let done = spawn_from_lasting_thread(command).await.unwrap().wait_with_output().await;
        let done = done.unwrap();
        let said = String::from_utf8(done.stdout).unwrap();
        assert_eq!(said, format!("{}\n{}\n{}\n", nobody.user, nobody.group, nobody.home));
        assert_eq!(std::fs::metadata(folder.join("file")).unwrap().uid(), nobody.user);
    }
}
