//! The queries of TPC-H as typed jobs, each in a file of its own, with the columns, their order and the order of rows as
//! in the specification.
//!
//! ```text
//! windrow generate tpch --scale 1 --output tpch
//! cargo run --release --example tpch -- run q6 --input tpch --output q6
//! ```

mod group;
mod q1;
mod q10;
mod q11;
mod q12;
mod q13;
mod q14;
mod q15;
mod q16;
mod q17;
mod q18;
mod q19;
mod q2;
mod q20;
mod q21;
mod q22;
mod q3;
mod q4;
mod q5;
mod q6;
mod q7;
mod q8;
mod q9;

use windrow::Broadcast;
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

    /// All nations.
    fn nations(&self, flow: &Flow) -> Dataset<Nation> {
        self.read(flow, "nation")
    }

    /// The key of a nation, for every task to have.
    fn nation(&self, flow: &Flow, name: &str) -> Broadcast<i64, ()> {
        let nation = self.nations(flow).filter_by(|c| c.n_name.eq(name));
        nation.map(|n| (n.n_nationkey, ())).broadcast()
    }

    /// The names of all nations, for every task to have.
    fn nation_names(&self, flow: &Flow) -> Broadcast<i64, String> {
        self.nations(flow).map_to::<(i64, String)>(|n| (n.n_nationkey, n.n_name)).broadcast()
    }

    /// The nations of a region: key and name.
    fn nations_of(&self, flow: &Flow, region: &str) -> Dataset<(i64, String)> {
        let region = self
            .read::<Region>(flow, "region")
            .filter_by(|c| c.r_name.eq(region))
            .map(|r| (r.r_regionkey, ()))
            .broadcast();
        self.nations(flow).flat_map_with(&region, |n, region| {
            region.get(n.n_regionkey).map(|_| (n.n_nationkey, n.n_name.to_string()))
        })
    }
}

#[derive(Record)]
struct Region {
    r_regionkey: i64,
    r_name: String,
}

#[derive(Record)]
struct Nation {
    n_nationkey: i64,
    n_name: String,
    n_regionkey: i64,
}

/// The first and the last day of the two years that some queries are about.
fn two_years() -> (Date, Date) {
    let day = |year, month, day| Date::from_ymd(year, month, day).expect("a day");
    (day(1995, 1, 1), day(1996, 12, 31))
}

/// Whether a text has one part, and another one behind it: SQL's `like '%first%second%'`.
fn has_both(text: &str, first: &str, second: &str) -> bool {
    text.split_once(first).is_some_and(|(_, behind)| behind.contains(second))
}

/// The day `months` later, of a day that all months have.
fn later(date: Date, months: u32) -> Date {
    let (year, month, day) = date.ymd();
    let months = month - 1 + months;
    Date::from_ymd(year + (months / 12) as i32, months % 12 + 1, day)
        .expect("the specification begins its intervals at the first of a month")
}

fn main() -> ExitCode {
    windrow::main(jobs![
        q1::Q1,
        q2::Q2,
        q3::Q3,
        q4::Q4,
        q5::Q5,
        q6::Q6,
        q7::Q7,
        q8::Q8,
        q9::Q9,
        q10::Q10,
        q11::Q11,
        q12::Q12,
        q13::Q13,
        q14::Q14,
        q15::Q15,
        q16::Q16,
        q17::Q17,
        q18::Q18,
        q19::Q19,
        q20::Q20,
        q21::Q21,
        q22::Q22,
        group::ByOrder,
        group::ByPart,
        group::ByMode,
        group::ByPriority
    ])
}
