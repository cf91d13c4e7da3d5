//! Query 1: the pricing summary report.

use crate::{Money, ONE, Tables};
use windrow::prelude::*;

/// What was billed, shipped and returned up to a day
#[derive(Args, Serialize, Deserialize)]
pub(crate) struct Q1 {
    #[command(flatten)]
    tables: Tables,
    /// The last day is so many days before 1998-12-01
    #[arg(long, default_value_t = 90)]
    delta: i32,
}

#[derive(Record)]
struct Line {
    l_quantity: Money,
    l_extendedprice: Money,
    l_discount: Money,
    l_tax: Money,
    l_returnflag: String,
    l_linestatus: String,
    l_shipdate: Date,
}

#[inline]
fn disc_price(line: LineView<'_>) -> Decimal<18, 4> {
    line.l_extendedprice.times(ONE - line.l_discount)
}

#[inline]
fn charge(line: LineView<'_>) -> Decimal<18, 6> {
    disc_price(line).times(ONE + line.l_tax)
}

#[derive(Record)]
struct Row {
    l_returnflag: String,
    l_linestatus: String,
    sum_qty: Decimal<38, 2>,
    sum_base_price: Decimal<38, 2>,
    sum_disc_price: Decimal<38, 4>,
    sum_charge: Decimal<38, 6>,
    avg_qty: f64,
    avg_price: f64,
    avg_disc: f64,
    count_order: i64,
}

impl Job for Q1 {
    const NAME: &str = "q1";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let end = Date::from_ymd(1998, 12, 1).expect("a day");
        let last = Date::from_days(end.days() - self.delta);
        self.tables
            .read::<Line>(flow, "lineitem")
            .filter_by(|c| c.l_shipdate.le(last))
            .aggregate_by(
                |c| (c.l_returnflag, c.l_linestatus),
                |c| {
                    (
                        c.l_quantity.sum(),
                        c.l_extendedprice.sum(),
                        c.computed("disc_price", disc_price).sum(),
                        c.computed("charge", charge).sum(),
                        c.l_quantity.mean(),
                        c.l_extendedprice.mean(),
                        c.l_discount.mean(),
                        c.count(),
                    )
                },
            )
            .sort_by_key()
            .map(
                |(
                    (flag, status),
                    (qty, price, disc_price, charge, avg_qty, avg_price, avg_disc, n),
                )| Row {
                    l_returnflag: flag.to_string(),
                    l_linestatus: status.to_string(),
                    sum_qty: qty,
                    sum_base_price: price,
                    sum_disc_price: disc_price,
                    sum_charge: charge,
                    avg_qty,
                    avg_price,
                    avg_disc,
                    count_order: n as i64,
                },
            )
            .write_parquet(&self.tables.output)
    }
}
