//! Query 6: the revenue of lines of a year, of some discounts, and of few pieces.

use super::chunks::{Column, date, money};
use super::{Answer, Files};
use arrow::array::{AsArray, Decimal128Array, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal64Type};
use std::io;
use std::sync::Arc;

/// What is read, in the order of the file.
pub const COLUMNS: &[Column] = &[
    ("l_quantity", money),
    ("l_extendedprice", money),
    ("l_discount", money),
    ("l_shipdate", date),
];

/// 1994-01-01.
const FIRST: i32 = 8766;

/// The days of 1994.
const DAYS: u32 = 365;

/// Adds the revenue of a batch, in ten thousandths.
///
/// # Panics
/// If the batch has other columns than [`COLUMNS`].
pub fn add(sum: &mut i128, batch: &RecordBatch) {
    let column = |number: usize| &batch.column(number).as_primitive::<Decimal64Type>().values()[..];
    let (quantity, price, discount) = (column(0), column(1), column(2));
    let dates = &batch.column(3).as_primitive::<Date32Type>().values()[..];
    let rows = dates.len();
    let (quantity, price, discount) = (&quantity[..rows], &price[..rows], &discount[..rows]);
    let mut part = 0i64;
    for row in 0..rows {
        let wanted = ((dates[row].wrapping_sub(FIRST) as u32) < DAYS)
            & (discount[row].wrapping_sub(5) as u64 <= 2)
            & (quantity[row] < 2400);
        // At most 2^63 / 4096 a line: prices are below 10^8, discounts below 100.
        part += (price[row] * discount[row]) & -i64::from(wanted);
    }
    *sum += i128::from(part);
}

/// The answer as a column.
pub(super) fn answer(sum: i128) -> Answer {
    let revenue = Decimal128Array::from(vec![sum]).with_precision_and_scale(38, 4);
    vec![("revenue", Arc::new(revenue.expect("38 digits hold it")))]
}

pub(super) fn run(files: &Files, threads: usize) -> io::Result<i128> {
    Ok(files.scan(threads, add)?.into_iter().sum())
}
