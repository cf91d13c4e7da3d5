//! A journal in a store: what was added comes back, and of several writers one is the writer.

use super::*;
use crate::journal::{Found, Journal};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Mutex;

/// A store in memory. The next calls of `create` may fail, before or after they have written.
#[derive(Debug, Default)]
struct Memory {
    objects: Mutex<BTreeMap<String, Vec<u8>>>,
    failures: Mutex<Vec<bool>>,
}

impl Objects for Memory {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.objects.lock().unwrap().keys().cloned().collect())
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        Ok(self.objects.lock().unwrap().get(name).cloned())
    }

    fn create(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let failure = self.failures.lock().unwrap().pop();
        let mut objects = self.objects.lock().unwrap();
        if failure == Some(false) {
            return Err(io::Error::other("not written"));
        }
        let is_new = !objects.contains_key(name);
        if is_new {
            objects.insert(name.to_owned(), bytes.to_vec());
        }
        if failure == Some(true) { Err(io::Error::other("written")) } else { Ok(is_new) }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.objects.lock().unwrap().insert(name.to_owned(), bytes.to_vec());
        Ok(())
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.objects.lock().unwrap().remove(name);
        Ok(())
    }
}

impl Memory {
    fn count(&self, prefix: &str) -> usize {
        self.objects.lock().unwrap().keys().filter(|name| name.starts_with(prefix)).count()
    }
}

/// Opens the journal of a store; gives the snapshot and the records, as texts.
fn open(store: &Arc<Memory>) -> Result<(Journal, Vec<String>), JournalError> {
    let mut told = Vec::new();
    let journal = Journal::open(crate::journal::Home::Objects(store.clone()), |found| {
        told.push(match found {
            Found::Snapshot(state) => format!("state {}", String::from_utf8_lossy(state)),
            Found::Record { kind, content } => {
                format!("{kind} {}", String::from_utf8_lossy(content))
            }
        });
        Ok(())
    })?;
    Ok((journal, told))
}

fn synced(journal: &Journal, number: u64) -> Result<(), JournalError> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(journal.synced(number))
}

fn add(journal: &Journal, content: &str) -> Result<(), JournalError> {
    let number = journal.add("some", content.as_bytes());
    synced(journal, number)
}

fn is_taken_over(result: Result<(), JournalError>) -> bool {
    matches!(result, Err(JournalError::TakenOver { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Writers come one after the other, and add records and snapshots; each finds what those before it have left.
    #[test]
    fn what_was_added_comes_back(
        writers in prop::collection::vec(prop::collection::vec(any::<bool>(), 0..12), 1..5),
    ) {
        let store = Arc::new(Memory::default());
        let mut expected: Vec<String> = Vec::new();
        for (number, steps) in (0..).zip(&writers) {
            let (journal, told) = open(&store).unwrap();
            prop_assert_eq!(journal.epoch(), number + 1);
            prop_assert_eq!(&told, &expected);
            for (step, snapshots) in steps.iter().enumerate() {
                // Another snapshot of the same records would say the same.
                if *snapshots && expected.last().is_some_and(|last| last.starts_with("some")) {
                    let state = format!("{number}.{step}");
                    journal.snapshot(state.as_bytes());
                    expected = vec![format!("state {state}")];
                } else {
                    journal.add("some", format!("{number}.{step}").as_bytes());
                    expected.push(format!("some {number}.{step}"));
                }
            }
            journal.end();
        }
        prop_assert_eq!(open(&store).unwrap().1, expected);
    }
}

#[test]
fn a_writer_learns_that_another_one_took_over() {
    let store = Arc::new(Memory::default());
    let (first, _) = open(&store).unwrap();
    add(&first, "a").unwrap();
    let (second, told) = open(&store).unwrap();
    assert_eq!((told, second.id(), second.epoch()), (vec!["some a".to_owned()], first.id(), 2));
    assert!(is_taken_over(add(&first, "b")));
    add(&second, "c").unwrap();
    assert!(is_taken_over(add(&first, "d")), "it stays so");
    drop((first, second));
    assert_eq!(open(&store).unwrap().1, ["some a", "some c"]);
}

/// However much was replaced by snapshots meanwhile, and whoever took over.
#[test]
fn a_writer_that_slept_for_long_finds_somebody_in_its_way() {
    let store = Arc::new(Memory::default());
    let (sleeper, _) = open(&store).unwrap();
    add(&sleeper, "a").unwrap();
    for round in 0..5 {
        let (next, _) = open(&store).unwrap();
        for at in 0..10 {
            add(&next, &format!("{round}.{at}")).unwrap();
        }
        next.snapshot(format!("after {round}").as_bytes());
        add(&next, &format!("end {round}")).unwrap();
    }
    assert!(is_taken_over(add(&sleeper, "b")));
    // Also if it begins with a snapshot.
    let (sleeper, _) = open(&store).unwrap();
    let (next, _) = open(&store).unwrap();
    add(&next, "c").unwrap();
    sleeper.snapshot(b"of the sleeper");
    assert!(is_taken_over(add(&sleeper, "d")));
    drop((sleeper, next));
    let told = open(&store).unwrap().1;
    assert_eq!(told.last().unwrap(), "some c", "{told:?}");
    // One for each that took over, and what came since the last snapshot.
    assert!(store.count(SEGMENT) <= 12, "{}", store.count(SEGMENT));
    assert!(store.count(OF_SNAPSHOT) <= 2, "{}", store.count(OF_SNAPSHOT));
}

#[test]
fn a_try_that_was_not_answered_counts_once() {
    for written in [true, false] {
        let store = Arc::new(Memory::default());
        let (journal, _) = open(&store).unwrap();
        store.failures.lock().unwrap().push(written);
        add(&journal, "a").unwrap();
        add(&journal, "b").unwrap();
        drop(journal);
        assert_eq!(open(&store).unwrap().1, ["some a", "some b"], "{written}");
    }
}

#[test]
fn what_is_missing_or_damaged_is_told_with_its_name() {
    let of = |spoil: fn(&mut BTreeMap<String, Vec<u8>>)| {
        let store = Arc::new(Memory::default());
        let (journal, _) = open(&store).unwrap();
        for at in 0..4 {
            add(&journal, &at.to_string()).unwrap();
        }
        drop(journal);
        spoil(&mut store.objects.lock().unwrap());
        open(&store).unwrap_err().to_string()
    };
    let name = format!("{SEGMENT}{:020}", 2);
    let missing = of(|objects| drop(objects.remove(&format!("{SEGMENT}{:020}", 2))));
    assert!(missing.contains(&format!("{name} is missing before it")), "{missing}");
    let damaged = of(|objects| {
        let bytes = objects.get_mut(&format!("{SEGMENT}{:020}", 2)).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
    });
    assert!(damaged.contains(&name) && damaged.contains("not whole"), "{damaged}");
}
