use windrow::Record;

#[derive(Record)]
struct Metres(f64);

fn main() {}
