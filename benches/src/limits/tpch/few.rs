//! Few groups: lines and pieces by the way of shipping, a text of which there are seven.

use super::chunks::{Column, code, money};
use super::{Answer, Files, places, small};
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal64Type, Int32Type};
use std::io;

/// What is read, in the order of the file.
pub(super) const COLUMNS: &[Column] = &[("l_quantity", money), ("l_shipmode", code)];

/// The ways of shipping, by their order.
const MODES: [&str; 7] = ["AIR", "FOB", "MAIL", "RAIL", "REG AIR", "SHIP", "TRUCK"];

fn add(totals: &mut [(i64, i128); MODES.len()], batch: &RecordBatch) {
    let quantities = &batch.column(0).as_primitive::<Decimal64Type>().values()[..];
    let modes = batch.column(1).as_dictionary::<Int32Type>();
    let places = places(modes, &MODES);
    let mut parts = [(0, 0i64); MODES.len()];
    for (mode, quantity) in modes.keys().values().iter().zip(quantities) {
        let part = &mut parts[places[*mode as usize] as usize];
        part.0 += 1;
        part.1 += quantity;
    }
    small::add(totals, &parts);
}

pub(super) fn run(files: &Files, threads: usize) -> io::Result<Answer> {
    let totals = small::merge(files.scan(threads, add)?);
    Ok(small::by_text("l_shipmode", &MODES, "pieces", &totals))
}
