//! Tasks that are the rest of others: a slow attempt gives up the lanes that it has not begun, and they are a task of their
//! own from then on, the last of its stage.
//!
//! The rows of a stage count in the order of its tasks and their lanes, whoever runs them: so those of a rest come right
//! after those of the task that it was split off.

use crate::ids::LaneRange;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Which tasks of a stage have not all lanes of what was one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rests {
    /// By partition: that of the task that it was at first, and its lanes.
    shares: BTreeMap<u32, (u32, LaneRange)>,
}

impl Rests {
    /// Whether each task has all of its lanes.
    pub fn is_empty(&self) -> bool {
        self.shares.is_empty()
    }

    /// Whether a task has not all lanes of what was one task.
    pub fn has(&self, partition: u32) -> bool {
        self.shares.contains_key(&partition)
    }

    /// The lanes that a task has.
    pub fn lanes(&self, partition: u32) -> LaneRange {
        self.shares.get(&partition).map_or(LaneRange::ALL, |(_, lanes)| *lanes)
    }

    /// The task whose input and lanes a task has some of, by partition: itself, unless it is a rest.
    pub fn first_of(&self, partition: u32) -> u32 {
        self.shares.get(&partition).map_or(partition, |(first, _)| *first)
    }

    /// The lanes of a task from `from` on are now those of the task `rest`. Whether that makes sense: it has lanes on both
    /// sides, and there is no such task yet. If not, nothing changes.
    pub fn split_off(&mut self, partition: u32, from: u32, rest: u32) -> bool {
        let (first, lanes) = (self.first_of(partition), self.lanes(partition));
        if self.has(rest) || from <= lanes.start || from >= lanes.end {
            return false;
        }
        self.shares.insert(partition, (first, LaneRange { end: from, ..lanes }));
        self.shares.insert(rest, (first, LaneRange { start: from, ..lanes }));
        true
    }

    /// The partitions of a stage that has so many tasks, in the order in which their rows count.
    pub fn in_order(&self, tasks: u32) -> impl Iterator<Item = u32> + use<> {
        let mut rests: Vec<(u32, u32, u32)> = self
            .shares
            .iter()
            .filter(|(partition, (first, _))| *partition != first)
            .map(|(partition, (first, lanes))| (*first, lanes.start, *partition))
            .collect();
        rests.sort_unstable();
        let mut firsts = 0..tasks - (rests.len() as u32).min(tasks);
        let mut rests = rests.into_iter().peekable();
        let mut last = None;
        std::iter::from_fn(move || match rests.next_if(|(of, ..)| Some(*of) == last) {
            Some((.., rest)) => Some(rest),
            None => {
                last = firsts.next();
                last
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn without_rests_all_is_as_it_is() {
        let rests = Rests::default();
        assert!(rests.in_order(4).eq(0..4) && rests.is_empty());
        assert_eq!((rests.lanes(3), rests.first_of(3)), (LaneRange::ALL, 3));
    }

    #[test]
    fn a_rest_of_nothing_is_none() {
        let mut rests = Rests::default();
        assert!(!rests.split_off(0, 0, 2));
        assert!(rests.split_off(0, 5, 2));
        for (partition, from, rest) in [(0, 5, 3), (0, 9, 3), (2, 5, 3), (1, 4, 2)] {
            assert!(!rests.split_off(partition, from, rest), "{partition} from {from}");
        }
        assert!(rests.in_order(3).eq([0, 2, 1]));
    }

    proptest! {
        #[test]
        fn rows_come_in_the_order_of_the_first_tasks_and_their_lanes(
            tasks in 1..20u32,
            cuts in prop::collection::vec((any::<prop::sample::Index>(), 1..64u32), 0..40),
        ) {
            let (mut rests, mut all) = (Rests::default(), tasks);
            for (of, from) in cuts {
                all += u32::from(rests.split_off(of.index(all as usize) as u32, from, all));
            }
            let order: Vec<u32> = rests.in_order(all).collect();
            prop_assert_eq!(order.len() as u32, all);
            let places = order.iter().map(|&at| (rests.first_of(at), rests.lanes(at)));
            let mut next = (0, 0);
            for (first, lanes) in places {
                // Each begins where the one before ends.
                prop_assert_eq!((first, lanes.start), next);
                next = if lanes.end == u32::MAX { (first + 1, 0) } else { (first, lanes.end) };
            }
            prop_assert_eq!(next, (tasks, 0));
        }
    }
}
