//! Terasort at the limit of the machine: `limit_terasort --input PATH --output FOLDER [--threads N]`.
//!
//! The input must not change while it runs: it is mapped.

use std::process::ExitCode;

use windrow_benches::limits::{flags::Flags, terasort};

fn main() -> ExitCode {
    let flags = Flags::parse("limit_terasort --input PATH --output FOLDER [--threads N]");
    match terasort::run(&flags.input, &flags.output, flags.threads) {
        Ok(records) => {
            println!("{records} records");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit_terasort: {error}");
            ExitCode::FAILURE
        }
    }
}
