//! Stories of outputs that a second worker keeps too.

use super::*;

/// Two maps and two readers on three workers; what took a second is dear. The second map has written, and nobody has read.
fn dear() -> Story {
    let config = Config { replicate_from_ms: Some(1_000), ..Config::default() };
    let mut story = Story::with(config, 3, 1);
    story.submit(1, two_stages()).list(0, 2);
    story
}

fn ordered(story: &Story) -> Vec<(AttemptId, WorkerId, WorkerId)> {
    let orders = story.all.iter().filter_map(|outcome| match outcome {
        Outcome::ReplicaOrdered { attempt, from, to } => Some((*attempt, *from, *to)),
        _ => None,
    });
    orders.collect()
}

#[test]
fn an_output_that_took_long_is_kept_twice_and_not_made_again() {
    let mut story = dear();
    story.now = Millis(999);
    story.done(Compute, 0, 0);
    assert_eq!(ordered(&story), [], "what took less is made again");
    story.now = Millis(1_000);
    story.done(Compute, 0, 1);
    let (attempt, from, to) = ordered(&story)[0];
    assert!(attempt.task.partition == 1 && from != to);
    for _ in 0..2 {
        story.tell(Event::Replicated { worker: to, attempt, is_whole: true });
    }
    story.tell(Event::WorkerLeft { worker: from });
    assert_eq!((story.marked(Mark::ReplicaUsed), story.marked(Mark::OutputReopened)), (1, 0));
    let outputs: Vec<_> = story.scheduler.state().outputs_of(JobId(1), ShuffleId(0)).collect();
    assert_eq!(outputs[1], (attempt, to));
    // Who has read from the first worker hears of the second; what that has not either is made again.
    for (by, made_again) in [(from, 0), (to, 1)] {
        let (worker, reader) = story.find(Compute, 1, 0);
        let failure = Box::new(Failure::lost_block(attempt, by, "gone"));
        story.tell(Event::AttemptFailed { worker, attempt: reader, failure });
        assert_eq!(story.marked(Mark::BlockReopened), made_again);
    }
    assert_eq!(story.marked(Mark::BlockKnown), 1);
}

#[test]
fn a_damaged_block_is_read_from_the_replica() {
    let mut story = dear();
    story.now = Millis(2_000);
    story.done(Compute, 0, 0).done(Compute, 0, 1);
    let (attempt, from, to) = ordered(&story)[0];
    story.tell(Event::Replicated { worker: to, attempt, is_whole: true });
    let (worker, reader) = story.find(Compute, 1, 0);
    let failure = Box::new(Failure::lost_block(attempt, from, "flipped"));
    story.tell(Event::AttemptFailed { worker, attempt: reader, failure });
    assert_eq!((story.marked(Mark::ReplicaUsed), story.marked(Mark::BlockReopened)), (1, 0));
    assert_eq!(story.scheduler.state().committed(attempt.task), Some((attempt, to)));
}

#[test]
fn what_is_not_there_is_no_replica() {
    for fate in ["not made", "cannot be made", "lost as well"] {
        let mut story = dear();
        story.now = Millis(2_000);
        story.done(Compute, 0, 0).done(Compute, 0, 1);
        let (attempt, from, to) = ordered(&story)[0];
        match fate {
            "cannot be made" => {
                story.tell(Event::Replicated { worker: to, attempt, is_whole: false });
            }
            "lost as well" => {
                story.tell(Event::Replicated { worker: to, attempt, is_whole: true });
                story.tell(Event::WorkerLeft { worker: to });
            }
            _ => {}
        }
        let before = story.marked(Mark::OutputReopened);
        story.tell(Event::WorkerLeft { worker: from });
        assert_eq!(story.marked(Mark::ReplicaUsed), 0, "{fate}");
        assert!(story.marked(Mark::OutputReopened) > before, "{fate}");
    }
}
