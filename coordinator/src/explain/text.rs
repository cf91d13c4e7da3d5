//! An account as people read it.

use super::account::{Account, AttemptAccount, End, Happening, Placed, Slots};
use super::spans::{Span, What, chain};
use crate::scheduler::{JobEnd, Millis, ReopenReason, RevokeReason};
use std::collections::BTreeMap;
use std::fmt::Write;
use windrow_protocol::failure::Blame;
use windrow_protocol::ids::{TaskId, TaskKind};

/// Stages whose last task took less than this after no other was left are not told of.
const TAIL_MS: u64 = 100;

/// A job, as a whole.
pub(super) fn of_job(account: &Account) -> String {
    let mut text = String::new();
    let end = account.ended.as_ref().map_or(account.until, |(at, _)| *at);
    let how = match &account.ended {
        None if account.has_ended => "ended, and what happened is not kept but for the first",
        None => "runs, for",
        Some((_, JobEnd::Succeeded)) => "succeeded after",
        Some((_, JobEnd::Failed { .. })) => "failed after",
        Some((_, JobEnd::Cancelled)) => "was cancelled after",
    };
    let all_ms = end.since(account.from);
    line(&mut text, format_args!("job {} {} {how} {}", account.job, account.name, seconds(all_ms)));
    if !account.is_whole {
        line(&mut text, format_args!("what happened before is not kept: times are since then"));
    }
    if let Some((_, JobEnd::Failed { task, causes })) = &account.ended {
        let last = causes.last().map_or_else(String::new, |cause| format!(": {}", cause.failure));
        line(&mut text, format_args!("task {task} could not be done{last}"));
    }
    line(&mut text, format_args!("\nwhat the time went to, from the end back"));
    for span in chain(account) {
        let percent = span.ms() as f64 * 100.0 / all_ms.max(1) as f64;
        let time = seconds(span.ms());
        line(&mut text, format_args!("{time:>10} {percent:>4.0} %  {}", of_span(account, &span)));
        for more in details(account, &span) {
            line(&mut text, format_args!("{:>19}{more}", ""));
        }
    }
    slots(&mut text, account);
    places(&mut text, account);
    if !account.happenings.is_empty() {
        line(&mut text, format_args!("\nwhat happened on the way"));
    }
    for (at, happening) in &account.happenings {
        line(&mut text, format_args!("{} {}", since(account, *at), told(happening)));
    }
    if account.more_happenings > 0 {
        line(&mut text, format_args!("  and {} more", account.more_happenings));
    }
    text
}

/// One task of it.
pub(super) fn of_task(account: &Account, id: TaskId) -> Option<String> {
    let task = account.tasks.get(&id)?;
    let mut lines: Vec<(Millis, String)> = Vec::new();
    let opened = match id.kind {
        TaskKind::Compute => account.opened.get(&id.stage.0).copied(),
        TaskKind::Commit => account.committing,
        TaskKind::Split => Some(account.from),
    };
    if let Some(opened) = opened {
        lines.push((opened, "could start: all that it reads was there".to_owned()));
    }
    for of in &task.attempts {
        let why = placed(of.placed);
        let waited = of.waited.map_or_else(String::new, waited);
        lines
            .push((of.at, format!("#{} began on {}{waited}: {why}", of.attempt.number, of.worker)));
        if let Some((at, end)) = &of.end {
            lines.push((*at, format!("#{} {}", of.attempt.number, ended(of, end))));
        }
    }
    for (at, why) in &task.reopened {
        lines.push((*at, format!("runs again: {}", reopened(*why))));
    }
    lines.sort_by_key(|(at, _)| *at);
    let mut text = String::new();
    line(&mut text, format_args!("task {id} ({})", name(account, id.stage.0)));
    for (at, what) in lines {
        line(&mut text, format_args!("{} {what}", since(account, at)));
    }
    if let Some(at) = task.waits_since() {
        line(&mut text, format_args!("{} waits for a free slot since then", since(account, at)));
    }
    Some(text)
}

