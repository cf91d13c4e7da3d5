//! Query 2: where a part is cheapest.

use crate::{Money, Tables};
use windrow::prelude::*;

/// Suppliers of a region who sell a kind of part at its least price there, the hundred with most on their accounts
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q2 {
    #[command(flatten)]
    tables: Tables,
    /// The size of parts
    #[arg(long, default_value_t = 15)]
    size: i32,
    /// How their type ends
    #[arg(long = "type", default_value = "BRASS")]
    kind: String,
    /// The region of suppliers
    #[arg(long, default_value = "EUROPE")]
    region: String,
}

#[derive(Record)]
struct Part {
    p_partkey: i64,
    p_mfgr: String,
    p_type: String,
    p_size: i32,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_name: String,
    s_address: String,
    s_nationkey: i64,
    s_phone: String,
    s_acctbal: Money,
    s_comment: String,
}

#[derive(Record)]
struct Offer {
    ps_partkey: i64,
    ps_suppkey: i64,
    ps_supplycost: Money,
}

#[derive(Record)]
struct Row {
    s_acctbal: Money,
    s_name: String,
    n_name: String,
    p_partkey: i64,
    p_mfgr: String,
    s_address: String,
    s_phone: String,
    s_comment: String,
}

impl Job for Q2 {
    const NAME: &str = "q2";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let kind = self.kind.clone();
        let parts = self
            .tables
            .read::<Part>(flow, "part")
            .filter_by(|c| c.p_size.eq(self.size))
            .filter(move |p| p.p_type.ends_with(&kind))
            .map_to::<(i64, String)>(|p| (p.p_partkey, p.p_mfgr));
        let nations = self.tables.nations_of(flow, &self.region).broadcast();
        let suppliers =
            self.tables.read::<Supplier>(flow, "supplier").flat_map_with(&nations, |s, nations| {
                let row = Row {
                    s_acctbal: s.s_acctbal,
                    s_name: s.s_name.to_string(),
                    n_name: nations.get(s.s_nationkey)?.to_string(),
                    p_partkey: 0,
                    p_mfgr: String::new(),
                    s_address: s.s_address.to_string(),
                    s_phone: s.s_phone.to_string(),
                    s_comment: s.s_comment.to_string(),
                };
                Some((s.s_suppkey, row))
            });
        self.tables
            .read::<Offer>(flow, "partsupp")
            .map(|o| (o.ps_partkey, (o.ps_suppkey, o.ps_supplycost)))
            .join(&parts)
            .map_to::<(i64, (i64, Money, String))>(|(part, ((supplier, cost), mfgr))| {
                (supplier, (part, cost, mfgr))
            })
            .join(&suppliers)
            .map(|(_, ((part, cost, mfgr), supplier))| {
                let row = Row { p_partkey: part, p_mfgr: mfgr.to_string(), ..Row::own(supplier) };
                (part, (cost, row))
            })
            .group_by_key()
            .flat_map(|_, offers| {
                let mut offers: Vec<(Money, Row)> = offers.collect();
                let least = offers.iter().map(|(cost, _)| *cost).min();
                offers.retain(|(cost, _)| Some(*cost) == least);
                offers.into_iter().map(|(_, row)| row)
            })
            .top(100, |a, b| {
                b.s_acctbal
                    .cmp(&a.s_acctbal)
                    .then_with(|| (a.n_name, a.s_name).cmp(&(b.n_name, b.s_name)))
                    .then(a.p_partkey.cmp(&b.p_partkey))
            })
            .write_parquet(&self.tables.output)
    }
}
