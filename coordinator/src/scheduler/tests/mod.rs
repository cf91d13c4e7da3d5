//! Short stories: what happens, and what the scheduler makes of it.

mod replicas;
mod sharing;
mod unwell;

use super::*;
use windrow_protocol::claim::Claim;
use windrow_protocol::failure::{Failure, FailureClass};
use windrow_protocol::ids::{CollectId, JobId, ShuffleId, SinkId, StageId, TaskId, WorkerId};
use windrow_protocol::parts::{BucketSizes, Part, Piece};
use windrow_protocol::shape::{
    CutShape, JobShape, LookUp, OutputShape, RootShape, ShuffleShape, StageShape, TASK_BYTES,
};

fn stage(root: RootShape, outputs: Vec<OutputShape>) -> StageShape {
    StageShape::new("s", root, outputs)
}

/// Source > shuffle of two partitions > sink.
fn two_stages() -> JobShape {
    let source = RootShape::Source { listed_by: StageId(0) };
    JobShape {
        stages: vec![
            stage(source, vec![OutputShape::Shuffle(ShuffleId(0))]),
            stage(RootShape::Shuffles(vec![ShuffleId(0)]), vec![OutputShape::Sink(SinkId(0))]),
        ],
        shuffles: vec![ShuffleShape { producers: vec![StageId(0)], cut: CutShape::Fixed(2) }],
        sinks: 1,
        ..JobShape::default()
    }
}

/// Two sources, joined > shuffle of two partitions > sink; the rows of either side may be looked up.
fn join() -> JobShape {
    let source = |listed_by| RootShape::Source { listed_by: StageId(listed_by) };
    let read =
        |shuffles: &[u32]| RootShape::Shuffles(shuffles.iter().map(|&n| ShuffleId(n)).collect());
    let into = |shuffle| vec![OutputShape::Shuffle(ShuffleId(shuffle))];
    let lookup = |shuffle, table| LookUp {
        stage: StageId(2),
        shuffle: ShuffleId(shuffle),
        table: ShuffleId(table),
    };
    let of =
        |producer| ShuffleShape { producers: vec![StageId(producer)], cut: CutShape::Fixed(2) };
    JobShape {
        stages: vec![
            stage(source(0), into(0)),
            stage(source(1), into(1)),
            stage(read(&[0, 1]), into(2)),
            stage(read(&[2]), vec![OutputShape::Sink(SinkId(0))]),
        ],
        shuffles: vec![of(0), of(1), of(2)],
        sinks: 1,
        lookups: vec![lookup(0, 1), lookup(1, 0)],
        ..JobShape::default()
    }
}

fn request(job: u64, weight: u32, shape: JobShape) -> JobRequest {
    let (job, name, claim) = (JobId(job), "job".into(), Claim::default());
    JobRequest { job, name, weight, shape, claim }
}

/// An attempt is done, and wrote nothing.
fn ran(worker: WorkerId, attempt: AttemptId) -> Event {
    Event::AttemptDone { worker, attempt, pages: 0, written: Vec::new(), given_up: None }
}

/// A scheduler, the outcomes so far, and those of the last event.
struct Story {
    scheduler: Scheduler,
    all: Vec<Outcome>,
    last: Vec<Outcome>,
    now: Millis,
}

impl Story {
    fn new(workers: u64, slots: u32) -> Story {
        Story::with(Config::default(), workers, slots)
    }

    fn with(config: Config, workers: u64, slots: u32) -> Story {
        let scheduler = Scheduler::new(config);
        let mut story = Story { scheduler, all: Vec::new(), last: Vec::new(), now: Millis(0) };
        for worker in 1..=workers {
            story.tell(Event::WorkerJoined {
                worker: WorkerId(worker),
                slots,
                memory: 1 << 30,
                host: HostId(worker as u32),
                build: "b".into(),
                labels: Vec::new(),
            });
        }
        story
    }

