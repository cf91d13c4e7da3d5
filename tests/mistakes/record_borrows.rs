use windrow_datasets::Record;

#[derive(Record)]
struct Trip<'a> {
    payment_type: &'a str,
}

fn main() {}
