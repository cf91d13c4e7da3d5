//! The long poll of a worker: what it says becomes events, what it is told comes from its outbox.

use super::core::Core;
use super::limits::{ANSWER_BYTES, ANSWER_ITEMS};
use super::outbox::Item;
use super::worker::Standing;
use crate::scheduler::{Event, Millis};
use tokio::sync::watch;
use windrow_protocol::control::{Ahead, GiveUp, Poll, PollAnswer, Progress, Replicate};
use windrow_protocol::failure::Failure;
use windrow_protocol::ids::{AttemptId, JobId, LaneRange, StageId, TaskId, WorkerId};
use windrow_protocol::shape::OutputShape;
use windrow_protocol::task::{TaskInput, TaskOrder, Work};

/// A poll that waits for something to tell.
#[derive(Debug)]
pub(crate) struct Waiting {
    worker: WorkerId,
    number: u64,
    seen: u64,
    ended_seen: u32,
    /// Changes when there may be something.
    pub(crate) changed: watch::Receiver<u64>,
}

impl Core {
    /// Takes what a poll says; the answer is made by [`poll_answer`](Core::poll_answer). A poll that is made again, and
    /// ends that were told before, change nothing. `None` where the worker is not [known](Core::unknown) (any more).
    pub(crate) fn poll_begin(
        &mut self,
        worker: WorkerId,
        poll: Poll,
        now: Millis,
    ) -> Option<Waiting> {
        let of = self.workers.get_mut(&worker).filter(|of| of.is_known())?;
        let build = of.hello.binary.build.clone();
        of.outbox.seen(poll.seen);
        of.polls += 1;
        of.wake();
        let (number, seen, ended_seen) = (of.polls, poll.seen, poll.ended.len() as u32);
        let mut is_heard = false;
        for end in poll.ended {
            is_heard |= self.ended(worker, &build, end, now);
        }
        if !is_heard {
            self.heard(worker, &build, now);
        }
        for (attempt, progress) in poll.progress {
            if let Some(from) = progress.given_up
                && self.lanes_of(&build, attempt.task).is_some_and(|lanes| lanes.end != from)
            {
                let event = Event::LanesGivenUp { worker, attempt, from };
                self.handle(&build, event, None, now);
            }
            if progress.lanes > 0 {
                let permille = permille(progress);
                let event = Event::Progress { worker, attempt, permille };
                self.handle(&build, event, None, now);
            }
        }
        for (attempt, is_whole) in poll.replicated {
            self.handle(&build, Event::Replicated { worker, attempt, is_whole }, None, now);
        }
        if poll.draining {
            let _ = self.drain(worker, now);
        }
        // It waits from here on: what it has said woke nobody for it.
        let changed = self.workers.get(&worker)?.changed.subscribe();
        Some(Waiting { worker, number, seen, ended_seen, changed })
    }

    /// The answer to a worker that is not known.
    pub(crate) fn unknown(&self) -> PollAnswer {
        PollAnswer { unknown: true, term: self.term, ..PollAnswer::default() }
    }

    /// The answer to a poll, if there is something to tell, or it must be answered now.
    pub(crate) fn poll_answer(
        &mut self,
        waiting: &Waiting,
        at_once: bool,
        now: Millis,
    ) -> Option<PollAnswer> {
        let (stopping, term) = (self.stopping, self.term);
        let Waiting { worker, number, ended_seen, .. } = *waiting;
        let of = self.workers.get_mut(&worker).filter(|of| of.is_known());
        let Some(of) = of else {
            return Some(PollAnswer { ended_seen, unknown: true, term, ..PollAnswer::default() });
        };
        if of.polls != number {
            // The worker has polled again since: that poll gets what there is.
            return Some(PollAnswer {
                number: waiting.seen,
                ended_seen,
                term,
                ..PollAnswer::default()
            });
        }
        if !at_once && !of.has_news(stopping) {
            return None;
        }
        let mut answer = PollAnswer {
            ended_seen,
            term,
            drained: stopping || of.standing == Standing::Drained,
            ..PollAnswer::default()
        };
        of.told_end |= answer.drained;
        let jobs = &mut self.jobs;
        let mut failed: Vec<(JobId, Failure)> = Vec::new();
        let (mut items, mut bytes) = (0, 0);
        let told = of.outbox.next(|item| {
            if items == ANSWER_ITEMS || bytes >= ANSWER_BYTES {
                return false;
            }
            items += 1;
            if let Item::Assign(attempt, lanes) = *item
                && let Some(job) = jobs.get_mut(&attempt.task.job)
            {
                match job.order(attempt, lanes) {
                    Ok(order) => {
                        let size = size_of(&order);
                        if items > 1 && bytes + size > ANSWER_BYTES {
                            return false;
                        }
                        bytes += size;
                        answer.assigned.push(order);
                    }
                    Err(failure) => failed.push((attempt.task.job, failure)),
                }
            }
            true
        });
        answer.number = told.0;
        for item in told.1 {
            match item {
                Item::Assign(..) => {}
                Item::Replicate(attempt, from) => {
                    answer.replicate.extend(self.replica_of(attempt, from))
                }
                Item::Cancel(attempt) => answer.cancelled.push(attempt),
                Item::GiveUp(attempt, keep_permille) => {
                    answer.give_up.push(GiveUp { attempt, keep_permille });
                }
                Item::JobOver(over) => answer.jobs_over.push(over),
            }
        }
        for (job, failure) in failed {
            self.give_up(job, failure, now);
        }
        self.handle_next(now);
        answer.ahead = self.ahead(worker);
        Some(answer)
    }
}

