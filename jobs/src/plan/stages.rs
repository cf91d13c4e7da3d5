//! Cuts a graph into stages.

use super::any_order::any_order;
use super::prune::{filter_aggregates, prune_sources};
use super::{Output, Plan, Root, Stage};
use crate::graph::{Graph, Kind, Node, NodeId};
use crate::ops::StageNeeds;
use std::collections::{BTreeMap, BTreeSet};

/// A node on the way from a root to an output, and by which of its inputs the way comes in.
pub(super) type Step = (NodeId, usize);

/// For each node those that read its rows, in the order in which they were made; one that reads them twice is there
/// twice. Nodes whose rows nobody wants are left out.
pub(super) fn consumers(graph: &Graph) -> Vec<Vec<Step>> {
    let live = live(graph);
    let mut consumers = vec![Vec::new(); graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate().filter(|&(id, _)| live[id]) {
        for (at, &input) in node.inputs.iter().enumerate() {
            consumers[input].push((id, at));
        }
    }
    consumers
}

/// For each node whether somebody wants what it does. Who does comes after it.
fn live(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.nodes.len()];
    for (id, node) in graph.nodes.iter().enumerate().rev() {
        let wants = |(later, other): (usize, &Node)| {
            live[later]
                && match (&node.kind, &other.kind) {
                    (Kind::Collect(number), _)
                        if other.waits_for().any(|waits| waits == *number) =>
                    {
                        true
                    }
                    (Kind::Collect(number), Kind::Narrow { whole, .. }) => whole.contains(number),
                    (Kind::Collect(number), Kind::Shuffle(shuffle)) => {
                        graph.shuffles[*shuffle as usize].sample == Some(*number)
                    }
                    (Kind::Shuffle(shuffle), Kind::Read { shuffles, .. }) => {
                        shuffles.contains(shuffle)
                    }
                    (kind, _) => !kind.is_output() && other.inputs.contains(&id),
                }
        };
        let asked_for = match &node.kind {
            Kind::Sink(_) => true,
            Kind::Collect(number) => !graph.collects[*number as usize].name.is_empty(),
            _ => false,
        };
        live[id] = asked_for || graph.nodes.iter().enumerate().skip(id + 1).any(wants);
    }
    live
}

/// A way from a root to an output.
struct Path {
    root: NodeId,
    /// Its number among those of its root.
    number: usize,
    output: Output,
    /// How many paths of the root lead to that output before this one: by a union, several may.
    before: usize,
    /// The steps from the root to the output, that one included.
    steps: Vec<Step>,
    /// What must be collected before.
    needs: Vec<u32>,
    /// How many steps of waiting lie before it.
    depth: usize,
}

/// The paths of a root, in the order in which chains are built.
fn paths_of(graph: &Graph, consumers: &[Vec<Step>], root: NodeId) -> Vec<Path> {
    fn walk(
        graph: &Graph,
        consumers: &[Vec<Step>],
        node: NodeId,
        way: &mut Vec<Step>,
        out: &mut Vec<Vec<Step>>,
    ) {
        for &(consumer, input) in &consumers[node] {
            way.push((consumer, input));
            if graph.nodes[consumer].kind.is_output() {
                out.push(way.clone());
            } else {
                walk(graph, consumers, consumer, way, out);
            }
            way.pop();
        }
    }
    let mut ways = Vec::new();
    walk(graph, consumers, root, &mut Vec::new(), &mut ways);
    let mut led: BTreeMap<Output, usize> = BTreeMap::new();
    let path = |(number, steps): (usize, Vec<Step>)| {
        let mut needs: Vec<u32> = graph.nodes[root].waits_for().collect();
        for &(node, _) in &steps {
            needs.extend(graph.nodes[node].waits_for());
            if let Kind::Narrow { whole, .. } = &graph.nodes[node].kind {
                needs.extend_from_slice(whole);
            }
        }
        let output = match graph.nodes[steps.last()?.0].kind {
            Kind::Shuffle(shuffle) => {
                needs.extend(graph.shuffles[shuffle as usize].sample);
                Output::Shuffle(shuffle)
            }
            Kind::Sink(sink) => Output::Sink(sink),
            Kind::Collect(collect) => Output::Collect(collect),
            _ => return None,
        };
        let count = led.entry(output).or_default();
        let before = *count;
        *count += 1;
        Some(Path { root, number, output, before, steps, needs, depth: 0 })
    };
    ways.into_iter().enumerate().filter_map(path).collect()
}

