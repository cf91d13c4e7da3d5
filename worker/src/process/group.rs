//! Control groups: what an executor may take of the machine at most, it and all that its job's code starts.
//!
//! Both of Linux's hierarchies are known: the unified one (version 2, `Documentation/admin-guide/cgroup-v2.rst`), and one for
//! each controller (version 1).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// Where the system has them.
const ROOT: &str = "/sys/fs/cgroup";

/// The period of the limit for processors, in microseconds.
const PERIOD_US: u64 = 100_000;

/// The group of the worker's own process, where it cannot stay in the one that has those of executors.
const OWN: &str = "windrow-worker";

/// A group can be removed once the last of its processes is gone, which is killed: within so long.
const EMPTY_WITHIN: Duration = Duration::from_secs(2);

/// What the processes of one executor may take together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Bytes of memory.
    pub(crate) memory: Option<u64>,
    /// Processors.
    pub(crate) processors: u32,
    /// Processes and threads.
    pub(crate) processes: u32,
}

/// A group in which a worker makes others.
#[derive(Clone, Debug)]
pub struct ParentGroup {
    /// One in the unified hierarchy; else those of memory, processors and processes.
    folders: Arc<Folders>,
}

#[derive(Debug)]
enum Folders {
    Unified(PathBuf),
    Each { memory: PathBuf, cpu: PathBuf, pids: PathBuf },
}

impl ParentGroup {
    /// The group of this name, below the root of the hierarchy. It must be there, and this process may make groups in it.
    ///
    /// # Errors
    /// It is not there, or has no limits for memory, processors or processes: the error names the file.
    pub fn open(name: &str) -> io::Result<ParentGroup> {
        ParentGroup::below(Path::new(ROOT), name)
    }

    fn below(root: &Path, name: &str) -> io::Result<ParentGroup> {
        let name = name.trim_start_matches('/');
        let unified = root.join(name);
        let folders = if root.join("cgroup.controllers").exists() {
            // Groups below have the limits that this one lets them have.
            let enable = || write(&unified.join("cgroup.subtree_control"), "+memory +cpu +pids");
            match enable() {
                // It has processes itself, as that of a service has: this one, which goes below it.
                Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
                    let own = unified.join(OWN);
                    fs::create_dir_all(&own).map_err(|error| named(&own, error))?;
                    write(&own.join("cgroup.procs"), "0")?;
                    enable()?;
                }
                enabled => enabled?,
            }
            Folders::Unified(unified)
        } else {
            let of = |controller: &str| {
                let folder = root.join(controller).join(name);
                fs::metadata(folder.join("cgroup.procs")).map_err(|error| named(&folder, error))?;
                Ok::<_, io::Error>(folder)
            };
            Folders::Each { memory: of("memory")?, cpu: of("cpu")?, pids: of("pids")? }
        };
        Ok(ParentGroup { folders: Arc::new(folders) })
    }

    /// Makes a group in it. Blocks on the system.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) fn make(&self, name: &str, limits: Limits) -> io::Result<Group> {
        let quota = u64::from(limits.processors) * PERIOD_US;
        let (folders, settings): (Vec<PathBuf>, Vec<(usize, &str, String)>) = match &*self.folders {
            Folders::Unified(folder) => {
                let mut settings = vec![
                    (0, "cpu.max", format!("{quota} {PERIOD_US}")),
                    (0, "pids.max", limits.processes.to_string()),
                ];
                if let Some(memory) = limits.memory {
                    settings.push((0, "memory.max", memory.to_string()));
                    // One process that is killed is the end of all.
                    settings.push((0, "memory.oom.group", "1".to_owned()));
                }
                (vec![folder.join(name)], settings)
            }
            Folders::Each { memory, cpu, pids } => {
                let mut settings = vec![
                    (1, "cpu.cfs_period_us", PERIOD_US.to_string()),
                    (1, "cpu.cfs_quota_us", quota.to_string()),
                    (2, "pids.max", limits.processes.to_string()),
                ];
                if let Some(memory) = limits.memory {
                    settings.push((0, "memory.limit_in_bytes", memory.to_string()));
                }
                ([memory, cpu, pids].map(|folder| folder.join(name)).to_vec(), settings)
            }
        };
        // Removed when it is dropped, whatever fails.
        let mut group = Group { folders: Vec::new() };
        for folder in folders {
            match fs::create_dir(&folder) {
                // One of a worker that was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made.map_err(|error| named(&folder, error))?,
            }
            group.folders.push(folder);
        }
        for (at, file, value) in settings {
            write(&group.folders[at].join(file), &value)?;
        }
        Ok(group)
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("control group {}: {error}", path.display()))
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    let written = OpenOptions::new().write(true).open(file);
    let written = written.and_then(|mut file| file.write_all(value.as_bytes()));
    written.map_err(|error| named(file, error))
}

