//! `windrow simulate`, by the real binary. What it says about a broken invariant is tested beside the code, since the
//! binary has no defect to be found.

mod harness;

/// The number before or behind a word of a summary, as in `12 Crash` and `decisions 12,`.
fn number(text: &str, word: &str) -> u64 {
    let line = text.lines().find(|line| line.split_whitespace().any(|found| found == word));
    let line = line.unwrap_or_else(|| panic!("no `{word}` in\n{text}"));
    let number = line.split_whitespace().find_map(|word| word.trim_end_matches(',').parse().ok());
    number.unwrap_or_else(|| panic!("no number in `{line}`"))
}

#[test]
fn many_seeds_with_faults() {
    let room = room!();
    let done = room.windrow("simulate --seeds 60 --workers 8 --tasks 60 --threads 2").ok();
    let told = done.stdout();
    assert!(told.starts_with("simulate: 60 seeds in "), "{}", done.report);
    assert!(told.contains(" a second\n"), "{}", done.report);
    assert!(number(told, "decisions") > 60 * 60, "{}", done.report);
    // Each run has a crash at least, and what follows from it.
    assert!(number(told, "Crash") >= 60, "{}", done.report);
    for seen in ["Loss", "Restart", "Block", "LeaseEnded", "OutputReopened", "Retried", "Backup"] {
        assert!(number(told, seen) > 0, "{seen}\n{}", done.report);
    }
    assert_eq!(done.stderr(), "", "{}", done.report);
}

#[test]
fn without_faults_there_are_none() {
    let room = room!();
    let done = room.windrow("simulate --seeds 20 --workers 4 --tasks 30 --faults none").ok();
    for fault in ["Loss", "Crash", "Pause", "Restart", "LeaseEnded", "Retried", "Requeued"] {
        assert_eq!(number(done.stdout(), fault), 0, "{fault}\n{}", done.report);
    }
    assert!(number(done.stdout(), "decisions") > 20 * 30, "{}", done.report);
}

/// A summary without what depends on the machine.
fn lasting(text: &str) -> Vec<String> {
    let timed = |line: &&str| !line.contains("nothing is broken");
    let lines = text.lines().filter(timed);
    lines
        .map(|line| line.split(" a second").next().unwrap_or_default().to_string())
        .map(|line| {
            if line.trim_start().starts_with("decisions") {
                line.split(',').next().unwrap_or_default().to_string()
            } else {
                line
            }
        })
        .collect()
}

#[test]
fn a_seed_is_one_run_and_always_the_same() {
    let room = room!();
    let run = |flags: &str| {
        let done = room.windrow("simulate --workers 6 --tasks 60").args(flags.split(' ')).ok();
        done.stdout().to_string()
    };
    let one = run("--seed 17");
    assert!(one.starts_with("simulate: 1 seed in "), "{one}");
    assert_eq!(lasting(&one), lasting(&run("--seed 17 --threads 1")));
    assert_ne!(lasting(&one), lasting(&run("--seed 18")));
    // Many are what each is alone, on however many threads.
    let many = run("--seed 17 --seeds 4 --threads 3");
    let each = (17..21).map(|seed| number(&run(&format!("--seed {seed}")), "decisions"));
    assert_eq!(number(&many, "decisions"), each.sum::<u64>());
}

#[test]
fn wrong_usage() {
    let room = room!();
    for (flags, says) in [
        ("--seeds 0", "'0'"),
        ("--seeds many", "'many'"),
        ("--workers 0", "'0'"),
        ("--tasks 0", "'0'"),
        ("--threads 0", "'0'"),
        ("--faults some", "[possible values: none, all]"),
        ("--mutation CommitTwice", "--mutation"),
        ("extra", "'extra'"),
    ] {
        let done = room.windrow("simulate").args(flags.split(' ')).fails(2);
        done.says(&[says]);
        assert_eq!(done.stdout(), "", "{}", done.report);
    }
}
