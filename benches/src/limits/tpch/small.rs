//! Lines and sums of few groups, by a text.

use super::Answer;
use arrow::array::{Decimal128Array, Int64Array, StringArray};
use std::sync::Arc;

/// Adds the lines and sums of a batch, whose sums fit 64 bits.
pub(super) fn add(totals: &mut [(i64, i128)], parts: &[(i64, i64)]) {
    for (total, part) in totals.iter_mut().zip(parts) {
        total.0 += part.0;
        total.1 += i128::from(part.1);
    }
}

/// Those of all threads together.
pub(super) fn merge<const N: usize>(
    threads: impl IntoIterator<Item = [(i64, i128); N]>,
) -> [(i64, i128); N] {
    let mut all = [(0, 0); N];
    for of_thread in threads {
        for (total, other) in all.iter_mut().zip(of_thread) {
            total.0 += other.0;
            total.1 += other.1;
        }
    }
    all
}

/// The answer that has a text, its lines and a sum of hundredths in each row, for texts that have lines.
pub(super) fn by_text(
    text: &'static str,
    texts: &[&str],
    sum: &'static str,
    totals: &[(i64, i128)],
) -> Answer {
    let found = || texts.iter().zip(totals).filter(|(_, (lines, _))| *lines > 0);
    let lines = Int64Array::from_iter_values(found().map(|(_, total)| total.0));
    let sums = Decimal128Array::from_iter_values(found().map(|(_, total)| total.1));
    let sums = sums.with_precision_and_scale(38, 2).expect("38 digits hold it");
    vec![
        (text, Arc::new(StringArray::from_iter_values(found().map(|(text, _)| text)))),
        ("lines", Arc::new(lines)),
        (sum, Arc::new(sums)),
    ]
}