/// A group of an executor. Dropped, all of its processes are killed, and it is removed.
#[derive(Debug)]
pub(crate) struct Group {
    folders: Vec<PathBuf>,
}

impl Group {
    /// Lets a command's process begin in the group.
    ///
    /// # Errors
    /// It cannot be joined.
    pub(crate) fn joined_by(&self, command: &mut Command) -> io::Result<()> {
        let open = |folder: &PathBuf| {
            let file = folder.join("cgroup.procs");
            OpenOptions::new().write(true).open(&file).map_err(|error| named(&file, error))
        };
        let files: Vec<File> = self.folders.iter().map(open).collect::<io::Result<_>>()?;
        let join = move || {
            // 0 is the process that writes.
            files.iter().try_for_each(|mut file| file.write_all(b"0"))
        };
        // SAFETY: between fork and exec the closure makes system calls only, and allocates nothing.
        unsafe { command.pre_exec(join) };
        Ok(())
    }

    /// Whether a process of the group was killed because the group had as much memory as it may.
    pub(crate) fn ran_out_of_memory(&self) -> bool {
        // The file of version 2, and that of version 1.
        let kills = ["memory.events", "memory.oom_control"].iter().find_map(|file| {
            let text = fs::read_to_string(self.folders.first()?.join(file)).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("oom_kill "))?;
            line.trim().parse::<u64>().ok()
        });
        kills.is_some_and(|kills| kills > 0)
    }
}

