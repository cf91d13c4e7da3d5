//! The simulator: the scheduler in a made world, of any size, in virtual time, from one seed.
//!
//! Workers ask for work through a network that loses, delays, doubles and reorders; they pause, die, come back, drain
//! and fail; the coordinator stands still, and restarts from any prefix of its outcomes. In a first phase faults happen, in a second one
//! the world is healed and each job has to end. A model of what must hold is checked with each outcome; what
//! attempts make are hashes of what they read, so that a wrong or doubled input shows.

mod behave;
mod model;
mod node;
mod random;
mod sharing;
mod swarm;
#[cfg(test)]
mod tests;
mod workload;
mod world;

pub use swarm::Fault;

use crate::scheduler::{Config, Mark, Marks};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::{fmt, thread};
use world::World;

const LEASE_MS: u64 = 6_000;
const TICK_MS: u64 = 500;
const POLL_MS: u64 = 1_000;

/// The virtual time in which all jobs of a run must have ended.
const LIMIT_MS: u64 = 3_600_000;

/// What a run is like, beside its seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The number of workers.
    pub workers: u32,
    /// About how many tasks all jobs have together.
    pub tasks: u32,
    /// Whether there are faults.
    pub faults: bool,
}

/// What happened in all runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The runs.
    pub seeds: u64,
    /// Outcomes decided.
    pub decisions: u64,
    /// Events of the world.
    pub events: u64,
    /// The virtual time that passed.
    pub virtual_ms: u64,
    /// The fewest faults in one run.
    pub faults_min: u64,
    /// Faults that happened, by kind: in the order of [`Fault::ALL`].
    pub faults: [u64; Fault::ALL.len()],
    /// Odd branches that the scheduler took.
    pub marks: Marks,
}

/// How far runs have come, for whoever looks on.
#[derive(Debug, Default)]
pub struct Progress {
    seeds: AtomicU64,
    decisions: AtomicU64,
}

impl Progress {
    /// Runs that have ended.
    pub fn seeds(&self) -> u64 {
        self.seeds.load(Ordering::Relaxed)
    }

    /// Outcomes decided, within a few thousand events.
    pub fn decisions(&self) -> u64 {
        self.decisions.load(Ordering::Relaxed)
    }
}

/// Something does not hold.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The seed of the run.
    pub seed: u64,
    /// What the run was like, beside its seed.
    pub options: Options,
    /// What does not hold.
    pub what: String,
    /// The options that the seed gives, and the last events.
    pub story: String,
}

impl Violation {
    /// The command that shows it again.
    pub fn replay(&self) -> String {
        let Options { workers, tasks, faults } = self.options;
        let faults = if faults { "" } else { " --faults none" };
        format!("windrow simulate --seed {} --workers {workers} --tasks {tasks}{faults}", self.seed)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { seed, what, story, .. } = self;
        write!(f, "seed {seed}: {what}\nagain: {}\n{story}", self.replay())
    }
}

impl std::error::Error for Violation {}

impl Report {
    /// Adds another report.
    pub fn add(&mut self, other: &Report) {
        self.faults_min = match (self.seeds, other.seeds) {
            (0, _) => other.faults_min,
            (_, 0) => self.faults_min,
            _ => self.faults_min.min(other.faults_min),
        };
        self.seeds += other.seeds;
        self.decisions += other.decisions;
        self.events += other.events;
        self.virtual_ms += other.virtual_ms;
        for (sum, more) in self.faults.iter_mut().zip(other.faults) {
            *sum += more;
        }
        self.marks.add(&other.marks);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} decisions, {} events, {} s of virtual time, at least {} faults a seed",
            self.seeds,
            self.decisions,
            self.events,
            self.virtual_ms / 1_000,
            self.faults_min
        )?;
        write!(f, "faults:")?;
        for (fault, count) in Fault::ALL.iter().zip(self.faults) {
            write!(f, " {fault:?} {count}")?;
        }
        write!(f, "\nrecoveries:")?;
        for mark in Mark::ALL {
            write!(f, " {mark:?} {}", self.marks.count(mark))?;
        }
        Ok(())
    }
}

/// One run. The same seed and options give the same run.
///
/// # Errors
/// What does not hold, and how to see it again.
pub fn run(seed: u64, options: &Options) -> Result<Report, Violation> {
    run_with(seed, options, world::config(), &Progress::default())
}

fn run_with(
    seed: u64,
    options: &Options,
    config: Config,
    progress: &Progress,
) -> Result<Report, Violation> {
    let mut world = World::new(seed, options, config.clone(), false);
    let Err(first) = run_world(&mut world, progress) else {
        world.report.faults_min = world.report.faults.iter().sum();
        progress.seeds.fetch_add(1, Ordering::Relaxed);
        return Ok(world.report);
    };
    // Once more, with a trace.
    let mut world = World::new(seed, options, config, true);
    let again = run_world(&mut world, &Progress::default());
    let what = match again {
        Err(again) if again == first => first,
        Err(again) => format!("{first}\nbut in a second run of the seed: {again}"),
        Ok(()) => format!("{first}\nbut a second run of the seed ended well"),
    };
    let mut story = format!("options: {:?}\n", world.swarm);
    for line in &world.trace {
        story += line;
        story.push('\n');
    }
    Err(Violation { seed, options: options.clone(), what, story })
}

/// Runs a world to its end. A panic of the scheduler breaks what must hold as anything else does.
fn run_world(world: &mut World, progress: &Progress) -> Result<(), String> {
    // What is looked at after a panic is the trace alone.
    let run = catch_unwind(AssertUnwindSafe(|| world.run(LIMIT_MS, &progress.decisions)));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        Err(format!("a panic: {}", text.unwrap_or("without a text")))
    })
}

/// Many runs, of the seeds from `first_seed` on, on some threads.
///
/// # Errors
/// The violation of the smallest seed that was found broken.
pub fn run_many(
    first_seed: u64,
    seeds: u64,
    options: &Options,
    threads: usize,
) -> Result<Report, Violation> {
    run_watched(first_seed, seeds, options, threads, &Progress::default())
}

/// As [`run_many`]; `progress` tells meanwhile how far it is.
///
/// # Errors
/// As for [`run_many`].
pub fn run_watched(
    first_seed: u64,
    seeds: u64,
    options: &Options,
    threads: usize,
    progress: &Progress,
) -> Result<Report, Violation> {
    let next = AtomicU64::new(0);
    let broken = AtomicBool::new(false);
    let work = || {
        let mut report = Report::default();
        while !broken.load(Ordering::Relaxed) {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= seeds {
                break;
            }
            match run_with(first_seed.wrapping_add(at), options, world::config(), progress) {
                Ok(one) => report.add(&one),
                Err(violation) => {
                    broken.store(true, Ordering::Relaxed);
                    return Err(violation);
                }
            }
        }
        Ok(report)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    });
    let mut sum = Report::default();
    let mut first: Option<Violation> = None;
    for result in results {
        match result {
            Ok(report) => sum.add(&report),
            Err(found) if first.as_ref().is_none_or(|first| found.seed < first.seed) => {
                first = Some(found);
            }
            Err(_) => {}
        }
    }
    first.map_or(Ok(sum), Err)
}
