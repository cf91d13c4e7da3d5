//! Sums that cannot overflow, in words of 64 bits.

/// A sum of `N` words (2 or more), least first, in two's complement. Wider than the type of what is added, so that no
/// order of adding can overflow; of words, since an `i128` would align all that holds it to 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WideSum<const N: usize>([u64; N]);

impl<const N: usize> WideSum<N> {
    /// The sum of nothing.
    pub(super) const EMPTY: Self = WideSum([0; N]);

    /// The sum of one number.
    #[inline(always)]
    pub(super) fn of(number: i128) -> Self {
        let mut words = [(number >> 127) as u64; N];
        words[0] = number as u64;
        words[1] = (number >> 64) as u64;
        WideSum(words)
    }

    /// Adds a number.
    #[inline(always)]
    pub(super) fn add(&mut self, number: i128) {
        *self = self.plus(Self::of(number));
    }

    /// Adds another sum. Wraps around beyond 64 `N` bits, which 2^64 numbers that leave 64 bits free cannot reach.
    #[inline(always)]
    pub(super) fn plus(self, other: Self) -> Self {
        let mut words = [0; N];
        let mut carry = false;
        for ((word, a), b) in words.iter_mut().zip(self.0).zip(other.0) {
            let (sum, first) = a.overflowing_add(b);
            let (sum, second) = sum.overflowing_add(u64::from(carry));
            (*word, carry) = (sum, first | second);
        }
        WideSum(words)
    }

    /// The sum, if it fits.
    pub(super) fn to_i128(self) -> Option<i128> {
        let low = (u128::from(self.0[1]) << 64 | u128::from(self.0[0])) as i128;
        (Self::of(low) == self).then_some(low)
    }

    /// The nearest `f64`, or one next to it.
    pub(super) fn to_f64(self) -> f64 {
        // Most often it is small: then there is one rounding less.
        self.to_i128().map_or_else(
            || {
                let (last, rest) = self.0.split_last().unwrap_or((&0, &[]));
                let high = *last as i64 as f64;
                rest.iter().rev().fold(high, |sum, &word| sum * 2f64.powi(64) + word as f64)
            },
            |sum| sum as f64,
        )
    }

    /// Its bytes, `8 * N`, least first.
    pub(super) fn to_bytes<const BYTES: usize>(self) -> [u8; BYTES] {
        const { assert!(BYTES == 8 * N, "a word has 8 bytes") };
        let mut bytes = [0; BYTES];
        bytes.chunks_exact_mut(8).zip(self.0).for_each(|(chunk, word)| {
            chunk.copy_from_slice(&word.to_le_bytes());
        });
        bytes
    }

    /// What [`WideSum::to_bytes`] gave.
    pub(super) fn from_bytes<const BYTES: usize>(bytes: &[u8; BYTES]) -> Self {
        const { assert!(BYTES == 8 * N, "a word has 8 bytes") };
        let mut words = [0; N];
        bytes.chunks_exact(8).zip(&mut words).for_each(|(chunk, word)| {
            *word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        });
        WideSum(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::i256;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_are_those_of_256_bits(numbers in prop::collection::vec(any::<i128>(), 1..20)) {
            let sum = numbers.iter().map(|&n| WideSum::<3>::of(n)).reduce(WideSum::plus).unwrap();
            let wide = numbers.iter().map(|&n| i256::from_i128(n)).reduce(i256::wrapping_add);
            let wide = wide.unwrap();
            prop_assert_eq!(sum.to_i128(), wide.to_i128());
            let expected: f64 = wide.to_string().parse().unwrap();
            prop_assert!((sum.to_f64() - expected).abs() <= expected.abs() * 1e-15);
            prop_assert_eq!(WideSum::<3>::from_bytes(&sum.to_bytes::<24>()), sum);
        }

        #[test]
        fn two_words_are_an_i128(a in any::<i64>(), b in any::<i64>(), times in any::<u32>()) {
            let (a, b) = (i128::from(a) * i128::from(times), i128::from(b));
            let sum = WideSum::<2>::of(a).plus(WideSum::of(b));
            prop_assert_eq!(sum.to_i128(), Some(a + b));
            prop_assert_eq!(sum.to_f64(), (a + b) as f64);
            prop_assert_eq!(WideSum::<2>::from_bytes(&sum.to_bytes::<16>()), sum);
        }
    }
}
