//! Runs a plan in all ways in which jobs run, and compares the results: the same rows, and the same bytes.

#![allow(dead_code, reason = "each test binary uses its part")]

mod workers;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::marker::PhantomData;
use std::path::Path;
use windrow::location::Location;
use windrow::push::{BATCH_RECORDS, Demand, Push, Selection};
use windrow::record::mix;
use windrow::source::{Source, SourceDescription, SourceError, Split};
use windrow::storage::Storage;
use windrow::{Builder, Combining, Dataset, Flow, Key, Local, Outcome, Record, Result, RunError};
use workers::Call;

/// A way in which jobs run. Another one is a variant here, and a branch in [`Mode::run`].
#[derive(Clone, Copy, Debug)]
enum Mode {
    /// In this process, with so many threads.
    Threads(usize),
    /// The same without memory for records, so that all that shuffles keep goes to scratch.
    Spilling(usize),
    /// The same with so much memory, in bytes.
    Memory(usize, u64),
    /// The same with combining before exact aggregates forced on or off.
    Combining(usize, Combining),
    /// Over so many local worker processes.
    Workers(usize),
    /// Over so many, of which an executor dies once.
    Faulted(usize),
}

/// The ways within this process.
const THREADS: [Mode; 4] =
    [Mode::Threads(1), Mode::Threads(2), Mode::Threads(5), Mode::Spilling(3)];

/// More ways within this process.
const MANY: [Mode; 8] = [
    Mode::Memory(1, 8 << 30),
    Mode::Memory(2, 64 << 20),
    Mode::Memory(3, 1 << 20),
    Mode::Memory(7, 64 << 20),
    Mode::Spilling(2),
    Mode::Memory(7, 8 << 30),
    Mode::Combining(3, Combining::Always),
    Mode::Combining(2, Combining::Never),
];

/// The ways over worker processes: the first plan of a test runs in the first two of them, and of those behind it each third
/// one in another, or each one where [`ALL`] is set.
const WORKERS: [Mode; 5] =
    [Mode::Workers(2), Mode::Faulted(3), Mode::Workers(1), Mode::Faulted(4), Mode::Workers(5)];

/// The variable that has all plans run over worker processes, which takes some minutes more.
const ALL: &str = "WINDROW_TEST_ALL_MODES";

impl Mode {
    /// Who runs jobs so within this process.
    fn local(self) -> Local {
        match self {
            Mode::Threads(threads) => Local::new().threads(threads),
            Mode::Spilling(threads) => Local::new().threads(threads).memory(0),
            Mode::Memory(threads, bytes) => Local::new().threads(threads).memory(bytes),
            Mode::Combining(threads, combining) => {
                Local::new().threads(threads).combining(combining)
            }
            Mode::Workers(_) | Mode::Faulted(_) => unreachable!("those are other processes"),
        }
    }

    fn run(
        self,
        call: &Call,
        folder: &Path,
        plan: impl Fn(&Flow, &Location) -> Result<()>,
    ) -> Result<Outcome, RunError> {
        let output = Location::of_path(folder).unwrap();
        let plan = |flow: &Flow| plan(flow, &output);
        match self {
            Mode::Threads(_) | Mode::Spilling(_) | Mode::Memory(..) | Mode::Combining(..) => {
                self.local().run_plan("test", plan)
            }
            Mode::Workers(workers) => Ok(call.run(workers, false, folder, plan)),
            Mode::Faulted(workers) => Ok(call.run(workers, true, folder, plan)),
        }
    }
}

/// What a plan gave, the same in all modes.
pub(crate) struct Ran {
    outcome: Outcome,
    /// The bytes of all files below the output, by name without the job's id.
    files: BTreeMap<String, Vec<u8>>,
}

impl Ran {
    /// Writes it into a file.
    fn write(&self, file: &Path) {
        let encoded = (self.outcome.collected(), &self.outcome.counters, &self.files);
        let bytes = postcard::to_allocvec(&encoded).unwrap();
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }

    /// What was written into a file.
    fn read(file: &Path) -> Ran {
        type Encoded =
            (BTreeMap<String, Vec<u8>>, BTreeMap<String, u64>, BTreeMap<String, Vec<u8>>);
        let bytes = std::fs::read(file).unwrap();
        let (collected, counters, files): Encoded = postcard::from_bytes(&bytes).unwrap();
        let mut outcome = Outcome::with_collected(collected);
        outcome.counters = counters;
        Ran { outcome, files }
    }

