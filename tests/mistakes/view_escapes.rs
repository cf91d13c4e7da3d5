use std::sync::Mutex;
use windrow::prelude::*;

fn plan(flow: &Flow) -> Result<()> {
    let seen = Mutex::new(Vec::new());
    let lines = flow.read_lines("a.txt").filter(move |line| {
        seen.lock().unwrap().push(line);
        true
    });
    lines.write_text("out")
}

fn main() {}
