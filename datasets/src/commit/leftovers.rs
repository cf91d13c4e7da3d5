//! What jobs that were killed have left in an output: found by their own records, and swept.

use super::attempt::{UPLOADS, Uploads, now_ms};
use super::local::LocalFolder;
use super::records::{JOB, Records, hidden_name};
use super::{Committed, Manifest, Output, abort, folder};
use crate::location::Location;
use crate::storage::{Storage, StorageError};
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::Duration;

/// A job of which nothing was heard for so long is dead, where that cannot be found out otherwise.
const DEAD_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// A job that has written down nothing for so long was killed while it began.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);

/// Who runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// This process: when it is gone, the job is.
    ThisProcess,
    /// A cluster: a job goes on when whoever submitted it is gone.
    Cluster,
}

/// Whether a job still runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Its process is there.
    Running,
    /// Its process is gone, it has committed, or nothing was heard of it for a week.
    Dead,
    /// It runs on a cluster or another machine, or did.
    Unknown,
}

/// What a job has left in an output, or needs there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The job's short id.
    pub job: String,
    /// Whether it still runs.
    pub state: State,
    /// When it last wrote something down here, in milliseconds since 1970; `None` if it wrote down nothing.
    pub heard_ms: Option<u64>,
    /// Staged files or uploads.
    pub files: u64,
}

/// The record of who runs a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct JobRecord {
    begun_ms: u64,
    /// The process that the job ends with.
    process: Option<Process>,
}

/// A process, told from all others, also those that will have its number later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    /// The boot of the machine, and the space of process numbers.
    space: String,
    pid: u32,
    /// When it started, in ticks since the boot.
    started: u64,
}

impl Process {
    /// This process; `None` where the system does not tell.
    fn own() -> Option<Process> {
        let pid = std::process::id();
        Some(Process { space: space()?, pid, started: started(pid)? })
    }

    /// Whether it is there; `None` if it is of another machine.
    fn is_there(&self) -> Option<bool> {
        (space()? == self.space).then(|| started(self.pid) == Some(self.started))
    }
}

/// The boot of this machine, and this process's space of process numbers.
fn space() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let numbers = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(format!("{}/{}", boot.trim(), numbers.display()))
}

/// When a process started; `None` if it is not there, or has ended and is only not waited for.
fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in brackets, may have spaces and brackets in it.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    let gone = matches!(fields.first(), Some(&"Z" | &"X"));
    fields.get(19)?.parse().ok().filter(|_| !gone)
}

/// Writes down who runs the job.
pub(super) fn note_runner(
    storage: &Storage,
    output: &Output,
    runner: Runner,
) -> Result<(), StorageError> {
    if let Some(path) = output.location.as_path() {
        LocalFolder::new(output, path).make_folders()?;
    }
    let process = match runner {
        Runner::ThisProcess => Process::own(),
        Runner::Cluster => None,
    };
    let record = JobRecord { begun_ms: now_ms(), process };
    Records::new(storage, &output.location, &output.job).write(JOB, &record)
}

/// What jobs have left in the output at `location`, or still need there, by the jobs' short ids.
///
/// # Errors
/// What the storage says.
pub fn leftovers(storage: &Storage, location: &Location) -> Result<Vec<Leftover>, StorageError> {
    let mut jobs = Records::jobs(storage, location)?;
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    jobs.sort_unstable();
    let manifest = Manifest::find(storage, location)?;
    let has_committed = |job: &str| manifest.as_ref().is_some_and(|manifest| manifest.has(job));
    jobs.into_iter().map(|job| leftover(storage, location, &job, has_committed(&job))).collect()
}

fn leftover(
    storage: &Storage,
    location: &Location,
    job: &str,
    has_committed: bool,
) -> Result<Leftover, StorageError> {
    let records = Records::new(storage, location, job);
    let record = records.read::<JobRecord>(JOB)?;
    let mut heard_ms = record.as_ref().map(|record| record.begun_ms);
    let mut files = 0;
    for name in records.names()? {
        if name.starts_with(UPLOADS) {
            let Some(uploads) = records.read::<Uploads>(&name)? else { continue };
            heard_ms = heard_ms.max(Some(uploads.begun_ms));
            files += uploads.uploads.len() as u64;
        } else if name.starts_with("part-") {
            files += 1;
        }
    }
    // Its folder comes before its record.
    let only_begun = record.is_none() && files == 0;
    let begun_long_ago = || {
        let age = location.join(hidden_name(job)).as_path().and_then(age_of);
        age.is_some_and(|age| age > BEGUN_WITHIN)
    };
    let there = record.and_then(|record| record.process).and_then(|process| process.is_there());
    let silent = || {
        let since = heard_ms.map(|heard| now_ms().saturating_sub(heard));
        since.is_some_and(|since| since > DEAD_AFTER.as_millis() as u64)
    };
    let state = match there {
        Some(true) => State::Running,
        Some(false) => State::Dead,
        None if has_committed || silent() => State::Dead,
        None if only_begun && begun_long_ago() => State::Dead,
        None => State::Unknown,
    };
    Ok(Leftover { job: job.to_string(), state, heard_ms, files })
}

/// How long ago something local was changed.
fn age_of(path: &std::path::Path) -> Option<Duration> {
    fs::metadata(path).ok()?.modified().ok()?.elapsed().ok()
}

/// Sweeps what a job has left in the output at `location`: of one that has committed what it would have deleted itself,
/// of any other all. Must not be called for a job that still runs; only what its own records name is touched.
///
/// # Errors
/// What the storage says.
pub fn sweep(storage: &Storage, location: &Location, job: &str) -> Result<(), StorageError> {
    // The extension is not known, and only matters for new names.
    let output = Output::new(location.clone(), job, "any");
    output.check_names()?;
    let manifest = Manifest::find(storage, location)?;
    match manifest.filter(|manifest| manifest.has(job)) {
        Some(manifest) => {
            let folder = folder(storage, &output);
            if manifest.job == job {
                folder.delete(storage, &manifest.removed)?;
            }
            // Uploads of what it has committed are complete, so that giving them up changes nothing.
            folder.clean(storage, &Committed::Attempts(Vec::new()))
        }
        None => abort(storage, &output),
    }
}

/// Sweeps what dead jobs have left.
pub(super) fn sweep_dead(storage: &Storage, location: &Location) -> Result<(), StorageError> {
    let dead = leftovers(storage, location)?.into_iter();
    dead.filter(|left| left.state == State::Dead)
        .try_for_each(|left| sweep(storage, location, &left.job))
}
