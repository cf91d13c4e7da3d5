//! Counts and sums of few groups.

/// Adds those of a batch, whose sums fit 64 bits.
pub(super) fn add(totals: &mut [(i64, i128)], parts: &[(i64, i64)]) {
    for (total, part) in totals.iter_mut().zip(parts) {
        total.0 += part.0;
        total.1 += i128::from(part.1);
    }
}

/// Those of all threads together.
pub(super) fn merge<const N: usize>(threads: &[[(i64, i128); N]]) -> [(i64, i128); N] {
    let mut all = [(0, 0); N];
    for of_thread in threads {
        for (total, other) in all.iter_mut().zip(of_thread) {
            total.0 += other.0;
            total.1 += other.1;
        }
    }
    all
}
