use windrow_datasets::Record;

struct Colour {
    red: u8,
}

#[derive(Record)]
#[record(crate = "windrow_datasets")]
struct Trip {
    zone_id: u32,
    colour: Colour,
}

fn main() {}
