//! Chaos: jobs over a real cluster whose processes and files are broken at random, and whose outputs have to be the same bytes
//! as if nothing had.
//!
//! A run has a number, from which all its choices come: the job, the workers, their memory, the faults and their times. What
//! the processes make of it depends on the machine too, so that a run that failed need not fail again; its logs are kept.

mod client;
mod cluster;
mod day;
mod disk;
mod faults;
mod flags;
pub(crate) mod group;
mod jobs;
mod ledger;
mod processes;
mod proxy;
mod random;

pub use day::run_day;
pub use flags::{Chaos, Day};

use cluster::Cluster;
use faults::{Fault, Kind};
use jobs::{Inputs, JobKind};
use ledger::Ledger;
use random::Random;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The logs of a job are kept that takes so many seconds.
const SLOW: f64 = 15.0;

/// Any error, for people.
pub type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// What a run has shown.
struct Ran {
    /// The faults that had something to break.
    fired: Vec<Kind>,
    seconds: f64,
    /// Whether the job failed as it should, since all disks were full.
    full: bool,
}

/// Makes the runs, and tells of each. Returns how many failed.
///
/// # Errors
/// If inputs cannot be made, or a quiet run fails.
pub fn run(chaos: &Chaos) -> Result<u64, AnyError> {
    fs::create_dir_all(&chaos.scratch)?;
    let inputs = Inputs::make(chaos, 1)?;
    let kinds = Kind::named(&chaos.only);
    if kinds.is_empty() {
        return Err(format!("--only {}: there is no such fault", chaos.only).into());
    }
    let mut ledger = Ledger::default();
    let begun = Instant::now();
    for number in chaos.seed..chaos.seed + chaos.runs {
        if chaos.minutes.is_some_and(|most| begun.elapsed() > Duration::from_secs(60 * most)) {
            break;
        }
        let folder = chaos.scratch.join(format!("run-{number}"));
        let _ = fs::remove_dir_all(&folder);
        match one(chaos, &inputs, &kinds, number, folder.clone()) {
            Ok(ran) => {
                let what = if ran.full { "the disks were full" } else { "the same bytes" };
                println!("run {number}: {what} after {:.1} s, {:?}", ran.seconds, ran.fired);
                ledger.passed(&ran);
                if ran.seconds < SLOW {
                    fs::remove_dir_all(&folder)?;
                } else {
                    println!("  that is slow: its logs are in {}", folder.display());
                }
            }
            Err(error) => {
                println!("run {number}: {error}; its logs are in {}", folder.display());
                ledger.failed();
            }
        }
    }
    println!("{}", ledger.summary());
    if let Some(file) = &chaos.ledger {
        ledger.append(file, chaos, begun.elapsed())?;
    }
    Ok(ledger.failures())
}

/// One run: from an empty cluster to an output that is compared.
fn one(
    chaos: &Chaos,
    inputs: &Inputs,
    kinds: &[Kind],
    number: u64,
    folder: PathBuf,
) -> Result<Ran, AnyError> {
    let mut random = Random::of(number);
    let job = inputs.draw(&mut random);
    let mut cluster = Cluster::start(chaos, &mut random, folder)?;
    let span = job.quiet.as_secs_f64();
    let count = 1 + random.below(4);
    let draw = |_| Fault::draw(&mut random, kinds, span);
    let mut faults: Vec<Fault> = (0..count).map(draw).collect();
    faults.sort_by(|a, b| a.after.total_cmp(&b.after));
    let begun = Instant::now();
    let output = cluster.folder.join("output");
    let mut client = cluster.submit(job, output.clone())?;
    let mut fired = Vec::new();
    let mut faults = faults.into_iter().peekable();
    let ended = loop {
        let now = begun.elapsed();
        while let Some(fault) = faults.next_if(|fault| fault.after <= now.as_secs_f64()) {
            if cluster.break_it(fault.kind, &mut random)? {
                fired.push(fault.kind);
            }
        }
        cluster.mend()?;
        let ended = client.ended().map_err(|error| format!("{error}, after {fired:?}"))?;
        if let Some(status) = ended {
            break status;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let seconds = begun.elapsed().as_secs_f64();
    let full = !ended.success() && fired.contains(&Kind::FillDisk) && cluster.says_full();
    if full {
        if output.join("_SUCCESS").exists() {
            return Err(format!("{} failed, and has an output", job.name).into());
        }
    } else if ended.success() {
        job.compare(&output).map_err(|error| format!("{} after {fired:?}: {error}", job.name))?;
    } else {
        return Err(format!("{} failed, after {fired:?}: {ended}", job.name).into());
    }
    let of_coordinator = |kind: &Kind| matches!(kind, Kind::KillCoordinator | Kind::AddWorker);
    if fired.iter().all(of_coordinator) && cluster.ran_again() {
        return Err(format!("{} after {fired:?}: a task ran again", job.name).into());
    }
    if let Some(said) = cluster.other_rows() {
        return Err(format!("{} after {fired:?}: {said}", job.name).into());
    }
    cluster.end()?;
    let left = cluster.leftovers(&output)?;
    if !left.is_empty() {
        return Err(format!("{} after {fired:?}: it left {left:?}", job.name).into());
    }
    Ok(Ran { fired, seconds, full })
}

impl JobKind {
    /// Compares an output with that of a quiet run.
    fn compare(&self, output: &std::path::Path) -> Result<(), AnyError> {
        let bytes = jobs::bytes_of(output)?;
        if bytes == self.bytes { Ok(()) } else { Err("its output has other bytes".into()) }
    }
}
