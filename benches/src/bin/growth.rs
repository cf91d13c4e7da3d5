//! How time grows with the input: `growth` with the flags of `compare`, whose sizes are those of the largest inputs.

use std::process::ExitCode;
use windrow_benches::compare::{self, Compare};

fn main() -> ExitCode {
    let compare = match Compare::parse(std::env::args().skip(1)) {
        Ok(compare) => compare,
        Err(error) => {
            eprintln!("{error}\nusage: growth, with the flags of {}", Compare::USAGE);
            return ExitCode::from(2);
        }
    };
    match compare::growth(&compare) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("growth: {error}");
            ExitCode::FAILURE
        }
    }
}
