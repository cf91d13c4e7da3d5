//! Query 4: whether the priorities of orders are kept.

use crate::{Tables, later};
use windrow::prelude::*;

/// Orders of a quarter of which a line came late, by priority
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q4 {
    #[command(flatten)]
    tables: Tables,
    /// The quarter's first day
    #[arg(long, default_value = "1993-07-01")]
    date: Date,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_orderdate: Date,
    o_orderpriority: String,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_commitdate: Date,
    l_receiptdate: Date,
}

#[derive(Record)]
struct Row {
    o_orderpriority: String,
    order_count: i64,
}

impl Job for Q4 {
    const NAME: &str = "q4";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let late = self
            .tables
            .read::<Line>(flow, "lineitem")
            .filter(|l| l.l_commitdate < l.l_receiptdate)
            .map(|l| (l.l_orderkey, ()));
        self.tables
            .read::<Order>(flow, "orders")
            .filter_by(|c| c.o_orderdate.ge(self.date).and(c.o_orderdate.lt(later(self.date, 3))))
            .map_to::<(i64, String)>(|o| (o.o_orderkey, o.o_orderpriority))
            .semi_join(&late)
            .map_to::<String>(|(_, priority)| priority)
            .count_by_value()
            .sort_by_key()
            .map(|(priority, orders)| Row {
                o_orderpriority: priority.to_string(),
                order_count: orders as i64,
            })
            .write_parquet(&self.tables.output)
    }
}
