//! Query 21: suppliers who kept orders waiting.

use crate::Tables;
use windrow::prelude::*;

/// The hundred suppliers of a nation who, alone among several of an order, most often delivered late
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q21 {
    #[command(flatten)]
    tables: Tables,
    /// The nation of suppliers
    #[arg(long, default_value = "SAUDI ARABIA")]
    nation: String,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_name: String,
    s_nationkey: i64,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_orderstatus: String,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_suppkey: i64,
    l_commitdate: Date,
    l_receiptdate: Date,
}

/// The supplier of a line that came late.
fn late(line: LineView<'_>) -> Option<i64> {
    (line.l_receiptdate > line.l_commitdate).then_some(line.l_suppkey)
}

#[derive(Record)]
struct Row {
    s_name: String,
    numwait: i64,
}

impl Job for Q21 {
    const NAME: &str = "q21";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .filter_by(|c| c.o_orderstatus.eq("F"))
            .map(|o| (o.o_orderkey, ()));
        let nation = self.tables.nation(flow, &self.nation);
        let suppliers =
            self.tables.read::<Supplier>(flow, "supplier").flat_map_with(&nation, |s, nation| {
                nation.get(s.s_nationkey).map(|_| (s.s_suppkey, s.s_name.to_string()))
            });
        self.tables
            .read::<Line>(flow, "lineitem")
            .aggregate_by(
                |c| c.l_orderkey,
                |c| {
                    (
                        (c.l_suppkey.min(), c.l_suppkey.max()),
                        (c.computed("late", late).min(), c.computed("late", late).max()),
                        c.computed("late", late).count(),
                    )
                },
            )
            .semi_join(&orders)
            // Several suppliers, of whom just one was late.
            .flat_map(|(_, ((first, last), (first_late, last_late), lines))| {
                (first != last && first_late == last_late)
                    .then_some(first_late)
                    .flatten()
                    .map(|supplier| (supplier, lines))
            })
            .sum_by_key()
            .join(&suppliers)
            .map(|(_, (lines, name))| Row { s_name: name.to_string(), numwait: lines as i64 })
            .top(100, |a, b| b.numwait.cmp(&a.numwait).then(a.s_name.cmp(b.s_name)))
            .write_parquet(&self.tables.output)
    }
}
