//! Groups of high cardinality over `lineitem`, of low cardinality, and a join of all lines with all orders: no queries of
//! the specification, but what makes one operator work. The answer is a few numbers that depend on all groups.

use crate::{Money, Tables};
use windrow::prelude::*;

/// Pieces and lines of each order, checked
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct ByOrder {
    #[command(flatten)]
    tables: Tables,
}

/// Pieces and lines by part and supplier, checked
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct ByPart {
    #[command(flatten)]
    tables: Tables,
}

/// Pieces and lines by the way of shipping
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct ByMode {
    #[command(flatten)]
    tables: Tables,
}

/// Prices and lines by the priority of their orders
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct ByPriority {
    #[command(flatten)]
    tables: Tables,
}

#[derive(Record)]
struct OrderLine {
    l_orderkey: i64,
    l_quantity: Money,
}

#[derive(Record)]
struct PartLine {
    l_partkey: i64,
    l_suppkey: i64,
    l_quantity: Money,
}

#[derive(Record)]
struct ModeLine {
    l_quantity: Money,
    l_shipmode: String,
}

#[derive(Record)]
struct OfMode {
    l_shipmode: String,
    lines: i64,
    pieces: Decimal<38, 2>,
}

#[derive(Record)]
struct PriceLine {
    l_orderkey: i64,
    l_extendedprice: Money,
}

#[derive(Record)]
struct Order {
    o_orderkey: i64,
    o_orderpriority: String,
}

/// A line's price, with what its order says.
#[derive(Record)]
struct Ordered {
    o_orderpriority: String,
    price: Money,
}

#[derive(Record)]
struct OfPriority {
    o_orderpriority: String,
    lines: i64,
    price: Decimal<38, 2>,
}

#[derive(Record)]
struct Check {
    groups: i64,
    lines: i64,
    most: Decimal<38, 2>,
    mark: i64,
}

/// A group's key, pieces and lines.
type Group<K> = (K, (Decimal<38, 2>, u64));

/// The numbers of all groups, where `mark` tells their keys apart.
fn check<K: Key>(
    groups: &Dataset<Group<K>>,
    mark: impl for<'a> Fn(K::View<'a>) -> i64 + Send + Sync + 'static,
    output: &Location,
) -> Result<()> {
    groups
        .aggregate(|c| {
            (
                c.count(),
                c.computed("lines", |(_, (_, lines))| lines).sum(),
                c.computed("pieces", |(_, (pieces, _))| pieces).max(),
                c.computed("mark", move |(key, (_, lines))| mark(key) * lines as i64).sum(),
            )
        })
        .map(|(groups, lines, most, mark)| Check {
            groups: groups as i64,
            lines: lines as i64,
            most,
            mark,
        })
        .write_parquet(output)
}

impl Job for ByOrder {
    const NAME: &str = "by-order";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let orders = self
            .tables
            .read::<OrderLine>(flow, "lineitem")
            .aggregate_by(|c| c.l_orderkey, |c| (c.l_quantity.sum(), c.count()));
        check(&orders, |order| order % 1009, &self.tables.output)
    }
}

impl Job for ByPart {
    const NAME: &str = "by-part";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let parts = self
            .tables
            .read::<PartLine>(flow, "lineitem")
            .aggregate_by(|c| (c.l_partkey, c.l_suppkey), |c| (c.l_quantity.sum(), c.count()));
        check(&parts, |(part, supplier)| (part + 7 * supplier) % 1009, &self.tables.output)
    }
}

impl Job for ByMode {
    const NAME: &str = "by-mode";

    fn plan(&self, flow: &Flow) -> Result<()> {
        self.tables
            .read::<ModeLine>(flow, "lineitem")
            .aggregate_by(|c| c.l_shipmode, |c| (c.count(), c.l_quantity.sum()))
            .sort_by_key()
            .map(|(l_shipmode, (lines, pieces))| OfMode {
                l_shipmode: l_shipmode.to_string(),
                lines: lines as i64,
                pieces,
            })
            .write_parquet(&self.tables.output)
    }
}

impl Job for ByPriority {
    const NAME: &str = "by-priority";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .map_to::<(i64, String)>(|o| (o.o_orderkey, o.o_orderpriority));
        self.tables
            .read::<PriceLine>(flow, "lineitem")
            .map(|l| (l.l_orderkey, l.l_extendedprice))
            .join(&orders)
            .map_to::<Ordered>(|(_, (price, o_orderpriority))| OrderedView {
                o_orderpriority,
                price,
            })
            .aggregate_by(|c| c.o_orderpriority, |c| (c.count(), c.price.sum()))
            .sort_by_key()
            .map(|(o_orderpriority, (lines, price))| OfPriority {
                o_orderpriority: o_orderpriority.to_string(),
                lines: lines as i64,
                price,
            })
            .write_parquet(&self.tables.output)
    }
}
