//! Tells sources by what the operators right behind them filter, so that they need not read what would be left out.

use super::stages::Step;
use crate::graph::{Graph, Kind};

/// Replaces each source all of whose records go through filters that the plan sees into.
pub(super) fn prune_sources(graph: &mut Graph, consumers: &[Vec<Step>]) {
    for id in 0..graph.nodes.len() {
        let Kind::Source(source) = &graph.nodes[id].kind else { continue };
        let (mut source, mut last) = (source.clone(), id);
        while let [(next, _)] = consumers[last][..]
            && let Some(predicate) = &graph.nodes[next].predicate
            && let Some(pruned) = source.pruned(predicate)
        {
            (source, last) = (pruned, next);
        }
        graph.nodes[id].kind = Kind::Source(source);
    }
}
