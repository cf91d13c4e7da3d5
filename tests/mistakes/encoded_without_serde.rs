use windrow::Record;
use windrow::record::Encoded;

#[derive(Clone)]
enum Payment {
    Cash,
}

#[derive(Record)]
struct Trip {
    payment: Encoded<Payment>,
}

fn main() {}
