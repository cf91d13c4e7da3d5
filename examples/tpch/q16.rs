//! Query 16: how many suppliers can deliver a kind of part.

use crate::{Tables, has_both};
use windrow::prelude::*;

/// Suppliers nobody complains about, counted by brand, type and size of the parts that they have
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q16 {
    #[command(flatten)]
    tables: Tables,
    /// Not of this brand
    #[arg(long, default_value = "Brand#45")]
    brand: String,
    /// Not of a type that begins so
    #[arg(long = "type", default_value = "MEDIUM POLISHED")]
    kind: String,
    /// Of one of these sizes
    #[arg(long, value_delimiter = ',', default_value = "49,14,23,45,19,3,36,9")]
    sizes: Vec<i32>,
}

#[derive(Record)]
struct Part {
    p_partkey: i64,
    p_brand: String,
    p_type: String,
    p_size: i32,
}

#[derive(Record)]
struct Supplier {
    s_suppkey: i64,
    s_comment: String,
}

#[derive(Record)]
struct Offer {
    ps_partkey: i64,
    ps_suppkey: i64,
}

/// Brand, type and size.
type Kind = (String, String, i32);

#[derive(Record)]
struct Row {
    p_brand: String,
    p_type: String,
    p_size: i32,
    supplier_cnt: i64,
}

impl Job for Q16 {
    const NAME: &str = "q16";

    fn plan(&self, flow: &Flow) -> Result<()> {
        // Few are complained about.
        let complained = self
            .tables
            .read::<Supplier>(flow, "supplier")
            .filter(|s| has_both(s.s_comment, "Customer", "Complaints"))
            .map(|s| (s.s_suppkey, ()))
            .broadcast();
        let kind = self.kind.clone();
        let parts = self
            .tables
            .read::<Part>(flow, "part")
            .filter_by(|c| c.p_brand.ne(&self.brand).and(c.p_size.is_in(self.sizes.clone())))
            .filter(move |p| !p.p_type.starts_with(&*kind))
            .map_to::<(i64, Kind)>(|p| (p.p_partkey, (p.p_brand, p.p_type, p.p_size)));
        self.tables
            .read::<Offer>(flow, "partsupp")
            .flat_map_with(&complained, |o, complained| {
                complained.get(o.ps_suppkey).is_none().then_some((o.ps_partkey, o.ps_suppkey))
            })
            .join(&parts)
            .map_to::<(Kind, i64)>(|(_, (supplier, kind))| (kind, supplier))
            .distinct()
            .count_by_key()
            .map_to::<((i64, String, String, i32), ())>(|((brand, kind, size), suppliers)| {
                // The greatest count comes first.
                ((-(suppliers as i64), brand, kind, size), ())
            })
            .sort_by_key()
            .map(|((less, brand, kind, p_size), ())| Row {
                p_brand: brand.to_string(),
                p_type: kind.to_string(),
                p_size,
                supplier_cnt: -less,
            })
            .write_parquet(&self.tables.output)
    }
}
