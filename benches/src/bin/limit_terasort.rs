//! Terasort at the limit of the machine: `limit_terasort --input PATH --output FOLDER [--threads N]`, and out of core
//! with `--memory BYTES [--scratch FOLDER]`.
//!
//! The input must not change while it runs: it is mapped.

use std::process::ExitCode;

use windrow_benches::limits::{external_sort, flags::Flags, terasort};

fn main() -> ExitCode {
    let usage = "limit_terasort --input PATH --output FOLDER [--threads N] [--memory BYTES [--scratch FOLDER]]";
    let Flags { input, output, threads, memory, scratch } = Flags::parse(usage);
    let sorted = match memory {
        Some(memory) => external_sort::run(&input, &output, threads, memory, &scratch),
        None => terasort::run(&input, &output, threads),
    };
    match sorted {
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
