//! Frames of records, as they lie in shuffle blocks, spilled runs and collected datasets: any bytes, and frames that were
//! right before some of their bytes changed.
#![no_main]

use arrow::buffer::Buffer;
use libfuzzer_sys::fuzz_target;
use windrow_datasets::codec::{self, Compression};
use windrow_datasets::{Batch, Builder, Record};

type Row = (String, Option<i64>);

fn look_at<T: Record>(bytes: &[u8]) {
    let buffer = Buffer::from_slice_ref(bytes);
    let _ = codec::frame_size(bytes);
    let _ = codec::frame_records(bytes);
    if let Ok(batch) = codec::decode::<T>(&buffer) {
        for at in 0..batch.len().min(1_000) {
            drop(T::own(batch.get(at)));
        }
    }
    for frame in codec::frames(&buffer).take(1_000) {
        let _ = frame;
    }
}

fn rows(bytes: &[u8]) -> Vec<Row> {
    let row = |bytes: &[u8]| {
        let number = bytes.iter().fold(0i64, |sum, byte| sum << 7 ^ i64::from(*byte));
        (String::from_utf8_lossy(bytes).into_owned(), (number % 3 != 0).then_some(number))
    };
    bytes.chunks(5).map(row).collect()
}

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    if kind < 64 {
        look_at::<Row>(rest);
        look_at::<Vec<u32>>(rest);
        look_at::<(u32, f64)>(rest);
        return;
    }
    let (of_rows, changes) = rest.split_at(rest.len() / 2);
    let mut builder = <Row as Record>::Builder::default();
    let rows = rows(of_rows);
    rows.iter().for_each(|row| builder.push(row.view()));
    let compression = match kind % 3 {
        0 => Compression::None,
        1 => Compression::Lz4,
        _ => Compression::Zstd,
    };
    let mut frame = Vec::new();
    codec::encode::<Row>(&builder.finish(), compression, &mut frame).unwrap();
    windrow_fuzz::change(&mut frame, changes);
    look_at::<Row>(&frame);
});
