use windrow::prelude::*;

fn plan(flow: &Flow) -> Result<()> {
    let lengths = flow.read_lines("a.txt").map(|line| (line.len() as f64, 1u64));
    lengths.sum_by_key().collect("lengths")
}

fn main() {}
