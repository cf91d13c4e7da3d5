//! Word count at the limit of the machine: `limit_wordcount --input PATH --output FOLDER [--threads N]`.
//!
//! The input must not change while it runs: it is mapped.

use std::process::ExitCode;

use windrow_benches::limits::{flags::Flags, wordcount};

fn main() -> ExitCode {
    let flags = Flags::parse("limit_wordcount --input PATH --output FOLDER [--threads N]");
    match wordcount::run(&flags.input, &flags.output, flags.threads) {
        Ok(counts) => {
            println!(
                "{} words, {} distinct, {} bytes",
                counts.words, counts.distinct, counts.bytes
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("limit_wordcount: {error}");
            ExitCode::FAILURE
        }
    }
}