/// Sets each path's depth: more than that of all that must be collected before, and no less than that of what its root
/// reads. Stages in the order of (depth, root) then come after all that they read.
fn set_depths(graph: &Graph, paths: &mut [Path]) {
    loop {
        let mut depths: BTreeMap<Output, usize> = BTreeMap::new();
        for path in &*paths {
            let depth = depths.entry(path.output).or_default();
            *depth = path.depth.max(*depth);
        }
        let depth_of = |output: Output| depths.get(&output).copied();
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
pub(super) fn cut(name: String, mut graph: Graph) -> Plan {
    let consumers = consumers(&graph);
    prune_sources(&mut graph, &consumers);
    filter_aggregates(&mut graph, &consumers);
    let roots = (0..graph.nodes.len()).filter(|&id| graph.nodes[id].kind.is_root());
    let mut paths: Vec<Path> = roots.flat_map(|root| paths_of(&graph, &consumers, root)).collect();
    set_depths(&graph, &mut paths);
    // A sample is taken by a stage of its own.
    let sample_of = |output: Output| match output {
        Output::Collect(number) if graph.collects[number as usize].sample => Some(number),
        _ => None,
    };
    // So is what reaches an output by another branch of a union: the records of one branch come before those of the next.
    let mut groups: BTreeMap<(usize, NodeId, Option<u32>, usize), Vec<Path>> = BTreeMap::new();
    for path in paths {
        let key = (path.depth, path.root, sample_of(path.output), path.before);
        groups.entry(key).or_default().push(path);
    }
    let mut stages: Vec<Stage> = Vec::new();
    let mut ways: Vec<Vec<Vec<Step>>> = Vec::new();
    for ((_, root_node, sample, _), paths) in groups {
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
            details: details(&graph, &paths),
            root,
            outputs: paths.iter().map(|path| path.output).collect(),
            whole_inputs,
            sample: sample.is_some(),
            needs: needs(&graph, root_node, &paths),
            passes: paths.iter().map(|path| passes(&graph, path)).fold(0.0, f64::max),
            root_node,
            steps: paths
                .iter()
                .map(|path| path.steps.iter().map(|step| step.0).collect())
                .collect(),
            paths: paths.iter().map(|path| path.number).collect(),
        });
        ways.push(paths.into_iter().map(|path| path.steps).collect());
    }
    let producers = |output: Output| producers_of(&graph, &stages, &ways, output);
    let shuffle_producers =
        (0..graph.shuffles.len() as u32).map(|n| producers(Output::Shuffle(n))).collect();
    let sink_producers =
        (0..graph.sinks.len() as u32).map(|n| producers(Output::Sink(n))).collect();
    let collect_producers =
        (0..graph.collects.len() as u32).map(|n| producers(Output::Collect(n))).collect();
    let any_order = any_order(&graph, &consumers);
    Plan {
        name,
        graph,
        consumers,
        stages,
        shuffle_producers,
        sink_producers,
        collect_producers,
        any_order,
    }
}

/// What the tasks of a stage need.
fn needs(graph: &Graph, root: NodeId, paths: &[Path]) -> StageNeeds {
    let mut needs = StageNeeds::default();
    let steps = paths.iter().flat_map(|path| &path.steps).map(|&(node, _)| node);
    for node in steps.chain([root]) {
        if let Some(of) = graph.needs.get(&node) {
            needs.add(of);
        }
    }
    needs
}

/// About which share of what the root gives comes to the end of a path, as far as its filters tell.
fn passes(graph: &Graph, path: &Path) -> f64 {
    path.steps.iter().map(|&(node, _)| graph.nodes[node].passes).product()
}

/// The stages that lead to an output, in the order of the branches of the unions on the way.
fn producers_of(
    graph: &Graph,
    stages: &[Stage],
    ways: &[Vec<Vec<Step>>],
    output: Output,
) -> Vec<usize> {
    let mut found: Vec<(Vec<usize>, usize)> = Vec::new();
    for (number, stage) in stages.iter().enumerate() {
        for (at, _) in stage.outputs.iter().enumerate().filter(|(_, o)| **o == output) {
            // Which input of each union the way comes in by, from the output back.
            let unions = ways[number][at]
                .iter()
                .rev()
                .filter(|(node, _)| graph.nodes[*node].inputs.len() > 1);
            let branches = unions.map(|&(_, input)| input).collect();
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

/// What the operators on the paths say of themselves, in the order in which they were made.
fn details(graph: &Graph, paths: &[Path]) -> Vec<String> {
    let nodes: BTreeSet<NodeId> =
        paths.iter().flat_map(|path| &path.steps).map(|&(node, _)| node).collect();
    let details = nodes.into_iter().map(|node| graph.nodes[node].detail.clone());
    details.filter(|detail| !detail.is_empty()).collect()
}

/// The operators from the root to the last one that all paths share, then those of each.
fn stage_name(graph: &Graph, root: NodeId, paths: &[Path]) -> String {
    let operators = |steps: &[Step]| -> Vec<&'static str> {
        steps.iter().map(|&(node, _)| graph.nodes[node].operator).collect()
    };
    let shared = (0..)
        .take_while(|&at| {
            let first = paths[0].steps.get(at);
            first.is_some() && paths.iter().all(|path| path.steps.get(at) == first)
        })
        .count();
    let mut name = vec![graph.nodes[root].operator];
    name.extend(operators(&paths[0].steps[..shared]));
    let mut name = name.join(" > ");
    let rest: Vec<String> = paths
        .iter()
        .map(|path| operators(&path.steps[shared..]).join(" > "))
        .filter(|rest| !rest.is_empty())
        .collect();
    if !rest.is_empty() {
        name.push_str(&format!(" > [{}]", rest.join("; ")));
    }
    name
}
