//! Starting executor processes, and what the system says of this one.
//!
//! Executors may be in a control group, and have an account, of their own. They inherit one end of a socket, and die with the process that started them. The kernel kills a child by
//! [`libc::PR_SET_PDEATHSIG`] when the *thread* that started it ends, so children are started from one thread that lives
//! as long as the process.

mod account;
mod group;
mod inherit;

pub(crate) use account::Account;
pub use group::ParentGroup;
pub(crate) use group::{Group, Limits};
pub use inherit::{die_with_parent, inherited_socket, outlive_termination};
pub(crate) use inherit::{ignore_termination, pass_socket};

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use tokio::process::{Child, Command};

/// The most memory that this process has had, in bytes; 0 where the system does not say.
pub(crate) fn memory_peak_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

type Start = Box<dyn FnOnce() + Send>;

/// Starts a process from the thread that outlives all others; see the module. Waits for the start without holding a
/// thread, and must be awaited in a tokio runtime with I/O.
///
/// # Errors
/// What the system says.
pub async fn spawn_from_lasting_thread(mut command: Command) -> io::Result<Child> {
    static THREAD: OnceLock<io::Result<Sender<Start>>> = OnceLock::new();
    let thread = THREAD.get_or_init(|| {
        // Not bounded by itself: each sender waits for its answer.
        let (sender, receiver) = channel::<Start>();
        std::thread::Builder::new().name("windrow-starter".into()).spawn(move || {
            receiver.into_iter().for_each(|start| start());
        })?;
        Ok(sender)
    });
    let sender =
        thread.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (answer, answered) = tokio::sync::oneshot::channel();
    let runtime = tokio::runtime::Handle::current();
    let start = move || {
        let _entered = runtime.enter();
        // If nobody waits any more, the child is dropped, and killed if it was asked to be.
        let _ = answer.send(command.spawn());
    };
    let gone = || io::Error::other("the thread that starts processes has ended");
    sender.send(Box::new(start)).map_err(|_| gone())?;
    answered.await.map_err(|_| gone())?
}

/// The memory that a process has for itself, in bytes; `None` where the system does not say.
pub(crate) fn memory_of(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"));
    let status = status.ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some((field("RssAnon:")? + field("RssShmem:")?) << 10)
}

#[cfg(test)]
mod tests;
