//! Where a byte is in a block of text, 64 bytes at a time.

/// Text is looked at in steps of this many bytes: one bit each in a `u64`.
pub(super) const STEP: usize = 64;

/// Positions are written in groups of this many; those past the last one are overwritten by the next step.
const GROUP: usize = 8;

/// Appends the positions of `byte` in `block` to `positions`, ascending: by AVX2 where the machine has it, SSE2 or plain
/// words of 8 bytes elsewhere.
///
/// # Panics
/// If the block has 4 GiB or more: positions are `u32`.
pub fn positions(block: &[u8], byte: u8, positions: &mut Vec<u32>) {
    assert!(
        u32::try_from(block.len()).is_ok(),
        "a block of {} bytes is too long to look at",
        block.len()
    );
    #[cfg(target_arch = "x86_64")]
    {
        if std::arch::is_x86_feature_detected!("avx2")
            && std::arch::is_x86_feature_detected!("bmi1")
        {
            // SAFETY: the machine has AVX2 and BMI1.
            return unsafe { with_avx2(block, byte, positions) };
        }
        with_sse2(block, byte, positions)
    }
    #[cfg(not(target_arch = "x86_64"))]
    with_words(block, byte, positions)
}

/// The loop over a block, around a function that gives the bits of 64 bytes. A macro, so that all of it is compiled for
/// the instructions of the function that it stands in.
macro_rules! find_loop {
    ($block:ident, $byte:ident, $positions:ident, $bits:expr) => {{
        let bits = $bits;
        let (steps, rest) = $block.as_chunks::<STEP>();
        let mut base = 0_u32;
        for step in steps {
            append($positions, base, bits(step));
            base += STEP as u32;
        }
        if !rest.is_empty() {
            let mut step = [!$byte; STEP];
            step[..rest.len()].copy_from_slice(rest);
            append($positions, base, bits(&step));
        }
    }};
}

/// Appends `base` plus the position of each set bit.
#[inline(always)]
pub(super) fn append(positions: &mut Vec<u32>, base: u32, mut bits: u64) {
    let count = bits.count_ones() as usize;
    // Whole groups are written, so room is made for them.
    if positions.capacity() - positions.len() < STEP + GROUP {
        grow(positions);
    }
    let len = positions.len();
    // SAFETY: there is room for 64 and one group behind `len`, groups end at most `GROUP - 1` behind `count`, which is
    // at most 64; the first `count` places are written.
    unsafe {
        let end = positions.as_mut_ptr().add(len);
        let mut done = 0;
        loop {
            for place in done..done + GROUP {
                end.add(place).write(base + bits.trailing_zeros());
                bits &= bits.wrapping_sub(1);
            }
            done += GROUP;
            if done >= count {
                break;
            }
        }
        positions.set_len(len + count);
    }
}

/// Makes room for more than one step's positions.
#[cold]
fn grow(positions: &mut Vec<u32>) {
    positions.reserve(1 << 14);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,popcnt")]
fn with_avx2(block: &[u8], byte: u8, positions: &mut Vec<u32>) {
    use std::arch::x86_64::{
        __m256i, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_set1_epi8,
    };
    let wanted = _mm256_set1_epi8(byte as i8);
    find_loop!(block, byte, positions, |step: &[u8; STEP]| {
        // SAFETY: both reads are inside of the 64 bytes; the load asks for no alignment.
        let (low, high) = unsafe {
            (
                _mm256_loadu_si256(step.as_ptr().cast::<__m256i>()),
                _mm256_loadu_si256(step.as_ptr().add(32).cast::<__m256i>()),
            )
        };
        let low = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, wanted)) as u32;
        let high = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, wanted)) as u32;
        u64::from(high) << 32 | u64::from(low)
    })
}

#[cfg(target_arch = "x86_64")]
fn with_sse2(block: &[u8], byte: u8, positions: &mut Vec<u32>) {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8,
    };
    find_loop!(block, byte, positions, |step: &[u8; STEP]| {
        let mut bits = 0;
        for (number, part) in step.as_chunks::<16>().0.iter().enumerate() {
            // SAFETY: SSE2 is part of x86-64; the read is of the 16 bytes of `part`, and asks for no alignment.
            let found = unsafe {
                let part = _mm_loadu_si128(part.as_ptr().cast::<__m128i>());
                _mm_movemask_epi8(_mm_cmpeq_epi8(part, _mm_set1_epi8(byte as i8)))
            };
            bits |= (found as u64) << (16 * number);
        }
        bits
    })
}

#[cfg(any(test, not(target_arch = "x86_64")))]
fn with_words(block: &[u8], byte: u8, positions: &mut Vec<u32>) {
    find_loop!(block, byte, positions, |step: &[u8; STEP]| {
        let mut bits = 0;
        for (number, part) in step.as_chunks::<8>().0.iter().enumerate() {
            let other = u64::from_le_bytes(*part) ^ (ONES * u64::from(byte));
            bits |= gathered(zeros(other)) << (8 * number);
        }
        bits
    })
}

/// A one in each byte.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) const ONES: u64 = u64::MAX / 255;

/// The high bit of each byte that is zero, exactly.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn zeros(bytes: u64) -> u64 {
    const LOW: u64 = ONES * 0x7f;
    !(((bytes & LOW) + LOW) | bytes | LOW)
}

/// Brings the high bits of eight bytes together: each lands in a place of its own.
#[cfg(any(test, not(target_arch = "x86_64")))]
pub(super) fn gathered(high: u64) -> u64 {
    (high >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Way = fn(&[u8], u8, &mut Vec<u32>);

    /// What each way that this machine has finds.
    fn found(block: &[u8], byte: u8) -> Vec<Vec<u32>> {
        let mut ways: Vec<Way> = vec![positions, with_words];
        #[cfg(target_arch = "x86_64")]
        ways.push(with_sse2);
        let of = |way: &Way| {
            let mut all = vec![7];
            way(block, byte, &mut all);
            all
        };
        ways.iter().map(of).collect()
    }

    proptest! {
        #[test]
        fn all_are_found_in_each_way(block in prop::collection::vec(0u8..4, 0..400), byte in 0u8..5) {
            let at = |(at, other): (usize, &u8)| (*other == byte).then_some(at as u32);
            let expected: Vec<u32> =
                std::iter::once(7).chain(block.iter().enumerate().filter_map(at)).collect();
            for found in found(&block, byte) {
                prop_assert_eq!(&found, &expected);
            }
        }
    }

    #[test]
    fn a_block_of_nothing_else_is_found_whole() {
        for byte in [0, b'\n', 0x80, 0xff] {
            let all: Vec<u32> = std::iter::once(7).chain(0..1000).collect();
            assert!(found(&[byte; 1000], byte).iter().all(|found| *found == all));
            assert!(found(&[byte ^ 1; 1000], byte).iter().all(|found| *found == [7]));
        }
    }
}
