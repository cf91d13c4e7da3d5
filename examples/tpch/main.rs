//! Queries of TPC-H as typed jobs, each in a file of its own: 1, 3, 6, 12, 14 and 18, with the columns, their order
//! and the order of rows as in the specification.
//!
//! ```text
//! windrow generate tpch --scale 1 --output tpch
//! cargo run --release --example tpch -- run q6 --input tpch --output q6
//! ```

mod q1;
mod q12;
mod q14;
mod q18;
mod q3;
mod q6;

use windrow::jobs;
use windrow::prelude::*;

/// Prices, quantities and shares, as the tables have them.
type Money = Decimal<15, 2>;

const ONE: Money = Money::whole(1);

/// Where the tables are, and where the answer goes.
#[derive(Args, Serialize, Deserialize)]
struct Tables {
    /// The folder with a folder a table, as `generate tpch` writes it
    #[arg(long)]
    input: Location,
    /// The folder to write to
    #[arg(long)]
    output: Location,
}

impl Tables {
    /// The columns of a table that `T` names.
    fn read<T: Record>(&self, flow: &Flow, table: &str) -> Dataset<T> {
        flow.read_parquet::<T>(self.input.join(table))
    }
}

/// The day `months` later, of a day that all months have.
fn later(date: Date, months: u32) -> Date {
    let (year, month, day) = date.ymd();
    let months = month - 1 + months;
    Date::from_ymd(year + (months / 12) as i32, months % 12 + 1, day)
        .expect("the specification begins its intervals at the first of a month")
}

fn main() -> ExitCode {
    windrow::main(jobs![q1::Q1, q3::Q3, q6::Q6, q12::Q12, q14::Q14, q18::Q18])
}
