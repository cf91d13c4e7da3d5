//! What the time of a job went to: the chain of what had to be done one after the other, from its end back.

use super::account::{Account, AttemptAccount, TaskAccount};
use crate::scheduler::{Links, Millis};
use std::collections::BTreeSet;
use windrow_protocol::ids::{StageId, TaskId, TaskKind};

/// A link of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) what: What,
    pub(super) from: Millis,
    pub(super) to: Millis,
}

/// What a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The output becomes visible.
    Commit,
    /// The tasks of a stage.
    Stage(u32),
    /// What a stage reads is listed.
    Listing(u32),
    /// Nothing had begun yet.
    Begin,
}

impl Span {
    pub(super) fn ms(&self) -> u64 {
        self.to.since(self.from)
    }
}

/// The chain of a job, its last link first.
pub(super) fn chain(account: &Account) -> Vec<Span> {
    let end = account.ended.as_ref().map_or(account.until, |(at, _)| *at);
    let links = Links::of(&account.shape);
    let mut spans = Vec::new();
    let mut at = end;
    if let Some(from) = account.committing {
        spans.push(Span { what: What::Commit, from, to: end });
        at = from;
    }
    let mut seen = BTreeSet::new();
    let all: Vec<u32> = (0..account.shape.stages.len() as u32).collect();
    let (mut stages, mut listings) = (all.clone(), all);
    loop {
        let of_stage = stages.iter().filter_map(|&stage| {
            let from = *account.opened.get(&stage)?;
            Some((account.last_of(stage, TaskKind::Compute)?.min(at), from, What::Stage(stage)))
        });
        let of_listing = listings.iter().filter_map(|&stage| {
            let from = account.first_of(stage, TaskKind::Split)?;
            Some((account.last_of(stage, TaskKind::Split)?.min(at), from, What::Listing(stage)))
        });
        let is_new = |(_, from, what): &(Millis, Millis, What)| {
            let number = match what {
                What::Stage(stage) => stage * 2 + 1,
                What::Listing(stage) => stage * 2,
                What::Commit | What::Begin => return false,
            };
            *from <= at && !seen.contains(&number)
        };
        let Some((to, from, what)) =
            of_stage.chain(of_listing).filter(is_new).max_by_key(|of| of.0)
        else {
            break;
        };
        spans.push(Span { what, from, to });
        at = from;
        (stages, listings) = match what {
            What::Stage(stage) => {
                seen.insert(stage * 2 + 1);
                (links.before[stage as usize].clone(), links.listings[stage as usize].clone())
            }
            _ => break,
        };
    }
    if at > account.from {
        spans.push(Span { what: What::Begin, from: account.from, to: at });
    }
    spans
}

/// The tasks of a stage, in numbers.
pub(super) struct Times<'a> {
    pub(super) tasks: usize,
    /// The median of what the attempts took that were committed, in milliseconds.
    pub(super) median_ms: u64,
    /// The task that was done last, its committed attempt, and when that was.
    pub(super) last: (TaskId, &'a AttemptAccount, Millis),
    /// When the last task began for the first time.
    pub(super) all_begun: Millis,
}

impl Account {
    pub(super) fn tasks_of(
        &self,
        stage: u32,
        kind: TaskKind,
    ) -> impl Iterator<Item = (&TaskId, &TaskAccount)> {
        self.tasks.iter().filter(move |(id, _)| id.stage == StageId(stage) && id.kind == kind)
    }

    fn first_of(&self, stage: u32, kind: TaskKind) -> Option<Millis> {
        let attempts = self.tasks_of(stage, kind).flat_map(|(_, task)| &task.attempts);
        attempts.map(|of| of.at).min()
    }

    /// When the last task was done, or until now where some are not.
    fn last_of(&self, stage: u32, kind: TaskKind) -> Option<Millis> {
        let end = |task: &TaskAccount| match task.committed() {
            Some((_, at)) => at,
            None => self.until,
        };
        self.tasks_of(stage, kind).map(|(_, task)| end(task)).max()
    }

    /// The tasks of a stage that were done, in numbers; `None` if none was.
    pub(super) fn times(&self, stage: u32, kind: TaskKind) -> Option<Times<'_>> {
        let done: Vec<(TaskId, &AttemptAccount, Millis)> = self
            .tasks_of(stage, kind)
            .filter_map(|(id, task)| task.committed().map(|(of, at)| (*id, of, at)))
            .collect();
        let last = *done.iter().max_by_key(|(.., at)| *at)?;
        let mut took: Vec<u64> = done.iter().filter_map(|(_, of, _)| of.took_ms()).collect();
        took.sort_unstable();
        let firsts = self.tasks_of(stage, kind).filter_map(|(_, task)| task.attempts.first());
        Some(Times {
            tasks: done.len(),
            median_ms: took.get((took.len() - 1) / 2).copied()?,
            last,
            all_begun: firsts.map(|of| of.at).max()?,
        })
    }
}
