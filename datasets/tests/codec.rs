//! Frames: what is encoded comes back; corrupt bytes are errors, and nothing worse.

mod common;

use arrow::buffer::Buffer;
use bytes::Bytes;
use common::{Wide, batch_of, records_of, text, wide};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt::Debug;
use windrow_datasets::codec::{
    CodecError, Compression, Encoder, HEADER_BYTES, decode, decode_trusted, encode, frame_records,
    frames,
};
use windrow_datasets::{Batch, Builder, Heap, Record};

const ALL: [Compression; 3] = [Compression::None, Compression::Lz4, Compression::Zstd];

fn encoded<T: Record>(records: &[T], compression: Compression) -> Vec<u8> {
    let mut out = Vec::new();
    encode::<T>(&batch_of(records), compression, &mut out).unwrap();
    out
}

/// Encodes and decodes, with and without compression, aligned and not, checked and trusted.
fn comes_back<T: Record + PartialEq + Debug>(records: &[T]) {
    for compression in ALL {
        let frame = encoded(records, compression);
        assert_eq!(frame_records(&frame).unwrap(), records.len());
        assert_eq!(frame.len() % 16, 0);
        let again = decode::<T>(&Buffer::from_slice_ref(&frame)).unwrap();
        assert_eq!(records_of::<T>(&again), records);
        let moved: Vec<u8> = [0; 3].into_iter().chain(frame.iter().copied()).collect();
        let again = decode::<T>(&Buffer::from_vec(moved).slice(3)).unwrap();
        assert_eq!(records_of::<T>(&again), records);
        // SAFETY: the frame is as it was encoded.
        let again = unsafe { decode_trusted::<T>(&Buffer::from(Bytes::from(frame))) }.unwrap();
        assert_eq!(records_of::<T>(&again), records);
    }
}

/// A part of a batch takes the bytes of that part only.
fn a_part_is_itself<T: Record>(records: &[T]) {
    let half = records.len() / 2;
    let whole = batch_of(records).to_array();
    let part = T::Batch::from_array(&whole.slice(half, records.len() - half)).unwrap();
    for compression in ALL {
        let mut out = Vec::new();
        encode::<T>(&part, compression, &mut out).unwrap();
        assert!(out == encoded(&records[half..], compression), "other bytes for a part");
    }
}

/// Decodes bytes that may be anything, and looks at all that comes of it.
fn looked_at<T>(bytes: &[u8]) -> Result<usize, CodecError>
where
    T: for<'a> Record<View<'a>: Debug>,
{
    let batch = decode::<T>(&Buffer::from_slice_ref(bytes))?;
    let mut heap = Heap::new();
    let mut builder = T::Builder::default();
    for index in 0..batch.len().min(5000) {
        let view = batch.get(index);
        assert!(!format!("{view:?}").is_empty());
        T::keep(view, &mut heap);
        builder.push(view);
    }
    drop(builder.finish());
    Ok(batch.len())
}

proptest! {
    #[test]
    fn structs_come_back(records in vec(wide(), 0..20)) {
        comes_back(&records);
        a_part_is_itself(&records);
    }

    #[test]
    fn columns_come_back(
        numbers in vec(any::<(u8, i64, f32)>(), 0..70),
        texts in vec((text(), proptest::option::of(text())), 0..70),
        bits in vec((any::<bool>(), proptest::option::of(any::<bool>())), 0..70),
    ) {
        comes_back(&texts);
        comes_back(&bits);
        a_part_is_itself(&texts[..texts.len().min(20)]);
        a_part_is_itself(&bits);
        comes_back(&numbers.iter().map(|n| (n.0, n.1)).collect::<Vec<_>>());
        comes_back(&numbers.iter().map(|n| n.0).collect::<Vec<u8>>());
        comes_back(&vec![(); numbers.len()]);
        comes_back(&vec![vec![(); 3]; numbers.len()]);
    }

    /// Text of few values, some of more than a byte has codes for.
    #[test]
    fn few_texts_come_back(
        values in vec(text(), 1..30),
        more in prop_oneof![Just(0usize), 250..600usize],
        rows in 0..3000usize,
    ) {
        let value = |row: usize| {
            let row = row.wrapping_mul(7919) % (values.len() + more);
            values.get(row).cloned().unwrap_or_else(|| format!("another value, number {row}"))
        };
        let records: Vec<String> = (0..rows).map(value).collect();
        comes_back(&records);
        let optional = |row: usize| (!row.is_multiple_of(3)).then(|| value(row));
        comes_back(&(0..rows).map(|row| (row as u32, optional(row))).collect::<Vec<_>>());
        comes_back(&(0..rows / 4).map(|row| vec![value(row); row % 5]).collect::<Vec<_>>());
        if rows > 1000 && values.len() + more <= 20 {
            let frame = encoded(&records, Compression::None);
            prop_assert!(frame.len() < 2 * rows + 10_000, "{} bytes of {rows} rows", frame.len());
        }
    }

    #[test]
    fn flipped_bits_in_codes_do_no_harm(
        flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
        values in prop_oneof![2..9usize, 300..400usize],
    ) {
        let records: Vec<String> = (0..4000).map(|row| format!("text of value {}", row % values)).collect();
        let mut frame = encoded(&records, Compression::None);
        for (at, bit) in flips {
            // Most of it is codes: the header and what is around them as well.
            let at = at.index(frame.len().min(200)) * if bit % 2 == 0 { 1 } else { frame.len() / 200 };
            frame[at] ^= 1 << bit;
        }
        let _ = looked_at::<String>(&frame);
    }

    #[test]
    fn flipped_bits_do_no_harm(
        records in vec(wide(), 1..12),
        flips in vec((any::<prop::sample::Index>(), 0..8u8), 1..4),
        how in 0..3usize,
    ) {
        let mut frame = encoded(&records, ALL[how]);
        for (at, bit) in flips {
            let at = at.index(frame.len());
            frame[at] ^= 1 << bit;
        }
        let _ = looked_at::<Wide>(&frame);
    }

    #[test]
    fn overwritten_words_do_no_harm(
        records in vec(wide(), 1..12),
        at: prop::sample::Index,
        word in prop_oneof![any::<u32>(), 0..64u32, Just(u32::MAX), Just(1 << 31)],
    ) {
        let mut frame = encoded(&records, Compression::None);
        let at = 4 * at.index(frame.len() / 4);
        frame[at..at + 4].copy_from_slice(&word.to_le_bytes());
        let _ = looked_at::<Wide>(&frame);
    }

    #[test]
    fn noise_and_other_types_do_no_harm(
        mut bytes in vec(any::<u8>(), 0..400),
        records in vec(text(), 0..40),
        how in 0..3usize,
    ) {
        let _ = looked_at::<Wide>(&bytes);
        let frame = encoded(&records, ALL[how]);
        let _ = looked_at::<Wide>(&frame);
        let _ = looked_at::<Vec<Option<bool>>>(&frame);
        if bytes.len() > HEADER_BYTES {
            bytes[..HEADER_BYTES].copy_from_slice(&frame[..HEADER_BYTES]);
            let _ = looked_at::<String>(&bytes);
        }
    }

    #[test]
    fn a_frame_cut_short_is_an_error(records in vec(wide(), 1..8), cut: prop::sample::Index, how in 0..3usize) {
        let frame = encoded(&records, ALL[how]);
        prop_assert!(looked_at::<Wide>(&frame[..cut.index(frame.len())]).is_err());
    }
}

