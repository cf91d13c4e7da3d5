//! Query 8: the share of a nation in the market of its region.

use crate::{Money, ONE, Tables, two_years};
use windrow::prelude::*;

/// By year, which part of the revenue with a kind of part in a region is a nation's
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q8 {
    #[command(flatten)]
    tables: Tables,
    /// The nation of suppliers
    #[arg(long, default_value = "BRAZIL")]
    nation: String,
    /// The region of customers
    #[arg(long, default_value = "AMERICA")]
    region: String,
    /// The type of parts
    #[arg(long = "type", default_value = "ECONOMY ANODIZED STEEL")]
    kind: String,
}

#[derive(Record)]
struct Part {
    p_partkey: i64,
    p_type: String,
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
    o_orderdate: Date,
}

#[derive(Record)]
struct Line {
    l_orderkey: i64,
    l_partkey: i64,
    l_suppkey: i64,
    l_extendedprice: Money,
    l_discount: Money,
}

/// What was sold, and whether by the nation.
#[derive(Record)]
struct Sold {
    year: i64,
    worth: Decimal<18, 4>,
    national: bool,
}

#[derive(Record)]
struct Row {
    o_year: i64,
    mkt_share: f64,
}

impl Job for Q8 {
    const NAME: &str = "q8";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let region = self.tables.nations_of(flow, &self.region).broadcast();
        let nation = self.tables.nation(flow, &self.nation);
        let parts = self
            .tables
            .read::<Part>(flow, "part")
            .filter_by(|c| c.p_type.eq(&self.kind))
            .map(|p| (p.p_partkey, ()));
        let suppliers = self
            .tables
            .read::<Supplier>(flow, "supplier")
            .map_with(&nation, |s, nation| (s.s_suppkey, nation.get(s.s_nationkey).is_some()));
        let customers =
            self.tables.read::<Customer>(flow, "customer").flat_map_with(&region, |c, region| {
                region.get(c.c_nationkey).map(|_| (c.c_custkey, ()))
            });
        let (first, last) = two_years();
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .filter_by(|c| c.o_orderdate.ge(first).and(c.o_orderdate.le(last)))
            .map(|o| (o.o_custkey, (o.o_orderkey, i64::from(o.o_orderdate.year()))))
            .semi_join(&customers)
            .map(|(_, order)| order);
        self.tables
            .read::<Line>(flow, "lineitem")
            .map(|l| {
                let worth: Decimal<18, 4> = l.l_extendedprice.times(ONE - l.l_discount);
                (l.l_partkey, (l.l_orderkey, l.l_suppkey, worth))
            })
            .semi_join(&parts)
            .map(|(_, (order, supplier, worth))| (order, (supplier, worth)))
            .join(&orders)
            .map(|(_, ((supplier, worth), year))| (supplier, (year, worth)))
            .join(&suppliers)
            .map(|(_, ((year, worth), national))| Sold { year, worth, national })
            .aggregate_by(
                |c| c.year,
                |c| {
                    let national =
                        |s: SoldView<'_>| if s.national { s.worth } else { Decimal::default() };
                    (c.computed("national", national).sum(), c.worth.sum())
                },
            )
            .sort_by_key()
            .map(|(o_year, (national, all))| Row {
                o_year,
                mkt_share: national.to_f64() / all.to_f64(),
            })
            .write_parquet(&self.tables.output)
    }
}
