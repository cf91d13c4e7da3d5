//! Processes of this machine, from the outside.

use std::fs;
use std::process::Child;

/// Sends a signal to a process; one that has ended meanwhile gets none.
pub(super) fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: the call takes two numbers. The process is one of this program's children, or a child of one, so that its
    // number is not another's: it is not given to others before its parent has waited for it.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// The processes whose parent is `parent`.
pub(super) fn children(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let behind = stat.rsplit(')').next().unwrap_or_default();
        if behind.split_ascii_whitespace().nth(1) == Some(&parent.to_string()) {
            found.push(pid);
        }
    }
    found
}

/// What a process has: memory that is not a file's, in KiB, open files and sockets, threads.
pub(super) fn has(pid: u32) -> [u64; 3] {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let number = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or(0)
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    [number("RssAnon:"), files as u64, number("Threads:")]
}

/// Whether a child still runs.
pub(super) fn runs(child: &mut Child) -> bool {
    matches!(child.try_wait(), Ok(None))
}