    /// Ticks come in time, as often as they are wanted, unless a story says otherwise.
    fn tell(&mut self, event: Event) -> &mut Story {
        if event == Event::Tick {
            self.scheduler.ticked = self.now;
        }
        self.tell_late(event)
    }

    fn tell_late(&mut self, event: Event) -> &mut Story {
        self.last.clear();
        self.scheduler.handle(&event, self.now, &mut self.last);
        self.all.extend(self.last.iter().cloned());
        let state = self.scheduler.state();
        assert_eq!(&State::of(&self.all), state, "after {event:?}");
        let kept = postcard::to_allocvec(&(state, state.later(), state.claims())).unwrap();
        let (kept, later, claims): (State, Later, Claims) = postcard::from_bytes(&kept).unwrap();
        assert_eq!(&kept.with(later).with_claims(claims), state, "after {event:?}");
        self
    }

    fn submit(&mut self, job: u64, shape: JobShape) -> &mut Story {
        let request = request(job, 1, shape);
        self.tell(Event::SubmitJob(Box::new(request)))
    }

    fn running(&self) -> Vec<(WorkerId, AttemptId)> {
        let state = self.scheduler.state();
        let of = |w: WorkerView| state.running(w.worker).map(move |a| (w.worker, a.attempt));
        state.workers().flat_map(of).collect()
    }

    fn find(&self, kind: TaskKind, stage: u32, partition: u32) -> (WorkerId, AttemptId) {
        let wanted = |t: TaskId| (t.kind, t.stage.0, t.partition) == (kind, stage, partition);
        let found = self.running().into_iter().find(|(_, a)| wanted(a.task));
        found.unwrap_or_else(|| panic!("{kind:?} {stage}/{partition} does not run"))
    }

    fn list(&mut self, stage: u32, splits: usize) -> &mut Story {
        let (worker, attempt) = self.find(TaskKind::Split, stage, 0);
        let split = SplitInfo { bytes: TASK_BYTES, lanes: 1, hosts: Box::default() };
        let splits = vec![split; splits];
        self.tell(Event::SplitsListed { worker, attempt, page: 0, splits });
        self.tell(Event::AttemptDone {
            worker,
            attempt,
            pages: 1,
            written: Vec::new(),
            given_up: None,
        })
    }

    fn done(&mut self, kind: TaskKind, stage: u32, partition: u32) -> &mut Story {
        let (worker, attempt) = self.find(kind, stage, partition);
        self.tell(ran(worker, attempt))
    }

    /// A task of a stage has written so many bytes into a shuffle.
    fn wrote(&mut self, stage: u32, partition: u32, shuffle: u32, bytes: u64) -> &mut Story {
        self.wrote_buckets(stage, partition, shuffle, &[bytes])
    }

    /// The same, by bucket.
    fn wrote_buckets(
        &mut self,
        stage: u32,
        partition: u32,
        shuffle: u32,
        sizes: &[u64],
    ) -> &mut Story {
        let (worker, attempt) = self.find(Compute, stage, partition);
        let written = vec![Written {
            shuffle: ShuffleId(shuffle),
            bytes: sizes.iter().sum(),
            buckets: BucketSizes::of(sizes.iter().copied()),
        }];
        self.tell(Event::AttemptDone { worker, attempt, pages: 0, written, given_up: None })
    }

    /// The tasks of a stage, if it has opened.
    fn tasks(&self, stage: u32) -> Option<u32> {
        let of = self.scheduler.state().progress(JobId(1)).into_iter().nth(stage as usize)?;
        of.open.then_some(of.tasks)
    }

    fn fail(&mut self, stage: u32, partition: u32, class: FailureClass) -> &mut Story {
        let (worker, attempt) = self.find(TaskKind::Compute, stage, partition);
        let failure = Box::new(Failure::new(class, "no"));
        self.tell(Event::AttemptFailed { worker, attempt, failure })
    }

