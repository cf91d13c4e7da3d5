//! Graphs as text: what the jobs over graphs read.

use crate::{Dataset, Flow};
use windrow_datasets::location::Location;

/// The edges of a graph, of lines with two numbers of nodes each. Empty lines, and those that begin with `#`, are none.
pub(super) fn read_edges(flow: &Flow, input: &[Location]) -> Dataset<(u64, u64)> {
    flow.read_lines(input).flat_map(|line| {
        let line = line.trim();
        (!line.is_empty() && !line.starts_with('#')).then(|| edge(line))
    })
}

/// # Panics
/// If it is no edge: the job's failure names the line then.
fn edge(line: &str) -> (u64, u64) {
    let mut nodes = line.split_ascii_whitespace().map(str::parse);
    match (nodes.next(), nodes.next()) {
        (Some(Ok(from)), Some(Ok(to))) => (from, to),
        _ => panic!(
            "{line:?} is no edge: a line has the numbers of two nodes, with white space between"
        ),
    }
}
