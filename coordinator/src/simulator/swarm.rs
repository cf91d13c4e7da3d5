//! The options of one run, drawn from its seed: each kind of fault is wholly off in about half of the runs.

use super::random::Random;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A message is lost.
    Loss,
    /// A message arrives late, after later ones.
    Delay,
    /// A message arrives twice.
    Duplicate,
    /// A worker's messages are lost for a while, in one direction.
    Cut,
    /// A worker stands still for a while, which may be longer than its lease.
    Pause,
    /// A worker dies, and comes back as another one.
    Crash,
    /// A worker is slow.
    Slow,
    /// An attempt stands still, on a worker that is heard all the time.
    Stuck,
    /// All attempts of a worker fail for a while.
    Sick,
    /// An attempt fails.
    Attempt,
    /// A block is lost.
    Block,
    /// A job is cancelled.
    Cancel,
    /// A worker is told to drain.
    Drain,
    /// The coordinator restarts, at any point of its journal.
    Restart,
    /// The coordinator stands still for a while, which may be longer than leases.
    Stand,
}

impl Fault {
    /// All kinds.
    pub const ALL: [Fault; 15] = [
        Fault::Loss,
        Fault::Delay,
        Fault::Duplicate,
        Fault::Cut,
        Fault::Pause,
        Fault::Crash,
        Fault::Slow,
        Fault::Stuck,
        Fault::Sick,
        Fault::Attempt,
        Fault::Block,
        Fault::Cancel,
        Fault::Drain,
        Fault::Restart,
        Fault::Stand,
    ];
}

/// What is drawn from a seed. Chances are in 10,000.
#[derive(Clone, Debug, Default)]
pub(crate) struct Swarm {
    pub(crate) jobs: u64,
    pub(crate) loss: u64,
    pub(crate) delay: u64,
    pub(crate) delay_ms_max: u64,
    pub(crate) duplicate: u64,
    pub(crate) attempt: u64,
    pub(crate) stuck: u64,
    pub(crate) block: u64,
    pub(crate) restart: u64,
    pub(crate) slow_workers: u64,
    /// Planned faults: when, which, and a number that says where.
    pub(crate) planned: Vec<(u64, Fault, u64)>,
    /// From then on there are no more faults.
    pub(crate) heal_ms: u64,
}

impl Swarm {
    pub(crate) fn draw(random: &mut Random, faults: bool, tasks: u32) -> Swarm {
        let jobs = random.between(1, if tasks >= 60 { 4 } else { 1 });
        if !faults {
            return Swarm { jobs, ..Swarm::default() };
        }
        let heal_ms = random.between(20_000, 60_000);
        let mut some = |chance: u64| {
            let on = random.below(2) == 0;
            if on { random.between(1, chance) } else { 0 }
        };
        let mut swarm = Swarm {
            jobs,
            loss: some(2_000),
            delay: some(2_000),
            delay_ms_max: 0,
            duplicate: some(2_000),
            attempt: some(1_000),
            stuck: some(200),
            block: some(1_000),
            restart: some(200),
            slow_workers: some(4),
            planned: Vec::new(),
            heal_ms,
        };
        swarm.delay_ms_max = random.between(50, 5_000);
        // One fault is sure to happen: no job ends as early as that.
        swarm.planned.push((random.between(100, 690), Fault::Crash, random.next()));
        let planned = [
            Fault::Cut,
            Fault::Pause,
            Fault::Crash,
            Fault::Sick,
            Fault::Drain,
            Fault::Cancel,
            Fault::Stand,
        ];
        for fault in planned {
            if random.below(2) == 0 {
                continue;
            }
            let times = random.between(1, if fault == Fault::Cancel { 1 } else { 4 });
            for _ in 0..times {
                let at = random.between(100, 15_000);
                swarm.planned.push((at, fault, random.next()));
            }
        }
        swarm
    }
}
