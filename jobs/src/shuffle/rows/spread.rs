//! Sorts entries by spreading them: those of a bucket are hashes or keys from one range, more or less even, so that each is put
//! next to its place at once, and is moved by a few places then. What is not even is sorted as usual.

/// A bin gets about so many entries.
const EVEN: usize = 4;

/// A bin with more than so many is sorted as usual.
const FEW: usize = 24;

/// The most bins: their ends are to lie in the cache.
const BINS_MAX: usize = 1 << 18;

/// All entries of the chunks, ascending, each with its number among them in its lower 32 bits, which are zero before.
///
/// # Panics
/// If there are more than 2^32.
pub(super) fn sorted<'c>(chunks: impl Iterator<Item = &'c [u128]> + Clone) -> Vec<u128> {
    let (mut count, mut least, mut greatest) = (0, u64::MAX, 0);
    for chunk in chunks.clone() {
        count += chunk.len();
        for entry in chunk {
            let upper = (entry >> 64) as u64;
            least = least.min(upper);
            greatest = greatest.max(upper);
        }
    }
    u32::try_from(count).expect("fewer than 2^32 entries");
    let bins = (count / EVEN).next_power_of_two().clamp(2, BINS_MAX);
    let bits = u64::BITS - greatest.saturating_sub(least).leading_zeros();
    let shift = bits.saturating_sub(bins.trailing_zeros());
    let bin = |entry: u128| (((entry >> 64) as u64 - least) >> shift) as usize;
    // Where the next entry of each bin goes.
    let mut next = vec![0u32; bins + 1];
    for entry in chunks.clone().flatten() {
        next[bin(*entry) + 1] += 1;
    }
    for at in 0..bins {
        next[at + 1] += next[at];
    }
    let mut entries = vec![0u128; count];
    for (number, entry) in chunks.flatten().enumerate() {
        let place = &mut next[bin(*entry)];
        entries[*place as usize] = entry | number as u128;
        *place += 1;
    }
    // Now each bin's end.
    let mut from = 0;
    for &to in &next[..bins] {
        let of_bin = &mut entries[from..to as usize];
        from = to as usize;
        if of_bin.len() > FEW {
            of_bin.sort_unstable();
        } else {
            insertion_sort(of_bin);
        }
    }
    entries
}

fn insertion_sort(entries: &mut [u128]) {
    for at in 1..entries.len() {
        let entry = entries[at];
        let mut to = at;
        while to > 0 && entries[to - 1] > entry {
            entries[to] = entries[to - 1];
            to -= 1;
        }
        entries[to] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries() -> impl Strategy<Value = Vec<u128>> {
        let upper = prop_oneof![
            any::<u64>(),
            0..4u64,
            Just(u64::MAX),
            (any::<u64>(), 0..1000u64).prop_map(|(a, b)| a % 3 * 7_000_000_000 + b),
        ];
        let entry = (upper, 0..3u32)
            .prop_map(|(upper, lower)| u128::from(upper) << 64 | u128::from(lower) << 32);
        prop::collection::vec(entry, 0..700)
    }

    proptest! {
        #[test]
        fn as_a_sort_would(entries in entries(), cut in any::<prop::sample::Index>()) {
            let (a, b) = entries.split_at(cut.index(entries.len() + 1));
            let mut expected: Vec<u128> = (0..).zip(&entries).map(|(at, entry)| entry | at).collect();
            expected.sort_unstable();
            prop_assert_eq!(sorted([a, &[], b].into_iter()), expected);
        }
    }
}
