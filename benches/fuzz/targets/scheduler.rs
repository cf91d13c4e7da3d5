//! The scheduler, told of jobs of any shape and of any events: it refuses or decides, and what it decides gives the state that
//! it has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use windrow_coordinator::scheduler::{
    Config, Event, HostId, JobRequest, Millis, Scheduler, SplitInfo, State,
};
use windrow_protocol::claim::Claim;
use windrow_protocol::ids::{JobId, TaskKind, WorkerId};
use windrow_protocol::shape::JobShape;

/// Tasks of one job: more are for the benchmarks.
const TASKS_MAX: usize = 2_000;

fuzz_target!(|data: &[u8]| {
    let Ok((shape, mut rest)) = postcard::take_from_bytes::<JobShape>(data) else { return };
    let mut scheduler = Scheduler::new(Config::default());
    let mut outcomes = Vec::new();
    let mut now = Millis(0);
    for worker in 1..=3 {
        let event = Event::WorkerJoined {
            worker: WorkerId(worker),
            slots: 2,
            memory: 1 << 30,
            host: HostId(worker as u32 % 2),
            build: "b".into(), labels: Vec::new(),
        };
        scheduler.handle(&event, now, &mut outcomes);
    }
    let request = JobRequest { job: JobId(1), name: "job".into(), weight: 1, shape, claim: Claim::default() };
    scheduler.handle(&Event::SubmitJob(Box::new(request)), now, &mut outcomes);
    // What runs is done, or some event comes.
    for _ in 0..200 {
        now = now.plus(100);
        if let Ok((event, later)) = postcard::take_from_bytes::<Event>(rest) {
            rest = later;
            scheduler.handle(&event, now, &mut outcomes);
        }
        let of =
            |worker| scheduler.state().running(worker).next().map(|view| (worker, view.attempt));
        let Some((worker, attempt)) = (1..=3).map(WorkerId).find_map(of) else { break };
        let mut pages = 0;
        if attempt.task.kind == TaskKind::Split {
            let split = SplitInfo { bytes: 64 << 20, lanes: 1, hosts: Box::default() };
            let splits = vec![split; 3];
            let event = Event::SplitsListed { worker, attempt, page: 0, splits };
            scheduler.handle(&event, now, &mut outcomes);
            pages = 1;
        }
        let event = Event::AttemptDone { worker, attempt, pages, written: Vec::new(), given_up: None };
        scheduler.handle(&event, now, &mut outcomes);
        if outcomes.len() > TASKS_MAX * 4 {
            return;
        }
    }
    assert!(State::of(&outcomes) == *scheduler.state(), "the outcomes give another state");
});
