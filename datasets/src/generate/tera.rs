//! Records to sort: 100 bytes, of which the first 10 are the key, as the `gensort` of the sort benchmark writes them.

use std::ops::Range;

use super::{Generator, mix};

/// The multiplier of gensort's random numbers.
const MULTIPLIER: u128 = 0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645;

/// The increment of gensort's random numbers: "JimGrayRIP", spaces, and 1.
const INCREMENT: u128 = 0x4a69_6d47_7261_7952_4950_2020_2020_2001;

/// `gensort`'s binary records: a random key, the record's number in hexadecimal digits, a filler.
///
/// Seed 0 gives the bytes of `gensort` itself; another one begins elsewhere in its random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tera {
    /// The number of records.
    pub records: u64,
    /// Which records of that many.
    pub seed: u64,
}

impl Tera {
    /// The size of a record.
    pub const RECORD: usize = 100;

    /// The size of a record's key, which comes first.
    pub const KEY: usize = 10;

    /// The random number before that of record `record`.
    fn before(&self, record: u64) -> u128 {
        let start = match self.seed {
            0 => 0,
            seed => u128::from(mix(seed)) << 64 | u128::from(mix(!seed)),
        };
        skip(start.wrapping_add(u128::from(record)))
    }
}

impl Generator for Tera {
    fn pieces(&self) -> u64 {
        self.records
    }

    fn piece_bytes(&self) -> u64 {
        Self::RECORD as u64
    }

    fn fill(&self, pieces: Range<u64>, out: &mut Vec<u8>) {
        let pieces = pieces.start.min(self.records)..pieces.end.min(self.records);
        out.reserve(pieces.clone().count() * Self::RECORD);
        let mut random = self.before(pieces.start);
        for record in pieces {
            random = random.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
            out.extend_from_slice(&bytes(record, random));
        }
    }
}

/// The random number after so many steps from zero: a step is `x -> ax + c`, and so is any number of them.
fn skip(steps: u128) -> u128 {
    // One step, two, four and so on, and those together that `steps` has as bits.
    let (mut a, mut c) = (MULTIPLIER, INCREMENT);
    let (mut number, mut rest) = (0_u128, steps);
    while rest > 0 {
        if rest & 1 == 1 {
            number = number.wrapping_mul(a).wrapping_add(c);
        }
        c = c.wrapping_mul(a.wrapping_add(1));
        a = a.wrapping_mul(a);
        rest >>= 1;
    }
    number
}

/// The record with this number.
fn bytes(record: u64, random: u128) -> [u8; Tera::RECORD] {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let mut bytes = [b'0'; Tera::RECORD];
    bytes[..10].copy_from_slice(&random.to_be_bytes()[..10]);
    bytes[10..12].copy_from_slice(&[0x00, 0x11]);
    // 32 digits; the upper 16 stay zero.
    for (at, digit) in bytes[28..44].iter_mut().enumerate() {
        *digit = DIGITS[(record >> (60 - 4 * at)) as usize & 15];
    }
    bytes[44..48].copy_from_slice(&[0x88, 0x99, 0xaa, 0xbb]);
    for (at, four) in bytes[48..96].as_chunks_mut::<4>().0.iter_mut().enumerate() {
        *four = [DIGITS[(random >> (44 - 4 * at)) as usize & 15]; 4];
    }
    bytes[96..].copy_from_slice(&[0xcc, 0xdd, 0xee, 0xff]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_record() {
        let mut out = Vec::new();
        Tera { records: 1, seed: 0 }.fill(0..1, &mut out);
        // The first random number is the increment.
        assert_eq!(&out[..10], b"JimGrayRIP");
        assert_eq!(&out[10..12], b"\x00\x11");
        assert_eq!(&out[12..44], &[b'0'; 32]);
        assert_eq!(&out[44..48], b"\x88\x99\xaa\xbb");
        assert_eq!(&out[48..96], b"222200002222000022220000222200002222000000001111");
        assert_eq!(&out[96..], b"\xcc\xdd\xee\xff");
    }

    #[test]
    fn skipping_is_stepping() {
        let mut number = 0_u128;
        for steps in 0..1000 {
            assert_eq!(skip(steps), number);
            number = number.wrapping_mul(MULTIPLIER).wrapping_add(INCREMENT);
        }
    }

    #[test]
    fn numbers_and_seeds() {
        let mut out = Vec::new();
        Tera { records: u64::MAX, seed: 0 }.fill(0xabc_def0..0xabc_def1, &mut out);
        assert_eq!(&out[12..44], b"0000000000000000000000000ABCDEF0");
        let mut other = Vec::new();
        Tera { records: u64::MAX, seed: 1 }.fill(0xabc_def0..0xabc_def1, &mut other);
        assert_ne!(out[..10], other[..10]);
        assert_eq!(out[10..48], other[10..48]);
    }
}
