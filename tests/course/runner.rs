//! Runs tests in the manner of other test programs, several at once; `RUST_TEST_THREADS` says how many here too.

use libtest_mimic::{Arguments, Trial};
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

/// Runs those tests that the command line asks for.
pub(crate) fn run(tests: &[Test]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    let told = std::env::var("RUST_TEST_THREADS").ok().and_then(|text| text.parse().ok());
    arguments.test_threads = arguments.test_threads.or(told);
    let trial = |&(name, test): &Test| {
        // Without the name of the program, as in other test programs.
        let name = name.split_once("::").map_or(name, |(_, name)| name);
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&arguments, tests.iter().map(trial).collect()).exit_code()
}
