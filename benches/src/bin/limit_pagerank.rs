//! PageRank at the limit of the machine: `limit_pagerank --input PATH --output FOLDER [--threads N]`, ten rounds.
//!
//! The input must not change while it runs: it is mapped.

use std::process::ExitCode;
use windrow_benches::limits::{flags::Flags, pagerank};

fn main() -> ExitCode {
    let flags = Flags::parse("limit_pagerank --input PATH --output FOLDER [--threads N]");
    match pagerank::run(&flags.input, &flags.output, 10, flags.threads) {
        Ok((nodes, edges)) => {
            println!("{nodes} nodes, {edges} edges");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit_pagerank: {error}");
            ExitCode::FAILURE
        }
    }
}