    fn end(&self, job: u64) -> Option<&JobEnd> {
        self.scheduler.state().ended(JobId(job)).map(|ended| &ended.end)
    }

    fn marked(&self, mark: Mark) -> u64 {
        self.scheduler.marks().count(mark)
    }
}

use TaskKind::{Commit, Compute};

#[test]
fn a_job_lists_computes_and_commits() {
    let mut story = Story::new(2, 2);
    story.submit(1, two_stages()).list(0, 3);
    story.done(Compute, 0, 1).done(Compute, 0, 0).done(Compute, 0, 2);
    assert_eq!(story.scheduler.state().outputs_of(JobId(1), ShuffleId(0)).count(), 3);
    story.done(Compute, 1, 0).done(Compute, 1, 1);
    assert!(story.last.contains(&Outcome::CommitDecided { job: JobId(1) }));
    story.done(Commit, 0, 0);
    assert_eq!(story.end(1), Some(&JobEnd::Succeeded));
}

#[test]
fn tasks_go_where_their_blocks_were_to_be_fetched_ahead() {
    let mut shape = two_stages();
    shape.shuffles[0].cut = CutShape::Fixed(8);
    let mut story = Story::new(2, 1);
    story.submit(1, shape).list(0, 2);
    let share = |story: &Story, worker| {
        let state = story.scheduler.state();
        state.share_of(WorkerId(worker)).map(|share| share(8))
    };
    assert_eq!((share(&story, 1), share(&story, 2)), (Some(0..4), Some(4..8)));
    assert_eq!(share(&story, 3), None);
    story.done(Compute, 0, 0).done(Compute, 0, 1);
    assert_eq!(story.find(Compute, 1, 0).0, WorkerId(1));
    assert_eq!(story.find(Compute, 1, 4).0, WorkerId(2));
    story.done(Compute, 1, 4);
    assert_eq!(story.find(Compute, 1, 5).0, WorkerId(2));
    story.done(Compute, 1, 0).done(Compute, 1, 1).done(Compute, 1, 2).done(Compute, 1, 3);
    // Nothing is left at home: a slot does not wait for that.
    assert_eq!(story.find(Compute, 1, 6).0, WorkerId(1));
    assert_eq!(story.marked(Mark::AtHome), 6);
    story.done(Compute, 1, 5);
    assert_eq!(story.find(Compute, 1, 7).0, WorkerId(2));
}

#[test]
fn workers_of_one_host_fetch_nothing_ahead() {
    let mut story = Story::new(0, 0);
    for worker in 1..=2 {
        story.tell(Event::WorkerJoined {
            worker: WorkerId(worker),
            slots: 1,
            memory: 1 << 30,
            host: HostId(7),
            build: "b".into(),
            labels: Vec::new(),
        });
    }
    assert!(story.scheduler.state().share_of(WorkerId(1)).is_none());
    story.submit(1, two_stages()).list(0, 1);
    story.done(Compute, 0, 0).done(Compute, 1, 0);
    assert_eq!(story.marked(Mark::AtHome), 0);
}

#[test]
fn a_job_without_splits_commits_nothing() {
    let mut story = Story::new(1, 1);
    story.submit(1, two_stages()).list(0, 0);
    assert_eq!(story.marked(Mark::EmptyStage), 1);
    story.done(Compute, 1, 0).done(Compute, 1, 1).done(Commit, 0, 0);
    assert_eq!(story.end(1), Some(&JobEnd::Succeeded));
}

#[test]
fn a_lost_workers_outputs_are_made_again_while_they_are_needed() {
    let mut story = Story::new(2, 2);
    story.submit(1, two_stages()).list(0, 2);
    let (lost, _) = story.find(Compute, 0, 0);
    story.done(Compute, 0, 0).done(Compute, 0, 1);
    story.tell(Event::WorkerLeft { worker: lost });
    assert_eq!(story.marked(Mark::OutputReopened), 1);
    // The reader that still runs may go on; the other one waits for the map.
    story.done(Compute, 0, 0).done(Compute, 1, 0).done(Compute, 1, 1).done(Commit, 0, 0);
    assert_eq!(story.end(1), Some(&JobEnd::Succeeded));
}