#[test]
fn text_that_is_not_utf8_is_an_error() {
    let words = ["short".to_string(), "a word that is not inline".to_string()];
    for wanted in ["short", "inline"] {
        let mut frame = encoded(&words, Compression::None);
        let at = frame.windows(wanted.len()).rposition(|w| w == wanted.as_bytes()).unwrap();
        frame[at + 1] = 0xff;
        assert!(matches!(looked_at::<String>(&frame), Err(CodecError::Corrupt(_))));
    }
}

#[test]
fn another_version_says_so() {
    let mut frame = encoded(&[1u8], Compression::None);
    frame[4] = 9;
    let error = looked_at::<u8>(&frame).unwrap_err();
    assert_eq!(error.to_string(), "no frame of version 1: it has version 9");
}

#[test]
fn a_giant_length_allocates_nothing() {
    let mut frame = encoded(&vec![0u64; 100], Compression::Lz4);
    assert_eq!(frame[5], 1);
    frame[16..24].copy_from_slice(&(1u64 << 40).to_le_bytes());
    assert!(matches!(looked_at::<u64>(&frame), Err(CodecError::Corrupt(_))));
    let mut frame = encoded(&[(); 3], Compression::None);
    frame[8..16].copy_from_slice(&(1u64 << 60).to_le_bytes());
    assert!(matches!(looked_at::<()>(&frame), Err(CodecError::Corrupt(_))));
}

#[test]
fn frames_follow_one_another() {
    let mut encoder = Encoder::new(Compression::Lz4);
    let mut out = Vec::new();
    for count in [3usize, 0, 20_000, 5] {
        encoder.encode::<u32>(&batch_of(&vec![7u32; count]), &mut out).unwrap();
    }
    let block = Buffer::from_vec(out.clone());
    let counts: Vec<usize> =
        frames(&block).map(|frame| decode::<u32>(&frame.unwrap()).unwrap().len()).collect();
    assert_eq!(counts, [3, 0, 20_000, 5]);
    let cut = block.slice_with_length(0, block.len() - 16);
    assert!(frames(&cut).last().unwrap().is_err());
    assert_eq!(frames(&cut).count(), 4);
    // What an encoder has encoded before makes no difference.
    let mut fresh = Vec::new();
    encode::<u32>(&batch_of(&[7u32; 5]), Compression::Lz4, &mut fresh).unwrap();
    assert_eq!(out[out.len() - fresh.len()..], fresh);
}

#[test]
fn decoding_copies_nothing() {
    let frame = encoded(&[[1u64, 2], [3, 4]].map(|pair| (pair[0], pair[1])), Compression::None);
    let bytes = Buffer::from_slice_ref(&frame);
    let batch = decode::<(u64, u64)>(&bytes).unwrap();
    let inside = bytes.as_ptr_range();
    assert!(inside.contains(&batch.0.0.inner().as_ptr()));
    assert!(inside.contains(&batch.1.0.inner().as_ptr()));
}
