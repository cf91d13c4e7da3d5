use windrow::Record;

#[derive(Record)]
enum Payment {
    Cash,
    Card(String),
}

fn main() {}
