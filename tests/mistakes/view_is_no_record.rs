use windrow::{Key, Record};

fn map<T, U: Record>(_: impl Fn(T) -> U) {}

fn key_by<T, K: Key>(_: impl Fn(T) -> K) {}

fn main() {
    map(|line: &'static str| line.trim());
    key_by(|line: &'static str| line.trim());
    key_by(|fare: u32| f64::from(fare));
}