#[test]
fn outputs_that_nobody_needs_are_not_made_again() {
    let mut story = Story::new(2, 2);
    story.submit(1, two_stages()).list(0, 2);
    story.done(Compute, 0, 0).done(Compute, 0, 1).done(Compute, 1, 0).done(Compute, 1, 1);
    let idle = if story.find(Commit, 0, 0).0 == WorkerId(1) { 2 } else { 1 };
    story.tell(Event::WorkerLeft { worker: WorkerId(idle) });
    assert_eq!(story.marked(Mark::OutputReopened), 0);
}

#[test]
fn four_failures_fail_the_job_elsewhere_each_time() {
    let mut story = Story::new(2, 1);
    story.submit(1, two_stages()).list(0, 1);
    for _ in 0..3 {
        let (before, _) = story.find(Compute, 0, 0);
        story.fail(0, 0, FailureClass::UserCode);
        assert_ne!(story.find(Compute, 0, 0).0, before);
    }
    story.fail(0, 0, FailureClass::UserCode);
    let Some(JobEnd::Failed { causes, .. }) = story.end(1) else { panic!("it goes on") };
    assert_eq!(causes.len(), 4);
}

#[test]
fn bad_input_fails_the_job_at_once_and_no_worker_is_blamed() {
    for class in [FailureClass::BadInput, FailureClass::WrongBinary] {
        let mut story = Story::new(2, 1);
        story.submit(1, two_stages()).list(0, 2).fail(0, 0, class);
        assert!(matches!(story.end(1), Some(JobEnd::Failed { .. })));
        assert_eq!(story.scheduler.state().workers().count(), 2);
        assert!(story.running().is_empty());
    }
}

#[test]
fn a_lost_block_makes_its_producer_run_again_before_its_reader() {
    let mut story = Story::new(1, 2);
    story.submit(1, two_stages()).list(0, 2);
    let (worker, map) = story.find(Compute, 0, 1);
    story.done(Compute, 0, 0).done(Compute, 0, 1);
    for partition in 0..2 {
        let (_, attempt) = story.find(Compute, 1, partition);
        let failure = Box::new(Failure::lost_block(map, worker, "gone"));
        story.tell(Event::AttemptFailed { worker, attempt, failure });
    }
    assert_eq!((story.marked(Mark::BlockReopened), story.marked(Mark::BlockKnown)), (1, 1));
    assert_eq!(story.running().len(), 1, "readers wait");
    story.done(Compute, 0, 1).done(Compute, 1, 0).done(Compute, 1, 1).done(Commit, 0, 0);
    assert_eq!(story.end(1), Some(&JobEnd::Succeeded));
}

#[test]
fn a_draining_worker_serves_its_outputs_until_they_are_read() {
    let mut story = Story::new(2, 2);
    story.submit(1, two_stages()).list(0, 2);
    let (drained, _) = story.find(Compute, 0, 0);
    story.done(Compute, 0, 0);
    story.tell(Event::Drain { worker: drained, hand_over: false }).done(Compute, 0, 1);
    assert!(story.running().iter().all(|(worker, _)| *worker != drained));
    story.done(Compute, 1, 0);
    assert!(story.scheduler.state().is_alive(drained));
    story.done(Compute, 1, 1);
    assert!(story.last.contains(&Outcome::WorkerDrained { worker: drained }));
}

