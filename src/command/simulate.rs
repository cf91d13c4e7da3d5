//! `simulate`: the scheduler over a cluster of any size, with faults, in virtual time.

use super::{Failed, number_of};
use clap::{Args, ValueEnum};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};
use windrow_coordinator::scheduler::Mark;
use windrow_coordinator::simulator::{Fault, Options, Progress, Report, Violation, run_watched};

/// How often a line tells how far it is.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Runs, if neither their number nor a seed is said.
const SEEDS: u64 = 1_000;

/// `windrow simulate`.
#[derive(Args, Clone, Debug)]
pub(crate) struct Simulate {
    /// So many runs, each of another seed [default: 1000, or 1 with --seed]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed: the same seed, workers, tasks and faults give the same run
    #[arg(long)]
    seed: Option<u64>,
    /// Workers of the cluster
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    workers: u32,
    /// About how many tasks the jobs of a run have together
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    tasks: u32,
    /// Which faults happen
    #[arg(long, value_enum, default_value_t)]
    faults: Faults,
    /// Runs at once [default: the cores of the machine]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Which faults happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Faults {
    /// None
    None,
    /// Of each kind, in about half of the runs
    #[default]
    All,
}

impl Simulate {
    pub(super) fn run(self) -> Result<(), Failed> {
        let (options, seeds) = (self.options(), self.seeds());
        let threads = self.threads.map_or_else(crate::local::threads, usize::from);
        let begun = Instant::now();
        let progress = Progress::default();
        let result = thread::scope(|scope| {
            let (stop, stopped) = channel::<()>();
            let progress = &progress;
            scope.spawn(move || {
                while stopped.recv_timeout(LINE_EVERY) == Err(RecvTimeoutError::Timeout) {
                    super::tell(&line(progress, seeds, begun.elapsed()));
                }
            });
            let result = run_watched(self.seed.unwrap_or(1), seeds, &options, threads, progress);
            drop(stop);
            result
        });
        super::print(&outcome(result, begun.elapsed())?)
    }

    fn options(&self) -> Options {
        let Simulate { workers, tasks, faults, .. } = *self;
        Options { workers, tasks, faults: faults == Faults::All }
    }

    fn seeds(&self) -> u64 {
        self.seeds.unwrap_or(if self.seed.is_some() { 1 } else { SEEDS })
    }
}

/// How far the runs are.
fn line(progress: &Progress, seeds: u64, elapsed: Duration) -> String {
    let (done, decisions) = (progress.seeds(), progress.decisions());
    let all = number_of(seeds, "seed");
    format!("simulate: {done} of {all}, {decisions} decisions, {} s\n", elapsed.as_secs())
}

/// What is told at the end, or why the command failed.
fn outcome(result: Result<Report, Violation>, elapsed: Duration) -> Result<String, Failed> {
    match result {
        Ok(report) => Ok(summary(&report, elapsed)),
        Err(violation) => Err(Failed::Because(violation.to_string().trim_end().to_string())),
    }
}

fn summary(report: &Report, elapsed: Duration) -> String {
    use std::fmt::Write;
    let seconds = elapsed.as_secs_f64();
    let rate = report.decisions as f64 / seconds.max(f64::MIN_POSITIVE);
    let mut text = format!(
        "simulate: {} in {seconds:.2} s, nothing is broken\n  decisions    {}, {rate:.0} a second\n",
        number_of(report.seeds, "seed"),
        report.decisions
    );
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name:<12} {value}");
    };
    line("events", format!("{}, {} s of virtual time", report.events, report.virtual_ms / 1_000));
    line("faults", format!("{} at least in each run", report.faults_min));
    for (fault, count) in Fault::ALL.iter().zip(report.faults) {
        line("", format!("{count:>10} {fault:?}"));
    }
    line("recoveries", "and other odd turns of the scheduler".to_string());
    for mark in Mark::ALL {
        line("", format!("{:>10} {mark:?}", report.marks.count(mark)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, FromArgMatches};

    fn parsed(command: &str) -> Simulate {
        let simulate = Simulate::augment_args(Command::new("simulate"));
        let command_line = Command::new("windrow").subcommand(simulate);
        let matches = command_line.get_matches_from(command.split_whitespace());
        let (_, matches) = matches.subcommand().expect("clap has found it");
        Simulate::from_arg_matches(matches).expect("clap has checked them")
    }

    #[test]
    fn the_command_that_replays_is_the_run_that_was_broken() {
        for faults in [true, false] {
            let options = Options { workers: 7, tasks: 90, faults };
            let (what, story) = ("two commits".to_string(), "the last events\n".to_string());
            let violation = Violation { seed: 41, options: options.clone(), what, story };
            let again = parsed(&violation.replay());
            assert_eq!((again.options(), again.seed, again.seeds()), (options, Some(41), 1));
            let Err(Failed::Because(why)) = outcome(Err(violation.clone()), Duration::ZERO) else {
                panic!("what is broken is no success");
            };
            assert!(why.starts_with("seed 41: two commits\n"), "{why}");
            assert!(why.contains(&violation.replay()), "{why}");
        }
    }

    #[test]
    fn a_seed_alone_is_one_run() {
        assert_eq!(
            (parsed("windrow simulate").seeds(), parsed("windrow simulate").seed),
            (1_000, None)
        );
        assert_eq!(parsed("windrow simulate --seed 3").seeds(), 1);
        assert_eq!(parsed("windrow simulate --seed 3 --seeds 5").seeds(), 5);
    }

    #[test]
    fn a_line_tells_how_far_it_is() {
        let progress = Progress::default();
        let options = Options { workers: 2, tasks: 4, faults: true };
        let report = run_watched(1, 3, &options, 1, &progress).expect("it holds");
        let told = line(&progress, 9, Duration::from_secs(12));
        assert_eq!(told, format!("simulate: 3 of 9 seeds, {} decisions, 12 s\n", report.decisions));
    }
}