/// Kills what is in a group, which the job's code may have started, and removes the group, if nothing is left. Whether it is gone.
fn is_removed(folders: &mut Vec<PathBuf>) -> bool {
    folders.retain(|folder| {
        let processes = fs::read_to_string(folder.join("cgroup.procs")).unwrap_or_default();
        for process in processes.lines().filter_map(|line| line.parse::<libc::pid_t>().ok()) {
            // SAFETY: a plain system call.
            unsafe { libc::kill(process, libc::SIGKILL) };
        }
        fs::remove_dir(folder).is_err_and(|error| error.kind() != io::ErrorKind::NotFound)
    });
    folders.is_empty()
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut folders = std::mem::take(&mut self.folders);
        if is_removed(&mut folders) {
            return;
        }
        // What was just killed is there for a moment; who drops this does not wait for it.
        std::thread::spawn(move || {
            let begun = Instant::now();
            while !is_removed(&mut folders) {
                if begun.elapsed() > EMPTY_WITHIN {
                    tracing::warn!(groups = ?folders, "control groups cannot be removed");
                    return;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{memory_of, spawn_from_lasting_thread};
    use std::process::Stdio;

    const LIMITS: Limits = Limits { memory: Some(64 << 20), processors: 1, processes: 20 };

    /// A group of this test, if the system lets it have one.
    struct Parent(PathBuf, ParentGroup);

    fn parent(test: &str) -> Option<Parent> {
        let name = format!("windrow-test-{test}-{}", std::process::id());
        for controller in ["", "memory", "cpu", "pids"] {
            let _ = fs::create_dir(Path::new(ROOT).join(controller).join(&name));
        }
        match ParentGroup::open(&name) {
            Ok(group) => Some(Parent(name.into(), group)),
            Err(error) => {
                eprintln!("skipped: {error}");
                None
            }
        }
    }

    impl Drop for Parent {
        fn drop(&mut self) {
            // Once the groups in it are gone.
            let folders = ["", "memory", "cpu", "pids"];
            let mut folders = folders.map(|of| Path::new(ROOT).join(of).join(&self.0)).to_vec();
            let begun = Instant::now();
            while !is_removed(&mut folders) && begun.elapsed() < EMPTY_WITHIN {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn shell(group: &Group, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::null()).kill_on_drop(true);
        group.joined_by(&mut command).unwrap();
        command
    }

    #[tokio::test]
    async fn a_process_has_no_more_memory_than_its_group() {
        let Some(parent) = parent("memory") else { return };
        let group = parent.1.make("of-a-job", LIMITS).unwrap();
        let fine = shell(&group, "true");
        let ended = spawn_from_lasting_thread(fine).await.unwrap().wait().await.unwrap();
        assert!(ended.success() && !group.ran_out_of_memory());
        let greedy = shell(&group, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}");
        let ended = spawn_from_lasting_thread(greedy).await.unwrap().wait().await.unwrap();
        assert!(!ended.success(), "{ended}");
        assert!(group.ran_out_of_memory());
    }

    #[tokio::test]
    async fn what_a_process_has_started_ends_with_the_group() {
        let Some(parent) = parent("children") else { return };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let group = parent.1.make("of-a-job", LIMITS).unwrap();
        let script = format!("setsid sleep 100 & echo $! > {}", file.display());
        let starts = shell(&group, &script);
        spawn_from_lasting_thread(starts).await.unwrap().wait().await.unwrap();
        let pid: u32 = fs::read_to_string(file).unwrap().trim().parse().unwrap();
        assert!(memory_of(pid).is_some(), "it goes on");
        drop(group);
        let group = Path::new(ROOT).join("pids").join(&parent.0).join("of-a-job");
        let begun = Instant::now();
        while memory_of(pid).is_some() || group.exists() {
            assert!(begun.elapsed() < EMPTY_WITHIN);
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn no_more_processes_than_the_group_may_have() {
        let Some(parent) = parent("processes") else { return };
        let group = parent.1.make("of-a-job", Limits { processes: 5, ..LIMITS }).unwrap();
        let forks = shell(&group, "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done 2>/dev/null; wait");
        let ended = spawn_from_lasting_thread(forks).await.unwrap().wait().await.unwrap();
        assert!(!ended.success(), "{ended}");
    }

    #[test]
    fn a_group_that_is_not_there_is_refused_by_name() {
        let refused = ParentGroup::open("no/such/group").unwrap_err().to_string();
        assert!(refused.contains("no/such/group"), "{refused}");
    }

    #[test]
    fn limits_of_the_unified_hierarchy_are_written_as_the_kernel_reads_them() {
        let root = tempfile::tempdir().unwrap();
        let of = |name: &str| root.path().join(name);
        fs::write(of("cgroup.controllers"), "cpu memory pids").unwrap();
        fs::create_dir_all(of("jobs/j1")).unwrap();
        fs::write(of("jobs/cgroup.subtree_control"), "").unwrap();
        let files = ["cpu.max", "pids.max", "memory.max", "memory.oom.group"];
        files.iter().for_each(|file| fs::write(of("jobs/j1").join(file), "").unwrap());
        let parent = ParentGroup::below(root.path(), "jobs").unwrap();
        let group = parent.make("j1", Limits { processors: 3, ..LIMITS }).unwrap();
        let said = files.map(|file| fs::read_to_string(of("jobs/j1").join(file)).unwrap());
        assert_eq!(said, ["300000 100000", "20", "67108864", "1"]);
        let enabled = fs::read_to_string(of("jobs/cgroup.subtree_control")).unwrap();
        assert_eq!(enabled, "+memory +cpu +pids");
        assert!(!group.ran_out_of_memory());
        fs::write(of("jobs/j1/memory.events"), "low 0\noom 1\noom_kill 1\n").unwrap();
        assert!(group.ran_out_of_memory());
        // The kernel removes such files with their group.
        fs::remove_dir_all(of("jobs/j1")).unwrap();
    }
}
