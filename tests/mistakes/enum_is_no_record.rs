use windrow_datasets::Record;

#[derive(Record)]
enum Payment {
    Cash,
    Card(String),
}

fn main() {}
