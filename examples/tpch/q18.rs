//! Query 18: customers who ordered much at a time.

use crate::{Money, Tables};
use windrow::prelude::*;

/// The hundred dearest of all orders of many pieces, with their customers
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q18 {
    #[command(flatten)]
    tables: Tables,
    /// More pieces than this
    #[arg(long, default_value = "300")]
    quantity: Decimal<38, 2>,
}

#[derive(Record)]
struct Customer {
    c_custkey: i64,
    c_name: String,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_custkey: i64,
    o_totalprice: Money,
    o_orderdate: Date,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_quantity: Money,
}

#[derive(Record)]
struct Row {
    c_name: String,
    c_custkey: i64,
    o_orderkey: i64,
    o_orderdate: Date,
    o_totalprice: Money,
    #[record(rename = "sum(l_quantity)")]
    sum_quantity: Decimal<38, 2>,
}

impl Job for Q18 {
    const NAME: &str = "q18";

    fn plan(&self, flow: &Flow) -> Result<()> {
        // They are few: every task may have them whole.
        let large = self
            .tables
            .read::<Line>(flow, "lineitem")
            .aggregate_by(|c| c.l_orderkey, |c| c.l_quantity.sum())
            .filter_by(|c| c.1.gt(self.quantity))
            .broadcast();
        let customers = self
            .tables
            .read::<Customer>(flow, "customer")
            .map_to::<(i64, String)>(|c| (c.c_custkey, c.c_name));
        self.tables
            .read::<Order>(flow, "orders")
            .flat_map_with(&large, |o, large| {
                let quantity = large.get(o.o_orderkey)?;
                Some((o.o_custkey, (o.o_orderkey, o.o_orderdate, o.o_totalprice, quantity)))
            })
            .join(&customers)
            .map(|(c_custkey, ((o_orderkey, o_orderdate, o_totalprice, sum_quantity), c_name))| {
                Row {
                    c_name: c_name.to_string(),
                    c_custkey,
                    o_orderkey,
                    o_orderdate,
                    o_totalprice,
                    sum_quantity,
                }
            })
            .top(100, |a, b| {
                b.o_totalprice.cmp(&a.o_totalprice).then(a.o_orderdate.cmp(&b.o_orderdate))
            })
            .write_parquet(&self.tables.output)
    }
}
