//! Groups of high cardinality: pieces and lines by order, and by part and supplier.
//!
//! Equal neighbours are joined first. Rows go into 256 partitions by the upper bits of a hash; then each partition is
//! grouped in a table of its own, which stays in cache. The answer is a few numbers that depend on all groups.

use super::chunks::{Column, key, money};
use super::{Answer, Files};
use arrow::array::{AsArray, Decimal128Array, Int64Array, RecordBatch};
use arrow::datatypes::{Decimal64Type, Int64Type};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What is read, in the order of the file.
pub(super) const ORDER_COLUMNS: &[Column] = &[("l_orderkey", key), ("l_quantity", money)];

/// What is read, in the order of the file.
pub(super) const PART_COLUMNS: &[Column] =
    &[("l_partkey", key), ("l_suppkey", key), ("l_quantity", money)];

/// The partitions.
const PARTITIONS: usize = 256;

/// Lines with one key, or some of them.
#[derive(Clone, Copy, Default)]
struct Row<K> {
    key: K,
    /// In hundredths.
    quantity: i64,
    /// 0 in an empty slot.
    lines: i64,
}

/// What groups are made by.
trait GroupKey: Copy + Default + PartialEq + Send + Sync {
    fn hash(self) -> u64;
    /// A number that tells keys apart well enough, for the check.
    fn mark(self) -> i64;
}

/// Spreads the bits of a number over all of them.
pub(super) fn mix(number: u64) -> u64 {
    let product = u128::from(number ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
    (product >> 64) as u64 ^ product as u64
}

impl GroupKey for i64 {
    fn hash(self) -> u64 {
        mix(self as u64)
    }
    fn mark(self) -> i64 {
        self % 1009
    }
}

impl GroupKey for (i64, i64) {
    fn hash(self) -> u64 {
        mix(self.0 as u64 ^ (self.1 as u64).rotate_left(32))
    }
    fn mark(self) -> i64 {
        (self.0 + 7 * self.1) % 1009
    }
}

/// The rows of one thread, by partition.
struct Parts<K>(Vec<Vec<Row<K>>>);

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Parts((0..PARTITIONS).map(|_| Vec::new()).collect())
    }
}

impl<K: GroupKey> Parts<K> {
    /// Adds the rows of a batch, those of equal neighbours as one.
    fn add(&mut self, rows: impl Iterator<Item = (K, i64)>) {
        let mut rows = rows.peekable();
        while let Some((key, mut quantity)) = rows.next() {
            let mut lines = 1;
            while let Some((_, more)) = rows.next_if(|(other, _)| *other == key) {
                quantity += more;
                lines += 1;
            }
            self.0[(key.hash() >> 56) as usize].push(Row { key, quantity, lines });
        }
    }
}

/// What is told of all groups.
#[derive(Clone, Copy, Default)]
struct Check {
    groups: i64,
    lines: i64,
    most: i64,
    mark: i64,
}

/// Groups a partition.
fn group<K: GroupKey>(parts: &[&[Row<K>]], table: &mut Vec<Row<K>>) -> Check {
    let rows: usize = parts.iter().map(|part| part.len()).sum();
    let slots = (2 * rows).next_power_of_two().max(16);
    let shift = 64 - slots.trailing_zeros();
    table.clear();
    table.resize(slots, Row::default());
    for row in parts.iter().copied().flatten() {
        // The uppermost bits are the partition.
        let mut slot = ((row.key.hash() << 8) >> shift) as usize;
        loop {
            let found = &mut table[slot];
            if found.lines == 0 {
                *found = *row;
                break;
            }
            if found.key == row.key {
                found.quantity += row.quantity;
                found.lines += row.lines;
                break;
            }
            slot = (slot + 1) & (slots - 1);
        }
    }
    let mut check = Check::default();
    for row in table.iter().filter(|row| row.lines > 0) {
        check.groups += 1;
        check.lines += row.lines;
        check.most = check.most.max(row.quantity);
        check.mark += row.key.mark() * row.lines;
    }
    check
}

fn run<K: GroupKey>(
    files: &Files,
    threads: usize,
    add: impl Fn(&mut Parts<K>, &RecordBatch) + Sync,
) -> io::Result<Answer> {
    let parts = files.scan(threads, add)?;
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut of_thread, mut table) = (Vec::new(), Vec::new());
        loop {
            let partition = next.fetch_add(1, Ordering::Relaxed);
            if partition >= PARTITIONS {
                return of_thread;
            }
            let rows: Vec<&[Row<K>]> = parts.iter().map(|parts| &parts.0[partition][..]).collect();
            of_thread.push(group(&rows, &mut table));
        }
    };
    let checks: Vec<Check> = thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        all.into_iter().flat_map(|one| one.join().expect("a thread that does not panic")).collect()
    });
    let number = |of: fn(&Check) -> i64| {
        Arc::new(Int64Array::from(vec![checks.iter().map(of).sum::<i64>()]))
    };
    let most = checks.iter().map(|check| i128::from(check.most)).max().unwrap_or(0);
    let most = Decimal128Array::from(vec![most]).with_precision_and_scale(38, 2);
    Ok(vec![
        ("groups", number(|check| check.groups)),
        ("lines", number(|check| check.lines)),
        ("most", Arc::new(most.expect("38 digits hold it"))),
        ("mark", number(|check| check.mark)),
    ])
}

fn keys(batch: &RecordBatch, column: usize) -> impl Iterator<Item = i64> {
    batch.column(column).as_primitive::<Int64Type>().values().iter().copied()
}

fn quantities(batch: &RecordBatch, column: usize) -> impl Iterator<Item = i64> {
    batch.column(column).as_primitive::<Decimal64Type>().values().iter().copied()
}

pub(super) fn by_order(files: &Files, threads: usize) -> io::Result<Answer> {
    run::<i64>(files, threads, |parts, batch| parts.add(keys(batch, 0).zip(quantities(batch, 1))))
}

pub(super) fn by_part(files: &Files, threads: usize) -> io::Result<Answer> {
    run::<(i64, i64)>(files, threads, |parts, batch| {
        parts.add(keys(batch, 0).zip(keys(batch, 1)).zip(quantities(batch, 2)));
    })
}
