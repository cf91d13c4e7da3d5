use windrow::prelude::*;

fn plan(flow: &Flow) -> Result<()> {
    flow.read_lines("a.txt").map(|line| line.trim()).write_text("out")
}

fn main() {}