    /// The rows collected as `out`.
    pub(crate) fn rows<T: Record>(&self) -> Vec<T> {
        self.named("out")
    }

    /// The rows collected by this name.
    pub(crate) fn named<T: Record>(&self, name: &str) -> Vec<T> {
        self.outcome.rows(name).unwrap()
    }

    /// A counter's total.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.outcome.counters[name]
    }

    /// The names of the files.
    pub(crate) fn file_names(&self) -> Vec<&str> {
        self.files.keys().map(String::as_str).collect()
    }

    /// The lines of all files whose names begin so, in order.
    pub(crate) fn lines(&self, prefix: &str) -> Vec<String> {
        let files = self.files.iter().filter(|(name, _)| name.starts_with(prefix));
        let text: Vec<u8> = files.flat_map(|(_, bytes)| bytes.clone()).collect();
        String::from_utf8(text).unwrap().lines().map(String::from).collect()
    }
}

/// Runs a plan, which gets a folder for its outputs, in all ways; all must give the same.
///
/// A test must come to the same calls of this in the same order whenever it runs; see [`workers`].
pub(crate) fn everywhere(plan: impl Fn(&Flow, &Location) -> Result<()>) -> Ran {
    let call = Call::now();
    let over_workers = match call.number() {
        0 => &WORKERS[..2],
        number if number % 3 == 0 || std::env::var_os(ALL).is_some() => {
            &WORKERS[number % WORKERS.len()..][..1]
        }
        _ => &[],
    };
    let modes = [&THREADS, over_workers].concat();
    call.in_executor(&plan).unwrap_or_else(|| run_in(&modes, &call, plan))
}

/// Runs a plan as [`everywhere`], but within this process alone: for plans that are random, and for many.
pub(crate) fn in_this_process(plan: impl Fn(&Flow, &Location) -> Result<()>) -> Ran {
    run_in(&THREADS, &Call::now(), plan)
}

/// Runs a plan in more ways within this process, with little memory and with much.
pub(crate) fn in_many_ways(plan: impl Fn(&Flow, &Location) -> Result<()>) -> Ran {
    run_in(&MANY, &Call::now(), plan)
}

fn run_in(modes: &[Mode], call: &Call, plan: impl Fn(&Flow, &Location) -> Result<()>) -> Ran {
    let mut first: Option<(Mode, Ran)> = None;
    for &mode in modes {
        let folder = tempfile::tempdir().unwrap();
        let outcome = mode.run(call, folder.path(), &plan).unwrap_or_else(|error| {
            panic!("{mode:?}: {error}");
        });
        let ran = Ran { outcome, files: files_below(folder.path()) };
        let Some((other, before)) = &first else {
            first = Some((mode, ran));
            continue;
        };
        let (a, b) = (&before.outcome, &ran.outcome);
        assert_eq!(a.counters, b.counters, "counters in {other:?} and {mode:?}");
        assert!(a.collected() == b.collected(), "collected bytes in {other:?} and {mode:?}");
        assert_eq!(before.file_names(), ran.file_names(), "files in {other:?} and {mode:?}");
        assert!(before.files == ran.files, "bytes of files in {other:?} and {mode:?}");
        assert_eq!(
            a.summary.records_read, b.summary.records_read,
            "records read in {other:?} and {mode:?}"
        );
    }
    let ran = first.unwrap().1;
    call.gave(&ran);
    ran
}

/// The rows that a dataset has, the same in all modes.
pub(crate) fn rows<T: Record>(dataset: impl Fn(&Flow) -> Dataset<T>) -> Vec<T> {
    everywhere(|flow, _| dataset(flow).collect("out")).rows()
}

/// The rows that a dataset has, the same in all ways within this process.
pub(crate) fn rows_in_this_process<T: Record>(dataset: impl Fn(&Flow) -> Dataset<T>) -> Vec<T> {
    in_this_process(|flow, _| dataset(flow).collect("out")).rows()
}

