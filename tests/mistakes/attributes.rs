use windrow::Record;

#[derive(Record)]
#[record(rename = "trips")]
struct Trip {
    fare: f64,
}

#[derive(Record)]
struct Place {
    #[record(key)]
    zone_id: u32,
}

#[derive(Record)]
struct Both {
    fare: f64,
    #[record(rename = "fare")]
    total: f64,
}

fn main() {}
