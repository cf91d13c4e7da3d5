//! Query 7: what two nations sell to one another.

use crate::{Money, ONE, Tables, two_years};
use windrow::prelude::*;

/// The revenue of two years that went from one of two nations to the other, by both and by year
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q7 {
    #[command(flatten)]
    tables: Tables,
    /// A nation
    #[arg(long, default_value = "FRANCE")]
    nation1: String,
    /// Another nation
    #[arg(long, default_value = "GERMANY")]
    nation2: String,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_nationkey: i64,
}

#[derive(Record)]
struct Customer {
    c_custkey: i64,
    c_nationkey: i64,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_custkey: i64,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_suppkey: i64,
    l_extendedprice: Money,
    l_discount: Money,
    l_shipdate: Date,
}

/// What was sold: year and worth.
type Sold = (i64, Decimal<18, 4>);

#[derive(Record)]
struct Row {
    supp_nation: String,
    cust_nation: String,
    l_year: i64,
    revenue: Decimal<38, 4>,
}

impl Job for Q7 {
    const NAME: &str = "q7";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let nations = self
            .tables
            .nations(flow)
            .filter_by(|c| c.n_name.is_in([&*self.nation1, &*self.nation2]))
            .map_to::<(i64, String)>(|n| (n.n_nationkey, n.n_name))
            .broadcast();
        let suppliers =
            self.tables.read::<Supplier>(flow, "supplier").flat_map_with(&nations, |s, nations| {
                Some((s.s_suppkey, nations.get(s.s_nationkey)?.to_string()))
            });
        let customers =
            self.tables.read::<Customer>(flow, "customer").flat_map_with(&nations, |c, nations| {
                Some((c.c_custkey, nations.get(c.c_nationkey)?.to_string()))
            });
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .map(|o| (o.o_custkey, o.o_orderkey))
            .join(&customers)
            .map_to::<(i64, String)>(|(_, (order, nation))| (order, nation));
        let (first, last) = two_years();
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| c.l_shipdate.ge(first).and(c.l_shipdate.le(last)))
            .map(|l| -> (i64, (i64, Sold)) {
                let worth = l.l_extendedprice.times(ONE - l.l_discount);
                (l.l_suppkey, (l.l_orderkey, (i64::from(l.l_shipdate.year()), worth)))
            })
            .join(&suppliers)
            .map_to::<(i64, (Sold, String))>(|(_, ((order, sold), nation))| (order, (sold, nation)))
            .join(&orders)
            .filter(|(_, ((_, seller), buyer))| seller != buyer)
            .map_to::<((String, String, i64), Decimal<18, 4>)>(
                |(_, (((year, worth), seller), buyer))| ((seller, buyer, year), worth),
            )
            .sum_by_key()
            .sort_by_key()
            .map(|((seller, buyer, l_year), revenue)| Row {
                supp_nation: seller.to_string(),
                cust_nation: buyer.to_string(),
                l_year,
                revenue,
            })
            .write_parquet(&self.tables.output)
    }
}
