//! How much memory a process may use, and how much of it is in use.
//!
//! What grows with the data says how much it has: each holder by a [`Share`] of the [`Budget`]. Before something grows it
//! asks how [short](Budget::shortage) memory is, and spills what it can to scratch if it is. Nobody waits for memory: what
//! cannot spill goes on, so a budget that is too small for what a job must have at once costs time, and does not stop it.
//!
//! A budget [of the process](Budget::of_process) also looks at what the system says that the process has, so that what
//! nobody counted makes others spill the earlier. Results never depend on any of it.

use super::arena;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// See the module. Cheap to clone: all clones are one budget.
#[derive(Clone)]
pub struct Budget(Arc<Inner>);

struct Inner {
    limit: u64,
    /// Whether it is looked at how much the process has in fact.
    of_process: bool,
    counted: AtomicU64,
}

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shortage {
    /// Less than five eighths are in use.
    None,
    /// It is time to spill what is worth it.
    Some,
    /// Over seven eighths are in use: whatever can should spill.
    Great,
}

impl Budget {
    /// Of so many bytes, of which only what is counted is in use.
    pub fn of(limit: u64) -> Budget {
        Budget::new(limit, false)
    }

    /// Of so many bytes for all that this process has.
    pub fn of_process(limit: u64) -> Budget {
        Budget::new(limit, true)
    }

    /// Without a limit: memory is never short.
    pub fn unlimited() -> Budget {
        Budget::new(u64::MAX, false)
    }

    fn new(limit: u64, of_process: bool) -> Budget {
        Budget(Arc::new(Inner { limit, of_process, counted: AtomicU64::new(0) }))
    }

    /// The limit, in bytes.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// The bytes that all shares have.
    pub fn counted(&self) -> u64 {
        self.0.counted.load(Relaxed)
    }

    /// A share of nothing yet.
    pub fn share(&self) -> Share {
        Share { budget: self.clone(), bytes: AtomicU64::new(0) }
    }

    /// How short memory is. Asks the system, if it is a budget of the process: for each megabyte or so, not for each
    /// record.
    pub fn shortage(&self) -> Shortage {
        let limit = self.0.limit;
        match limit {
            u64::MAX => Shortage::None,
            _ => level(self.used(), limit),
        }
    }

    /// How many bytes more may be in use until three quarters of the budget are. Asks the system as
    /// [`shortage`](Budget::shortage) does.
    pub fn left(&self) -> u64 {
        match self.0.limit {
            u64::MAX => u64::MAX,
            limit => (limit / 4 * 3).saturating_sub(self.used()),
        }
    }

    fn used(&self) -> u64 {
        let (limit, counted) = (self.0.limit, self.counted());
        if self.0.of_process && level(counted, limit) < Shortage::Great {
            return counted.max(process_memory(limit, counted));
        }
        counted
    }
}

fn level(used: u64, limit: u64) -> Shortage {
    if used >= limit / 8 * 7 {
        Shortage::Great
    } else if used >= limit / 8 * 5 {
        Shortage::Some
    } else {
        Shortage::None
    }
}

/// The memory that the process has, without that which will be used again. Where the limit is near and much of it lies
/// idle, or may do so in the allocator, it goes back to the system.
fn process_memory(limit: u64, counted: u64) -> u64 {
    let Some(resident) = system::resident_bytes() else { return 0 };
    let idle = arena::idle_bytes();
    let used = resident.saturating_sub(idle);
    if resident < limit / 8 * 7 {
        return used;
    }
    if idle >= limit / 16 {
        arena::trim();
    }
    if used.saturating_sub(counted) >= limit / 8 && is_time_to_trim() {
        system::trim_allocator();
    }
    system::resident_bytes().unwrap_or_default().saturating_sub(arena::idle_bytes())
}

/// Whether the allocator was not asked to give memory back for a while: that takes it some milliseconds.
fn is_time_to_trim() -> bool {
    const PAUSE: Duration = Duration::from_millis(100);
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    let is_time = last.is_none_or(|last| last.elapsed() >= PAUSE);
    if is_time {
        *last = Some(Instant::now());
    }
    is_time
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { limit, counted, .. } = &*self.0;
        f.debug_struct("Budget").field("limit", limit).field("counted", counted).finish()
    }
}

impl Default for Budget {
    /// Without a limit.
    fn default() -> Self {
        Budget::unlimited()
    }
}

/// What one holder has of a budget; goes back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
    bytes: AtomicU64,
}

impl Share {
    /// The holder has so many bytes more.
    pub fn add(&self, bytes: u64) {
        // In this order: what another thread gives back of it meanwhile is counted by then.
        self.budget.0.counted.fetch_add(bytes, Relaxed);
        self.bytes.fetch_add(bytes, Relaxed);
    }

