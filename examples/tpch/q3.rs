//! Query 3: the orders not yet shipped that are worth most.

use crate::{Money, ONE, Tables};
use windrow::prelude::*;

/// The ten orders of a market segment with most revenue that were not shipped at a day
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q3 {
    #[command(flatten)]
    tables: Tables,
    /// The market segment of customers
    #[arg(long, default_value = "BUILDING")]
    segment: String,
    /// Ordered before it, shipped after it
    #[arg(long, default_value = "1995-03-15")]
    date: Date,
}

#[derive(Record)]
struct Customer {
    c_custkey: i64,
    c_mktsegment: String,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_custkey: i64,
    o_orderdate: Date,
    o_shippriority: i32,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_extendedprice: Money,
    l_discount: Money,
    l_shipdate: Date,
}

fn revenue(line: LineView<'_>) -> Decimal<30, 4> {
    line.l_extendedprice.times(ONE - line.l_discount)
}

#[derive(Record)]
struct Row {
    l_orderkey: i64,
    revenue: Decimal<38, 4>,
    o_orderdate: Date,
    o_shippriority: i32,
}

impl Job for Q3 {
    const NAME: &str = "q3";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let customers = self
            .tables
            .read::<Customer>(flow, "customer")
            .filter_by(|c| c.c_mktsegment.eq(&self.segment))
            .map(|c| (c.c_custkey, ()));
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .filter_by(|c| c.o_orderdate.lt(self.date))
            .map(|o| (o.o_custkey, (o.o_orderkey, o.o_orderdate, o.o_shippriority)))
            .semi_join(&customers)
            .map(|(_, (orderkey, date, priority))| (orderkey, (date, priority)));
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| c.l_shipdate.gt(self.date))
            .aggregate_by(|c| c.l_orderkey, |c| c.computed("revenue", revenue).sum())
            .join(&orders)
            .map(|(l_orderkey, (revenue, (o_orderdate, o_shippriority)))| Row {
                l_orderkey,
                revenue,
                o_orderdate,
                o_shippriority,
            })
            .top(10, |a, b| b.revenue.cmp(&a.revenue).then(a.o_orderdate.cmp(&b.o_orderdate)))
            .write_parquet(&self.tables.output)
    }
}