fn line(text: &mut String, what: std::fmt::Arguments<'_>) {
    // Nothing fails here.
    let _ = writeln!(text, "{what}");
}

fn seconds(ms: u64) -> String {
    format!("{:.2} s", ms as f64 / 1000.0)
}

fn since(account: &Account, at: Millis) -> String {
    format!("{:>11}", format!("+{}", seconds(at.since(account.from))))
}

fn name(account: &Account, stage: u32) -> &str {
    account.shape.stages.get(stage as usize).map_or("", |stage| &stage.name)
}

fn of_span(account: &Account, span: &Span) -> String {
    match span.what {
        What::Commit => "commit: the output was made visible".to_owned(),
        What::Listing(stage) => format!("stage s{stage}: what it reads was listed"),
        What::Begin => "before anything began".to_owned(),
        What::Stage(stage) => {
            let tasks = account.tasks_of(stage, TaskKind::Compute).count();
            let s = if tasks == 1 { "" } else { "s" };
            format!("stage s{stage}: {tasks} task{s} ({})", name(account, stage))
        }
    }
}

/// What is odd about a link.
fn details(account: &Account, span: &Span) -> Vec<String> {
    let mut lines = Vec::new();
    let (What::Stage(stage), kind) = (span.what, TaskKind::Compute) else { return lines };
    let Some(times) = account.times(stage, kind) else { return lines };
    let (last, of, at) = times.last;
    if times.tasks > 1 {
        lines.push(format!("half of them took {} or less", seconds(times.median_ms)));
    }
    let waits = account.tasks_of(stage, kind).filter_map(|(_, task)| task.attempts.first());
    if let Some(slots) = waits.min_by_key(|of| of.at).and_then(|of| of.waited)
        && slots.ms >= TAIL_MS
    {
        lines.push(format!("the first began{}", waited(slots)));
    }
    let tail_ms = at.since(times.all_begun);
    let took_ms = of.took_ms().unwrap_or_default();
    if times.tasks > 1 && tail_ms >= TAIL_MS && tail_ms > times.median_ms {
        lines.push(format!(
            "{} of it no task was left to begin: {last} was the last, whose attempt on {} took {}",
            seconds(tail_ms),
            of.worker,
            seconds(took_ms)
        ));
    }
    let others = &account.tasks[&last].attempts;
    for before in others.iter().filter(|other| other.attempt != of.attempt) {
        if let Some((_, end)) = &before.end {
            lines.push(format!(
                "its attempt #{} on {} {}",
                before.attempt.number,
                before.worker,
                ended(before, end)
            ));
        }
    }
    lines
}

fn slots(text: &mut String, account: &Account) {
    let [own, others, all] = account.slots.average();
    let free = (all - own - others).max(0.0);
    line(
        text,
        format_args!(
            "\nof {all:.1} slots it had {own:.1} on average; other jobs had {others:.1}, and {free:.1} were free"
        ),
    );
    let tasks = account.tasks.iter();
    let longest = tasks
        .filter_map(|(id, task)| Some((id, task.attempts.first()?.waited?)))
        .max_by_key(|(_, waited)| waited.ms);
    if let Some((id, slots)) = longest.filter(|(_, waited)| waited.ms >= TAIL_MS) {
        let waited = waited(slots);
        line(text, format_args!("task {id} waited longest for a slot: it began{waited}"));
    }
}

fn places(text: &mut String, account: &Account) {
    let mut counts: BTreeMap<Placed, u64> = BTreeMap::new();
    for of in account.tasks.values().flat_map(|task| &task.attempts) {
        *counts.entry(of.placed).or_default() += 1;
    }
    let workers = account.workers().len();
    let s = if workers == 1 { "" } else { "s" };
    line(text, format_args!("\nwhere its attempts ran ({workers} worker{s}), and why"));
    for (why, count) in counts {
        line(text, format_args!("{count:>7}  {}", placed(why)));
    }
}

