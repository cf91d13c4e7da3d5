//! Query 20: suppliers with more of a part than they sell.

use crate::{Money, Tables, later};
use windrow::prelude::*;

/// Suppliers of a nation who have more of a part than half of what they sold of it in a year
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q20 {
    #[command(flatten)]
    tables: Tables,
    /// How the names of parts begin
    #[arg(long, default_value = "forest")]
    color: String,
    /// The year's first day
    #[arg(long, default_value = "1994-01-01")]
    date: Date,
    /// The nation of suppliers
    #[arg(long, default_value = "CANADA")]
    nation: String,
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
    ps_availqty: i32,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_name: String,
    s_address: String,
    s_nationkey: i64,
}

#[derive(Record)]
struct Line {
    l_partkey: i64,
    l_suppkey: i64,
    l_quantity: Money,
    l_shipdate: Date,
}

#[derive(Record)]
struct Row {
    s_name: String,
    s_address: String,
}

impl Job for Q20 {
    const NAME: &str = "q20";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let color = self.color.clone();
        let parts = self
            .tables
            .read::<Part>(flow, "part")
            .filter(move |p| p.p_name.starts_with(&*color))
            .map(|p| (p.p_partkey, ()));
        let sold = self
            .tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| c.l_shipdate.ge(self.date).and(c.l_shipdate.lt(later(self.date, 12))))
            .map(|l| (l.l_partkey, (l.l_suppkey, l.l_quantity)))
            .semi_join(&parts)
            .map(|(part, (supplier, quantity))| ((part, supplier), quantity))
            .sum_by_key();
        let stocked = self
            .tables
            .read::<Offer>(flow, "partsupp")
            .map(|o| (o.ps_partkey, (o.ps_suppkey, o.ps_availqty)))
            .semi_join(&parts)
            .map(|(part, (supplier, pieces))| ((part, supplier), pieces))
            .join(&sold)
            .filter(|(_, (pieces, sold))| f64::from(pieces) > 0.5 * sold.to_f64())
            .map(|((_, supplier), _)| (supplier, ()));
        let nation = self.tables.nation(flow, &self.nation);
        self.tables
            .read::<Supplier>(flow, "supplier")
            .flat_map_with(&nation, |s, nation| {
                nation.get(s.s_nationkey)?;
                Some((s.s_suppkey, (s.s_name.to_string(), s.s_address.to_string())))
            })
            .semi_join(&stocked)
            .map_to::<(String, String)>(|(_, named)| named)
            .sort_by_key()
            .map(|(name, address)| Row { s_name: name.to_string(), s_address: address.to_string() })
            .write_parquet(&self.tables.output)
    }
}
