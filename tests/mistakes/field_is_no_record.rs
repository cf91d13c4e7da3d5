use windrow::prelude::*;

enum Colour {
    Red,
}

#[derive(Record)]
struct Trip {
    zone_id: u32,
    colour: Colour,
}

fn main() {}
