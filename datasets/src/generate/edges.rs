//! Graphs, as edges.

use super::{Generator, Random};
use std::io::Write;
use std::ops::Range;

/// Lines `from<TAB>to`: edges between the numbers of nodes. All nodes have about as many edges that leave them; some
/// have far more than others that come to them, as pages of the web do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edges {
    /// The number of edges.
    pub edges: u64,
    /// Nodes are numbers below this one.
    pub nodes: u64,
    /// Which edges.
    pub seed: u64,
}

impl Generator for Edges {
    fn pieces(&self) -> u64 {
        self.edges
    }

    fn piece_bytes(&self) -> u64 {
        16
    }

    fn fill(&self, pieces: Range<u64>, out: &mut Vec<u8>) {
        for edge in pieces.start..pieces.end.min(self.edges) {
            let mut random = Random::of(self.seed, edge);
            let from = random.below(self.nodes);
            // Of three numbers one below the next: the first nodes have most.
            let to = (0..3).fold(self.nodes, |end, _| random.below(end) + 1) - 1;
            writeln!(out, "{from}\t{to}").expect("a vector takes all bytes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_nodes_have_many_edges_and_none_is_outside() {
        let mut out = Vec::new();
        Edges { edges: 20_000, nodes: 1_000, seed: 4 }.fill(0..20_000, &mut out);
        let (mut from, mut to) = (vec![0u32; 1_000], vec![0u32; 1_000]);
        for line in String::from_utf8(out).unwrap().lines() {
            let (a, b) = line.split_once('\t').unwrap();
            from[a.parse::<usize>().unwrap()] += 1;
            to[b.parse::<usize>().unwrap()] += 1;
        }
        assert!(from.iter().all(|edges| (3..60).contains(edges)));
        assert!(to[..10].iter().sum::<u32>() > 1_000 && to[500..].iter().sum::<u32>() < 4_000);
    }
}
