//! Closures that do harm.

use crate::quiet::windrow;
use crate::{room, tests};

tests![a_closure_that_panics];

fn a_closure_that_panics() {
    let room = room!();
    let path = room.write("in/lines.txt", "one\ntwo\nthree\n");
    let run = "run each-line --input in --output out --at three --act panic --workers 2";
    let done = windrow(&room, run).run();
    assert_eq!(done.code(), Some(1), "{}", done.report);
    done.says(&["this line is too much", &path.display().to_string(), "byte 8"]);
    assert!(!room.path("out").exists(), "{}", done.report);
}
