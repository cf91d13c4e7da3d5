//! The scheduler over a cluster of any size, with faults, in virtual time.
//!
//! `simulate --seeds N --workers N --tasks N [--seed FIRST] [--faults none] [--threads N]`

use std::process::ExitCode;
use windrow_coordinator::simulator::{Options, run_many};

fn main() -> ExitCode {
    let mut options = Options { workers: 20, tasks: 200, faults: true };
    let (mut seeds, mut first, mut threads) = (1_000, 1, 1);
    let mut words = std::env::args().skip(1);
    while let Some(flag) = words.next() {
        let value = words.next().unwrap_or_default();
        let number = value.parse::<u64>();
        match (flag.as_str(), number) {
            ("--faults", _) if value == "none" => options.faults = false,
            ("--seeds", Ok(number)) => seeds = number,
            ("--seed", Ok(number)) => first = number,
            ("--workers", Ok(number)) => options.workers = (number as u32).max(1),
            ("--tasks", Ok(number)) => options.tasks = number as u32,
            ("--threads", Ok(number)) => threads = number as usize,
            _ => {
                eprintln!("{flag} {value}: not understood; see the head of this example");
                return ExitCode::from(2);
            }
        }
    }
    match run_many(first, seeds, &options, threads) {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(violation) => {
            eprintln!("{violation}");
            ExitCode::FAILURE
        }
    }
}
