//! The simulator over some seeds, and over a scheduler with planted defects, each of which it must find.

use super::*;
use crate::scheduler::Mutation;

const SMALL: Options = Options { workers: 8, tasks: 60, faults: true };

#[test]
fn nothing_is_broken_and_every_fault_and_recovery_is_seen() {
    let report = run_many(1, 1_500, &SMALL, 2).unwrap_or_else(|violation| panic!("{violation}"));
    assert!(report.faults_min > 0, "a run without a fault proves nothing");
    for (fault, count) in Fault::ALL.iter().zip(report.faults) {
        assert!(count > 0, "{fault:?} did not happen");
    }
    // Shapes of the workload are never refused, and it submits each job once: story tests show both.
    let elsewhere = [Mark::Refused, Mark::KnownAlready];
    for mark in Mark::ALL.into_iter().filter(|mark| !elsewhere.contains(mark)) {
        assert!(report.marks.count(mark) > 0, "{mark:?} was not seen");
    }
}

#[test]
fn a_seed_gives_one_run() {
    for seed in 1..20 {
        let (one, other) = (run(seed, &SMALL), run(seed, &SMALL));
        assert_eq!(one.expect("it holds"), other.expect("it holds"));
    }
}

#[test]
fn without_faults_nothing_is_repeated() {
    let options = Options { faults: false, ..SMALL };
    let report = run_many(1, 100, &options, 2).unwrap_or_else(|violation| panic!("{violation}"));
    for mark in [Mark::Retried, Mark::Requeued, Mark::OutputReopened, Mark::LeaseEnded] {
        assert_eq!(report.marks.count(mark), 0, "{mark:?}");
    }
}

#[test]
fn each_planted_defect_is_found() {
    use Mutation::*;
    let all = [
        KeepLostOutputs,
        CommitTwice,
        ForgetRequeue,
        EndlessLease,
        CommitRevoked,
        CommitEarly,
        LeakSlot,
        CountTwice,
        WorkWhileDraining,
        ReopenNeighbour,
        ReadEarly,
        ForgetAttempts,
    ];
    for mutation in all {
        let config = Config { mutation: Some(mutation), ..world::config() };
        let found = (1..=200).find_map(|seed| {
            run_with(seed, &SMALL, config.clone()).err().map(|found| (seed, found.what))
        });
        let Some((seed, what)) = found else { panic!("{mutation:?} is not found") };
        println!("{mutation:?}: seed {seed}: {what}");
    }
}
