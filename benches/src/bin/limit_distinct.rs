//! Distinct lines of up to 16 bytes at the limit of the machine: `limit_distinct --input PATH --output FOLDER [--threads N]`.
//!
//! The input must not change while it runs: it is mapped.

use std::process::ExitCode;
use windrow_benches::limits::{distinct, flags::Flags};

fn main() -> ExitCode {
    let flags = Flags::parse("limit_distinct --input PATH --output FOLDER [--threads N]");
    match distinct::run(&flags.input, &flags.output, flags.threads) {
        Ok((lines, distinct)) => {
            println!("{lines} lines, {distinct} distinct");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit_distinct: {error}");
            ExitCode::FAILURE
        }
    }
}
