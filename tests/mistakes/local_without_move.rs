use windrow::prelude::*;

fn plan(flow: &Flow, least: usize) -> Result<()> {
    flow.read_lines("a.txt").filter(|line| line.len() >= least).write_text("out")
}

fn main() {}
