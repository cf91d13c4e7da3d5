//! Tests of block files, the registry and scratch folders.

use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use windrow_protocol::ids::{AttemptId, JobId, Round, ShuffleId, StageId, TaskId, TaskKind};

fn attempt(job: u64, partition: u32) -> AttemptId {
    let task = TaskId {
        job: JobId(job),
        stage: StageId(0),
        round: Round(0),
        kind: TaskKind::Compute,
        partition,
    };
    AttemptId { task, number: 0 }
}

fn write(path: &Path, blocks: &[Vec<u8>]) -> u64 {
    let _ = fs::remove_file(path);
    let mut writer = BlockFileWriter::create(path, blocks.len() as u32).unwrap();
    for (bucket, block) in blocks.iter().enumerate() {
        let (a, b) = block.split_at(block.len() / 2);
        if !block.is_empty() {
            writer.add(bucket as u32, a).unwrap();
            writer.add(bucket as u32, b).unwrap();
        }
    }
    assert!(!path.exists(), "a file has its name before it is whole");
    writer.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn blocks_come_back_and_no_flipped_bit_goes_unseen(
        blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..9),
        flip in any::<proptest::sample::Index>(),
        cut in any::<proptest::sample::Index>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.blocks");
        let bytes = write(&path, &blocks);
        prop_assert_eq!(bytes, blocks.iter().map(|b| b.len() as u64).sum::<u64>());
        let all = 0..blocks.len() as u32;
        let file = BlockFile::open(&path).unwrap();
        for (bucket, block) in all.clone().zip(&blocks) {
            let (mut read, len) = file.read(bucket).unwrap();
            prop_assert_eq!(&read.as_mut()[..len], &block[..]);
        }
        prop_assert!(file.read(all.end).is_err());

        let good = fs::read(&path).unwrap();
        let mut bad = good.clone();
        bad[flip.index(good.len())] ^= 0x10;
        for damaged in [&bad[..], &good[..cut.index(good.len())]] {
            fs::write(&path, damaged).unwrap();
            let read_all = |file: BlockFile| {
                all.clone().try_for_each(|bucket| file.read(bucket).map(drop))
            };
            let error = BlockFile::open(&path).and_then(read_all).unwrap_err();
            prop_assert!(error.to_string().contains("a.blocks"), "{}", error);
        }
    }
}

#[test]
fn what_is_not_finished_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = BlockFileWriter::create(&folder.path().join("x"), 4).unwrap();
    writer.add(2, b"abc").unwrap();
    assert!(writer.add(1, b"abc").is_err(), "buckets ascend");
    assert!(writer.add(4, b"abc").is_err(), "there is no fifth");
    drop(writer);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_job_that_is_over_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let blocks = Blocks::new(["a", "b"].map(|name| folder.path().join(name)));
    for job in [1, 2] {
        let folders = blocks.folders(JobId(job));
        folders.paths().iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let paths = [0, 2].map(|shuffle| folders.file(attempt(job, 3), ShuffleId(shuffle)));
        assert_eq!(paths[0].parent(), paths[1].parent());
        let again = folders.file(AttemptId { number: 1, ..attempt(job, 3) }, ShuffleId(0));
        assert_ne!(paths[0].parent(), again.parent());
        write(&paths[0], &[b"rows".to_vec()]);
        blocks.add(attempt(job, 3), ShuffleId(0), paths[0].clone());
        write(&again, &[b"rows".to_vec()]);
        assert!(blocks.open(attempt(job, 3), ShuffleId(0)).unwrap().is_some());
    }
    blocks.drop_job(JobId(1));
    assert!(blocks.open(attempt(1, 3), ShuffleId(0)).unwrap().is_none());
    assert!(blocks.folders(JobId(1)).paths().iter().all(|folder| !folder.exists()));
    assert!(blocks.open(attempt(2, 3), ShuffleId(0)).unwrap().is_some());
    assert!(blocks.open(attempt(2, 3), ShuffleId(1)).unwrap().is_none());
}

#[test]
fn few_files_stay_open() {
    let folder = tempfile::tempdir().unwrap();
    let files = OpenFiles::new(2);
    let mut weak = Vec::new();
    for name in ["a", "b", "c"] {
        let path = folder.path().join(name);
        write(&path, &[b"rows".to_vec()]);
        weak.push(std::sync::Arc::downgrade(&files.open(&path).unwrap()));
    }
    let open: Vec<bool> = weak.iter().map(|file| file.upgrade().is_some()).collect();
    assert_eq!(open, [false, true, true]);
}

#[test]
fn scratch_of_the_dead_is_swept_and_nothing_else() {
    let (root, more) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let roots = [root.path(), more.path(), root.path()].map(PathBuf::from);
    let mut living = Scratch::create(&roots, 1).unwrap();
    assert_eq!((living.paths().count(), living.dead()), (2, &[][..]));
    living.note_owner(11);
    let mut dead_too = Scratch::create(&roots, 5).unwrap();
    dead_too.note_owner(50);
    dead_too.note_owner(51);
    // As if its process had been killed: the locks are gone, the folders are not.
    for path in dead_too.paths() {
        let name = path.file_name().unwrap().to_str().unwrap().replace("windrow-", "windrow-9");
        let left = path.with_file_name(name);
        fs::create_dir(&left).unwrap();
        fs::copy(path.join("lock"), left.join("lock")).unwrap();
    }
    let dead = root.path().join(format!("windrow-1-{:032x}", 7));
    let other = root.path().join("windrow-notes");
    for folder in [&dead, &other] {
        fs::create_dir(folder).unwrap();
        fs::write(folder.join("lock"), "").unwrap();
    }
    let second = Scratch::create(&roots[..2], 2).unwrap();
    assert!(living.paths().chain(second.paths()).all(Path::exists) && other.exists());
    assert!(!dead.exists());
    assert_eq!(second.dead(), [50, 51]);
    let paths: Vec<PathBuf> = second.paths().map(PathBuf::from).collect();
    drop(second);
    assert!(paths.iter().all(|path| !path.exists()) && living.paths().all(Path::exists));
    assert!(Scratch::create(&[], 3).is_err());
}
