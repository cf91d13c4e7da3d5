use windrow::prelude::*;

fn plan(flow: &Flow) -> Result<()> {
    let lines = flow.read_lines("a.txt").map(|line| (line.len() as u64, line.to_string()));
    lines.sum_by_key().collect("lengths")
}

fn main() {}
