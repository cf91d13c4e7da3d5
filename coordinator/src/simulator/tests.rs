//! The simulator over some seeds, and over a scheduler with planted defects, each of which it must find.

use super::world::World;
use super::*;
use crate::scheduler::Mutation;

const SMALL: Options = Options { workers: 8, tasks: 60, faults: true };

/// What is found in a run with a planted defect.
fn broken(seed: u64, options: &Options, mutation: Mutation) -> Option<Violation> {
    let config = Config { mutation: Some(mutation), ..world::config() };
    run_with(seed, options, config, &Progress::default()).err()
}

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

/// The events that a scheduler was told, told to another one, give the same decisions, over restarts of the coordinator too;
/// and what is told of a job is how it ended.
#[test]
fn each_job_can_be_explained() {
    let mut restarts = 0;
    for seed in 1..80 {
        let mut world = World::new(seed, &SMALL, world::config(), false);
        run_world(&mut world, &Progress::default()).unwrap();
        restarts += world.report.faults[Fault::Restart as usize];
        for &job in world.requests.keys() {
            let account = crate::explain::account_of(world.log.kept(), job);
            let account = account.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let ended = world.scheduler.state().ended(job).map(|ended| ended.end.clone());
            assert_eq!(account.end(), ended.as_ref(), "seed {seed}: {job}");
            if ended == Some(crate::scheduler::JobEnd::Succeeded) {
                assert_eq!(account.undone().count(), 0, "seed {seed}: {job}");
            }
            for task in account.task_ids() {
                crate::explain::explain(world.log.kept(), job, task, true).unwrap();
            }
        }
    }
    assert!(restarts > 40, "{restarts}");
}

/// The defects that are planted.
const PLANTED: [Mutation; 44] = {
    use Mutation::*;
    [
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
        PanicAtLoss,
        LookUpLate,
        LosePart,
        WorkWhileAside,
        KeepHandedOver,
        KeepLostFree,
        LoseSplit,
        CancelLate,
        ReuseNumber,
        FailAtOnce,
        ReopenOld,
        LeaveRunning,
        Overbook,
        RunTwice,
        BackUpBeside,
        SetAsideTwice,
        BringBackTwice,
        DrainEarly,
        RepeatPart,
        ForgetRest,
        KeepRest,
        CutBeside,
        UseUnmadeReplica,
        KeepLostReplicas,
        JudgeLate,
        IgnoreLabels,
        CountWideAsOne,
        ForgetPreempted,
        LeakShare,
        IgnoreQueueLimit,
        IgnoreUserLimit,
        ForgetWaiting,
    ]
};

/// How many seeds from one on it takes until a defect is found, and what is found.
fn seeds_until_found(first: u64, mutation: Mutation) -> Option<(u64, String)> {
    let seeds = first..first + 400;
    let found = |seed| broken(seed, &SMALL, mutation).map(|found| (seed - first + 1, found.what));
    seeds.into_iter().find_map(found)
}

#[test]
fn each_planted_defect_is_found() {
    let lost: Vec<Mutation> =
        PLANTED.into_iter().filter(|&mutation| seeds_until_found(1, mutation).is_none()).collect();
    assert!(lost.is_empty(), "not found: {lost:?}");
}

/// The table of `docs/decisions/` on how soon each is found: `cargo test --release -p windrow-coordinator planted -- --ignored
/// --nocapture`.
#[test]
#[ignore = "it measures"]
fn how_soon_planted_defects_are_found() {
    for mutation in PLANTED {
        let mut seeds: Vec<u64> = (0..21)
            .map(|series| {
                let found = seeds_until_found(1 + series * 1_000, mutation);
                found.map_or(400, |(seeds, _)| seeds)
            })
            .collect();
        seeds.sort_unstable();
        println!("| {mutation:?} | {} | {} |", seeds[seeds.len() / 2], seeds[seeds.len() - 1]);
    }
}

#[test]
fn what_is_broken_is_reported_with_its_seed_and_the_command_that_shows_it_again() {
    for options in [SMALL, Options { faults: false, ..SMALL }] {
        let found = (1..=200).find_map(|seed| broken(seed, &options, Mutation::CommitEarly));
        let found = found.expect("the planted defect is found");
        let faults = if options.faults { "" } else { " --faults none" };
        let seed = found.seed;
        let again = format!(
            "\nagain: windrow simulate --seed {seed} --workers 8 --tasks 60{faults}\noptions: Swarm"
        );
        let told = found.to_string();
        assert!(told.starts_with(&format!("seed {seed}: {}", found.what)), "{told}");
        assert!(told.contains(&again), "{told}");
        let told_again = broken(seed, &options, Mutation::CommitEarly).expect("broken again");
        assert_eq!(told, told_again.to_string());
    }
}

#[test]
fn a_panic_is_reported_with_its_seed() {
    let found = (1..=200).find_map(|seed| broken(seed, &SMALL, Mutation::PanicAtLoss));
    let found = found.expect("a worker is lost in some run");
    assert!(found.what.starts_with("a panic: "), "{}", found.what);
    assert!(found.what.contains("planted"), "{}", found.what);
    assert!(found.story.contains("Worker"), "the last events: {}", found.story);
}

#[test]
fn the_progress_is_all_that_was_done_at_the_end() {
    // Some that end before anything is told of them, and one that is told of meanwhile.
    for (seeds, tasks) in [(20, 60), (1, 1_000)] {
        let progress = Progress::default();
        let options = Options { tasks, ..SMALL };
        let report = run_watched(7, seeds, &options, 2, &progress).expect("it holds");
        assert_eq!((progress.seeds(), progress.decisions()), (seeds, report.decisions));
        assert_eq!(report.seeds, seeds);
    }
}
