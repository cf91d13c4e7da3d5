use windrow::prelude::*;

#[derive(Record)]
struct Trip {
    zone: u32,
    payment_type: String,
}

fn plan(flow: &Flow) -> Result<()> {
    let trips = flow.read_parquet::<Trip>("trips");
    trips.aggregate_by(|c| c.zone, |c| (c.payment_type.sum(), c.count())).collect("out")
}

fn main() {}
