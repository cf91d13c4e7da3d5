//! Where the order of rows makes no difference: what comes of them goes into exact aggregates alone, if need be through
//! joins.

use super::stages::Step;
use super::{Plan, Root, Stage};
use crate::graph::{Graph, Kind};
use crate::shuffle::ProbeCode;
use std::sync::Arc;

/// A join whose rows may come in any order, seen from one of its sides.
pub struct Probe<'p> {
    /// The stage that reads both sides and joins them.
    pub stage: usize,
    /// The shuffle of the other side.
    pub other: u32,
    /// How rows of this side are looked up in a table of the other side's.
    pub code: &'p Arc<dyn ProbeCode>,
}

/// For each node whether the order of the rows that it gives makes no difference.
pub(super) fn any_order(graph: &Graph, consumers: &[Vec<Step>]) -> Vec<bool> {
    let mut any = vec![false; graph.nodes.len()];
    // Who reads a node's rows, or the shuffle that they are in, was made after it.
    for id in (0..graph.nodes.len()).rev() {
        any[id] = consumers[id].iter().all(|&(consumer, _)| match graph.nodes[consumer].kind {
            Kind::Narrow { .. } | Kind::Union => any[consumer],
            Kind::Shuffle(shuffle) => {
                graph.shuffles[shuffle as usize].any_order
                    || joins_of_any_order(graph, shuffle, &any)
            }
            _ => false,
        });
    }
    any
}

/// Whether a shuffle is read by joins alone, and the order of what they give makes no difference.
fn joins_of_any_order(graph: &Graph, shuffle: u32, any: &[bool]) -> bool {
    graph.nodes.iter().zip(any).all(|(node, any)| match &node.kind {
        Kind::Read { shuffles, .. } if shuffles.contains(&shuffle) => node.probes.is_some() && *any,
        _ => true,
    })
}

impl Plan {
    /// How the rows of a shuffle are looked up as they come, once those of the other side of a join are there. None where
    /// they have to be kept: for their order, for other readers, or because the join needs to know which of the other
    /// side's rows were found.
    pub fn probe(&self, shuffle: u32) -> Option<Probe<'_>> {
        let stage = self.only_reader(shuffle)?;
        let Root::Shuffles(sides) = &self.stages[stage].root else { return None };
        let node = &self.graph.nodes[self.stages[stage].root_node];
        let &[left, right] = &sides[..] else { return None };
        let side = usize::from(shuffle == right);
        let code = node.probes.as_ref()?[side].as_ref()?;
        let other = if side == 0 { right } else { left };
        let is_free = self.any_order[self.stages[stage].root_node];
        (is_free && self.only_reader(other) == Some(stage)).then_some(Probe { stage, other, code })
    }

    /// The stage that reads a shuffle, if there is one only.
    fn only_reader(&self, shuffle: u32) -> Option<usize> {
        let reads = |stage: &Stage| match &stage.root {
            Root::Shuffles(shuffles) => shuffles.contains(&shuffle),
            Root::Source { .. } => false,
        };
        let first = self.stages.iter().position(reads)?;
        let others = self.stages[first + 1..].iter().any(reads);
        (!others).then_some(first)
    }
}

#[cfg(test)]
mod tests {
    use crate::plan::Plan;
    use crate::{Dataset, Flow};

    type Rows = Dataset<(u64, u64)>;

    /// The shuffles whose rows may be looked up, of a plan that gets two datasets.
    fn probed(plan: impl Fn(Rows, Rows) -> crate::Result<()>) -> Vec<u32> {
        let plan = Plan::from_fn("test", |flow: &Flow| {
            let rows = |all: u64| flow.generate(all, |n| (n, n));
            plan(rows(10), rows(20))
        });
        let plan = plan.unwrap();
        (0..plan.shuffles() as u32).filter(|&shuffle| plan.probe(shuffle).is_some()).collect()
    }

    fn sum(rows: &Dataset<(u64, (u64, u64))>) -> crate::Result<()> {
        rows.map(|(key, (a, b))| (key, a + b)).sum_by_key().collect("sums")
    }

    #[test]
    fn rows_are_looked_up_where_all_that_comes_of_them_is_an_exact_aggregate() {
        assert_eq!(probed(|a, b| sum(&a.join(&b))), [0, 1]);
        assert_eq!(probed(|a, b| a.join(&b).count().collect("all")), [0, 1]);
        assert_eq!(probed(|a, b| sum(&a.join(&b).union(&b.join(&a)))), [0, 1, 2, 3]);
        let twice = |a: Rows, b: Rows| {
            let joined = a.join(&b).map(|(key, (a, b))| (key, a + b));
            sum(&joined.join(&b))
        };
        assert_eq!(probed(twice), [0, 1, 2, 3]);
    }

    #[test]
    fn rows_are_kept_where_anything_else_comes_of_them() {
        assert!(probed(|a, b| a.join(&b).collect("all")).is_empty());
        assert!(probed(|a, b| a.join(&b).top(3, |a, b| a.cmp(&b)).collect("all")).is_empty());
        let last = |a: Rows, b: Rows| {
            let joined = a.join(&b).map(|(key, (a, b))| (key, a + b));
            joined.reduce_by_key(|_, b| b).collect("last")
        };
        assert!(probed(last).is_empty());
        let floats = |a: Rows, b: Rows| {
            let joined = a.join(&b).map(|(key, (a, b))| (key, a as f64 + b as f64));
            joined.sum_by_key().collect("floats")
        };
        assert!(probed(floats).is_empty());
        let grouped = |a: Rows, b: Rows| {
            let joined = a.join(&b).map(|(key, (a, b))| (key, a + b));
            let first = joined.group_by_key().map(|key, mut values| (key, values.next()));
            first.count().collect("groups")
        };
        assert!(probed(grouped).is_empty());
        let seen_as_well = |a: Rows, b: Rows| {
            let joined = a.join(&b);
            joined.collect("all")?;
            sum(&joined)
        };
        assert!(probed(seen_as_well).is_empty());
        let seen_behind_a_join = |a: Rows, b: Rows| {
            let joined = a.join(&b).map(|(key, (a, b))| (key, a + b));
            joined.join(&b).collect("all")
        };
        assert!(probed(seen_behind_a_join).is_empty());
    }

    #[test]
    fn a_side_is_not_looked_up_if_the_other_ones_rows_without_a_partner_are_wanted() {
        let left = |a: Rows, b: Rows| a.left_join(&b).count().collect("all");
        let right = |a: Rows, b: Rows| a.right_join(&b).count().collect("all");
        let full = |a: Rows, b: Rows| a.full_join(&b).count().collect("all");
        let semi = |a: Rows, b: Rows| a.semi_join(&b).count().collect("all");
        let anti = |a: Rows, b: Rows| a.anti_join(&b).count().collect("all");
        assert_eq!(
            [probed(left), probed(right), probed(full), probed(semi), probed(anti)],
            [vec![0], vec![1], vec![], vec![0], vec![0]]
        );
    }
}
