use windrow::Record;

#[derive(Record)]
#[record(key)]
struct Place {
    zone_id: u32,
    longitude: f64,
}

fn main() {}