#[test]
fn jobs_share_the_slots_by_weight_and_a_cancel_ends_one() {
    let mut story = Story::new(4, 1);
    let shape = two_stages();
    for (job, weight) in [(1, 1), (2, 3)] {
        let shape = shape.clone();
        let request = request(job, weight, shape);
        story.tell(Event::SubmitJob(Box::new(request)));
    }
    while let Some(&(worker, attempt)) =
        story.running().iter().find(|(_, a)| a.task.kind == TaskKind::Split)
    {
        let split = SplitInfo { bytes: TASK_BYTES, lanes: 1, hosts: Box::default() };
        story.tell(Event::SplitsListed { worker, attempt, page: 0, splits: vec![split; 9] });
        story.tell(Event::AttemptDone {
            worker,
            attempt,
            pages: 1,
            written: Vec::new(),
            given_up: None,
        });
    }
    let of_job_1 = |story: &Story| -> Vec<_> {
        story.running().into_iter().filter(|(_, a)| a.task.job == JobId(1)).collect()
    };
    for _ in 0..4 {
        let (worker, attempt) = of_job_1(&story)[0];
        story.tell(ran(worker, attempt));
        assert_eq!(story.running().len(), 4);
    }
    assert_eq!(of_job_1(&story).len(), 1);
    story.tell(Event::Cancel { job: JobId(1) });
    assert_eq!(story.end(1), Some(&JobEnd::Cancelled));
    assert!(story.running().iter().all(|(_, a)| a.task.job == JobId(2)));
    assert_eq!(story.running().len(), 4);
}

#[test]
fn a_stage_waits_for_what_it_reads_whole_and_a_sample_is_one_task() {
    let mut shape = two_stages();
    let mut bounds = shape.stages[0].clone();
    bounds.sample = true;
    bounds.outputs = vec![OutputShape::Collect(CollectId(0))];
    shape.stages.insert(0, bounds);
    shape.stages[1].whole_inputs.push(CollectId(0));
    shape.shuffles[0].producers = vec![StageId(1)];
    let mut story = Story::new(4, 4);
    story.submit(1, shape).list(0, 5);
    assert_eq!(story.running().len(), 1);
    let sample = story.find(Compute, 0, 0).1.task;
    assert_eq!(story.scheduler.state().splits_of(sample), Some(0..5));
    story.done(Compute, 0, 0);
    assert_eq!(story.running().len(), 5);
}

#[test]
fn a_shape_that_makes_no_sense_is_refused() {
    let mut shape = two_stages();
    shape.stages[1].root = RootShape::Shuffles(vec![ShuffleId(7)]);
    let mut story = Story::new(1, 1);
    story.submit(1, shape);
    assert!(matches!(&story.last[..], [Outcome::JobRefused { .. }]));
}

#[test]
fn what_is_known_already_changes_nothing() {
    let mut story = Story::new(2, 1);
    story.submit(1, two_stages()).list(0, 2);
    let running = story.running();
    // The same submission again, and the same worker: as a request that is sent twice brings them.
    story.submit(1, two_stages());
    assert_eq!((story.last.len(), story.marked(Mark::KnownAlready)), (0, 1));
    let (slots, host) = (4, HostId(9));
    story.tell(Event::WorkerJoined {
        worker: WorkerId(2),
        slots,
        memory: 0,
        host,
        build: "other".into(),
        labels: Vec::new(),
    });
    assert_eq!((story.last.len(), story.marked(Mark::KnownAlready)), (0, 2));
    assert_eq!(story.running(), running);
    // Also once they have ended, and for numbers that were passed over.
    story.tell(Event::WorkerLeft { worker: WorkerId(2) }).tell(Event::Cancel { job: JobId(1) });
    story.tell(Event::WorkerJoined {
        worker: WorkerId(2),
        slots,
        memory: 0,
        host,
        build: "b".into(),
        labels: Vec::new(),
    });
    story.submit(1, two_stages());
    assert_eq!((story.last.len(), story.marked(Mark::KnownAlready)), (0, 4));
    story.submit(5, two_stages()).submit(3, two_stages());
    assert_eq!((story.last.len(), story.marked(Mark::KnownAlready)), (0, 5));
    assert_eq!(story.scheduler.state().jobs().collect::<Vec<_>>(), [JobId(5)]);
}

