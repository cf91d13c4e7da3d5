//! Query 9: where a line of parts earns how much.

use crate::{Money, ONE, Tables};
use windrow::prelude::*;

/// The profit with parts of a name, by nation of the supplier and by year
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q9 {
    #[command(flatten)]
    tables: Tables,
    /// What the names of parts contain
    #[arg(long, default_value = "green")]
    color: String,
}

#[derive(Record)]
struct Part {
    p_partkey: i64,
    p_name: String,
}

#[derive(Record)]
struct Offer {
    ps_partkey: i64,
    ps_suppkey: i64,
    ps_supplycost: Money,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_nationkey: i64,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_orderdate: Date,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_partkey: i64,
    l_suppkey: i64,
    l_quantity: Money,
    l_extendedprice: Money,
    l_discount: Money,
}

/// A sum with all the digits that one of these tables can have.
type Profit = Decimal<18, 4>;

#[derive(Record)]
struct Row {
    nation: String,
    o_year: i64,
    sum_profit: Decimal<38, 4>,
}

impl Job for Q9 {
    const NAME: &str = "q9";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let color = self.color.clone();
        let parts = self
            .tables
            .read::<Part>(flow, "part")
            .filter(move |p| p.p_name.contains(&color))
            .map(|p| (p.p_partkey, ()));
        let offers = self
            .tables
            .read::<Offer>(flow, "partsupp")
            .map(|o| ((o.ps_partkey, o.ps_suppkey), o.ps_supplycost));
        let nations = self.tables.nation_names(flow);
        let suppliers =
            self.tables.read::<Supplier>(flow, "supplier").map_with(&nations, |s, nations| {
                (s.s_suppkey, nations.get(s.s_nationkey).unwrap_or_default().to_string())
            });
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .map(|o| (o.o_orderkey, i64::from(o.o_orderdate.year())));
        self.tables
            .read::<Line>(flow, "lineitem")
            .map(|l| {
                let worth: Profit = l.l_extendedprice.times(ONE - l.l_discount);
                (l.l_partkey, (l.l_suppkey, l.l_orderkey, l.l_quantity, worth))
            })
            .semi_join(&parts)
            .map(|(part, (supplier, order, quantity, worth))| {
                ((part, supplier), (order, quantity, worth))
            })
            .join(&offers)
            .map(|((_, supplier), ((order, quantity, worth), cost))| {
                let cost: Profit = cost.times(quantity);
                (order, (supplier, worth - cost))
            })
            .join(&orders)
            .map(|(_, ((supplier, profit), year))| (supplier, (year, profit)))
            .join(&suppliers)
            .map_to::<((String, i64), Profit)>(|(_, ((year, profit), nation))| {
                // The latest year of a nation comes first.
                ((nation, -year), profit)
            })
            .sum_by_key()
            .sort_by_key()
            .map(|((nation, year), sum_profit)| Row {
                nation: nation.to_string(),
                o_year: -year,
                sum_profit,
            })
            .write_parquet(&self.tables.output)
    }
}
