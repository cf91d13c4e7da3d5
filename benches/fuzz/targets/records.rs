//! Records of a journal with any content: a coordinator that reads them refuses them, or goes on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windrow_coordinator::journal::Journal;
use windrow_coordinator::{Config, Coordinator};

const KINDS: [&str; 5] = ["job admitted", "worker joined", "decided", "job given up", "other"];

fuzz_target!(|data: &[u8]| {
    let folder = tempfile::tempdir().unwrap();
    let journal = Journal::open(folder.path(), |_| Ok(())).unwrap();
    let mut rest = data;
    while let [kind, len, more @ ..] = rest {
        let (record, later) = more.split_at(usize::from(*len).min(more.len()));
        match usize::from(*kind) % (KINDS.len() + 1) {
            5 => journal.snapshot(record),
            kind => drop(journal.add(KINDS[kind], record)),
        }
        rest = later;
    }
    journal.end();
    drop(journal);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let config = Config { state: Some(folder.path().to_path_buf()), ..Config::default() };
        if let Ok(running) = Coordinator::start(([127, 0, 0, 1], 0).into(), config).await {
            let _ = running.stop().await;
        }
    });
});
