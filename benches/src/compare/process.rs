//! Runs a program, and tells what it took.

use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the memory of a program is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// What one run took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// Seconds from its begin to its end, or as many as the program itself says that its work took.
    pub(super) wall: f64,
    /// Seconds of processors.
    pub(super) cpu: f64,
    /// The most bytes of memory that it and its children had at a time, of what is not a file's.
    pub(super) memory: u64,
}

/// Runs a program. What it prints is shown only if it fails; `said` is where that is kept meanwhile.
///
/// A line `took SECONDS` that it prints is what its work took: programs of other engines say so, and leave out the time that
/// they take to start.
///
/// # Errors
/// That it cannot be started, or failed.
pub(super) fn run(command: &mut Command, said: &Path) -> io::Result<Usage> {
    let told = said.with_extension("told");
    let start = Instant::now();
    let child = command
        .stdin(Stdio::null())
        .stdout(fs::File::create(&told)?)
        .stderr(fs::File::create(said)?)
        .spawn()?;
    let (process, ended) = (child.id(), AtomicBool::new(false));
    let (waited, memory) = thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut most = 0;
            while !ended.load(Ordering::Relaxed) {
                most = most.max(memory(process));
                thread::park_timeout(LOOK);
            }
            most
        });
        let waited = wait(child);
        ended.store(true, Ordering::Relaxed);
        looking.thread().unpark();
        (waited, looking.join().expect("it does not panic"))
    });
    let wall = start.elapsed().as_secs_f64();
    let (status, cpu) = waited?;
    if !status.success() {
        let said = fs::read_to_string(said)?;
        let program = command.get_program().display();
        return Err(io::Error::other(format!("{program} ended with {status}: {said}")));
    }
    Ok(Usage { wall: took(&fs::read(&told)?).unwrap_or(wall), cpu: cpu.as_secs_f64(), memory })
}

/// The seconds that the last line `took SECONDS` names.
fn took(told: &[u8]) -> Option<f64> {
    let told = String::from_utf8_lossy(told);
    told.lines().rev().find_map(|line| line.strip_prefix("took ")?.trim().parse().ok())
}

/// Waits for a process: how it ended, and its processor time, with that of the children that it waited for.
fn wait(child: Child) -> io::Result<(ExitStatus, Duration)> {
    let mut status = 0;
    // SAFETY: a plain structure, for which all zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both point to what the call fills; the child has not been waited for, and is not again, since it is ours.
    let ended = unsafe { libc::wait4(child.id() as libc::pid_t, &mut status, 0, &mut usage) };
    if ended < 0 {
        return Err(io::Error::last_os_error());
    }
    let of = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
    Ok((ExitStatus::from_raw(status), of(usage.ru_utime) + of(usage.ru_stime)))
}

/// The bytes of memory that a process and its children have now, of what is not a file's: none, once they have ended.
fn memory(process: u32) -> u64 {
    let own = fs::read_to_string(format!("/proc/{process}/status")).map_or(0, |status| {
        ["RssAnon:", "RssShmem:"].iter().map(|name| kibibytes(&status, name) << 10).sum()
    });
    own + children(process).into_iter().map(memory).sum::<u64>()
}

fn kibibytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok()).unwrap_or(0)
}

/// The children of a process, which each of its threads may have started.
fn children(process: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{process}/task")) else { return Vec::new() };
    let of = |thread: fs::DirEntry| fs::read_to_string(thread.path().join("children")).ok();
    let lists: Vec<_> = threads.filter_map(|thread| of(thread.ok()?)).collect();
    lists.iter().flat_map(|list| list.split(' ')).filter_map(|child| child.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_took() {
        let folder = tempfile::tempdir().unwrap();
        let said = folder.path().join("said");
        let sh = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        };
        let usage = run(&mut sh("sleep 0.05; echo took x; echo took 12.5"), &said).unwrap();
        assert_eq!(usage.wall, 12.5);
        let usage = run(&mut sh("sleep 0.05"), &said).unwrap();
        assert!(usage.wall >= 0.05);
        let error = run(&mut sh("echo no such thing >&2; exit 3"), &said).unwrap_err().to_string();
        assert!(error.contains("sh ended with exit status: 3: no such thing"), "{error}");
    }

    #[test]
    fn memory_of_children_counts() {
        let folder = tempfile::tempdir().unwrap();
        // A string of 40 MB in a process whose parent is a child.
        let script =
            "sh -c 'x=$(head -c 40000000 /dev/zero | tr \"\\0\" a); sleep 0.1; echo ${#x}'; true";
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        let usage = run(&mut command, &folder.path().join("said")).unwrap();
        assert!(usage.memory > 40_000_000, "{}", usage.memory);
    }
}
