use windrow::prelude::*;

fn plan(flow: &Flow) -> Result<()> {
    let trips = flow.from_iter([(7u32, 12.5)]);
    trips.aggregate_by(|c| c.0, |c| c.1).collect("out")
}

fn main() {}
