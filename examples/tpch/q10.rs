//! Query 10: the customers who returned most.

use crate::{Money, ONE, Tables, later};
use windrow::prelude::*;

/// The twenty customers who returned the most revenue of a quarter's orders
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q10 {
    #[command(flatten)]
    tables: Tables,
    /// The quarter's first day
    #[arg(long, default_value = "1993-10-01")]
    date: Date,
}

#[derive(Record)]
struct Customer {
    c_custkey: i64,
    c_name: String,
    c_acctbal: Money,
    c_phone: String,
    c_nationkey: i64,
    c_address: String,
    c_comment: String,
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
    l_extendedprice: Money,
    l_discount: Money,
    l_returnflag: String,
}

#[derive(Record)]
struct Row {
    c_custkey: i64,
    c_name: String,
    revenue: Decimal<38, 4>,
    c_acctbal: Money,
    n_name: String,
    c_address: String,
    c_phone: String,
    c_comment: String,
}

impl Job for Q10 {
    const NAME: &str = "q10";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .filter_by(|c| c.o_orderdate.ge(self.date).and(c.o_orderdate.lt(later(self.date, 3))))
            .map(|o| (o.o_orderkey, o.o_custkey));
        let nations = self.tables.nation_names(flow);
        let customers = self
            .tables
            .read::<Customer>(flow, "customer")
            .map_to::<(i64, Customer)>(|c| (c.c_custkey, c));
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| c.l_returnflag.eq("R"))
            .map(|l| -> (i64, Decimal<18, 4>) {
                (l.l_orderkey, l.l_extendedprice.times(ONE - l.l_discount))
            })
            .join(&orders)
            .map(|(_, (revenue, customer))| (customer, revenue))
            .sum_by_key()
            .join(&customers)
            .map_with(&nations, |(c_custkey, (revenue, c)), nations| Row {
                c_custkey,
                c_name: c.c_name.to_string(),
                revenue,
                c_acctbal: c.c_acctbal,
                n_name: nations.get(c.c_nationkey).unwrap_or_default().to_string(),
                c_address: c.c_address.to_string(),
                c_phone: c.c_phone.to_string(),
                c_comment: c.c_comment.to_string(),
            })
            .top(20, |a, b| b.revenue.cmp(&a.revenue))
            .write_parquet(&self.tables.output)
    }
}
