use windrow_datasets::Record;

#[derive(Record)]
struct Metres(f64);

fn main() {}
