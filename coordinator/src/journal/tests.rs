//! What was added comes back, whatever is left of the files; what cannot come back is told with its place.

use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// What is told of a folder: the snapshot, and the records.
type Told = (Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

fn open(folder: &TempDir) -> Result<(Journal, Told), JournalError> {
    let (mut snapshot, mut records) = (None, Vec::new());
    let journal = Journal::open(folder.path(), |found| {
        match found {
            Found::Snapshot(state) => {
                assert!(snapshot.is_none() && records.is_empty(), "a snapshot is the first");
                snapshot = Some(state.to_vec());
            }
            Found::Record { kind: "unknown", .. } => {
                return Err("a record of kind `unknown`".to_owned());
            }
            Found::Record { kind, content } => records.push((kind.to_owned(), content.to_vec())),
        }
        Ok(())
    })?;
    Ok((journal, (snapshot, records)))
}

fn wait(journal: &Journal, number: u64) -> Result<(), JournalError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(journal.synced(number))
}

/// The segments, the last one last.
fn segments(folder: &TempDir) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let is_segment = |path: &PathBuf| path.to_str().unwrap().contains("journal-");
    let mut segments: Vec<PathBuf> = files.filter(is_segment).collect();
    segments.sort();
    segments
}

/// A journal of such records, each on the disk before the next is added.
fn with_records(records: &[Vec<u8>]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder).unwrap();
    for content in records {
        let number = journal.add("some", content);
        wait(&journal, number).unwrap();
    }
    folder
}

fn records() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn what_was_added_comes_back(
        // Each step is a record, a snapshot or the end of a process.
        steps in prop::collection::vec((0..6u8, prop::collection::vec(any::<u8>(), 0..40)), 0..30),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (mut journal, mut told) = open(&folder).unwrap();
        let (mut expected, mut epoch): (Told, u64) = ((None, Vec::new()), 1);
        for (step, bytes) in steps {
            prop_assert_eq!((&told, journal.epoch()), (&expected, epoch));
            match step {
                0 => {
                    journal.snapshot(&bytes);
                    prop_assert_eq!(journal.bytes_since_snapshot(), 0);
                    expected = (Some(bytes), Vec::new());
                }
                1 => {
                    drop(journal);
                    (journal, told) = open(&folder).unwrap();
                    epoch += 1;
                    continue;
                }
                _ => {
                    let kind = format!("kind {step}");
                    journal.add(&kind, &bytes);
                    prop_assert!(journal.bytes_since_snapshot() > bytes.len() as u64);
                    expected.1.push((kind, bytes));
                }
            }
            told = expected.clone();
        }
        drop(journal);
        prop_assert_eq!(open(&folder).unwrap().1, expected);
        prop_assert_eq!(segments(&folder).len(), 1);
    }

    #[test]
    fn a_tail_that_is_not_whole_is_cut_off(records in records(), cut in any::<prop::sample::Index>()) {
        let folder = with_records(&records);
        let [segment] = &segments(&folder)[..] else { panic!() };
        let bytes = fs::read(segment).unwrap();
        let cut = cut.index(bytes.len());
        fs::write(segment, &bytes[..cut]).unwrap();
        let (journal, (_, told)) = open(&folder).unwrap();
        let told: Vec<Vec<u8>> = told.into_iter().map(|(_, content)| content).collect();
        prop_assert_eq!(&told[..], &records[..told.len()]);
        // And goes on behind what is left.
        journal.add("some", b"more");
        drop(journal);
        let mut expected = told;
        expected.push(b"more".to_vec());
        let (_, (_, told)) = open(&folder).unwrap();
        prop_assert!(told.into_iter().map(|(_, content)| content).eq(expected));
    }

    #[test]
    fn a_flipped_bit_is_told_with_its_place_unless_it_is_in_the_tail(
        records in records(),
        at in any::<prop::sample::Index>(),
        bit in 0..8,
    ) {
        let folder = with_records(&records);
        let [segment] = &segments(&folder)[..] else { panic!() };
        let mut bytes = fs::read(segment).unwrap();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        fs::write(segment, &bytes).unwrap();
        let tail = bytes.len() - (frame::HEAD + 5 + records.last().unwrap().len());
        match open(&folder) {
            Ok((_, (_, told))) => {
                prop_assert!(at >= tail, "byte {at}, and the tail begins at {tail}");
                prop_assert_eq!(told.len(), records.len() - 1);
            }
            Err(JournalError::Damaged { path, at: place, .. }) => {
                prop_assert_eq!(&path, segment);
                prop_assert!(place as usize <= at && at < tail, "{place} for {at}");
            }
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

#[test]
fn what_was_lost_before_it_was_on_the_disk_is_a_tail_also_where_later_pages_are_there() {
    let folder = with_records(&[b"first".to_vec()]);
    let [segment] = &segments(&folder)[..] else { panic!() };
    let mut bytes = fs::read(segment).unwrap();
    // Two records of one group, of which the disk has the second alone.
    let (synced, mut group) = (bytes.len() as u64, Vec::new());
    frame::append(&mut group, synced, "some", b"second");
    group.fill(0);
    frame::append(&mut group, synced, "some", b"third");
    bytes.append(&mut group);
    fs::write(segment, &bytes).unwrap();
    assert_eq!(open(&folder).unwrap().1.1, [("some".to_owned(), b"first".to_vec())]);
}

#[test]
fn files_that_are_missing_or_damaged_are_told() {
    let folder = with_records(&[b"a".to_vec()]);
    let (journal, _) = open(&folder).unwrap();
    journal.snapshot(b"state");
    journal.add("some", b"b");
    drop(journal);
    let snapshot = folder.path().join(format!("snapshot-{:020}", 3));
    let state = fs::read(&snapshot).unwrap();
    fs::write(&snapshot, &state[..state.len() - 1]).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("snapshot-") && error.contains("at byte 0"), "{error}");
    fs::remove_file(&snapshot).unwrap();
    let error = open(&folder).unwrap_err().to_string();
    assert!(error.contains("records 0 to 3 are missing"), "{error}");
}

#[test]
fn a_second_writer_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&folder).unwrap();
    let error = open(&folder).unwrap_err();
    assert!(matches!(&error, JournalError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("--state"), "{error}");
    drop(first);
    open(&folder).unwrap();
}

#[test]
fn a_record_that_nobody_understands_is_told_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder).unwrap();
    journal.add("some", b"");
    journal.add("unknown", b"");
    drop(journal);
    let error = open(&folder).unwrap_err();
    assert!(matches!(&error, JournalError::Refused { at, .. } if *at > 0), "{error}");
    assert!(error.to_string().contains("kind `unknown`"), "{error}");
}

#[test]
fn what_cannot_be_written_is_told_to_all_who_wait() {
    let folder = tempfile::tempdir().unwrap();
    let (journal, _) = open(&folder).unwrap();
    let before = journal.add("some", b"a");
    wait(&journal, before).unwrap();
    fs::remove_dir_all(folder.path()).unwrap();
    journal.snapshot(b"state");
    let after = journal.add("some", b"b");
    for _ in 0..2 {
        assert!(matches!(wait(&journal, after), Err(JournalError::Io { .. })));
    }
    assert!(wait(&journal, journal.add("some", b"c")).is_err());
}
