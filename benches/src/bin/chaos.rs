//! Breaks the processes and files of real clusters at random, and compares what their jobs give: `chaos`, see
//! [`windrow_benches::chaos`].

use std::process::ExitCode;
use windrow_benches::chaos::{self, Chaos};

fn main() -> ExitCode {
    let chaos = match Chaos::parse(std::env::args().skip(1)) {
        Ok(chaos) => chaos,
        Err(error) => {
            eprintln!("{error}\nusage: {}", Chaos::USAGE);
            return ExitCode::from(2);
        }
    };
    let ran = match chaos.day {
        Some(day) => chaos::run_day(&chaos, day),
        None => chaos::run(&chaos),
    };
    match ran {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failed) => {
            eprintln!("chaos: {failed} runs failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}
