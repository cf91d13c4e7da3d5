use windrow::prelude::*;

fn lengths(lines: Dataset<String>) -> Dataset<u64> {
    lines.map(|line| line.len() as u64)
}

fn plan(flow: &Flow) -> Result<()> {
    let lines = flow.read_lines("a.txt");
    lengths(lines).count().collect("lengths")?;
    lines.count().collect("lines")
}

fn main() {}
