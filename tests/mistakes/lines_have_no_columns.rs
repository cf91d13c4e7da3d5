use windrow::prelude::*;

fn plan(flow: &Flow) -> Result<()> {
    flow.read_lines("a.txt").filter_by(|c| c.eq("x")).collect("out")
}

fn main() {}
