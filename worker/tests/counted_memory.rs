//! What operators say that they have, beside what is allocated in fact: by an allocator that counts, and the arena.
//!
//! Budgets work on what holders count. A holder that counts too little makes a process larger than it may be, and one that
//! counts too much spills for nothing. One test, since the allocator is one for the whole process.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use windrow_datasets::commit::WriteMode;
use windrow_datasets::location::Location;
use windrow_datasets::memory::{self, Budget};
use windrow_datasets::record::mix;
use windrow_datasets::spill::Spills;
use windrow_datasets::storage::Storage;
use windrow_jobs::plan::Plan;
use windrow_jobs::shuffle::Memory;
use windrow_jobs::{Flow, Result};
use windrow_worker::local::{LocalJob, LocalOptions};

/// The allocator of the system, which counts bytes that are in use.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: all calls go to the system's allocator as they come.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(start, layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATED.fetch_add(size, Relaxed);
        ALLOCATED.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(start, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// All memory that is in use.
fn in_use() -> u64 {
    ALLOCATED.load(Relaxed) as u64 + memory::arena_bytes()
}

/// The budget of each job, in bytes; rows have ten times as much.
const BUDGET: u64 = 16 << 20;

/// Rows of 24 bytes as they are laid out.
const ROWS: u64 = 10 * BUDGET / 24;

/// What is not counted, and does not grow with the rows: for each of two threads the rows of a lane that are not handed over
/// yet, batches on their way, and buffers to write with. Three times as many rows have no more of it.
const UNCOUNTED: u64 = 32 << 20;

/// The most that was in use beyond what was there before, the most beyond what was counted at that time, and the most that
/// was counted.
#[derive(Debug, Default)]
struct Most {
    in_use: u64,
    beyond: u64,
    counted: u64,
}

fn run(plan: impl FnOnce(&Flow) -> Result<()>) -> Most {
    let scratch = tempfile::tempdir().unwrap();
    let budget = Budget::of(BUDGET);
    let memory = Memory { budget: budget.clone(), spills: Spills::to(vec![scratch.path().into()]) };
    let options = LocalOptions {
        threads: 2,
        memory,
        combining: Default::default(),
        mode: WriteMode::Error,
        short_id: "counted".into(),
        bad_records_max: 0,
    };
    let job = LocalJob::new(Plan::from_fn("counted", plan).unwrap(), Storage::new(), options);
    let (before, ended) = (in_use(), Arc::new(AtomicBool::new(false)));
    let looking = std::thread::spawn({
        let ended = ended.clone();
        move || {
            let mut most = Most::default();
            while !ended.load(Relaxed) {
                let counted = budget.counted();
                let in_use = in_use().saturating_sub(before);
                // What is given back is told first, what is taken last: both are looked at from the same side.
                let counted = counted.max(budget.counted());
                most.in_use = most.in_use.max(in_use);
                most.beyond = most.beyond.max(in_use.saturating_sub(counted));
                most.counted = most.counted.max(counted);
                std::thread::sleep(Duration::from_micros(200));
            }
            most
        }
    });
    let outcome = job.run();
    ended.store(true, Relaxed);
    outcome.unwrap();
    looking.join().unwrap()
}

#[test]
fn what_is_counted_is_what_is_allocated() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        |name: &str| -> Location { folder.path().join(name).to_str().unwrap().parse().unwrap() };
    let row = |n: u64| (mix(n, 1), mix(n, 2));
    let all = [
        ("sum_by_key", run(|flow| flow.generate(ROWS, row).sum_by_key().count().collect("n"))),
        (
            "sum_by_key of floats",
            run(|flow| {
                let rows = flow.generate(ROWS, |n| (mix(n, 1), n as f64));
                rows.sum_by_key().count().collect("n")
            }),
        ),
        ("distinct", run(|flow| flow.generate(ROWS, row).distinct().count().collect("n"))),
        (
            "group_by_key",
            run(|flow| {
                let groups = flow.generate(ROWS, |n| (mix(n, 1) % (ROWS / 4), n)).group_by_key();
                groups.map(|_, values| values.fold(0u64, u64::wrapping_add)).count().collect("n")
            }),
        ),
        (
            "sort_by_key",
            run(|flow| {
                let sorted = flow.generate(ROWS, row).sort_by_key();
                sorted.map(|(key, _)| key).write_text(output("sorted"))
            }),
        ),
        (
            "join",
            run(|flow| {
                let other = flow.generate(ROWS, |n| (n, n));
                let rows = flow.generate(ROWS, |n| (mix(n, 1) % ROWS, n));
                rows.join(&other).map(|(key, _)| key).write_text(output("joined"))
            }),
        ),
    ];
    for (name, most) in &all {
        println!("{name}: {most:?}");
    }
    for (name, most) in &all {
        assert!(most.counted > BUDGET / 2, "{name} counts too little to be worth a test: {most:?}");
        assert!(most.beyond <= UNCOUNTED, "{name} has more than it counts: {most:?}");
        assert!(most.in_use <= BUDGET / 10 * 11 + UNCOUNTED, "{name} has too much: {most:?}");
    }
}
