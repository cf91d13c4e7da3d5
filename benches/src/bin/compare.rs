//! `windrow : limit`, measured: makes the inputs, runs `windrow run wordcount` and `terasort` and the limit programs by
//! turns, checks that both gave the same, and prints times and their ratio.

use std::process::ExitCode;

use windrow_benches::compare::{self, Compare};

fn main() -> ExitCode {
    let compare = match Compare::parse(std::env::args().skip(1)) {
        Ok(compare) => compare,
        Err(error) => {
            eprintln!("{error}\nusage: {}", Compare::USAGE);
            return ExitCode::from(2);
        }
    };
    match compare::run(&compare) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}
