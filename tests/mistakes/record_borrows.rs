use windrow::Record;

#[derive(Record)]
struct Trip<'a> {
    payment_type: &'a str,
}

fn main() {}
