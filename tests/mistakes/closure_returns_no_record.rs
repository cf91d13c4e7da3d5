use windrow::prelude::*;

struct Length(u64);

fn plan(flow: &Flow) -> Result<()> {
    let lines = flow.read_lines("a.txt");
    lines.map(|line| Length(line.len() as u64)).count().collect("lengths")
}

fn main() {}
