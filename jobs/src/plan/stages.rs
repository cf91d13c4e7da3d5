//! Cuts a graph into stages.

use super::{Output, Plan, Root, Stage};
use crate::graph::{Graph, Kind, NodeId};
use std::collections::BTreeMap;

/// The nodes that read a node's rows, in the order in which they were made; a node that reads them twice is there twice.
/// Nodes whose rows nobody wants are left out.
pub(super) fn consumers(graph: &Graph, node: NodeId) -> Vec<NodeId> {
    let live = graph.nodes.iter().enumerate().skip(node + 1);
    live.flat_map(|(id, other)| {
        other.inputs.iter().filter(|&&input| input == node).map(move |_| id)
    })
    .filter(|&id| is_live(graph, id))
    .collect()
}

/// Whether somebody wants what a node does.
fn is_live(graph: &Graph, node: NodeId) -> bool {
    match &graph.nodes[node].kind {
        Kind::Sink(_) => true,
        Kind::Collect(number) => {
            let collect = &graph.collects[*number as usize];
            if !collect.name.is_empty() {
                return true;
            }
            let asked = |id: NodeId| match &graph.nodes[id].kind {
                Kind::Narrow { whole, .. } => whole.contains(number) && is_live(graph, id),
                Kind::Shuffle(shuffle) => {
                    graph.shuffles[*shuffle as usize].sample == Some(*number) && is_live(graph, id)
                }
                _ => false,
            };
            (node + 1..graph.nodes.len()).any(asked)
        }
        Kind::Shuffle(shuffle) => {
            let read = |id: NodeId| match &graph.nodes[id].kind {
                Kind::Read { shuffles, .. } => shuffles.contains(shuffle) && is_live(graph, id),
                _ => false,
            };
            (node + 1..graph.nodes.len()).any(read)
        }
        _ => !consumers(graph, node).is_empty(),
    }
}

/// A way from a root to an output.
struct Path {
    root: NodeId,
    /// Its number among those of its root.
    number: usize,
    output: Output,
    /// The nodes between.
    nodes: Vec<NodeId>,
    /// What must be collected before.
    needs: Vec<u32>,
    /// How many steps of waiting lie before it.
    depth: usize,
}

/// The paths of a root, in the order in which chains are built.
fn paths_of(graph: &Graph, root: NodeId) -> Vec<Path> {
    fn walk(graph: &Graph, node: NodeId, way: &mut Vec<NodeId>, out: &mut Vec<Vec<NodeId>>) {
        for consumer in consumers(graph, node) {
            way.push(consumer);
            if graph.nodes[consumer].kind.is_output() {
                out.push(way.clone());
            } else {
                walk(graph, consumer, way, out);
            }
            way.pop();
        }
    }
    let mut ways = Vec::new();
    walk(graph, root, &mut Vec::new(), &mut ways);
    let path = |(number, mut nodes): (usize, Vec<NodeId>)| {
        let last = nodes.pop()?;
        let mut needs = Vec::new();
        for &node in &nodes {
            if let Kind::Narrow { whole, .. } = &graph.nodes[node].kind {
                needs.extend_from_slice(whole);
            }
        }
        let output = match graph.nodes[last].kind {
            Kind::Shuffle(shuffle) => {
                needs.extend(graph.shuffles[shuffle as usize].sample);
                Output::Shuffle(shuffle)
            }
            Kind::Sink(sink) => Output::Sink(sink),
            Kind::Collect(collect) => Output::Collect(collect),
            _ => return None,
        };
        nodes.push(last);
        Some(Path { root, number, output, nodes, needs, depth: 0 })
    };
    ways.into_iter().enumerate().filter_map(path).collect()
}

/// Sets each path's depth: more than that of all that must be collected before, and no less than that of what its root
/// reads. Stages in the order of (depth, root) then come after all that they read.
fn set_depths(graph: &Graph, paths: &mut [Path]) {
    loop {
        let depth_of = |output: Output| {
            paths.iter().filter(|path| path.output == output).map(|path| path.depth).max()
        };
        let wanted: Vec<usize> = paths
            .iter()
            .map(|path| {
                let read = match &graph.nodes[path.root].kind {
                    Kind::Read { shuffles, .. } => shuffles
                        .iter()
                        .filter_map(|&shuffle| depth_of(Output::Shuffle(shuffle)))
                        .max()
                        .unwrap_or(0),
                    _ => 0,
                };
                let needs = path.needs.iter().filter_map(|&n| depth_of(Output::Collect(n)));
                needs.map(|depth| depth + 1).max().unwrap_or(0).max(read)
            })
            .collect();
        if paths.iter().zip(&wanted).all(|(path, depth)| path.depth == *depth) {
            return;
        }
        for (path, depth) in paths.iter_mut().zip(wanted) {
            path.depth = depth;
        }
    }
}

