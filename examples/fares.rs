//! Sums of fares by zone, over Parquet with a derived struct: `cargo run --example fares -- run fares --input trips/
//! --output fares/`.

use windrow::jobs;
use windrow::prelude::*;

/// Sums the fares that were paid by card, by zone.
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
}

impl Job for Fares {
    const NAME: &str = "fares";

    fn plan(&self, flow: &Flow) -> Result<()> {
        flow.read_parquet::<Trip>(&self.input)
            .filter(|trip| trip.payment_type == "card")
            .map(|trip| (trip.zone_id, trip.fare))
            .sum_by_key()
            .map(|(zone_id, fares)| ZoneFares { zone_id, fares })
            .write_parquet(&self.output)
    }
}

fn main() -> ExitCode {
    windrow::main(jobs![Fares])
}
