//! Lines joined with their orders: lines and prices by the order's priority.
//!
//! All threads fill one table with all orders: words of a key and the place of its priority, in slots by a hash of the
//! key, on huge pages. Lines of one order that come one behind the other are probed once; slots are asked for a block
//! ahead.

use super::chunks::{Column, code, key, money};
use super::group::mix;
use super::{Answer, Files, places, small};
use crate::limits::arena::Arena;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Decimal64Type, Int32Type, Int64Type};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use windrow_datasets::memory::prefetch;

/// What is read of the lines, in the order of the file.
pub(super) const LINE_COLUMNS: &[Column] = &[("l_orderkey", key), ("l_extendedprice", money)];

/// What is read of the orders, in the order of the file.
pub(super) const ORDER_COLUMNS: &[Column] = &[("o_orderkey", key), ("o_orderpriority", code)];

/// The priorities, by their order.
const PRIORITIES: [&str; 5] = ["1-URGENT", "2-HIGH", "3-MEDIUM", "4-NOT SPECIFIED", "5-LOW"];

/// The bits of a word that say the priority: its place, and one more, so that no word is zero.
const PLACE_BITS: u32 = 3;

/// The keys whose slots are asked for together.
const BLOCK: usize = 64;

/// All orders, each of which has a key of its own.
struct Table<'a> {
    slots: &'a [AtomicU64],
    shift: u32,
}

impl Table<'_> {
    fn home(&self, key: i64) -> usize {
        (mix(key as u64) >> self.shift) as usize
    }

    fn ask(&self, key: i64) {
        prefetch(&self.slots[self.home(key)]);
    }

    /// Slots are written once, and read by threads that are begun after that.
    fn insert(&self, key: i64, place: u8) {
        let word = (key as u64) << PLACE_BITS | (u64::from(place) + 1);
        let mut slot = self.home(key);
        let relaxed = Ordering::Relaxed;
        while self.slots[slot].compare_exchange(0, word, relaxed, relaxed).is_err() {
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    /// The place of the priority of an order.
    fn get(&self, key: i64) -> Option<usize> {
        let mut slot = self.home(key);
        loop {
            let word = self.slots[slot].load(Ordering::Relaxed);
            if word >> PLACE_BITS == key as u64 && word != 0 {
                return Some((word & ((1 << PLACE_BITS) - 1)) as usize - 1);
            }
            if word == 0 {
                return None;
            }
            slot = (slot + 1) & (self.slots.len() - 1);
        }
    }

    fn fill(&self, batch: &RecordBatch) {
        let keys = &batch.column(0).as_primitive::<Int64Type>().values()[..];
        let priorities = batch.column(1).as_dictionary::<Int32Type>();
        let places = places(priorities, &PRIORITIES);
        let codes = priorities.keys().values();
        for (keys, codes) in keys.chunks(BLOCK).zip(codes.chunks(BLOCK)) {
            keys.iter().for_each(|key| self.ask(*key));
            for (key, code) in keys.iter().zip(codes) {
                self.insert(*key, places[*code as usize]);
            }
        }
    }
}

/// Lines of one order that came one behind the other.
struct Run {
    order: i64,
    lines: i64,
    price: i64,
}

/// What a thread has found.
#[derive(Default)]
struct Found {
    totals: [(i64, i128); PRIORITIES.len()],
    /// Of a batch; kept to be used again.
    runs: Vec<Run>,
}

impl Found {
    fn add(&mut self, table: &Table<'_>, batch: &RecordBatch) {
        let keys = batch.column(0).as_primitive::<Int64Type>().values();
        let prices = batch.column(1).as_primitive::<Decimal64Type>().values();
        self.runs.clear();
        for (&order, &price) in keys.iter().zip(prices) {
            match self.runs.last_mut().filter(|run| run.order == order) {
                Some(run) => {
                    run.lines += 1;
                    run.price += price;
                }
                None => self.runs.push(Run { order, lines: 1, price }),
            }
        }
        let mut parts = [(0, 0); PRIORITIES.len()];
        for block in self.runs.chunks(BLOCK) {
            block.iter().for_each(|run| table.ask(run.order));
            for run in block {
                if let Some(place) = table.get(run.order) {
                    parts[place].0 += run.lines;
                    parts[place].1 += run.price;
                }
            }
        }
        small::add(&mut self.totals, &parts);
    }
}

pub(super) fn run(orders: &Files, lines: &Files, threads: usize) -> io::Result<Answer> {
    let slots = (2 * orders.rows()).next_power_of_two().max(16);
    let arena = Arena::new(slots * size_of::<AtomicU64>())?;
    let slots = arena.zeroed::<AtomicU64>(slots);
    let table = Table { slots: &slots, shift: 64 - slots.len().trailing_zeros() };
    orders.scan(threads, |(), batch| table.fill(batch))?;
    let found = lines.scan(threads, |found: &mut Found, batch| found.add(&table, batch))?;
    let totals = small::merge(found.iter().map(|found| found.totals));
    Ok(small::by_text("o_orderpriority", &PRIORITIES, "price", &totals))
}
