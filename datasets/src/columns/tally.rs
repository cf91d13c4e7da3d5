//! Sums of few values: those of one group in one batch.

use super::wide_sum::WideSum;

/// The sum of numbers of at most 64 bits. Adding touches one word as long as the sum fits it, which in one batch it
/// does most often; a [`WideSum`] is made of it at the end.
#[derive(Clone, Copy, Debug)]
pub struct Tally {
    /// The sum, modulo 2^64.
    low: i64,
    /// What that lacks, in units of 2^64.
    high: i64,
}

impl Tally {
    pub(super) const EMPTY: Tally = Tally { low: 0, high: 0 };

    /// Adds a number, which is an `i64` or a `u64`.
    #[inline(always)]
    pub(super) fn add(&mut self, number: i128) {
        let word = number as i64;
        // Nothing, where the compiler knows that it is an `i64`.
        self.high += ((number - i128::from(word)) >> 64) as i64;
        let (sum, wrapped) = self.low.overflowing_add(word);
        self.low = sum;
        if wrapped {
            self.carry(word);
        }
    }

    #[cold]
    #[inline(never)]
    fn carry(&mut self, word: i64) {
        self.high += word.signum();
    }
}

impl From<Tally> for WideSum<2> {
    fn from(tally: Tally) -> WideSum<2> {
        WideSum::of(i128::from(tally.low) + (i128::from(tally.high) << 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_of_words_are_exact(
            signed in prop::collection::vec(prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MAX)], 0..40),
            unsigned in prop::collection::vec(prop_oneof![any::<u64>(), Just(u64::MAX)], 0..40),
        ) {
            for numbers in [
                signed.iter().map(|&n| i128::from(n)).collect::<Vec<_>>(),
                unsigned.iter().map(|&n| i128::from(n)).collect(),
            ] {
                let mut tally = Tally::EMPTY;
                numbers.iter().for_each(|&number| tally.add(number));
                prop_assert_eq!(WideSum::from(tally).to_i128(), Some(numbers.iter().sum::<i128>()));
            }
        }
    }
}
