//! Random numbers from a seed: streams that do not touch one another.

/// A stream of random numbers (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

/// Mixes the bits of a number.
pub(crate) fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One hash of two numbers.
pub(crate) fn join(a: u64, b: u64) -> u64 {
    mix(a.rotate_left(17) ^ mix(b))
}

impl Random {
    /// The stream of a seed with a number.
    pub(crate) fn new(seed: u64, stream: u64) -> Random {
        Random(join(seed, stream))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A number below `end`; 0 where that is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.next() % end }
    }

    /// A number from `start` to `end`, both included.
    pub(crate) fn between(&mut self, start: u64, end: u64) -> u64 {
        start + self.below(end - start + 1)
    }

    /// True in so many of 10,000 cases.
    pub(crate) fn chance(&mut self, of_10_000: u64) -> bool {
        of_10_000 > 0 && self.below(10_000) < of_10_000
    }
}
