//! Query 11: the stock that matters.

use crate::{Money, Tables};
use windrow::prelude::*;

/// Parts that are more than a fraction of all that a nation's suppliers have in stock, by their worth
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q11 {
    #[command(flatten)]
    tables: Tables,
    /// The nation of suppliers
    #[arg(long, default_value = "GERMANY")]
    nation: String,
    /// The fraction: 0.0001 by the scale of the tables
    #[arg(long, default_value_t = 0.0001)]
    fraction: f64,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_nationkey: i64,
}

#[derive(Record)]
struct Offer {
    ps_partkey: i64,
    ps_suppkey: i64,
    ps_availqty: i32,
    ps_supplycost: Money,
}

#[derive(Record)]
struct Row {
    ps_partkey: i64,
    value: Decimal<38, 2>,
}

impl Job for Q11 {
    const NAME: &str = "q11";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let nation = self.tables.nation(flow, &self.nation);
        let suppliers =
            self.tables.read::<Supplier>(flow, "supplier").flat_map_with(&nation, |s, nation| {
                nation.get(s.s_nationkey).map(|_| (s.s_suppkey, ()))
            });
        let values = self
            .tables
            .read::<Offer>(flow, "partsupp")
            .map(|o| -> (i64, (i64, Decimal<18, 2>)) {
                let pieces = Decimal::<10, 0>::whole(i64::from(o.ps_availqty));
                (o.ps_suppkey, (o.ps_partkey, o.ps_supplycost.times(pieces)))
            })
            .semi_join(&suppliers)
            .map(|(_, of_part)| of_part)
            .sum_by_key();
        let all = values.aggregate(|c| c.1.sum()).map(|all| ((), all)).broadcast();
        let fraction = self.fraction;
        values
            .flat_map_with(&all, move |(part, value), all| {
                let matters = value.to_f64() > all.get(())?.to_f64() * fraction;
                // The greatest comes first.
                matters.then(|| (Decimal::default() - value, part))
            })
            .sort_by_key()
            .map(|(less, ps_partkey)| Row { ps_partkey, value: Decimal::default() - less })
            .write_parquet(&self.tables.output)
    }
}
