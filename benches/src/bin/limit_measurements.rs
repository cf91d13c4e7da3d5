//! Temperatures of stations at the limit of the machine: `limit_measurements --input PATH --output FOLDER [--threads N]`.
//!
//! The input must not change while it runs: it is mapped.

use std::process::ExitCode;

use windrow_benches::limits::{flags::Flags, measurements};

fn main() -> ExitCode {
    let flags = Flags::parse("limit_measurements --input PATH --output FOLDER [--threads N]");
    match measurements::run(&flags.input, &flags.output, flags.threads) {
        Ok((stations, lines)) => {
            println!("{lines} lines, {stations} stations");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit_measurements: {error}");
            ExitCode::FAILURE
        }
    }
}
