//! Draws how fast a sort reads, shuffles and writes over time: see [`windrow_benches::transfer_rates`]. As root, since it makes
//! control groups: `transfer_rates WINDROW SCRATCH PICTURE [RECORDS]`.

use std::process::ExitCode;
use windrow_benches::transfer_rates::{TransferRates, run};

/// What is measured, if the arguments say it.
fn arguments() -> Option<TransferRates> {
    let mut arguments = std::env::args().skip(1);
    let mut next = || arguments.next();
    let (windrow, scratch, picture) = (next()?.into(), next()?.into(), next()?.into());
    let records = next().map_or(Some(40_000_000), |text| text.parse().ok())?;
    Some(TransferRates { windrow, scratch, picture, records })
}

fn main() -> ExitCode {
    let Some(of) = arguments() else {
        eprintln!("usage: transfer_rates WINDROW SCRATCH PICTURE [RECORDS]");
        return ExitCode::from(2);
    };
    match run(&of) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("transfer_rates: {error}");
            ExitCode::FAILURE
        }
    }
}
