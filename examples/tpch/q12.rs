//! Query 12: whether cheap ways of shipping make urgent orders late.

use crate::{Tables, later};
use windrow::prelude::*;

/// Lines that came late, by the way they were shipped, of urgent orders and of others
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q12 {
    #[command(flatten)]
    tables: Tables,
    /// A way of shipping
    #[arg(long, default_value = "MAIL")]
    shipmode1: String,
    /// Another way of shipping
    #[arg(long, default_value = "SHIP")]
    shipmode2: String,
    /// The first day of the year of receipt
    #[arg(long, default_value = "1994-01-01")]
    date: Date,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_orderpriority: String,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_shipdate: Date,
    l_commitdate: Date,
    l_receiptdate: Date,
    l_shipmode: String,
}

/// A line, with what its order says.
#[derive(Record)]
struct Late {
    l_shipmode: String,
    urgent: bool,
}

#[derive(Record)]
struct Row {
    l_shipmode: String,
    high_line_count: i64,
    low_line_count: i64,
}

impl Job for Q12 {
    const NAME: &str = "q12";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .map(|o| (o.o_orderkey, ["1-URGENT", "2-HIGH"].contains(&o.o_orderpriority)));
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| {
                let in_year =
                    c.l_receiptdate.ge(self.date).and(c.l_receiptdate.lt(later(self.date, 12)));
                in_year.and(c.l_shipmode.is_in([&*self.shipmode1, &*self.shipmode2]))
            })
            .filter(|l| l.l_shipdate < l.l_commitdate && l.l_commitdate < l.l_receiptdate)
            .map_to::<(i64, String)>(|l| (l.l_orderkey, l.l_shipmode))
            .join(&orders)
            .map_to::<Late>(|(_, (l_shipmode, urgent))| LateView { l_shipmode, urgent })
            .aggregate_by(
                |c| c.l_shipmode,
                |c| {
                    (
                        c.computed("high_line", |l| i64::from(l.urgent)).sum(),
                        c.computed("low_line", |l| i64::from(!l.urgent)).sum(),
                    )
                },
            )
            .sort_by_key()
            .map(|(l_shipmode, (high_line_count, low_line_count))| Row {
                l_shipmode: l_shipmode.to_string(),
                high_line_count,
                low_line_count,
            })
            .write_parquet(&self.tables.output)
    }
}
