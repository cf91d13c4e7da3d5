use windrow_datasets::Record;
use windrow_datasets::record::Encoded;

#[derive(Clone)]
enum Payment {
    Cash,
}

#[derive(Record)]
#[record(crate = "windrow_datasets")]
struct Trip {
    payment: Encoded<Payment>,
}

fn main() {}
