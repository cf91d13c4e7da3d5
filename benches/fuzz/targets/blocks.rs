//! Files of shuffle blocks: any bytes, and files that were right before some of their bytes changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windrow_worker::blocks::{BlockFile, BlockFileWriter};

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("blocks");
    if kind < 64 {
        std::fs::write(&path, rest).unwrap();
    } else {
        let (blocks, changes) = rest.split_at(rest.len() / 2);
        let mut file = BlockFileWriter::create(&path, 16).unwrap();
        for (bucket, block) in (0..16).zip(blocks.chunks(7)) {
            file.add(bucket, block).unwrap();
        }
        file.finish().unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        windrow_fuzz::change(&mut bytes, changes);
        bytes.truncate(bytes.len() - usize::from(kind % 4));
        std::fs::write(&path, bytes).unwrap();
    }
    let Ok(file) = BlockFile::open(&path) else { return };
    for bucket in 0..file.buckets().min(1_000) {
        let Some((range, _)) = file.block(bucket) else { panic!("it has this bucket") };
        let mut bytes = vec![0; (range.end - range.start) as usize];
        file.read_raw(range.start, &mut bytes).unwrap();
    }
});
