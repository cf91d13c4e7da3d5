use windrow_datasets::Record;

#[derive(Record)]
#[record(crate = "windrow_datasets", key)]
struct Place {
    zone_id: u32,
    longitude: f64,
}

fn main() {}
