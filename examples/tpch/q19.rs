//! Query 19: the revenue with parts that are sold by hand.

use crate::{Money, ONE, Tables};
use windrow::prelude::*;

/// The revenue with lines of three kinds that were handed over in person
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q19 {
    #[command(flatten)]
    tables: Tables,
    /// The brand of small parts
    #[arg(long, default_value = "Brand#12")]
    brand1: String,
    /// The brand of medium parts
    #[arg(long, default_value = "Brand#23")]
    brand2: String,
    /// The brand of large parts
    #[arg(long, default_value = "Brand#34")]
    brand3: String,
    /// The least quantity of small parts
    #[arg(long, default_value_t = 1)]
    quantity1: i64,
    /// The least quantity of medium parts
    #[arg(long, default_value_t = 10)]
    quantity2: i64,
    /// The least quantity of large parts
    #[arg(long, default_value_t = 20)]
    quantity3: i64,
}

#[derive(Record)]
struct Part {
    p_partkey: i64,
    p_brand: String,
    p_size: i32,
    p_container: String,
}

#[derive(Record)]
struct Line {
    l_partkey: i64,
    l_quantity: Money,
    l_extendedprice: Money,
    l_discount: Money,
    l_shipinstruct: String,
    l_shipmode: String,
}

#[derive(Record)]
struct Row {
    revenue: Decimal<38, 4>,
}

/// The containers and the most size of a kind of part.
const KINDS: [([&str; 4], i32); 3] = [
    (["SM CASE", "SM BOX", "SM PACK", "SM PKG"], 5),
    (["MED BAG", "MED BOX", "MED PKG", "MED PACK"], 10),
    (["LG CASE", "LG BOX", "LG PACK", "LG PKG"], 15),
];

impl Job for Q19 {
    const NAME: &str = "q19";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let brands = [self.brand1.clone(), self.brand2.clone(), self.brand3.clone()];
        let least = [self.quantity1, self.quantity2, self.quantity3].map(Money::whole);
        // Each part with the least quantity that counts: it is of one kind at most.
        let parts = self.tables.read::<Part>(flow, "part").flat_map(move |p| {
            let kinds = brands.iter().zip(KINDS).zip(least);
            let mut of = kinds.filter(|((brand, (containers, most)), _)| {
                p.p_brand == **brand
                    && containers.contains(&p.p_container)
                    && (1..=*most).contains(&p.p_size)
            });
            of.next().map(|(_, least)| (p.p_partkey, least))
        });
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| {
                let by_air = c.l_shipmode.is_in(["AIR", "AIR REG"]);
                by_air.and(c.l_shipinstruct.eq("DELIVER IN PERSON"))
            })
            .map(|l| -> (i64, (Money, Decimal<18, 4>)) {
                (l.l_partkey, (l.l_quantity, l.l_extendedprice.times(ONE - l.l_discount)))
            })
            .join(&parts)
            .filter(|(_, ((quantity, _), least))| {
                quantity >= least && quantity <= least + Money::whole(10)
            })
            .map(|(_, ((_, revenue), _))| (revenue, ()))
            .aggregate(|c| c.0.sum())
            .map(|revenue| Row { revenue })
            .write_parquet(&self.tables.output)
    }
}
