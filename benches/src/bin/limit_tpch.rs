//! Aggregations over TPC-H's `lineitem`, and a join with `orders`, at the limit of the machine:
//! `limit_tpch q1|q6|by-order|by-part|by-mode|by-priority --input TABLES --output FOLDER [--threads N]`.

use std::process::ExitCode;
use windrow_benches::limits::flags::Flags;
use windrow_benches::limits::tpch::{self, Work};

const USAGE: &str = "limit_tpch q1|q6|by-order|by-part|by-mode|by-priority --input TABLES --output FOLDER [--threads N]";

fn main() -> ExitCode {
    let name = std::env::args().nth(1);
    let Some(work) = Work::ALL.into_iter().find(|work| Some(work.name()) == name.as_deref()) else {
        eprintln!("usage: {USAGE}");
        return ExitCode::from(2);
    };
    let flags = Flags::parse_behind(1, USAGE);
    match tpch::run(work, &flags.input, &flags.output, flags.threads) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("limit_tpch: {error}");
            ExitCode::FAILURE
        }
    }
}