#[test]
fn rows_of_the_larger_side_of_a_join_wait_for_the_smaller_one_and_are_looked_up_in_it() {
    let mut story = Story::new(2, 2);
    story.submit(1, join()).list(0, 4).list(1, 1);
    assert_eq!((story.tasks(0), story.tasks(1)), (None, Some(1)));
    assert!(story.marked(Mark::WaitsForTable) > 0);
    story.wrote(1, 0, 1, 1 << 20);
    let [lookup, _] = join().lookups[..] else { unreachable!() };
    assert!(story.last.contains(&Outcome::LookedUp { job: JobId(1), lookup }));
    assert_eq!((story.tasks(0), story.tasks(2)), (Some(4), None));
    // What the joined stage would have written is written by those that look up, and read from them.
    (0..4).for_each(|partition| {
        story.wrote(0, partition, 2, 10);
    });
    assert_eq!((story.tasks(2), story.tasks(3)), (Some(0), Some(2)));
    let makers = story.scheduler.state().outputs_of(JobId(1), ShuffleId(2));
    assert!(makers.map(|(attempt, _)| attempt.task.stage).eq([StageId(0); 4]));
    story.done(Compute, 3, 0).done(Compute, 3, 1).done(Commit, 0, 0);
    assert_eq!(story.end(1), Some(&JobEnd::Succeeded));
}

#[test]
fn a_table_that_is_lost_before_its_last_reader_is_made_again() {
    let mut story = Story::new(2, 2);
    story.submit(1, join()).list(0, 4).list(1, 1);
    let (lost, _) = story.find(Compute, 1, 0);
    story.wrote(1, 0, 1, 1 << 20).tell(Event::WorkerLeft { worker: lost });
    assert_eq!(story.marked(Mark::OutputReopened), 1);
    // As soon as there is a slot, and before any more rows are looked up.
    let (worker, attempt) = story.running()[0];
    story.tell(ran(worker, attempt));
    story.find(Compute, 1, 0);
}

#[test]
fn a_side_that_turns_out_to_be_large_is_shuffled() {
    let mut story = Story::new(2, 2);
    story.submit(1, join()).list(0, 4).list(1, 1);
    story.wrote(1, 0, 1, 1 << 30);
    assert_eq!((story.marked(Mark::LookedUp), story.tasks(0)), (0, Some(4)));
    (0..4).for_each(|partition| {
        story.wrote(0, partition, 0, 10);
    });
    // The side that was thought to be larger is the smaller one: but nobody is left who could look up.
    assert_eq!((story.marked(Mark::LookedUp), story.tasks(2)), (0, Some(2)));
}

#[test]
fn no_table_takes_more_than_its_part_of_a_workers_memory() {
    let mut story = Story::new(1, 1);
    let (slots, memory, host) = (1, 8 * TASK_BYTES, HostId(2));
    story.tell(Event::WorkerJoined {
        worker: WorkerId(2),
        slots,
        memory,
        host,
        build: "b".into(),
        labels: Vec::new(),
    });
    story.submit(1, join()).list(0, 4).list(1, 1);
    assert_eq!((story.tasks(0), story.tasks(1)), (None, Some(1)));
    story.wrote(1, 0, 1, TASK_BYTES + 1);
    assert_eq!((story.tasks(0), story.marked(Mark::LookedUp)), (Some(4), 0));
}

#[test]
fn a_shape_that_no_plan_has_is_refused() {
    let refused = |change: fn(&mut JobShape)| {
        let mut shape = join();
        change(&mut shape);
        let mut story = Story::new(1, 1);
        story.submit(1, shape);
        match &story.last[..] {
            [Outcome::JobRefused { why, .. }] => why.clone(),
            other => panic!("{other:?}"),
        }
    };
    let looks_up = refused(|shape| shape.stages[1].lookups = shape.lookups.clone());
    assert!(looks_up.contains("before it is decided"), "{looks_up}");
    let dissolved = refused(|shape| shape.stages[2].dissolved = true);
    assert!(dissolved.contains("before it is decided"), "{dissolved}");
    let many = refused(|shape| shape.shuffles[2].cut = CutShape::Fixed(u32::MAX));
    assert!(many.contains("ask for fewer"), "{many}");
}

