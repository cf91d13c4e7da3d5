use windrow_datasets::record::Encoded;
use windrow_datasets::{Record, TextRecord};

#[derive(Record)]
#[record(crate = "windrow_datasets")]
struct Trip {
    fare: f64,
    stops: Encoded<Vec<u8>>,
}

fn write_lines<T: TextRecord>() {}

fn main() {
    write_lines::<(u32, f64)>();
    write_lines::<Trip>();
}