/// The plan of a graph.
pub(super) fn cut(name: String, graph: Graph) -> Plan {
    let roots = (0..graph.nodes.len()).filter(|&id| graph.nodes[id].kind.is_root());
    let mut paths: Vec<Path> = roots.flat_map(|root| paths_of(&graph, root)).collect();
    set_depths(&graph, &mut paths);
    // A sample is taken by a stage of its own.
    let sample_of = |output: Output| match output {
        Output::Collect(number) if graph.collects[number as usize].sample => Some(number),
        _ => None,
    };
    let mut groups: BTreeMap<(usize, NodeId, Option<u32>), Vec<Path>> = BTreeMap::new();
    for path in paths {
        let key = (path.depth, path.root, sample_of(path.output));
        groups.entry(key).or_default().push(path);
    }
    let mut stages: Vec<Stage> = Vec::new();
    let mut ways: Vec<Vec<Vec<NodeId>>> = Vec::new();
    for ((_, root_node, sample), paths) in groups {
        let root = match &graph.nodes[root_node].kind {
            Kind::Read { shuffles, .. } => Root::Shuffles(shuffles.clone()),
            _ => {
                let first = stages.iter().position(|stage| stage.root_node == root_node);
                Root::Source { listed_by: first.unwrap_or(stages.len()) }
            }
        };
        let mut whole_inputs: Vec<u32> = paths.iter().flat_map(|p| p.needs.clone()).collect();
        whole_inputs.sort_unstable();
        whole_inputs.dedup();
        stages.push(Stage {
            name: stage_name(&graph, root_node, &paths),
            root,
            outputs: paths.iter().map(|path| path.output).collect(),
            whole_inputs,
            sample: sample.is_some(),
            root_node,
            output_nodes: paths.iter().filter_map(|path| path.nodes.last().copied()).collect(),
            paths: paths.iter().map(|path| path.number).collect(),
        });
        ways.push(paths.into_iter().map(|path| path.nodes).collect());
    }
    let producers = |output: Output| producers_of(&graph, &stages, &ways, output);
    let shuffle_producers =
        (0..graph.shuffles.len() as u32).map(|n| producers(Output::Shuffle(n))).collect();
    let sink_producers =
        (0..graph.sinks.len() as u32).map(|n| producers(Output::Sink(n))).collect();
    Plan { name, graph, stages, shuffle_producers, sink_producers }
}

/// The stages that lead to an output, in the order of the branches of the unions on the way.
fn producers_of(
    graph: &Graph,
    stages: &[Stage],
    ways: &[Vec<Vec<NodeId>>],
    output: Output,
) -> Vec<usize> {
    let mut found: Vec<(Vec<usize>, usize)> = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        for (at, _) in stage.outputs.iter().enumerate().filter(|(_, o)| **o == output) {
            // Which input of each union the way comes in by, from the output back.
            let way = &ways[number][at];
            let mut branches: Vec<usize> = Vec::new();
            let before = std::iter::once(&stage.root_node).chain(way);
            for (from, to) in before.zip(way) {
                let inputs = &graph.nodes[*to].inputs;
                if inputs.len() > 1 {
                    branches.push(inputs.iter().position(|input| input == from).unwrap_or(0));
                }
            }
            branches.reverse();
            found.push((branches, number));
        }
    }
    found.sort();
    let mut producers: Vec<usize> = Vec::new();
    for (_, stage) in found {
        if !producers.contains(&stage) {
            producers.push(stage);
        }
    }
    producers
}

/// The operators from the root to the last one that all paths share, then those of each.
fn stage_name(graph: &Graph, root: NodeId, paths: &[Path]) -> String {
    let operators = |nodes: &[NodeId]| -> Vec<&'static str> {
        nodes.iter().map(|&node| graph.nodes[node].operator).collect()
    };
    let shared = (0..)
        .take_while(|&at| {
            let first = paths[0].nodes.get(at);
            first.is_some() && paths.iter().all(|path| path.nodes.get(at) == first)
        })
        .count();
    let mut name = operators(&[root]);
    name.extend(operators(&paths[0].nodes[..shared]));
    let mut name = name.join(" > ");
    let rest: Vec<String> = paths
        .iter()
        .map(|path| operators(&path.nodes[shared..]).join(" > "))
        .filter(|rest| !rest.is_empty())
        .collect();
    if !rest.is_empty() {
        name.push_str(&format!(" > [{}]", rest.join("; ")));
    }
    name
}
