//! Query 15: the supplier of a quarter.

use crate::{Money, ONE, Tables, later};
use windrow::prelude::*;

/// The suppliers with the most revenue of a quarter
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q15 {
    #[command(flatten)]
    tables: Tables,
    /// The quarter's first day
    #[arg(long, default_value = "1996-01-01")]
    date: Date,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_name: String,
    s_address: String,
    s_phone: String,
}

#[derive(Record)]
struct Line {
    l_suppkey: i64,
    l_extendedprice: Money,
    l_discount: Money,
    l_shipdate: Date,
}

fn revenue(line: LineView<'_>) -> Decimal<18, 4> {
    line.l_extendedprice.times(ONE - line.l_discount)
}

#[derive(Record)]
struct Row {
    s_suppkey: i64,
    s_name: String,
    s_address: String,
    s_phone: String,
    total_revenue: Decimal<38, 4>,
}

impl Job for Q15 {
    const NAME: &str = "q15";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let revenues = self
            .tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| c.l_shipdate.ge(self.date).and(c.l_shipdate.lt(later(self.date, 3))))
            .aggregate_by(|c| c.l_suppkey, |c| c.computed("revenue", revenue).sum());
        let most = revenues.aggregate(|c| c.1.max()).map(|most| ((), most)).broadcast();
        let best = revenues.flat_map_with(&most, |(supplier, revenue), most| {
            (most.get(()) == Some(revenue)).then_some((supplier, revenue))
        });
        self.tables
            .read::<Supplier>(flow, "supplier")
            .map_to::<(i64, Supplier)>(|s| (s.s_suppkey, s))
            .join(&best)
            .sort_by_key()
            .map(|(s_suppkey, (s, total_revenue))| Row {
                s_suppkey,
                s_name: s.s_name.to_string(),
                s_address: s.s_address.to_string(),
                s_phone: s.s_phone.to_string(),
                total_revenue,
            })
            .write_parquet(&self.tables.output)
    }
}
