//! Query 5: what is sold within the nations of a region.

use crate::{Money, ONE, Tables, later};
use windrow::prelude::*;

/// The revenue of a year, by nation of a region, of lines whose customer and supplier are of that nation
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q5 {
    #[command(flatten)]
    tables: Tables,
    /// The region
    #[arg(long, default_value = "ASIA")]
    region: String,
    /// The year's first day
    #[arg(long, default_value = "1994-01-01")]
    date: Date,
}

#[derive(Record)]
struct Customer {
    c_custkey: i64,
    c_nationkey: i64,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_nationkey: i64,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_custkey: i64,
    o_orderdate: Date,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_suppkey: i64,
    l_extendedprice: Money,
    l_discount: Money,
}

#[derive(Record)]
struct Row {
    n_name: String,
    revenue: Decimal<38, 4>,
}

impl Job for Q5 {
    const NAME: &str = "q5";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let nations = self.tables.nations_of(flow, &self.region).broadcast();
        let customers =
            self.tables.read::<Customer>(flow, "customer").flat_map_with(&nations, |c, nations| {
                nations.get(c.c_nationkey).map(|_| (c.c_custkey, c.c_nationkey))
            });
        let suppliers =
            self.tables.read::<Supplier>(flow, "supplier").map(|s| (s.s_suppkey, s.s_nationkey));
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .filter_by(|c| c.o_orderdate.ge(self.date).and(c.o_orderdate.lt(later(self.date, 12))))
            .map(|o| (o.o_custkey, o.o_orderkey))
            .join(&customers)
            .map(|(_, (order, nation))| (order, nation));
        self.tables
            .read::<Line>(flow, "lineitem")
            .map(|l| -> (i64, (i64, Decimal<18, 4>)) {
                (l.l_orderkey, (l.l_suppkey, l.l_extendedprice.times(ONE - l.l_discount)))
            })
            .join(&orders)
            .map(|(_, ((supplier, revenue), nation))| (supplier, (nation, revenue)))
            .join(&suppliers)
            .filter(|(_, ((of_customer, _), of_supplier))| of_customer == of_supplier)
            .map(|(_, ((nation, revenue), _))| (nation, revenue))
            .sum_by_key()
            .map_with(&nations, |(nation, revenue), nations| Row {
                n_name: nations.get(nation).unwrap_or_default().to_string(),
                revenue,
            })
            .top(25, |a, b| b.revenue.cmp(&a.revenue))
            .write_parquet(&self.tables.output)
    }
}
