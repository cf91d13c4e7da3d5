//! In which order the stages of a job run in this process, where they run one after the other.
//!
//! What reads shuffles comes first, so that these are let go; then what has the least input that comes through its
//! filters. So the smaller side of a
//! join is there when the larger one comes, and tells which of its rows are of use.

use windrow_jobs::plan::{Plan, Root};

/// The stage to run next: one that is not done, and for which all is there that it reads. `bytes` gives the size of a
/// stage's source. None once all are done.
pub(super) fn next(plan: &Plan, done: &[bool], bytes: impl Fn(usize) -> u64) -> Option<usize> {
    let is_there = |producers: &[usize]| producers.iter().all(|&producer| done[producer]);
    let is_ready = |&number: &usize| {
        let stage = &plan.stages()[number];
        let read = match &stage.root {
            Root::Source { .. } => &[][..],
            Root::Shuffles(shuffles) => shuffles,
        };
        !done[number]
            && read.iter().all(|&shuffle| is_there(plan.shuffle(shuffle).producers))
            && stage.whole_inputs.iter().all(|&whole| is_there(plan.collect(whole).producers))
    };
    (0..done.len()).filter(is_ready).min_by_key(|&number| match plan.stages()[number].root {
        Root::Shuffles(_) => (false, 0),
        Root::Source { .. } => (true, (bytes(number) as f64 * plan.stages()[number].passes) as u64),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use windrow_jobs::{Dataset, Flow};

    fn keyed(flow: &Flow, lines: &str) -> Dataset<(String, ())> {
        flow.read_lines(lines).map(|line| (line.to_string(), ()))
    }

    /// The order of the stages of a join of a join; the source of stage `n` has `bytes[n]`.
    fn order(bytes: [u64; 5]) -> Vec<usize> {
        let plan = Plan::from_fn("test", |flow| {
            let both =
                keyed(flow, "a").join(&keyed(flow, "b")).map(|(key, _)| (key.to_string(), ()));
            keyed(flow, "c").join(&both).collect("all")
        });
        let plan = plan.unwrap();
        let roots: Vec<bool> =
            plan.stages().iter().map(|stage| matches!(stage.root, Root::Shuffles(_))).collect();
        assert_eq!(roots, [false, false, true, false, true]);
        let mut done = [false; 5];
        let mut order = Vec::new();
        while let Some(stage) = next(&plan, &done, |stage| bytes[stage]) {
            assert!(!std::mem::replace(&mut done[stage], true));
            order.push(stage);
        }
        order
    }

    #[test]
    fn the_smaller_side_of_a_join_comes_first_and_what_reads_both_before_other_sources() {
        assert_eq!(order([20, 10, 0, 30, 0]), [1, 0, 2, 3, 4]);
        assert_eq!(order([20, 10, 0, 5, 0]), [3, 1, 0, 2, 4]);
        assert_eq!(order([0; 5]), [0, 1, 2, 3, 4]);
    }
}
