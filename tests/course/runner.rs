//! Runs tests one after the other, with what `cargo test` and other runners ask of a test program: filters, `--exact`,
//! `--skip`, `--list`.

use std::panic::catch_unwind;
use std::process::ExitCode;

/// A test and its name.
pub(crate) type Test = (&'static str, fn());

/// The tests of a module, by their functions.
#[macro_export]
macro_rules! tests {
    ($($test:ident),* $(,)?) => {
        pub(crate) const TESTS: &[$crate::runner::Test] =
            &[$((concat!(module_path!(), "::", stringify!($test)), $test)),*];
    };
}

/// What is asked for.
#[derive(Default)]
struct Wanted {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    list: bool,
    ignored: bool,
}

impl Wanted {
    fn of_command_line() -> Wanted {
        let mut wanted = Wanted::default();
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--exact" => wanted.exact = true,
                "--list" => wanted.list = true,
                // There are none.
                "--ignored" => wanted.ignored = true,
                "--skip" => wanted.skipped.extend(words.next()),
                "--test-threads" | "--format" | "--color" | "-Z" => drop(words.next()),
                word if word.starts_with('-') => {}
                filter => wanted.filters.push(filter.to_string()),
            }
        }
        wanted
    }

    fn has(&self, name: &str) -> bool {
        let fits = |filter: &String| {
            if self.exact { name == filter } else { name.contains(filter.as_str()) }
        };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(fits))
            && !self.skipped.iter().any(fits)
    }
}

/// Runs those tests that the command line asks for.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let wanted = Wanted::of_command_line();
    // Without the name of the program, as in other test programs.
    let named = tests.iter().map(|(name, test)| (name.split_once("::").unwrap().1, *test));
    let chosen: Vec<Test> = named.filter(|(name, _)| wanted.has(name)).collect();
    if wanted.list {
        chosen.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", chosen.len());
    let mut failed = Vec::new();
    for (name, test) in &chosen {
        let ended = catch_unwind(*test);
        println!("test {name} ... {}", if ended.is_ok() { "ok" } else { "FAILED" });
        if ended.is_err() {
            failed.push(*name);
        }
    }
    let (result, passed) =
        (if failed.is_empty() { "ok" } else { "FAILED" }, chosen.len() - failed.len());
    if !failed.is_empty() {
        println!("\nfailures:\n    {}", failed.join("\n    "));
    }
    println!("\ntest result: {result}. {passed} passed; {} failed\n", failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
