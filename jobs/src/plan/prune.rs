//! Tells sources and shuffles what the operators right behind them leave out, so that it need not be read or kept.

use super::stages::Step;
use crate::exec::LaneContext;
use crate::graph::{Graph, Kind};
use std::sync::Arc;
use windrow_datasets::push::AnyPush;
use windrow_datasets::source::Pruned;

/// Replaces each source all of whose records go through filters that the plan sees into. A filter that has nothing left
/// to do passes all on.
pub(super) fn prune_sources(graph: &mut Graph, consumers: &[Vec<Step>]) {
    for id in 0..graph.nodes.len() {
        let Kind::Source(source) = &graph.nodes[id].kind else { continue };
        let (mut source, mut last) = (source.clone(), id);
        while let [(next, _)] = consumers[last][..]
            && let Some(predicate) = &graph.nodes[next].predicate
            && let Some(Pruned { source: pruned, exact }) = source.pruned(predicate)
        {
            (source, last) = (pruned, next);
            let node = &mut graph.nodes[next];
            node.detail.push_str(if exact { ", in the source" } else { ", pruning the source" });
            if exact {
                let code = Arc::new(|_: &LaneContext, out: AnyPush| out);
                node.kind = Kind::Narrow { code, whole: Vec::new() };
            }
        }
        graph.nodes[id].kind = Kind::Source(source);
    }
}

/// Lets the shuffle of an aggregate be filtered as the side of a join is that it becomes, where it becomes nothing else.
pub(super) fn filter_aggregates(graph: &mut Graph, consumers: &[Vec<Step>]) {
    for (id, read_by) in consumers.iter().enumerate() {
        let Kind::Read { shuffles, .. } = &graph.nodes[id].kind else { continue };
        if graph.nodes[id].by_key
            && let [(consumer, _)] = read_by[..]
            && let Kind::Shuffle(side) = graph.nodes[consumer].kind
        {
            let filtered_by = graph.shuffles[side as usize].filtered_by;
            for shuffle in shuffles.clone() {
                graph.shuffles[shuffle as usize].filtered_by = filtered_by;
            }
        }
    }
}
