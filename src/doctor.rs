//! Checks of a machine and of a cluster, before a job finds out.

use crate::config::{ConfigError, Configuration};
use crate::{binary, local};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use windrow_datasets::memory;
use windrow_protocol::binary::{any_build, own_machine};
use windrow_protocol::client::Client;
use windrow_protocol::control::WorkerStatus;
use windrow_protocol::link::LinkConfig;
use windrow_protocol::security::Credentials;

/// With fewer open files a worker that has many others runs out of them.
const FILES: u64 = 4096;

/// With fewer processes and threads an executor may not start.
const PROCESSES: u64 = 1024;

/// With less room shuffles of larger jobs do not fit.
const SCRATCH_BYTES: u64 = 10 << 30;

/// How long a coordinator may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Good,
    /// Some jobs will suffer.
    Doubtful,
    /// It does not work.
    Bad,
}

/// Something that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) what: &'static str,
    pub(crate) health: Health,
    /// What was found, and what to do about it if it is not good.
    pub(crate) text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let health = match self.health {
            Health::Good => "good    ",
            Health::Doubtful => "doubtful",
            Health::Bad => "BAD     ",
        };
        write!(f, "{health}  {}: {}", self.what, self.text)
    }
}

fn good(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { what, health: Health::Good, text: text.into() }
}

fn doubtful(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { what, health: Health::Doubtful, text: text.into() }
}

fn bad(what: &'static str, text: impl Into<String>) -> Finding {
    Finding { what, health: Health::Bad, text: text.into() }
}

/// Which file and which profile commands here take, and what that says.
pub(crate) fn configuration(found: &Result<Configuration, ConfigError>) -> Finding {
    const WHAT: &str = "configuration";
    match found {
        Err(error) => bad(WHAT, error.to_string()),
        Ok(Configuration { file: None, .. }) => good(WHAT, "no windrow.toml: flags alone"),
        Ok(Configuration { file: Some(file), profile: None }) => good(
            WHAT,
            format!("{}, no profile of it: none is the default; name one", file.display()),
        ),
        Ok(Configuration { file: Some(file), profile: Some(profile) }) => {
            let keys: Vec<&str> = profile.keys().collect();
            let says = if keys.is_empty() { "says nothing".to_owned() } else { keys.join(", ") };
            good(WHAT, format!("{}, profile {}: {says}", file.display(), profile.name))
        }
    }
}

/// What this machine is like, for a worker with these scratch folders.
pub(crate) fn machine(scratch: &[impl AsRef<Path>]) -> Vec<Finding> {
    let own = binary::own();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut found = vec![
        good("binary", format!("{} (build {})", own.name, own.build)),
        good(
            "machine",
            format!("{} {}, {} threads", std::env::consts::ARCH, kernel.trim(), local::threads()),
        ),
        memory_of_machine(memory::of_machine()),
        limit("open files", libc::RLIMIT_NOFILE, FILES, "ulimit -n, or LimitNOFILE of systemd"),
        limit("processes", libc::RLIMIT_NPROC, PROCESSES, "ulimit -u, or TasksMax of systemd"),
        clock(clock_is_set()),
        overcommit(&std::fs::read_to_string("/proc/sys/vm/overcommit_memory").unwrap_or_default()),
        loopback(),
    ];
    found.extend(scratch.iter().map(|folder| self::scratch(folder.as_ref())));
    found
}

fn memory_of_machine(bytes: u64) -> Finding {
    let text = format!("{:.1} GiB for records, in all", bytes as f64 / f64::from(1 << 30));
    if bytes < 1 << 30 {
        doubtful("memory", format!("{text}: jobs will spill; give the process more"))
    } else {
        good("memory", text)
    }
}

/// A limit of the system for this process.
fn limit(
    what: &'static str,
    which: libc::__rlimit_resource_t,
    wanted: u64,
    how: &'static str,
) -> Finding {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes into the struct that it is given.
    if unsafe { libc::getrlimit(which, &raw mut limits) } != 0 {
        return doubtful(what, "the system does not say how many there may be");
    }
    enough(what, limits.rlim_cur, limits.rlim_cur == libc::RLIM_INFINITY, wanted, how)
}

fn enough(
    what: &'static str,
    most: u64,
    is_unlimited: bool,
    wanted: u64,
    how: &'static str,
) -> Finding {
    if is_unlimited {
        good(what, "any number")
    } else if most >= wanted {
        good(what, format!("up to {most}"))
    } else {
        doubtful(what, format!("up to {most}, and large clusters want {wanted}: raise it ({how})"))
    }
}

/// Whether something sets the clock; none if the system does not say.
fn clock_is_set() -> Option<bool> {
    // SAFETY: all zero is a valid `timex`, and asks for nothing to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it writes into the struct that it is given.
    let told = unsafe { libc::adjtimex(&raw mut state) };
    (told >= 0).then_some(state.status & libc::STA_UNSYNC == 0)
}

fn clock(is_set: Option<bool>) -> Finding {
    match is_set {
        Some(true) => good("clock", "kept right by the network"),
        Some(false) => doubtful(
            "clock",
            "nothing keeps it right (chrony, systemd-timesyncd): certificates are refused by machines whose clocks are an hour apart",
        ),
        None => doubtful("clock", "the system does not say whether it is right"),
    }
}

fn overcommit(setting: &str) -> Finding {
    if setting.trim() == "2" {
        let text = "the system hands out no more than it has (vm.overcommit_memory is 2): processes that reserve much may be refused";
        doubtful("memory mappings", text)
    } else {
        good("memory mappings", "as usual")
    }
}

