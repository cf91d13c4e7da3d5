//! The processes of a run: who is below whom, and who is still there.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// The processes whose parent is `parent`, and the words of their command lines.
pub fn children(parent: u32) -> Vec<(u32, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let of = fields.split_ascii_whitespace().nth(1).and_then(|field| field.parse::<u32>().ok());
        if of == Some(parent) {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((pid, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

/// Whether a process runs: one that nobody has waited for yet does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.trim_start().starts_with(['Z', 'X']))
        && Path::new(&format!("/proc/{pid}")).exists()
}

/// Kills a process at once.
pub fn kill(pid: u32) {
    signal(pid, libc::SIGKILL);
}

/// Sends a signal to a process, which may be gone.
pub fn signal(pid: u32, signal: libc::c_int) {
    // SAFETY: a signal to a process that this test has started.
    unsafe { libc::kill(pid as libc::pid_t, signal) };
}

/// The executors of a run's workers.
pub fn executors(run: u32) -> Vec<u32> {
    let workers = children(run);
    let below = workers.iter().flat_map(|(worker, _)| children(*worker));
    below.filter(|(_, line)| line.contains("__executor")).map(|(pid, _)| pid).collect()
}

/// All processes below one, and what they are.
pub fn below(process: u32) -> BTreeMap<u32, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![process];
    while let Some(parent) = open.pop() {
        for (pid, line) in children(parent) {
            if found.insert(pid, line).is_none() {
                open.push(pid);
            }
        }
    }
    found
}

/// A port on which nobody listens.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The ports on which a process listens.
pub fn listening(pid: u32) -> Vec<u16> {
    const LISTENS: &str = "0A";
    let mut sockets = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
        let target = fs::read_link(entry.path()).unwrap_or_default();
        let target = target.to_string_lossy().into_owned();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        sockets.extend(inode.map(str::to_string));
    }
    let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap_or_default();
    let port = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let ours = fields.get(3) == Some(&LISTENS) && sockets.contains(&fields[9].to_string());
        let (_, port) = fields.get(1).filter(|_| ours)?.split_once(':')?;
        u16::from_str_radix(port, 16).ok()
    };
    table.lines().skip(1).filter_map(port).collect()
}

/// The most memory that a process ever had, in bytes.
pub fn memory_peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    number.expect("the process lives, and has memory") << 10
}

/// A process that gets a twentieth of the time, as long as this is there.
pub struct Slowed {
    over: Arc<AtomicBool>,
    slows: Option<JoinHandle<()>>,
}

impl Slowed {
    /// Slows the next process that one starts.
    pub fn next_child_of(parent: u32) -> Slowed {
        let over = Arc::new(AtomicBool::new(false));
        let until = over.clone();
        let slows = std::thread::spawn(move || {
            let child = loop {
                if let Some((child, _)) = children(parent).pop() {
                    break child as libc::pid_t;
                }
                if until.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            // SAFETY: signals to a process that was started for this test.
            let signal = |signal| unsafe { libc::kill(child, signal) };
            while !until.load(Ordering::Relaxed) && signal(libc::SIGSTOP) == 0 {
                std::thread::sleep(Duration::from_millis(190));
                signal(libc::SIGCONT);
                std::thread::sleep(Duration::from_millis(10));
            }
        });
        Slowed { over, slows: Some(slows) }
    }
}

impl Drop for Slowed {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(slows) = self.slows.take() {
            slows.join().expect("it slows");
        }
    }
}
