//! Query 1: sums and means by flag and status.

use super::chunks::{Column, code, date, money};
use super::{Answer, Files, places};
use arrow::array::{
    ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{Date32Type, Decimal64Type, Int32Type};
use std::io;
use std::sync::Arc;

/// What is read, in the order of the file.
pub(super) const COLUMNS: &[Column] = &[
    ("l_quantity", money),
    ("l_extendedprice", money),
    ("l_discount", money),
    ("l_tax", money),
    ("l_returnflag", code),
    ("l_linestatus", code),
    ("l_shipdate", date),
];

/// 1998-09-02.
const LAST: i32 = 10_471;

/// Flags and statuses, by their order.
const FLAGS: [&str; 3] = ["A", "N", "R"];
const STATUSES: [&str; 2] = ["F", "O"];
const GROUPS: usize = FLAGS.len() * STATUSES.len();

/// Sums of a batch, which fit 64 bits: prices are below 10^8.
#[derive(Clone, Copy, Default)]
struct Part {
    count: i64,
    quantity: i64,
    price: i64,
    discount: i64,
    disc_price: i64,
    charge: i64,
}

#[derive(Clone, Copy, Default)]
struct Total {
    count: i64,
    quantity: i128,
    price: i128,
    discount: i128,
    disc_price: i128,
    charge: i128,
}

impl Total {
    fn add(&mut self, part: &Part) {
        self.count += part.count;
        self.quantity += i128::from(part.quantity);
        self.price += i128::from(part.price);
        self.discount += i128::from(part.discount);
        self.disc_price += i128::from(part.disc_price);
        self.charge += i128::from(part.charge);
    }

    fn merge(&mut self, other: &Total) {
        self.count += other.count;
        self.quantity += other.quantity;
        self.price += other.price;
        self.discount += other.discount;
        self.disc_price += other.disc_price;
        self.charge += other.charge;
    }
}

fn add(totals: &mut [Total; GROUPS], batch: &RecordBatch) {
    let column = |number: usize| &batch.column(number).as_primitive::<Decimal64Type>().values()[..];
    let dates = &batch.column(6).as_primitive::<Date32Type>().values()[..];
    let rows = dates.len();
    let [quantity, price, discount, tax] = [0, 1, 2, 3].map(|number| &column(number)[..rows]);
    let (flags, statuses) = (
        batch.column(4).as_dictionary::<Int32Type>(),
        batch.column(5).as_dictionary::<Int32Type>(),
    );
    let (flag_places, status_places) = (places(flags, &FLAGS), places(statuses, &STATUSES));
    let (flags, statuses) = (&flags.keys().values()[..rows], &statuses.keys().values()[..rows]);
    // One more, for lines that are too late.
    let mut parts = [Part::default(); GROUPS + 2];
    for row in 0..rows {
        let group = flag_places[flags[row] as usize] as usize * STATUSES.len()
            + status_places[statuses[row] as usize] as usize;
        let group = if dates[row] <= LAST { group } else { GROUPS };
        let part = &mut parts[group];
        let disc_price = price[row] * (100 - discount[row]);
        part.count += 1;
        part.quantity += quantity[row];
        part.price += price[row];
        part.discount += discount[row];
        part.disc_price += disc_price;
        part.charge += disc_price * (100 + tax[row]);
    }
    totals.iter_mut().zip(&parts).for_each(|(total, part)| total.add(part));
}

pub(super) fn run(files: &Files, threads: usize) -> io::Result<Answer> {
    let mut totals = [Total::default(); GROUPS];
    for of_thread in files.scan(threads, add)? {
        totals.iter_mut().zip(&of_thread).for_each(|(total, other)| total.merge(other));
    }
    let groups: Vec<(&str, &str, Total)> = (0..GROUPS)
        .filter(|group| totals[*group].count > 0)
        .map(|group| (FLAGS[group / 2], STATUSES[group % 2], totals[group]))
        .collect();
    let text = |of: fn(&(&'static str, &'static str, Total)) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(groups.iter().map(of)))
    };
    let sum = |scale: i8, of: fn(&Total) -> i128| -> ArrayRef {
        let sums = Decimal128Array::from_iter_values(groups.iter().map(|group| of(&group.2)));
        Arc::new(sums.with_precision_and_scale(38, scale).expect("38 digits hold it"))
    };
    let mean = |of: fn(&Total) -> i128| -> ArrayRef {
        let mean = |total: &Total| of(total) as f64 / total.count as f64 / 100.0;
        Arc::new(Float64Array::from_iter_values(groups.iter().map(|group| mean(&group.2))))
    };
    let counts = Int64Array::from_iter_values(groups.iter().map(|group| group.2.count));
    Ok(vec![
        ("l_returnflag", text(|group| group.0)),
        ("l_linestatus", text(|group| group.1)),
        ("sum_qty", sum(2, |total| total.quantity)),
        ("sum_base_price", sum(2, |total| total.price)),
        ("sum_disc_price", sum(4, |total| total.disc_price)),
        ("sum_charge", sum(6, |total| total.charge)),
        ("avg_qty", mean(|total| total.quantity)),
        ("avg_price", mean(|total| total.price)),
        ("avg_disc", mean(|total| total.discount)),
        ("count_order", Arc::new(counts)),
    ])
}
