//! What is counted of memory, however threads are interleaved: never less than nothing, and nothing once all is given back.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "of the code under test only a part is used"
)]

/// What the code under test has of the crate.
mod sync {
    pub(crate) use shuttle::sync::{Arc, atomic};
}

#[path = "."]
mod memory {
    mod arena {
        pub(super) fn idle_bytes() -> u64 {
            0
        }
        pub(super) fn trim() {}
    }

    #[path = "../src/memory/budget.rs"]
    pub(crate) mod budget;
}

use memory::budget::{Budget, Shortage};
use std::sync::Arc;

fn memory_is_not_short_because_it_is_given_back() {
    let run = || {
        let budget = Budget::of(1_000);
        let share = Arc::new(budget.share());
        let beside = share.clone();
        let others = shuttle::thread::spawn(move || {
            beside.add(100);
            beside.give_back(150);
        });
        share.give_back(50);
        let (counted, shortage) = (budget.counted(), budget.shortage());
        assert!(counted <= 100 && shortage == Shortage::None, "{counted} bytes: {shortage:?}");
        share.add(20);
        share.set(10);
        others.join().unwrap();
        assert_eq!(budget.counted(), share.bytes());
        drop(share);
        assert_eq!(budget.counted(), 0);
    };
    shuttle::check_dfs(run, Some(200_000));
}

/// A program of its own: the unit tests of the code that is included here run where that is.
fn main() {
    memory_is_not_short_because_it_is_given_back();
    println!("test memory_is_not_short_because_it_is_given_back ... ok");
    println!("1 passed, 0 failed");
}
