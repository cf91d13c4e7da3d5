//! Query 6: what more revenue there had been without some discounts.

use crate::{Money, Tables, later};
use windrow::prelude::*;

/// The revenue that discounts cost in a year
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q6 {
    #[command(flatten)]
    tables: Tables,
    /// The year's first day
    #[arg(long, default_value = "1994-01-01")]
    date: Date,
    /// The discount, give or take 0.01
    #[arg(long, default_value = "0.06")]
    discount: Money,
    /// Fewer pieces than this
    #[arg(long, default_value = "24")]
    quantity: Money,
}

#[derive(Record)]
struct Line {
    l_quantity: Money,
    l_extendedprice: Money,
    l_discount: Money,
    l_shipdate: Date,
}

fn revenue(line: LineView<'_>) -> Decimal<30, 4> {
    line.l_extendedprice.times(line.l_discount)
}

#[derive(Record)]
struct Row {
    revenue: Decimal<38, 4>,
}

impl Job for Q6 {
    const NAME: &str = "q6";

    fn plan(&self, flow: &Flow) -> Result<()> {
        const CENT: Money = Money::from_raw(1).unwrap();
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| {
                let in_year = c.l_shipdate.ge(self.date).and(c.l_shipdate.lt(later(self.date, 12)));
                in_year
                    .and(c.l_discount.between(self.discount - CENT, self.discount + CENT))
                    .and(c.l_quantity.lt(self.quantity))
            })
            .aggregate(|c| c.computed("revenue", revenue).sum())
            .map(|revenue| Row { revenue })
            .write_parquet(&self.tables.output)
    }
}
