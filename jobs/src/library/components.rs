//! Which nodes of a graph hang together.

use super::edges::read_edges;
use crate::{Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Finds the connected components of a graph, whatever the direction of its edges: lines `node<TAB>component`, where a
/// component is named by the least of its nodes.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Components {
    /// Text: files, folders, patterns. A line is an edge: the numbers of two nodes
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
}

/// More rounds than any graph needs: a round goes two steps at least, and mostly doubles how far a label has come.
const ROUNDS_MAX: u32 = 100;

impl Job for Components {
    const NAME: &str = "components";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let links = read_edges(flow, &self.input)
            .flat_map(|(a, b)| [(a, b), (b, a)])
            .group_by_key()
            .map(|node, near| (node, near.collect::<Vec<u64>>()));
        let nodes = links.map(|(node, _)| node);
        // A label is the least node that is known to be in the component.
        let labels = nodes.map(|node| (node, node)).iterate_until(ROUNDS_MAX, |labels| {
            let from_near = links.join(labels).emit::<(u64, u64)>(|(_, (near, label)), out| {
                near.iter().for_each(|node| out.push((node, label)));
            });
            let least = labels.union(&from_near).min_by_key();
            // The label is a node too, which may have a lesser label by now.
            let by_label = least.map(|(node, label)| (label, node));
            let next = by_label.join(&least).map(|(_, (node, label))| (node, label));
            let changes = labels.join(&next).filter(|(_, (before, after))| before != after);
            (next, changes)
        });
        labels.write_text(&self.output)
    }
}
