//! Any cut gives the records of a sequential reading; what is written is read back.

use super::*;
use crate::formats::testing::{Fail, Take, encode, read_all, read_lanes, splits};
use crate::push::Push;
use crate::record::FixedColumn;
use crate::source::{LANE_BYTES, Source, SourceError};
use crate::storage::Storage;
use arrow::buffer::Buffer;
use proptest::prelude::*;

fn bytes(records: usize, size: usize) -> Vec<u8> {
    (0..records * size).map(|i| (i * 7 + i / 251) as u8).collect()
}

proptest! {
    #[test]
    fn any_cut_gives_all_records(
        files in prop::collection::vec(0usize..60, 1..5),
        lane in 1u64..20, lanes in 1u64..4, batch in 1usize..9, keep: bool,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut whole = Vec::new();
        for (number, records) in files.iter().enumerate() {
            let bytes = bytes(*records + number, 3);
            std::fs::write(folder.path().join(format!("f{number}.gz")), &bytes).unwrap();
            whole.extend(bytes);
        }
        let source = FixedSource::<3>::new(folder.path()).with_records(lane, lanes, batch);
        let read = read_lanes(&source, &Storage::new(), keep).unwrap();
        prop_assert!(read.iter().all(|records| records.len() as u64 <= lane));
        prop_assert_eq!(read.concat().concat(), whole);
    }

    #[test]
    fn what_is_written_is_read_back(sizes in prop::collection::vec(0usize..40, 0..6), every in 1usize..4) {
        let mut next = 0u8;
        let lanes: Vec<Vec<Vec<[u8; 5]>>> = sizes.iter().map(|&size| {
            (0..2).map(|_| (0..size).map(|_| { next = next.wrapping_add(1); [next; 5] }).collect()).collect()
        }).collect();
        let pick = |row: usize| row.is_multiple_of(every);
        let file = encode(&FixedSink::<5>::new(), &lanes, &pick);
        let expected: Vec<[u8; 5]> = lanes.iter().flatten().flat_map(|batch| {
            batch.iter().enumerate().filter(|(row, _)| pick(*row)).map(|(_, record)| *record)
        }).collect();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("part-0.bin"), file).unwrap();
        prop_assert_eq!(read_all(&FixedSource::<5>::new(folder.path())).unwrap(), expected);
    }
}

#[test]
fn lanes_have_whole_records() {
    let folder = tempfile::tempdir().unwrap();
    let lane = LANE_BYTES / 100 * 100;
    let size = 17 * lane + 100;
    std::fs::File::create(folder.path().join("f")).unwrap().set_len(size).unwrap();
    let source = FixedSource::<100>::new(folder.path());
    let shapes: Vec<_> =
        splits(&source, &Storage::new()).unwrap().iter().map(|s| (s.bytes, s.lanes)).collect();
    assert_eq!(shapes, [[(4 * lane, 4); 4].as_slice(), &[(lane + 100, 2)]].concat());
}

#[test]
fn whole_batches_are_not_copied() {
    use crate::push::Selection;
    use crate::sink::Sink;
    let sink = FixedSink::<100>::new();
    let batch = FixedColumn::<100>::from_buffer(Buffer::from_vec(bytes(4096, 100)));
    let mut lane = sink.lane();
    lane.batch(&batch, Selection::Rows(&[7])).unwrap();
    lane.batch(&batch, Selection::All).unwrap();
    let chunk = lane.finish().unwrap();
    let pieces = sink.pieces(&chunk).unwrap();
    assert_eq!(pieces[0], &batch.values()[7]);
    assert_eq!(pieces[1].as_ptr(), batch.buffer().as_ptr());
}

#[test]
fn a_buffer_that_nobody_keeps_is_used_again() {
    struct Addresses(Vec<usize>);
    impl Push<[u8; 8]> for Addresses {
        fn batch(
            &mut self,
            batch: &FixedColumn<8>,
            _: crate::push::Selection<'_>,
        ) -> Result<crate::push::Demand, crate::push::PushError> {
            self.0.push(batch.buffer().as_ptr() as usize);
            Ok(crate::push::Demand::More)
        }
        fn row(&mut self, _: &[u8; 8]) -> Result<crate::push::Demand, crate::push::PushError> {
            unreachable!()
        }
        fn finish(&mut self) -> Result<(), crate::push::PushError> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("f"), bytes(50_000, 8)).unwrap();
    let source = FixedSource::<8>::new(folder.path());
    let split = splits(&source, &Storage::new()).unwrap().remove(0);
    let mut addresses = Addresses(Vec::new());
    source.read(&Storage::new(), &split, 0, &mut addresses).unwrap();
    assert_eq!(addresses.0.len(), 13);
    addresses.0.dedup();
    assert_eq!(addresses.0.len(), 1);
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    std::fs::write(&path, bytes(30, 4)).unwrap();
    let source = FixedSource::<4>::new(folder.path()).with_records(10, 1, 4);
    let all = splits(&source, &Storage::new()).unwrap();
    assert!(source.read(&Storage::new(), &all[1], 0, &mut Fail(3)).is_err());
    let place = crate::place::describe_failure().unwrap();
    assert_eq!(place, format!("{}, record 13 (byte 52)", path.display()));
    std::fs::write(&path, bytes(25, 4)).unwrap();
    let error = source.read(&Storage::new(), &all[2], 0, &mut Take::new()).unwrap_err();
    assert!(matches!(error, SourceError::Input { .. }), "{error}");
    assert!(error.to_string().contains("and has 100 now"), "{error}");
    std::fs::write(&path, [0; 7]).unwrap();
    let error = splits(&source, &Storage::new()).unwrap_err().to_string();
    assert!(error.contains("f: has 7 bytes, which is 3 more"), "{error}");
}
