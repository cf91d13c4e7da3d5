//! The tests of a MapReduce course, over real processes: several workers do what one does, they work at the same time,
//! nothing is done twice, nobody leaves early, and processes that die or stall change nothing.
//!
//! The closures of the jobs have to look at the world and to do harm to it, so the jobs are this program's own: it is
//! both the tests, and, started by them with [`PROGRAM`] set, the whole command line with these jobs.

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../s3/mod.rs"]
mod s3;

mod aborts;
mod commits;
mod crash;
mod jobs;
mod mistakes;
mod quiet;
mod runner;
mod stores;

use std::process::ExitCode;

/// Set for processes that are not to run the tests, but to be Windrow with the jobs.
pub(crate) const PROGRAM: &str = "WINDROW_TEST_COURSE_PROGRAM";

fn main() -> ExitCode {
    if std::env::var_os(PROGRAM).is_some() {
        return windrow::main(jobs::all());
    }
    runner::run(
        &[
            quiet::TESTS,
            crash::TESTS,
            mistakes::TESTS,
            aborts::TESTS,
            commits::TESTS,
            stores::TESTS,
        ]
        .concat(),
    )
}