/// What a plan says that fails in all ways within this process.
pub(crate) fn failure(plan: impl Fn(&Flow) -> Result<()>) -> String {
    let said = THREADS.map(|mode| {
        let ran = mode.local().run_plan("test", &plan);
        ran.expect_err("it fails").to_string()
    });
    assert!(said.windows(2).all(|two| two[0] == two[1]), "{said:#?}");
    said[0].clone()
}

/// The files of outputs below a folder; of their names all but the job's id.
fn files_below(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        if path.is_dir() {
            assert!(!name.starts_with('.'), "{name} is left over");
            let below = files_below(&path);
            found.extend(below.into_iter().map(|(file, bytes)| (format!("{name}/{file}"), bytes)));
        } else if name != "_SUCCESS" {
            let (part, rest) = name.rsplit_once('-').unwrap();
            let (_, extension) = rest.split_once('.').unwrap();
            let bytes = std::fs::read(&path).unwrap();
            assert!(found.insert(format!("{part}.{extension}"), bytes).is_none());
        }
    }
    found
}

/// Fails with the first row that differs, rather than with all.
#[track_caller]
pub(crate) fn assert_rows<T: PartialEq + Debug>(found: &[T], expected: &[T]) {
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "row {at}");
    }
    assert_eq!(found.len(), expected.len(), "the number of rows");
}

/// Rows in the order in which keyed operators give them: by the hash of the key, then the key; those of one key stay as
/// they are.
pub(crate) fn by_hash<K: Key + Ord, V>(rows: impl IntoIterator<Item = (K, V)>) -> Vec<(K, V)> {
    let mut rows: Vec<(K, V)> = rows.into_iter().collect();
    rows.sort_by(|(a, _), (b, _)| (K::hash(a.view()), a).cmp(&(K::hash(b.view()), b)));
    rows
}

/// The number of records of most tests: several lanes and tasks.
pub(crate) const RECORDS: u64 = 60_000;

/// As random as need be, and the same each time.
pub(crate) fn random(number: u64) -> u64 {
    mix(number, 17)
}

/// `count` made records in many lanes and tasks, below which shuffles have many buckets and partitions: the source says
/// that there are far more bytes than there are.
pub(crate) fn many<T: Record>(
    flow: &Flow,
    count: u64,
    make: impl Fn(u64) -> T + Send + Sync + 'static,
) -> Dataset<T> {
    flow.read(Many { count, make, record: PhantomData })
}

struct Many<T, F> {
    count: u64,
    make: F,
    record: PhantomData<fn() -> T>,
}

/// More than what a lane looks at before it decides whether to combine.
pub(crate) const LANE: u64 = 5_000;

/// The lanes of a split.
pub(crate) const LANES: u64 = 3;

/// What a split is said to have: it is a task of its own, and brings 9 buckets.
pub(crate) const SPLIT_BYTES: u64 = 36 << 20;

impl<T: Record, F: Fn(u64) -> T + Send + Sync + 'static> Source for Many<T, F> {
    type Item = T;

    fn describe(&self) -> SourceDescription {
        SourceDescription { format: "many".to_string(), locations: Vec::new(), columns: None }
    }

    fn split(
        &self,
        _: &Storage,
        out: &mut dyn FnMut(Split) -> Result<(), SourceError>,
    ) -> Result<(), SourceError> {
        let lanes = self.count.div_ceil(LANE);
        (0..lanes).step_by(LANES as usize).try_for_each(|first| {
            out(Split {
                payload: first.to_le_bytes().to_vec(),
                bytes: SPLIT_BYTES,
                lanes: (lanes - first).min(LANES) as u32,
                hosts: Vec::new(),
            })
        })
    }

    fn read(
        &self,
        _: &Storage,
        split: &Split,
        lane: u32,
        out: &mut dyn Push<T>,
    ) -> Result<(), SourceError> {
        let first = u64::from_le_bytes(split.payload[..].try_into().unwrap()) + u64::from(lane);
        let (mut at, end) = (first * LANE, ((first + 1) * LANE).min(self.count));
        let mut builder = T::Builder::default();
        while at < end {
            let stop = (at + BATCH_RECORDS as u64).min(end);
            (at..stop).for_each(|number| builder.push((self.make)(number).view()));
            if out.batch(&builder.finish(), Selection::All)? == Demand::Enough {
                break;
            }
            at = stop;
        }
        Ok(())
    }
}
