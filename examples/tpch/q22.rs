//! Query 22: customers worth calling.

use crate::{Money, Tables};
use windrow::prelude::*;

/// Customers of some countries who have more than most on their accounts, and no orders, by country
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q22 {
    #[command(flatten)]
    tables: Tables,
    /// The codes of the countries
    #[arg(long, value_delimiter = ',', default_value = "13,31,23,29,30,18,17")]
    codes: Vec<String>,
}

#[derive(Record)]
struct Customer {
    c_custkey: i64,
    c_phone: String,
    c_acctbal: Money,
}

#[derive(Record)]
struct Order {
    o_custkey: i64,
}

#[derive(Record)]
struct Caller {
    code: String,
    acctbal: Money,
}

#[derive(Record)]
struct Row {
    cntrycode: String,
    numcust: i64,
    totacctbal: Decimal<38, 2>,
}

/// The country that a phone number is of.
fn code(phone: &str) -> &str {
    phone.get(..2).unwrap_or_default()
}

impl Job for Q22 {
    const NAME: &str = "q22";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let codes = self.codes.clone();
        let customers = self
            .tables
            .read::<Customer>(flow, "customer")
            .filter(move |c| codes.iter().any(|wanted| wanted == code(c.c_phone)));
        let usual = customers
            .filter_by(|c| c.c_acctbal.gt(Money::default()))
            .aggregate(|c| c.c_acctbal.mean())
            .map(|usual| ((), usual))
            .broadcast();
        let orders = self.tables.read::<Order>(flow, "orders").map(|o| (o.o_custkey, ()));
        customers
            .flat_map_with(&usual, |c, usual| {
                let caller = Caller { code: code(c.c_phone).to_string(), acctbal: c.c_acctbal };
                (c.c_acctbal.to_f64() > usual.get(())?).then_some((c.c_custkey, caller))
            })
            .anti_join(&orders)
            .map_to::<Caller>(|(_, caller)| caller)
            .aggregate_by(|c| c.code, |c| (c.count(), c.acctbal.sum()))
            .sort_by_key()
            .map(|(code, (customers, totacctbal))| Row {
                cntrycode: code.to_string(),
                numcust: customers as i64,
                totacctbal,
            })
            .write_parquet(&self.tables.output)
    }
}
