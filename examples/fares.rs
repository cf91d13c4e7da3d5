//! Sums and counts of fares by zone, in columns that the plan sees, over Parquet with a derived struct:
//! `cargo run --example fares -- run fares --input trips/ --output fares/`.

use windrow::jobs;
use windrow::prelude::*;

/// Sums and counts the fares that were paid by card, by zone.
#[derive(Args, Serialize, Deserialize)]
struct Fares {
    /// Parquet files of trips
    #[arg(long)]
    input: Location,
    /// The folder to write to
    #[arg(long)]
    output: Location,
}

/// The columns of a trip that are read; there may be more.
#[derive(Record)]
struct Trip {
    zone_id: u32,
    fare: f64,
    payment_type: String,
}

/// A row of the output.
#[derive(Record)]
struct ZoneFares {
    zone_id: u32,
    fares: f64,
    trips: u64,
}

impl Job for Fares {
    const NAME: &str = "fares";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_parquet::<Trip>(&self.input)
            .filter_by(|c| c.payment_type.eq("card"))
            .aggregate_by(|c| c.zone_id, |c| (c.fare.sum(), c.count()))
            .map(|(zone_id, (fares, trips))| ZoneFares { zone_id, fares, trips })
            .write_parquet(&self.output)
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![Fares])
}
