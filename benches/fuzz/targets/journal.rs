//! The coordinator's journal: segments and snapshots of any bytes, and such that were right before some bytes changed or the
//! end was lost.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windrow_coordinator::journal::Journal;

fuzz_target!(|data: &[u8]| {
    let Some((&kind, rest)) = data.split_first() else { return };
    let folder = tempfile::tempdir().unwrap();
    let open = || Journal::open(folder.path(), |_| Ok(()));
    if kind < 64 {
        let name = if kind % 2 == 0 { "journal" } else { "snapshot" };
        let path = folder.path().join(format!("{name}-{:020}", 0));
        std::fs::write(path, rest).unwrap();
        let _ = open();
        return;
    }
    let (records, changes) = rest.split_at(rest.len() / 2);
    let journal = open().unwrap();
    for (at, record) in records.chunks(9).enumerate() {
        journal.add("some", record);
        if kind % 5 == 0 && at == 3 {
            journal.snapshot(record);
        }
    }
    journal.end();
    drop(journal);
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if bytes.is_empty() {
            continue;
        }
        windrow_fuzz::change(&mut bytes, changes);
        bytes.truncate(bytes.len() - usize::from(kind % 3));
        std::fs::write(&path, bytes).unwrap();
    }
    // What is told is whole, or there is an error; and what was opened goes on.
    if let Ok(journal) = open() {
        journal.add("more", b"of it");
        journal.end();
        drop(journal);
        open().expect("it was opened before");
    }
});
