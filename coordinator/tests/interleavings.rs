//! The journal's writing thread, however threads are interleaved: shuttle runs its code with every order of steps, or many.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "of the code under test only a part is used"
)]

/// What the code under test has of the crate.
mod sync {
    pub(crate) use shuttle::sync::{Arc, Condvar, Mutex, MutexGuard};
    pub(crate) use shuttle::thread;
    pub(crate) use std::sync::PoisonError;
}

#[path = "."]
mod journal {
    #[path = "../src/journal/error.rs"]
    mod error;
    #[path = "../src/journal/frame.rs"]
    mod frame;
    #[path = "../src/journal/writer.rs"]
    mod writer;

    pub(crate) use error::JournalError;

    use futures::FutureExt;
    use std::path::PathBuf;
    use std::sync::{Arc, Mutex};
    use writer::{Target, Writer};

    /// What was written, as one who reads it sees it.
    #[derive(Clone, Debug, PartialEq)]
    enum Written {
        Record(u64, String),
        Snapshot(u64),
    }

    /// Remembers what it is given; `fails_at` is the number of the call that fails.
    struct Remembers {
        written: Arc<Mutex<Vec<Written>>>,
        calls: u32,
        fails_at: Option<u32>,
    }

    impl Remembers {
        fn call(&mut self) -> Result<(), JournalError> {
            self.calls += 1;
            if self.fails_at == Some(self.calls) { Err(JournalError::Stopped) } else { Ok(()) }
        }
    }

    impl Target for Remembers {
        fn name(&self) -> PathBuf {
            PathBuf::new()
        }

        fn on_disk(&self) -> u64 {
            0
        }

        fn begin(&mut self, _first: u64) {}

        fn append(&mut self, first: u64, frames: &[u8]) -> Result<u64, JournalError> {
            self.call()?;
            let mut written = self.written.lock().unwrap();
            let mut rest = frames;
            let mut number = first;
            while !rest.is_empty() {
                let len = u32::from_le_bytes(rest[4..8].try_into().unwrap()) as usize;
                let record = &rest[frame::HEAD + 1..frame::HEAD + len];
                written.push(Written::Record(number, String::from_utf8(record.to_vec()).unwrap()));
                (number, rest) = (number + 1, &rest[frame::HEAD + len..]);
            }
            Ok(0)
        }

        fn snapshot(&mut self, number: u64, _state: &[u8]) -> Result<(), JournalError> {
            self.call()?;
            self.written.lock().unwrap().push(Written::Snapshot(number));
            Ok(())
        }
    }

    fn start(fails_at: Option<u32>) -> (Arc<Writer>, Arc<Mutex<Vec<Written>>>) {
        let written = Arc::<Mutex<Vec<Written>>>::default();
        let target = Remembers { written: written.clone(), calls: 0, fails_at };
        let writer = Writer::start(Box::new(target), 0, ("k", b"0")).unwrap();
        (Arc::new(writer), written)
    }

    /// Adds records from some threads, and says which number is told behind each.
    fn add_all(writer: &Arc<Writer>, threads: u32, each: u32) -> Vec<(String, u64)> {
        let add = |thread: u32| {
            let writer = writer.clone();
            shuttle::thread::spawn(move || {
                let add = |at: u32| {
                    let name = format!("{thread}.{at}");
                    let number = writer.add("", name.as_bytes());
                    (name, number)
                };
                (0..each).map(add).collect::<Vec<_>>()
            })
        };
        let threads: Vec<_> = (0..threads).map(add).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    }

    const SCHEDULES: usize = 3_000;

    /// In the order of their numbers, and each once; and who waits for one hears that it is there.
    pub(crate) fn all_that_is_added_is_written() {
        let run = || {
            let (writer, written) = start(None);
            let mut added = add_all(&writer, 2, 2);
            writer.snapshot(Vec::new());
            let (name, last) = ("last".to_owned(), writer.add("", b"last"));
            added.push((name, last));
            writer.end();
            let written = written.lock().unwrap();
            let records: Vec<(u64, String)> = written
                .iter()
                .filter_map(|of| match of {
                    Written::Record(number, name) => Some((*number, name.clone())),
                    Written::Snapshot(_) => None,
                })
                .collect();
            // `add` gives the number behind its record.
            let mut wanted: Vec<(u64, String)> = vec![(0, "k0".into())];
            wanted.extend(added.into_iter().map(|(name, number)| (number - 1, name)));
            wanted.sort();
            assert_eq!(records, wanted);
            assert!(written.contains(&Written::Snapshot(last - 1)), "{written:?}");
            for number in 0..=last {
                assert!(matches!(writer.synced(number).now_or_never(), Some(Ok(()))), "{number}");
            }
        };
        shuttle::check_random(run, SCHEDULES);
        shuttle::check_pct(run, SCHEDULES, 3);
    }

    /// What is written at the end is a beginning of all, and nobody waits for ever for the rest.
    pub(crate) fn whoever_waits_hears_of_the_end() {
        let run = || {
            let (writer, written) = start(None);
            let ends = writer.clone();
            let ends = shuttle::thread::spawn(move || ends.end());
            let added = add_all(&writer, 2, 2);
            ends.join().unwrap();
            let there = written.lock().unwrap().len() as u64;
            for (name, number) in added {
                match writer.synced(number).now_or_never() {
                    Some(Ok(())) => assert!(number <= there, "{name}"),
                    Some(Err(JournalError::Stopped)) => assert!(number > there, "{name}"),
                    other => panic!("{name}: {other:?}"),
                }
            }
        };
        shuttle::check_random(run, SCHEDULES);
        shuttle::check_pct(run, SCHEDULES, 3);
    }

    /// Nothing counts as written that may not be.
    pub(crate) fn whoever_waits_hears_of_a_failure() {
        for fails_at in 2..5 {
            let run = move || {
                let (writer, written) = start(Some(fails_at));
                let added = add_all(&writer, 2, 2);
                writer.end();
                let there = written.lock().unwrap().len() as u64;
                for (name, number) in added {
                    match writer.synced(number).now_or_never() {
                        Some(Ok(())) => assert!(number <= there, "{name}"),
                        Some(Err(_)) => {}
                        None => panic!("{name} is waited for for ever"),
                    }
                }
            };
            shuttle::check_random(run, SCHEDULES);
        }
    }
}

/// A program of its own: the unit tests of the code that is included here run where that is.
fn main() {
    journal::all_that_is_added_is_written();
    println!("test journal::all_that_is_added_is_written ... ok");
    journal::whoever_waits_hears_of_the_end();
    println!("test journal::whoever_waits_hears_of_the_end ... ok");
    journal::whoever_waits_hears_of_a_failure();
    println!("test journal::whoever_waits_hears_of_a_failure ... ok");
    println!("3 passed, 0 failed");
}
