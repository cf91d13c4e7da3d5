//! What skew costs: `skew [RECORDS]` runs operators by key over records whose keys are even, of which one is nine in ten,
//! which follow Zipf's law with exponent 1.5, and which all have one hash; each by turns, in one process with two threads.

use std::process::ExitCode;
use std::time::Instant;
use windrow::record::mix;
use windrow::{Dataset, Flow, Local};

type Name = [u8; 16];

/// The number of keys.
const KEYS: u64 = 1_000_000;

/// How often each is measured.
const ROUNDS: usize = 3;

#[derive(Clone, Copy, PartialEq)]
enum Keys {
    Even,
    OneOften,
    Zipf,
    OneHash,
}

const ALL: [(Keys, &str); 4] = [
    (Keys::Even, "even"),
    (Keys::OneOften, "90 % one key"),
    (Keys::Zipf, "Zipf 1.5"),
    (Keys::OneHash, "one hash"),
];

/// Makes the multiplication in the hash of a name one by zero, so that the name's second half is of no account.
const NO_ACCOUNT: u64 = 0x2d35_8dcc_aa6c_78a5;

fn name(first: u64, second: u64) -> Name {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&first.to_le_bytes());
    name[8..].copy_from_slice(&second.to_le_bytes());
    name
}

/// The key of a number.
fn key(keys: Keys, number: u64) -> Name {
    match keys {
        Keys::OneHash => name(NO_ACCOUNT, number),
        _ => name(number, number),
    }
}

fn row(keys: Keys, number: u64) -> (Name, u64) {
    let chance = mix(number, 11);
    let even = mix(chance, 12) % KEYS;
    let number = match keys {
        Keys::OneOften if !chance.is_multiple_of(10) => 0,
        Keys::Zipf => {
            // The share of ranks above one is its root's inverse.
            let part = (chance >> 11) as f64 / (1u64 << 53) as f64;
            (1.0 / (part * part).max(1.0 / KEYS as f64)) as u64 - 1
        }
        _ => even,
    };
    (key(keys, number), chance % 1000)
}

type Plan = fn(&Dataset<(Name, u64)>, &Dataset<(Name, u64)>) -> Dataset<u64>;

/// The operators; the second dataset has each key once.
const PLANS: [(&str, Plan); 6] = [
    ("sum_by_key", |rows, _| rows.sum_by_key().count()),
    ("sum_by_key of floats", |rows, _| {
        rows.map_to::<(Name, f64)>(|(name, value)| (name, value as f64)).sum_by_key().count()
    }),
    ("distinct", |rows, _| rows.distinct().count()),
    ("group_by_key", |rows, _| {
        rows.group_by_key().map(|_, values| values.fold(0u64, u64::wrapping_add)).count()
    }),
    ("join", |rows, other| rows.join(other).count()),
    ("sort_by_key", |rows, _| rows.sort_by_key().map(|(_, value)| value).count()),
];

fn seconds(records: u64, keys: Keys, plan: Plan) -> Result<f64, Box<dyn std::error::Error>> {
    let begun = Instant::now();
    Local::new().threads(2).run_plan("skew", |flow: &Flow| {
        let rows = flow.generate(records, move |number| row(keys, number));
        let other = flow.generate(KEYS, move |number| (key(keys, number), number));
        plan(&rows, &other).collect("count")
    })?;
    Ok(begun.elapsed().as_secs_f64())
}

fn measure(records: u64) -> Result<(), Box<dyn std::error::Error>> {
    println!("| {records} records, {KEYS} keys | even | 90 % one key | Zipf 1.5 | one hash |");
    println!("|---|--:|--:|--:|--:|");
    for (name, plan) in PLANS {
        let mut all = [const { Vec::new() }; ALL.len()];
        for _ in 0..ROUNDS {
            for (times, (keys, _)) in all.iter_mut().zip(ALL) {
                times.push(seconds(records, keys, plan)?);
            }
        }
        let mut medians = all.map(|mut times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        let even = medians[0];
        print!("| {name} | {even:.2} s |");
        medians[1..].iter_mut().for_each(|time| print!(" {time:.2} s, {:.2} |", *time / even));
        println!();
    }
    Ok(())
}

fn main() -> ExitCode {
    let records = match std::env::args().nth(1).map(|text| text.parse()) {
        None => 20_000_000,
        Some(Ok(records)) => records,
        Some(Err(error)) => {
            eprintln!("skew [RECORDS]: {error}");
            return ExitCode::from(2);
        }
    };
    match measure(records) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("skew: {error}");
            ExitCode::FAILURE
        }
    }
}
