//! The lanes of an attempt, however threads are interleaved: each is run here or given up, and never both.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "of the code under test only a part is used"
)]

/// What the code under test has of the crate.
mod sync {
    pub(crate) use shuttle::sync::{Mutex, MutexGuard};
    pub(crate) use std::sync::PoisonError;
}

#[path = "../src/executor_process/lanes.rs"]
mod lanes;

use lanes::Lanes;
use std::sync::Arc;
use windrow_protocol::ids::LaneRange;

fn a_lane_is_run_or_given_up() {
    let run = || {
        let lanes = Arc::new(Lanes::default());
        lanes.begin(LaneRange { start: 1, end: 5 }, 9);
        let runs = lanes.clone();
        let runs = shuttle::thread::spawn(move || {
            let mut ran = Vec::new();
            while let Some(lane) = runs.take() {
                ran.push(lane);
                runs.done();
            }
            ran
        });
        // It is asked twice: the answer to the first was lost.
        let gave = [300, 0].map(|keep| lanes.give_up(keep));
        let told = lanes.progress(0).given_up;
        let ran = runs.join().unwrap();
        let end = lanes.given_up().unwrap_or(5);
        assert_eq!(ran, (1..end).collect::<Vec<_>>());
        assert_eq!(told, lanes.given_up(), "what was told is so at the end");
        assert_eq!(gave.iter().any(|gave| *gave), end < 5);
        let progress = lanes.progress(0);
        assert_eq!((progress.lanes_done, progress.lanes), (end - 1, end - 1));
    };
    shuttle::check_dfs(run, None);
}

/// A program of its own: the unit tests of the code that is included here run where that is.
fn main() {
    a_lane_is_run_or_given_up();
    println!("test a_lane_is_run_or_given_up ... ok");
    println!("1 passed, 0 failed");
}