fn placed(why: Placed) -> &'static str {
    match why {
        Placed::Near => "its bytes are on that host",
        Placed::AtHome => "its blocks were to be fetched ahead there",
        Placed::Elsewhere => "it had failed on another worker, which it avoids",
        Placed::Again => "it had run before, and comes before tasks that had not",
        Placed::Next => "it was the next task, and that worker had the fewest attempts",
        Placed::Twice => "a second attempt at once, since the job is small and the slot was free",
        Placed::Backup => "a backup attempt: the other one was slow, or its worker silent",
    }
}

/// How long something waited, and for what.
fn waited(slots: Slots) -> String {
    if slots.ms == 0 {
        return String::new();
    }
    let [own, others, all] = slots.average();
    let why = if all < 0.05 {
        "there was no worker".to_owned()
    } else if own + others >= 0.9 * all {
        format!("all {all:.1} slots were in use, {own:.1} by this job and {others:.1} by others")
    } else {
        format!(
            "{:.1} of {all:.1} slots were in use, and what it reads was made again, or the others were of workers that got no work",
            own + others
        )
    };
    format!(" after {}, in which {why}", seconds(slots.ms))
}

fn ended(of: &AttemptAccount, end: &End) -> String {
    let after = of.took_ms().map_or_else(String::new, |ms| format!(" after {}", seconds(ms)));
    match end {
        End::Committed => format!("was done{after}"),
        End::Failed(failure, charge) => {
            format!("ended{after}: {failure} ({})", charged(*charge))
        }
        End::Revoked(RevokeReason::OtherWon) => {
            format!("was stopped{after}: the other attempt was done first")
        }
        End::Revoked(RevokeReason::JobEnded) => format!("was stopped{after}: the job had ended"),
        End::Revoked(RevokeReason::Preempted) => {
            format!(
                "was stopped{after}: another job had got no slot for long, and this one had more than its share"
            )
        }
        End::Unknown => "ended when nothing was kept".to_owned(),
    }
}

fn charged(charge: Blame) -> &'static str {
    match charge {
        Blame::Task => "its task's failure: so many are allowed, and then the job fails",
        Blame::Worker => "counts apart, since its worker went: the task runs again",
        Blame::Producer => "nobody's failure: what it reads is made again, and then it runs again",
        Blame::Nobody => "nobody's failure: the task runs again",
        Blame::Job => "the job's failure: no other attempt would help",
    }
}

fn reopened(why: ReopenReason) -> &'static str {
    match why {
        ReopenReason::WorkerGone => "the worker that had its output is gone",
        ReopenReason::BlockLost => "a reader found a block of its output missing or damaged",
    }
}

fn told(happening: &Happening) -> String {
    match happening {
        Happening::Failed(attempt, worker, failure, charge) => {
            format!("attempt {attempt} on {worker} ended: {failure} ({})", charged(*charge))
        }
        Happening::Backup { attempt, worker, beside } => format!(
            "task {} got a backup attempt, {attempt} on {worker}: the one on {beside} was slow, or silent",
            attempt.task
        ),
        Happening::Reopened(task, why) => format!("task {task} runs again: {}", reopened(*why)),
        Happening::LookedUp { stage, table_bytes } => format!(
            "stage s{stage} has no tasks: one of its sides has {table_bytes} bytes, in which the rows of the other are looked up as they come"
        ),
        Happening::Lost(worker, why) => format!("worker {worker} is lost: {why}"),
        Happening::Came(worker, slots) => format!("worker {worker} came, with {slots} slots"),
        Happening::Draining(worker) => format!("worker {worker} drains: it gets no more work"),
        Happening::ReplicaUsed(task, worker) => {
            format!("what task {task} wrote was gone, and read from its replica on {worker}")
        }
        Happening::RestSplitOff { task, from, rest } => format!(
            "task {task} was slow: its lanes from {from} on became a task of their own, {rest}"
        ),
        Happening::SetAside(worker) => {
            format!(
                "worker {worker} gets no work for a while: one task after the other failed there"
            )
        }
        Happening::Back(worker) => format!("worker {worker} gets work again"),
        Happening::Restarted => {
            "the coordinator was started again; what happened meanwhile is not kept".to_owned()
        }
    }
}
