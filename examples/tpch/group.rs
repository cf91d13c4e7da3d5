//! Groups of high cardinality over `lineitem`: no queries of the specification, but what makes a table of groups work.
//! The answer is a few numbers that depend on all groups.

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
