//! How much the nodes of a graph matter.

use super::edges::read_edges;
use crate::{Flow, Job, Result};
use clap::Args;
use serde::{Deserialize, Serialize};
use windrow_datasets::location::Location;

/// Ranks the nodes of a graph by PageRank (Page, Brin, Motwani and Winograd, "The PageRank Citation Ranking", 1999): lines
/// `node<TAB>rank`, whose ranks make one together. What a node without links has is spread over all nodes.
#[derive(Args, Clone, Debug, Serialize, Deserialize)]
pub struct Pagerank {
    /// Text: files, folders, patterns. A line is an edge: the numbers of two nodes
    #[arg(long, required = true, num_args = 1.., value_name = "LOCATION")]
    pub input: Vec<Location>,
    /// The folder to write to
    #[arg(long, value_name = "LOCATION")]
    pub output: Location,
    /// How many rounds
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// The share of a rank that is passed on along links
    #[arg(long, default_value_t = 0.85, value_parser = share)]
    pub damping: f64,
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share.ok_or_else(|| "it is no number from 0 to 1".to_string())
}

/// All ranks together. Ranks are whole numbers, so that their sums do not depend on any order.
const ALL: u64 = 1 << 62;

/// A damping of one.
const ONE: u64 = 1 << 32;

/// So much of a rank.
fn part(rank: u64, damping: u64) -> u64 {
    (u128::from(rank) * u128::from(damping) / u128::from(ONE)) as u64
}

impl Job for Pagerank {
    const NAME: &str = "pagerank";

    fn plan(&self, flow: &Flow) -> Result<()> {
        let damping = (self.damping * ONE as f64) as u64;
        let edges = read_edges(flow, &self.input);
        let links = edges.group_by_key().map(|from, to| (from, to.collect::<Vec<u64>>()));
        let nodes = edges.flat_map(|(from, to)| [from, to]).distinct();
        let count = nodes.count().map(|count| ((), count)).broadcast();
        let even = nodes.map_with(&count, |node, count| (node, ALL / count.get(()).unwrap_or(1)));
        let ranks = even.iterate(self.rounds, |ranks| {
            let linked = ranks.left_join(&links);
            let lost =
                linked.map(|(_, (rank, links))| (if links.is_none() { rank } else { 0 }, ()));
            let to_all = lost.aggregate(|c| c.0.sum()).map_with(&count, move |lost, count| {
                let all = ALL - part(ALL, damping) + part(lost, damping);
                ((), all / count.get(()).unwrap_or(1))
            });
            let given = linked.emit::<(u64, u64)>(move |(node, (rank, links)), out| {
                // Who gets nothing is a node all the same.
                out.push((node, 0));
                if let Some(links) = links {
                    let given = part(rank, damping) / links.len() as u64;
                    links.iter().for_each(|to| out.push((to, given)));
                }
            });
            given.sum_by_key().map_with(&to_all.broadcast(), |(node, given), to_all| {
                (node, given + to_all.get(()).unwrap_or_default())
            })
        });
        ranks.map(|(node, rank)| (node, rank as f64 / ALL as f64)).write_text(&self.output)
    }
}
