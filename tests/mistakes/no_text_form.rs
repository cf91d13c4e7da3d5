use windrow::record::Encoded;
use windrow::{Record, TextRecord};

#[derive(Record)]
struct Trip {
    fare: f64,
    stops: Encoded<Vec<u8>>,
}

fn write_lines<T: TextRecord>() {}

fn main() {
    write_lines::<(u32, f64)>();
    write_lines::<Trip>();
}
