//! Query 17: what small orders bring.

use crate::{Money, Tables};
use windrow::prelude::*;

/// The yearly revenue with lines of less than a fifth of the usual quantity of their part
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q17 {
    #[command(flatten)]
    tables: Tables,
    /// The brand of parts
    #[arg(long, default_value = "Brand#23")]
    brand: String,
    /// What they come in
    #[arg(long, default_value = "MED BOX")]
    container: String,
}

#[derive(Record)]
struct Part {
    p_partkey: i64,
    p_brand: String,
    p_container: String,
}

#[derive(Record)]
struct Line {
    l_partkey: i64,
    l_quantity: Money,
    l_extendedprice: Money,
}

#[derive(Record)]
struct Row {
    avg_yearly: f64,
}

impl Job for Q17 {
    const NAME: &str = "q17";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let parts = self
            .tables
            .read::<Part>(flow, "part")
            .filter_by(|c| c.p_brand.eq(&self.brand).and(c.p_container.eq(&self.container)))
            .map(|p| (p.p_partkey, ()));
        self.tables
            .read::<Line>(flow, "lineitem")
            .map(|l| (l.l_partkey, (l.l_quantity, l.l_extendedprice)))
            .semi_join(&parts)
            .group_by_key()
            .flat_map(|_, lines| {
                let lines: Vec<(Money, Money)> = lines.collect();
                let pieces: f64 = lines.iter().map(|(quantity, _)| quantity.to_f64()).sum();
                let few = 0.2 * (pieces / lines.len() as f64);
                let small = lines.into_iter().filter(move |(quantity, _)| quantity.to_f64() < few);
                small.map(|(_, price)| (price, ()))
            })
            .aggregate(|c| c.0.sum())
            .map(|all| Row { avg_yearly: all.to_f64() / 7.0 })
            .write_parquet(&self.tables.output)
    }
}
