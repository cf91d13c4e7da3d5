use windrow::prelude::*;

#[derive(Record)]
struct Trip {
    stops: Vec<u32>,
}

fn plan(flow: &Flow) -> Result<()> {
    flow.read_parquet::<Trip>("trips").filter_by(|c| c.stops.eq(7)).collect("out")
}

fn main() {}