#[test]
fn a_lookup_that_the_plan_does_not_allow_is_refused() {
    let mut seen = join();
    seen.stages[2].outputs.push(OutputShape::Sink(SinkId(0)));
    let mut read_twice = join();
    read_twice.stages[3].root = RootShape::Shuffles(vec![ShuffleId(1), ShuffleId(2)]);
    for shape in [seen, read_twice] {
        let mut story = Story::new(1, 1);
        story.submit(1, shape);
        assert!(
            matches!(&story.last[..], [Outcome::JobRefused { why, .. }] if why.contains("looked up"))
        );
    }
}

/// The parts of a stage, as the last event opened it.
fn parts(story: &Story, of: u32) -> Vec<Part> {
    let opened = story.last.iter().find_map(|outcome| match outcome {
        Outcome::StageOpened { stage, parts, .. } if stage.0 == of => Some(parts.clone()),
        _ => None,
    });
    opened.unwrap_or_else(|| panic!("stage {of} does not open"))
}

/// The join, with shuffles that are cut by the bytes below them; both sides are larger than any table.
fn large_join() -> JobShape {
    let mut shape = join();
    shape.shuffles.iter_mut().for_each(|shuffle| shuffle.cut = CutShape::ByBytes);
    shape.lookups.clear();
    shape
}

#[test]
fn tasks_are_made_by_the_sizes_of_buckets_where_nobody_sees_how_many_there_are() {
    let mut story = Story::new(2, 2);
    story.submit(1, large_join()).list(0, 4).list(1, 4);
    // Of 512 MiB of input not much is left: 128 buckets of some KiB, some 2 MiB together.
    for partition in 0..4 {
        story.wrote_buckets(0, partition, 0, &[4_000; 128]);
        story.wrote_buckets(1, partition, 1, &[400; 128]);
    }
    let [a, b] = parts(&story, 2)[..] else { panic!("{:?}", parts(&story, 2)) };
    assert_eq!((a.first, a.end, b.first, b.end, a.piece), (0, 64, 64, 128, None));
    assert_eq!((story.tasks(2), story.marked(Mark::PartsBySize)), (Some(2), 1));
    story.done(Compute, 2, 0).done(Compute, 2, 1);
    // A sink has the files that the input asks for.
    assert_eq!((parts(&story, 3), story.tasks(3)), (Vec::new(), Some(8)));
}

#[test]
fn one_side_of_a_bucket_with_most_rows_is_cut_if_their_order_is_not_seen() {
    let mut sizes = [1 << 20; 128];
    sizes[7] = 1 << 30;
    for lookups in [join().lookups, Vec::new()] {
        let mut story = Story::new(2, 2);
        story.submit(1, JobShape { lookups: lookups.clone(), ..large_join() });
        story.list(0, 4).list(1, 4);
        for partition in 0..4 {
            // Neither side is small enough to be a table.
            story.wrote_buckets(0, partition, 0, &[1 << 20; 128]);
            story.wrote_buckets(1, partition, 1, &sizes);
        }
        let parts = parts(&story, 2);
        let of_bucket = parts.iter().filter(|part| (part.first, part.end) == (7, 8));
        let pieces = Vec::from_iter(of_bucket.map(|part| part.piece));
        let piece = |number| Some(Piece { shuffle: ShuffleId(1), number, of: 4 });
        let cut = [piece(0), piece(1), piece(2), piece(3)];
        assert_eq!(pieces, if lookups.is_empty() { vec![None] } else { cut.to_vec() });
        assert_eq!(story.marked(Mark::BucketCut), u64::from(!lookups.is_empty()));
    }
}