    /// The holder has so many bytes less; no less than none.
    pub fn give_back(&self, bytes: u64) {
        let less = |had: u64| Some(had.saturating_sub(bytes));
        let had = self.bytes.fetch_update(Relaxed, Relaxed, less).unwrap_or_default();
        self.budget.0.counted.fetch_sub(had.min(bytes), Relaxed);
    }

    /// The holder has so many bytes now.
    pub fn set(&self, bytes: u64) {
        let had = self.bytes();
        if bytes > had {
            self.add(bytes - had);
        } else {
            self.give_back(had - bytes);
        }
    }

    /// The bytes that the holder has.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back(self.bytes());
    }
}

/// How much memory a process takes that nobody told how much, in bytes: three quarters of what the machine has, or of
/// what the process's control group may have, if that is less.
pub fn of_machine() -> u64 {
    const UNKNOWN: u64 = 4 << 30;
    system::memory_bytes().unwrap_or(UNKNOWN) / 4 * 3
}

/// What the system says of this process.
mod system {
    use std::path::Path;

    #[cfg(target_os = "linux")]
    pub(super) fn resident_bytes() -> Option<u64> {
        use std::fs::File;
        use std::os::unix::fs::FileExt;
        use std::sync::OnceLock;

        static STATM: OnceLock<Option<File>> = OnceLock::new();
        let file = STATM.get_or_init(|| File::open("/proc/self/statm").ok()).as_ref()?;
        let mut bytes = [0; 128];
        let len = file.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes[..len]).ok()?;
        let mut pages =
            text.split_ascii_whitespace().skip(1).map(|field| field.parse::<u64>().ok());
        let (resident, of_files) = (pages.next()??, pages.next()??);
        Some(resident.saturating_sub(of_files) * page_bytes())
    }

    /// Lets the allocator give back what is free in it.
    pub(super) fn trim_allocator() {
        #[cfg(all(target_os = "linux", target_env = "gnu"))]
        // SAFETY: it takes the allocator's own locks, and touches free memory alone.
        unsafe {
            libc::malloc_trim(0)
        };
    }

    #[cfg(target_os = "linux")]
    fn page_bytes() -> u64 {
        // SAFETY: asks for a number.
        u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn resident_bytes() -> Option<u64> {
        None
    }

    /// The memory of the machine, or of the control group.
    pub(super) fn memory_bytes() -> Option<u64> {
        let of_machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
            Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
        });
        of_machine.into_iter().chain(of_groups()).min()
    }

    /// The limits of the control group and of those that it is in.
    fn of_groups() -> Vec<u64> {
        let text = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        text.lines().flat_map(limits_of_group).collect()
    }

    /// The limits that a line of `/proc/self/cgroup` leads to, of version 2 or 1.
    fn limits_of_group(line: &str) -> Vec<u64> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (root, file) = match fields.next() {
            Some("") => ("/sys/fs/cgroup", "memory.max"),
            Some("memory") => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return Vec::new(),
        };
        let group = fields.next().unwrap_or_default().trim_start_matches('/');
        let limit =
            |folder: &Path| std::fs::read_to_string(folder.join(file)).ok()?.trim().parse().ok();
        Path::new(root).join(group).ancestors().filter_map(limit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_counted_until_they_are_dropped() {
        let budget = Budget::of(800);
        let (first, second) = (budget.share(), budget.share());
        first.add(300);
        second.set(199);
        assert_eq!((budget.counted(), budget.shortage()), (499, Shortage::None));
        assert_eq!((budget.left(), Budget::unlimited().left()), (101, u64::MAX));
        second.set(200);
        assert_eq!(budget.shortage(), Shortage::Some);
        second.add(200);
        assert_eq!(budget.shortage(), Shortage::Great);
        second.give_back(1000);
        assert_eq!((second.bytes(), budget.counted()), (0, 300));
        drop(first);
        assert_eq!(budget.counted(), 0);
        assert_eq!(Budget::unlimited().shortage(), Shortage::None);
    }

    #[test]
    fn the_memory_of_the_machine_is_known() {
        assert!(of_machine() >= 256 << 20);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_budget_of_the_process_sees_what_nobody_counted() {
        // Tests beside this one give memory back meanwhile: only what is held here is sure.
        let held = vec![1u8; 64 << 20];
        assert!(system::resident_bytes().unwrap() >= held.len() as u64);
        assert_eq!(Budget::of_process(64 << 20).shortage(), Shortage::Great);
        assert_eq!(Budget::of(64 << 20).shortage(), Shortage::None);
        drop(held);
    }
}
