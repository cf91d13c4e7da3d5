//! Query 14: how much of the revenue promotions made.

use crate::{Money, ONE, Tables, later};
use windrow::prelude::*;

/// The share of promoted parts in a month's revenue, in percent
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q14 {
    #[command(flatten)]
    tables: Tables,
    /// The month's first day
    #[arg(long, default_value = "1995-09-01")]
    date: Date,
}

#[derive(Record)]
struct Part {
    p_partkey: i64,
    p_type: String,
}

#[derive(Record)]
struct Line {
    l_partkey: i64,
    l_extendedprice: Money,
    l_discount: Money,
    l_shipdate: Date,
}

/// The revenue of a line, and whether its part was promoted.
#[derive(Record)]
struct Sold {
    revenue: Decimal<30, 4>,
    promoted: bool,
}

#[derive(Record)]
struct Row {
    promo_revenue: f64,
}

impl Job for Q14 {
    const NAME: &str = "q14";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let parts = self
            .tables
            .read::<Part>(flow, "part")
            .map(|p| (p.p_partkey, p.p_type.starts_with("PROMO")));
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| c.l_shipdate.ge(self.date).and(c.l_shipdate.lt(later(self.date, 1))))
            .map(|l| -> (i64, Decimal<30, 4>) {
                (l.l_partkey, l.l_extendedprice.times(ONE - l.l_discount))
            })
            .join(&parts)
            .map(|(_, (revenue, promoted))| Sold { revenue, promoted })
            .aggregate(|c| {
                let promoted =
                    |s: SoldView<'_>| if s.promoted { s.revenue } else { Decimal::default() };
                (c.computed("promoted", promoted).sum(), c.revenue.sum())
            })
            .map(|(promoted, all)| Row { promo_revenue: 100.0 * promoted.to_f64() / all.to_f64() })
            .write_parquet(&self.tables.output)
    }
}
