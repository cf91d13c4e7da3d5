//! Query 13: how many orders customers have.

use crate::{Tables, has_both};
use windrow::prelude::*;

/// How many customers have how many orders, without those whose comment has two words
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q13 {
    #[command(flatten)]
    tables: Tables,
    /// A word
    #[arg(long, default_value = "special")]
    word1: String,
    /// A word behind it
    #[arg(long, default_value = "requests")]
    word2: String,
}

#[derive(Record)]
struct Customer {
    c_custkey: i64,
}

#[derive(Record)]
struct Order {
    o_custkey: i64,
    o_comment: String,
}

#[derive(Record)]
struct Row {
    c_count: i64,
    custdist: i64,
}

impl Job for Q13 {
    const NAME: &str = "q13";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let (first, second) = (self.word1.clone(), self.word2.clone());
        let orders = self
            .tables
            .read::<Order>(flow, "orders")
            .filter(move |o| !has_both(o.o_comment, &first, &second))
            .map(|o| o.o_custkey)
            .count_by_value();
        self.tables
            .read::<Customer>(flow, "customer")
            .map(|c| (c.c_custkey, ()))
            .left_join(&orders)
            .map(|(_, ((), orders))| orders.unwrap_or_default() as i64)
            .count_by_value()
            // The greatest come first.
            .map(|(orders, customers)| ((-(customers as i64), -orders), ()))
            .sort_by_key()
            .map(|((customers, orders), ())| Row { c_count: -orders, custdist: -customers })
            .write_parquet(&self.tables.output)
    }
}
