//! k-means at the limit of the machine: `limit_kmeans --input PATH --output FOLDER [--threads N]`, sixteen centers and ten
//! rounds.
//!
//! The input must not change while it runs: it is mapped.

use std::process::ExitCode;
use windrow_benches::limits::{flags::Flags, kmeans};

fn main() -> ExitCode {
    let flags = Flags::parse("limit_kmeans --input PATH --output FOLDER [--threads N]");
    match kmeans::run(&flags.input, &flags.output, 16, 10, flags.threads) {
        Ok(points) => {
            println!("{points} points");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit_kmeans: {error}");
            ExitCode::FAILURE
        }
    }
}