impl Core {
    /// What a worker is told that is to copy the blocks of an attempt, if they are there.
    fn replica_of(&mut self, attempt: AttemptId, from: WorkerId) -> Option<Replicate> {
        let source = self.workers.get(&from)?;
        let (host, address) = (source.hello.host.clone(), source.hello.data_address.clone());
        let job = self.jobs.get_mut(&attempt.task.job)?;
        let shape = job.shape.clone();
        let outputs = shape.stages.get(attempt.task.stage.0 as usize)?.outputs.iter();
        let mut shuffles = Vec::new();
        for output in outputs {
            if let OutputShape::Shuffle(shuffle) = *output {
                shuffles.push((shuffle, job.cut_of(shuffle)?.buckets));
            }
        }
        Some(Replicate { attempt, shuffles, worker: from, host, address })
    }

    /// The lanes that a task has, of a job that runs.
    fn lanes_of(&self, build: &str, task: TaskId) -> Option<LaneRange> {
        Some(self.pools.get(build)?.scheduler.state().lanes_of(task))
    }

    /// What a worker may fetch ahead: of the jobs that it works for, what stages will read that have not opened.
    fn ahead(&self, worker: WorkerId) -> Vec<Ahead> {
        let mut all = Vec::new();
        let Some(of) = self.workers.get(&worker) else { return all };
        let Some(pool) = self.pools.get(&of.hello.binary.build) else { return all };
        let state = pool.scheduler.state();
        let mut share = None;
        for id in &pool.jobs {
            let Some(job) = self.jobs.get(id).filter(|job| job.has_run_on(worker)) else {
                continue;
            };
            for (stage, shape) in (0..).map(StageId).zip(&job.shape.stages) {
                let waits = !shape.dissolved && !shape.sample && state.is_unopened(*id, stage);
                for &shuffle in shape.root.shuffles().iter().filter(|_| waits) {
                    let Some(cut) = job.cut_if_begun(shuffle) else { continue };
                    if share.is_none() {
                        share = state.share_of(worker);
                    }
                    let Some(share) = &share else { return all };
                    all.push(Ahead { job: *id, shuffle, buckets: share(cut.buckets) });
                }
            }
        }
        all
    }
}

fn permille(progress: Progress) -> u16 {
    let done = u64::from(progress.lanes_done) * 1000 / u64::from(progress.lanes.max(1));
    done.min(1000) as u16
}

/// About how many bytes an order has as a message.
fn size_of(order: &TaskOrder) -> usize {
    let work = match &order.work {
        Work::Split => 0,
        Work::Compute { input, cuts, whole_inputs, lookups } => {
            let input = match input {
                TaskInput::Splits(splits) => splits
                    .iter()
                    .map(|split| {
                        let hosts: usize = split.hosts.iter().map(|host| host.len() + 2).sum();
                        split.payload.len() + hosts + 20
                    })
                    .sum::<usize>(),
                TaskInput::Buckets { buckets, .. } => buckets.len() * 3,
            };
            let whole: usize = whole_inputs.iter().map(|(_, frames)| frames.len()).sum();
            input + cuts.len() * 8 + lookups.len() * 20 + whole
        }
        Work::Commit { outputs, counters, left_out } => {
            let parts: usize = outputs.iter().map(|(_, parts)| parts.len() * 200).sum();
            parts + counters.len() * 10 + left_out.len() * 400
        }
    };
    work + 32
}