fn loopback() -> Finding {
    match std::net::TcpListener::bind("127.0.0.1:0") {
        Ok(_) => good("loopback", "processes can listen"),
        Err(error) => bad("loopback", format!("nothing can listen on 127.0.0.1: {error}")),
    }
}

/// Whether a folder can take what does not fit the memory.
fn scratch(folder: &Path) -> Finding {
    let shown = folder.display();
    let file = match tempfile::NamedTempFile::new_in(folder) {
        Ok(file) => file,
        Err(error) => {
            let text = format!("{shown} cannot be written: {error}; name another with --scratch");
            return bad("scratch", text);
        }
    };
    match free(file.path()) {
        None => doubtful("scratch", format!("{shown}: the system does not say how much is free")),
        Some(Free { bytes, in_memory }) => room(&shown.to_string(), bytes, in_memory),
    }
}

struct Free {
    bytes: u64,
    in_memory: bool,
}

fn free(path: &Path) -> Option<Free> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: all zero is a valid `statfs`.
    let mut stats: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: the path ends with a zero, and it writes into the struct that it is given.
    let told = unsafe { libc::statfs(path.as_ptr(), &raw mut stats) };
    (told == 0).then(|| Free {
        bytes: stats.f_bavail * stats.f_bsize as u64,
        in_memory: stats.f_type == libc::TMPFS_MAGIC,
    })
}

fn room(folder: &str, bytes: u64, in_memory: bool) -> Finding {
    let text = format!("{folder} has {:.1} GiB free", bytes as f64 / f64::from(1 << 30));
    if in_memory {
        doubtful("scratch", format!("{text}, in memory (tmpfs): what is spilled there saves none"))
    } else if bytes < SCRATCH_BYTES {
        doubtful(
            "scratch",
            format!("{text}: large shuffles will not fit; name another with --scratch"),
        )
    } else {
        good("scratch", text)
    }
}

/// What a cluster is like, as a client sees it.
pub(crate) async fn cluster(address: &str, credentials: Credentials) -> Vec<Finding> {
    let config = LinkConfig { connect: PATIENCE, patience: PATIENCE, ..LinkConfig::default() };
    let client = match Client::connect_with(address, credentials, config).await {
        Ok(client) => client,
        Err(error) => return vec![bad("coordinator", error.to_string())],
    };
    let reached = good("coordinator", format!("{address} answers, of the same protocol"));
    let workers = match client.workers().await {
        Ok(workers) => workers,
        Err(error) => return vec![reached, bad("workers", error.to_string())],
    };
    let ready = workers.iter().filter(|worker| worker.state == "ready");
    let own = binary::own();
    let any = any_build(&own_machine());
    let able = |worker: &WorkerStatus| [&any, &own.build].contains(&&worker.binary.build);
    let able = ready.clone().filter(|worker| able(worker)).count();
    let all = ready.clone().count();
    let slots: u32 = ready.map(|worker| worker.slots).sum();
    vec![reached, of_workers(all, able, slots)]
}

/// Of all workers so many are able to run this binary.
fn of_workers(all: usize, able: usize, slots: u32) -> Finding {
    match (all, able) {
        (0, _) => doubtful(
            "workers",
            "none is ready: start some with `windrow worker --coordinator HOST:PORT`",
        ),
        (all, 0) => bad(
            "workers",
            format!(
                "{all} are ready, all on machines of another kind than this one: name a binary for them with `run --binary`"
            ),
        ),
        (all, able) if able < all => doubtful(
            "workers",
            format!(
                "{able} of {all} are on machines of this kind: the others will not work for this binary"
            ),
        ),
        (all, _) => good("workers", format!("{all} ready, {slots} slots")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_good_says_what_to_do() {
        for (finding, health, says) in [
            (enough("open files", 1024, false, 4096, "ulimit -n"), Health::Doubtful, "ulimit -n"),
            (enough("open files", 65536, false, 4096, "ulimit -n"), Health::Good, "65536"),
            (enough("open files", 0, true, 4096, "ulimit -n"), Health::Good, "any"),
            (clock(Some(false)), Health::Doubtful, "chrony"),
            (clock(Some(true)), Health::Good, "network"),
            (overcommit("2\n"), Health::Doubtful, "vm.overcommit_memory"),
            (overcommit("0\n"), Health::Good, "usual"),
            (room("/tmp", 1 << 30, false), Health::Doubtful, "--scratch"),
            (room("/tmp", 1 << 40, true), Health::Doubtful, "tmpfs"),
            (room("/data", 1 << 40, false), Health::Good, "1024.0 GiB"),
            (memory_of_machine(1 << 29), Health::Doubtful, "0.5 GiB"),
            (scratch(Path::new("/nonexistent")), Health::Bad, "--scratch"),
            (of_workers(0, 0, 0), Health::Doubtful, "windrow worker"),
            (of_workers(3, 0, 6), Health::Bad, "--binary"),
            (of_workers(3, 2, 6), Health::Doubtful, "2 of 3"),
            (of_workers(3, 3, 6), Health::Good, "6 slots"),
        ] {
            assert_eq!(finding.health, health, "{finding}");
            assert!(finding.text.contains(says), "{finding}");
        }
    }

    #[test]
    fn this_machine_can_be_looked_at() {
        let found = machine(&[std::env::temp_dir()]);
        assert!(found.iter().all(|finding| finding.health != Health::Bad), "{found:?}");
    }
}
